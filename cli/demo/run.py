# SPDX-License-Identifier: Apache-2.0
"""`daicho demo`: from sample feeds to obligation events on an instance of its own, and a table of what came of it."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import psutil
import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.command import PROFILE, command
from cli.identity import SECOND_OFFICER, SECURITY_OFFICE
from cli.language import current, say
from cli.lifecycle import start, stop
from cli.profile import read_profile
from cli.running import Running
from libs.devstack.credentials import write_private
from libs.devstack.jars import ensure_jars

BUILD: Final = Path("build/demo")
NETBOX_SAMPLES: Final = Path("samples/netbox")
_OFFICERS: Final = {"token": SECURITY_OFFICE, "token-2": SECOND_OFFICER}
"""Two persons, for what one asks and another decides: the files of their tokens."""
_SETTLED_WITHIN: Final = 120.0
_CALM_LOOKS: Final = 2
_LOOK_EVERY: Final = 1.1
"""Seconds; a service looks at itself at most once a second."""

Keep = Annotated[bool, typer.Option("--keep", help=say("cli.help.keep"))]
Changes = Annotated[int, typer.Option("--changes", help=say("cli.help.changes"), min=1)]
Rate = Annotated[int, typer.Option("--rate", help=say("cli.help.rate"), min=1)]
Build = Annotated[Path, typer.Option("--build", help=say("cli.help.build"), file_okay=False)]


def add_to(app: typer.Typer) -> None:
    command(app, "demo")(demo)


def demo(keep: Keep = False, changes: Changes = 20_000, rate: Rate = 1_000, build: Build = BUILD) -> None:
    console = Console()
    build = build.absolute()
    data = build / "instance"
    stop(data)
    shutil.rmtree(build, ignore_errors=True)
    ensure_jars()
    clock = _Clock()
    with console.status(say("cli.starting")), clock.timing("start"):
        running = start(data, PROFILE)
    try:
        uvloop.run(_Demo(running, build, console, clock).run(changes, rate))
    except BaseException:
        stop(data)
        raise
    if keep:
        _tell_where(running, build, console)
    else:
        stop(data)


class _Clock:
    """How long each part took, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - began


class _Demo:
    """One run over an instance that is up."""

    def __init__(self, running: Running, build: Path, console: Console, clock: _Clock) -> None:
        self._running = running
        self._build = build
        self._console = console
        self._clock = clock
        self._sent: Counter[str] = Counter()

    async def run(self, changes: int, rate: int) -> None:
        from cli.demo.watch import ObligationWatch
        from cli.kafka import account
        from samples.generate import write

        samples = self._build / "samples"
        with self._console.status(say("cli.demo_generating")), self._clock.timing("generate"):
            write(samples, count=changes)
        async with ObligationWatch(account(self._running.data, "reader").client()) as watch:
            with self._progress() as progress:
                await asyncio.to_thread(self._load, progress, samples)
                with self._clock.timing("settle_load"):
                    await self._settle()
                per_second = await self._stream(progress, watch, samples, rate)
            with self._console.status(say("cli.demo_settling")), self._clock.timing("settle_stream"):
                await self._settle()
                await watch.calm()
        self._finish(watch, per_second)

    def _progress(self) -> Progress:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        return Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console)

    def _load(self, progress: Progress, samples: Path) -> None:
        from cli.demo import feeds

        with self._inventory(f"feed-{feeds.NETBOX}") as client, self._clock.timing("load_netbox"):
            bar = progress.add_task(say("cli.demo_netbox"), total=None, note="")
            self._sent["netbox_objects"] = feeds.load_netbox(
                client, NETBOX_SAMPLES / "initial.json.gz", lambda count: progress.advance(bar, count)
            )
            progress.update(bar, total=self._sent["netbox_objects"])
        with self._inventory(f"feed-{feeds.LEDGER}") as client, self._clock.timing("load_ledgers"):
            bar = progress.add_task(say("cli.demo_ledgers"), total=len(list((samples / "ledgers").iterdir())), note="")
            self._sent["ledger_rows"] = feeds.load_ledgers(
                client, samples / "ledgers", lambda count: progress.advance(bar, count)
            )
        with self._inventory() as client, self._clock.timing("post_webhooks"):
            bar = progress.add_task(say("cli.demo_webhooks"), total=None, note="")
            self._sent["netbox_webhooks"] = feeds.post_webhooks(
                client,
                NETBOX_SAMPLES / "webhooks.ndjson.gz",
                self._running.feed_secret(feeds.NETBOX),
                lambda count: progress.advance(bar, count),
            )
            progress.update(bar, total=self._sent["netbox_webhooks"])

    async def _stream(self, progress: Progress, watch: Any, samples: Path, rate: int) -> float:
        from cli.demo import feeds
        from cli.kafka import account

        lines = feeds.read_lines(samples / "changes.ndjson")
        bar = progress.add_task(say("cli.demo_stream", rate=rate), total=len(lines), note="")

        def advance(count: int) -> None:
            title = _title(watch.last)
            progress.update(bar, advance=count, note=say("cli.demo_arriving", events=watch.events, last=title))

        with self._clock.timing("stream"):
            client = account(self._running.data, "feed").client()
            seconds = await feeds.stream_changes(client, lines, rate, watch.sent, advance)
        self._sent["changes"] = len(lines)
        return len(lines) / seconds

    async def _settle(self) -> None:
        """Return when no step has anything left to do."""
        deadline = time.monotonic() + _SETTLED_WITHIN
        calm = 0
        services = [self._running.addresses[name] for name in ("inventory", "classification")]
        async with httpx.AsyncClient(timeout=5) as client:
            while calm < _CALM_LOOKS and time.monotonic() < deadline:
                looks = [(await client.get(f"{address}/health/ready")).json() for address in services]
                calm = calm + 1 if all(map(_has_nothing_to_do, looks)) else 0
                await asyncio.sleep(_LOOK_EVERY)

    def _finish(self, watch: Any, per_second: float) -> None:
        from cli.demo.summary import Summary

        profile = read_profile(self._running.profile)
        with (
            self._inventory(SECURITY_OFFICE) as inventory,
            self._api("classification", SECURITY_OFFICE) as classification,
        ):
            figures, unplaced = _figures(profile.body_by_id, inventory, classification, watch)
            scales = _answer(classification.get("/v1/standard"))["scales"]
        summary = Summary(
            bodies=figures,
            unplaced_dead_letters=unplaced,
            delay=_delay(watch.delays),
            rate=per_second,
            sent=self._sent,
            seconds=self._clock.seconds,
            machine=_machine(),
        )
        summary.write(self._build / "summary.json")
        self._console.print(summary.table(profile, scales, current()))
        self._console.print(summary.dead_letters(profile, current()))
        delay = summary.delay
        self._console.print(
            say("cli.demo_delay", count=delay.count, p50=delay.p50, p99=delay.p99, rate=round(per_second))
        )
        self._console.print(say("cli.demo_written", file=self._build / "summary.json"))

    def _inventory(self, client: str | None = None) -> httpx.Client:
        return self._api("inventory", client)

    def _api(self, service: str, client: str | None) -> httpx.Client:
        headers = {} if client is None else {"Authorization": f"Bearer {self._running.token(client)}"}
        return httpx.Client(base_url=self._running.addresses[service], headers=headers, timeout=60)


def _figures(
    bodies: Mapping[str, Any], inventory: httpx.Client, classification: httpx.Client, watch: Any
) -> tuple[list[Any], Mapping[str, int]]:
    from cli.demo.summary import BodyFigures

    assets: Counter[str] = Counter()
    for row in _answer(inventory.get("/v1/summary")):
        if row["status"] == "active":
            assets[row["body"]] += row["assets"]
    classified = {row["body"]: row for row in _answer(classification.get("/v1/summary"))}
    letters = _answer(inventory.get("/v1/dead-letters/summary"))["by_body"]
    figures = [
        BodyFigures(
            body=body,
            assets=assets[body],
            levels=classified.get(body, {}).get("levels", {}),
            in_force=classified.get(body, {}).get("obligations_in_force", 0),
            imposed=watch.imposed[body],
            lifted=watch.lifted[body],
            dead_letters=letters.get(body, {}),
        )
        for body in bodies
    ]
    return figures, letters.get("-", {})


def _answer(response: httpx.Response) -> Any:
    response.raise_for_status()
    return response.json()


def _delay(seconds: list[float]) -> Any:
    from cli.demo.summary import Delay

    return Delay.of(seconds)


def _has_nothing_to_do(readiness: Mapping[str, Any]) -> bool:
    measures = [pair for probe in readiness["probes"] for pair in probe["measures"].items()]
    return readiness["status"] == "ready" and not any(
        value for name, value in measures if name.startswith(("lag", "rows"))
    )


def _title(event: Mapping[str, Any]) -> str:
    """Of the last event, the first duty imposed or lifted."""
    data = event.get("data", {})
    for duty in (*data.get("imposed", ()), *data.get("lifted", ())):
        return str(duty["title"][current()])
    return ""


def _machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _tell_where(running: Running, build: Path, console: Console) -> None:
    for name, officer in _OFFICERS.items():
        write_private(build / name, running.token(officer) + "\n")
    for name in ("inventory", "classification", "issuer"):
        console.print(f"{name}: {running.addresses[name]}")
    console.print(f"kafka: {running.kafka}")
    console.print(say("cli.demo_kept", folder=build, data=running.data))
