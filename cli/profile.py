# SPDX-License-Identifier: Apache-2.0
"""Read the profile of an instance."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from cli.errors import MISUSED, CliError
from cli.language import pick
from cli.rows import Names
from libs.contracts import Profile


def read_profile(file: Path) -> Profile:
    """Raises CliError naming the file and what is wrong in it."""
    try:
        return Profile.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise CliError("cli.unreadable", code=MISUSED, file=file, detail=error.strerror or error) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CliError("cli.not_yaml", code=MISUSED, file=file, detail=one_line(error)) from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "-"
        raise CliError("cli.profile_invalid", code=MISUSED, file=file, field=place, detail=first["msg"]) from error


def names_of(profile: Profile) -> Names:
    """What the profile calls its bodies, in the person's language."""
    return Names({body.id: pick(body.name) for body in profile.bodies})


def one_line(error: object) -> str:
    """A message of another library, on one line."""
    return " ".join(str(error).split())
