# SPDX-License-Identifier: Apache-2.0
"""What every command has: a language, the data folder's option, and failures told in one sentence with an exit code."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import typer

from cli.errors import FAILED, CliError
from cli.language import current, say, speaking
from libs.catalogue import Language
from libs.devstack import DevstackError

INTERRUPTED: Final = 130

Lang = Annotated[Language | None, typer.Option("--lang", help=say("cli.help.lang"), show_default=False)]
Data = Annotated[Path, typer.Option("--data", help=say("cli.help.data"), file_okay=False)]
Body = Annotated[str, typer.Option("--body", help=say("cli.help.body"))]
OfBody = Annotated[str | None, typer.Option("--body", help=say("cli.help.body"), show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help=say("cli.help.json_output"))]
Client = Annotated[str | None, typer.Option("--as", help=say("cli.help.as"), show_default=False)]

DATA: Final = Path(".daicho")
PROFILE: Final = Path("samples/city/profile.yaml")


def group(name: str) -> typer.Typer:
    """A Typer application, or a group of commands in one; its help is `cli.help.<name>`."""
    return typer.Typer(
        help=say(f"cli.help.{name}"), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )


def command(
    app: typer.Typer, name: str, help_key: str | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function the command `name`: it gets `--lang`, and its failures become a sentence and an exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(function)
        def run(*args: Any, lang: Language | None = None, **kwargs: Any) -> None:
            with speaking(lang), failing_in_one_sentence():
                function(*args, **kwargs)

        signature = inspect.signature(function)
        parameter = inspect.Parameter("lang", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Lang)
        hints = get_type_hints(function, include_extras=True)
        parameters = [one.replace(annotation=hints[one.name]) for one in signature.parameters.values()]
        run.__signature__ = signature.replace(parameters=[*parameters, parameter])  # type: ignore[attr-defined]
        run.__annotations__ = {**hints, "lang": Lang}
        app.command(name, help=say(help_key or f"cli.help.{name}"))(run)
        return function

    return register


@contextmanager
def failing_in_one_sentence() -> Iterator[None]:
    """Set DAICHO_TRACEBACK to see where an unexpected failure came from."""
    try:
        yield
    except CliError as error:
        _fail(error.sentence(current()), error.code)
    except DevstackError as error:
        _fail(say("cli.devstack", detail=error), FAILED)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # who read our output has gone: Python must not fail on flushing it either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(FAILED) from None
    except typer.Exit:
        raise
    except Exception as error:
        if "DAICHO_TRACEBACK" in os.environ:
            raise
        _fail(say("cli.unexpected", kind=type(error).__name__, detail=" ".join(str(error).split())), FAILED)


def _fail(sentence: str, code: int) -> None:
    typer.echo(sentence, err=True)
    raise typer.Exit(code)
