# SPDX-License-Identifier: Apache-2.0
"""What an instance tells this service, by environment variables that begin with `DAICHO_`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.bus import Caps, KafkaSettings
from libs.contracts import Profile
from libs.persistence import PostgresSettings
from libs.security import HttpSettings, OidcSettings


class Settings(BaseSettings):
    """`profile` is the path of the instance's profile; `feed_secrets` has, by feed, what its webhooks are signed with.

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
    feed_secrets: Mapping[str, SecretStr] = {}

    def read_profile(self) -> Profile:
        """Raises OSError, or pydantic's ValidationError naming the entry."""
        return Profile.model_validate(yaml.safe_load(self.profile.read_text(encoding="utf-8")))


class MigrationSettings(BaseSettings):
    """The same, with the DSN of the database's owner, for the room `migrate` alone."""

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__", frozen=True)

    postgres: PostgresSettings
