# SPDX-License-Identifier: Apache-2.0
"""The one table of metric names: what each counts, in which unit, and what to do when it is not as it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

Kind = Literal["counter", "gauge", "histogram"]
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


@dataclass(frozen=True)
class Metric:
    """One row. `action` tells the operator what to do; a label never holds the name of an asset or of a person."""

    name: str
    kind: Kind
    unit: str
    help: str
    action: str
    labels: tuple[str, ...] = ()


CONSUMED: Final = Metric(
    "daicho_consumed_total",
    "counter",
    "records",
    "Records taken from a topic and committed.",
    "Flat while records are written: see daicho_consumer_lag and /health/ready.",
    ("consumer", "topic"),
)
PRODUCED: Final = Metric(
    "daicho_produced_total",
    "counter",
    "records",
    "Records written to a topic and committed.",
    "Flat while records are consumed: nothing changes, or the relay stands still; see daicho_outbox_oldest_seconds.",
    ("consumer", "topic"),
)
BATCH_SECONDS: Final = Metric(
    "daicho_batch_seconds",
    "histogram",
    "seconds",
    "Time to handle and commit one batch.",
    "Rising: the database or the broker is slow, or the machine is short of CPU.",
    ("consumer",),
)
LAG: Final = Metric(
    "daicho_consumer_lag",
    "gauge",
    "records",
    "Records of a partition that are not yet handled.",
    "Rising for minutes: add a worker if there are several networks, else a faster machine.",
    ("consumer", "topic", "partition"),
)
DEAD_LETTERS: Final = Metric(
    "daicho_dead_letters_total",
    "counter",
    "records",
    "Records put aside because they could not be taken.",
    "Look at them with `daicho deadletters list`, mend the source, then release the key.",
    ("consumer", "reason"),
)
DEAD_LETTERS_WAITING: Final = Metric(
    "daicho_dead_letters_waiting",
    "gauge",
    "records",
    "Records put aside that wait for a person.",
    "Look at them with `daicho deadletters list`; mend the cause, then release, correct or discard them.",
    ("consumer", "reason"),
)
DEAD_LETTERS_OLDEST: Final = Metric(
    "daicho_dead_letters_oldest_seconds",
    "gauge",
    "seconds",
    "Age of the oldest record put aside that waits for a person.",
    "Over a day: nobody looks after the dead letters.",
)
PARKED_KEYS: Final = Metric(
    "daicho_parked_keys",
    "gauge",
    "keys",
    "Keys whose records are put aside until released.",
    "Not zero: look with `daicho deadletters list`. At the cap the task stops.",
    ("consumer", "topic", "partition"),
)
TASK_RUNNING: Final = Metric(
    "daicho_task_running",
    "gauge",
    "1 or 0",
    "Whether the task of a partition runs.",
    "0: /health/ready and the log give the reason code; after mending, `daicho deadletters resume` if a cap has stopped it.",
    ("consumer", "topic", "partition"),
)
TASK_STOPS: Final = Metric(
    "daicho_task_stops_total",
    "counter",
    "stops",
    "Tasks that stopped other than by being asked to.",
    "Rising: see the log for the reason code.",
    ("consumer", "reason"),
)
OUTBOX_ROWS: Final = Metric(
    "daicho_outbox_rows",
    "gauge",
    "rows",
    "Rows of the outbox that are not yet on the bus.",
    "Rising for minutes: the relay stands still or the broker is slow.",
)
OUTBOX_OLDEST: Final = Metric(
    "daicho_outbox_oldest_seconds",
    "gauge",
    "seconds",
    "Age of the oldest row of the outbox.",
    "Over a minute: see whether the relay runs and the broker answers.",
)
HTTP_REQUESTS: Final = Metric(
    "daicho_http_requests_total",
    "counter",
    "requests",
    "HTTP requests by operation and status.",
    "Many 401 or 403: see the log for the client. Many 503: the broker does not keep up.",
    ("operation", "status"),
)
HTTP_SECONDS: Final = Metric(
    "daicho_http_seconds",
    "histogram",
    "seconds",
    "Time to answer a request.",
    "Rising: the database is slow or the machine is short of CPU.",
    ("operation",),
)
FEED_ITEMS: Final = Metric(
    "daicho_feed_items_total",
    "counter",
    "items",
    "Feed items by what became of them.",
    "Many `ignored`: a feed sends old versions. Many `rejected`: see the dead letters.",
    ("feed", "outcome"),
)
PULLS: Final = Metric(
    "daicho_pulls_total",
    "counter",
    "pulls",
    "Times that a source was asked for its changes, or for all it has, by what came of it: `done`, or a reason code.",
    "Other than `done` again and again: `daicho feed pull` and the log say what is wrong with the source.",
    ("feed", "kind", "outcome"),
)
PULL_AGE: Final = Metric(
    "daicho_pull_age_seconds",
    "gauge",
    "seconds",
    "Time since a source last told its changes.",
    "Several times the interval that the profile declares: the source does not answer; its webhooks alone are heard.",
    ("feed",),
)
PULL_HELD: Final = Metric(
    "daicho_pull_held",
    "gauge",
    "assets",
    "Assets that a source has no more, too many to be retired unasked.",
    "Not zero: see whether they are really gone, then `daicho feed pull <feed> --retire <number>`.",
    ("feed",),
)
SNAPSHOTS_WAITING: Final = Metric(
    "daicho_snapshots_waiting",
    "gauge",
    "snapshots",
    "Snapshots that would retire more than their feed's share, and wait for a person.",
    "Not zero: `daicho feed snapshot list --waiting`, look at what would go, then approve or refuse.",
    ("feed",),
)
FEED_HEARD: Final = Metric(
    "daicho_feed_heard_seconds",
    "gauge",
    "seconds",
    "Time since a feed was last heard of, or since it is expected to be.",
    "Over the rhythm that the profile declares: the source does not send; see its own log, and `daicho feed list`.",
    ("feed",),
)
FEED_SILENT: Final = Metric(
    "daicho_feed_silent",
    "gauge",
    "1 or 0",
    "Whether a feed has not been heard of for longer than the rhythm that it declares.",
    "1: what it tells of may have changed unseen; see its own log, and `daicho feed list`.",
    ("feed",),
)
EVALUATIONS: Final = Metric(
    "daicho_evaluations_total",
    "counter",
    "evaluations",
    "Assets classified, by whether the memo knew the case.",
    "Few hits: many assets differ in the facts that rules read; classification is then slower.",
    ("memo",),
)
DELAY: Final = Metric(
    "daicho_delay_seconds",
    "histogram",
    "seconds",
    "From a feed item's time to the event that it caused.",
    "p99 over 0.25 at 1,000 changes a second: see daicho_consumer_lag of each step.",
    ("stage",),
)

TABLE: Final = (
    CONSUMED,
    PRODUCED,
    BATCH_SECONDS,
    LAG,
    DEAD_LETTERS,
    DEAD_LETTERS_WAITING,
    DEAD_LETTERS_OLDEST,
    PARKED_KEYS,
    TASK_RUNNING,
    TASK_STOPS,
    OUTBOX_ROWS,
    OUTBOX_OLDEST,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    FEED_ITEMS,
    PULLS,
    PULL_AGE,
    PULL_HELD,
    SNAPSHOTS_WAITING,
    FEED_HEARD,
    FEED_SILENT,
    EVALUATIONS,
    DELAY,
)


class Metrics:
    """The metrics of one process, made from rows of the table only; asking again gives the same one."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def counter(self, row: Metric) -> Counter:
        """Raises ValueError for a row that is not in the table or not a counter."""
        made = self._get(row)
        if not isinstance(made, Counter):
            raise ValueError(f"{row.name} is a {row.kind}")
        return made

    def gauge(self, row: Metric) -> Gauge:
        """Raises ValueError for a row that is not in the table or not a gauge."""
        made = self._get(row)
        if not isinstance(made, Gauge):
            raise ValueError(f"{row.name} is a {row.kind}")
        return made

    def histogram(self, row: Metric) -> Histogram:
        """Raises ValueError for a row that is not in the table or not a histogram."""
        made = self._get(row)
        if not isinstance(made, Histogram):
            raise ValueError(f"{row.name} is a {row.kind}")
        return made

    def exposition(self) -> bytes:
        """All of them in the Prometheus text format 0.0.4."""
        return generate_latest(self.registry)

    def _get(self, row: Metric) -> Counter | Gauge | Histogram:
        if row not in TABLE:
            raise ValueError(f"{row.name} is not in the table of metrics")
        if row.name not in self._made:
            self._made[row.name] = self._make(row)
        return self._made[row.name]

    def _make(self, row: Metric) -> Counter | Gauge | Histogram:
        if row.kind == "counter":
            return Counter(row.name, row.help, row.labels, registry=self.registry)
        if row.kind == "gauge":
            return Gauge(row.name, row.help, row.labels, registry=self.registry)
        return Histogram(row.name, row.help, row.labels, registry=self.registry, buckets=_SECONDS)
