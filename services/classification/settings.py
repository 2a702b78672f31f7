# SPDX-License-Identifier: Apache-2.0
"""What an instance tells this service, by environment variables that begin with `DAICHO_`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.bus import Caps, KafkaSettings
from libs.contracts import Profile
from libs.persistence import PostgresSettings
from libs.security import HttpSettings, OidcSettings
from libs.standards import Standard, StandardsInForce, compile_standard, parse
from libs.standards.overlay import HEAD, own_standard, parse_overlay
from services.classification.standards.domain import Version, base_version, overlay_version, ready

BASE: Final = Path(__file__).resolve().parents[2] / "standards" / "base"


class Settings(BaseSettings):
    """`profile` and `standard` are paths: of the instance's profile, and of the folder of the base standard.

    `member` names this process among several of the service; two at a time must not share it.
    """

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__", frozen=True)

    profile: Path
    kafka: KafkaSettings
    postgres: PostgresSettings
    oidc: OidcSettings
    http: HttpSettings = HttpSettings()
    caps: Caps = Caps()
    member: str = "0"
    standard: Path = BASE

    def read_profile(self) -> Profile:
        """Raises OSError, or pydantic's ValidationError naming the entry."""
        return Profile.model_validate(yaml.safe_load(self.profile.read_text(encoding="utf-8")))

    def read_standards(self, profile: Profile) -> StandardsInForce:
        """What is shipped, made ready for use. Raises as `read_shipped`, and ValueError where scales differ."""
        return ready(self.read_shipped(profile))

    def read_shipped(self, profile: Profile) -> tuple[Version, ...]:
        """The base, and what separated networks have in its place: an overlay of it, or a standard of their own.

        They hold until others are activated. Raises as `read_standard`, and OverlayRefusedError.
        """
        files = _files(self.standard)
        base = base_version(files, parse(files))
        own = (
            _own_version(_files(self.standard.parent / network.standard), base, profile, network.id)
            for network in profile.networks
            if network.standard is not None
        )
        return (base, *own)

    def read_standard(self) -> Standard:
        """The base. Raises OSError, or StandardError naming file, line and column."""
        return compile_standard(parse(_files(self.standard)))


def _own_version(files: Mapping[str, str], base: Version, profile: Profile, network: str) -> Version:
    document = own_standard(files, base.document, profile, network)
    if HEAD not in files:
        return base_version(files, document, network)
    return overlay_version(files, parse_overlay(files), base.document, network)


def _files(folder: Path) -> dict[str, str]:
    """Raises FileNotFoundError where there is none."""
    files = sorted(folder.rglob("*.yaml"))
    if not files:
        raise FileNotFoundError(
            f"{folder} has no standard: put its YAML files there, or mend `standard` in the profile"
        )
    return {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in files}


class MigrationSettings(BaseSettings):
    """The same, with the DSN of the database's owner, for the room `migrate` alone."""

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__", frozen=True)

    postgres: PostgresSettings
