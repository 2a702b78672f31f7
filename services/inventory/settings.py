# SPDX-License-Identifier: Apache-2.0
"""What an instance tells this service, by environment variables that begin with `DAICHO_`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml
from pydantic import SecretStr, TypeAdapter
from pydantic_settings import BaseSettings, SettingsConfigDict

from libs.bus import Caps, KafkaSettings
from libs.contracts import EarlierScales, Profile
from libs.persistence import PostgresSettings
from libs.security import HttpSettings, OidcSettings
from libs.security.private_files import read_private
from services.inventory.backpressure import Bounds
from services.inventory.doors.mapping import FeedMapping, load
from services.inventory.ledgers.columns import ColumnsByFeed, read_additions

BASE: Final = Path(__file__).resolve().parents[2] / "standards" / "base"


class Settings(BaseSettings):
    """`profile` and `standard` are paths: of the instance's profile, and of the folder of the base standard.

    `ledger_columns` is a file with what the instance adds to the columns of ledgers (docs/feeds/ledgers.md).
    `feed_secrets` has, by feed, what its webhooks are signed with (`DAICHO_FEED_SECRETS__NETBOX`, or all of them as a JSON object);
    `feed_secrets_file` the same as a JSON file that only its owner may read. `feed_tokens` and `feed_tokens_file` have, likewise, the
    tokens with which sources that are pulled are asked. `member` names this process among several of the
    service; two at a time must not share it.
    """

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__", frozen=True)

    profile: Path
    kafka: KafkaSettings
    postgres: PostgresSettings
    oidc: OidcSettings
    http: HttpSettings = HttpSettings()
    caps: Caps = Caps()
    intake: Bounds = Bounds()
    member: str = "0"
    standard: Path = BASE
    ledger_columns: Path | None = None
    feed_secrets: Mapping[str, SecretStr] = {}
    feed_secrets_file: Path | None = None
    feed_tokens: Mapping[str, SecretStr] = {}
    feed_tokens_file: Path | None = None

    def read_profile(self) -> Profile:
        """Raises OSError, or pydantic's ValidationError naming the entry."""
        return Profile.model_validate(yaml.safe_load(self.profile.read_text(encoding="utf-8")))

    def read_mappings(self, profile: Profile) -> Mapping[str, FeedMapping]:
        """Those that the profile's feeds name, by feed; a path is from the profile's folder. Raises OSError, or MappingFileError."""
        return {feed.id: load(self.profile.parent / feed.mapping) for feed in profile.feeds if feed.mapping is not None}

    def read_earlier_scales(self) -> EarlierScales:
        """Those of the base, which every network has. Raises OSError, or pydantic's ValidationError naming the entry."""
        content = yaml.safe_load((self.standard / "mappings.yaml").read_text(encoding="utf-8"))
        return TypeAdapter(EarlierScales).validate_python(content)

    def read_ledger_columns(self) -> ColumnsByFeed:
        """Raises OSError, or ValueError (pydantic's ValidationError is one) naming the entry."""
        return ColumnsByFeed(read_additions(self.ledger_columns) if self.ledger_columns else None)

    def read_feed_secrets(self) -> Mapping[str, SecretStr]:
        """Those of the file, over which those of the environment go. Raises PrivateFileError, or pydantic's ValidationError."""
        return _read(self.feed_secrets_file, self.feed_secrets)

    def read_feed_tokens(self) -> Mapping[str, SecretStr]:
        """As `read_feed_secrets`."""
        return _read(self.feed_tokens_file, self.feed_tokens)


def _read(file: Path | None, given: Mapping[str, SecretStr]) -> Mapping[str, SecretStr]:
    kept = read_private(file) if file else None
    return {**TypeAdapter(dict[str, SecretStr]).validate_python(kept or {}), **given}


class MigrationSettings(BaseSettings):
    """The same, with the DSN of the database's owner, for the room `migrate` alone."""

    model_config = SettingsConfigDict(env_prefix="DAICHO_", env_nested_delimiter="__", frozen=True)

    postgres: PostgresSettings
