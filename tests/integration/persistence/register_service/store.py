# SPDX-License-Identifier: Apache-2.0
"""Its tables."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from libs.persistence import OffsetsTable, OutboxTable, ParkedKeyTable, model_base

Base = model_base()


class Register(Base, table=True):
    __tablename__ = "register"

    asset_id: str = Field(primary_key=True)
    body: str = Field(index=True)
    name: str
    facts: dict[str, Any] = Field(sa_type=JSONB)


class Offsets(OffsetsTable, Base, table=True):
    pass


class Outbox(OutboxTable, Base, table=True):
    pass


class ParkedKey(ParkedKeyTable, Base, table=True):
    pass
