# SPDX-License-Identifier: Apache-2.0
"""Standards and their activations in PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import text
from sqlmodel import col, func, select, tuple_
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import Applied, Text
from libs.persistence import PoolConnection
from libs.standards import StandardDocument
from services.classification.standards.domain import Activating, Edition, Part, Version
from services.classification.store import StandardActivationRow, StandardAppliedRow, StandardVersionRow

_LOCK: Final = 0x7374_616E_6461
"""Activations are made one after another, for each looks at what holds everywhere (an advisory lock; "standa" in ASCII)."""
_SHOW_APPLIED: Final = """
INSERT INTO standard_applied AS shown (place, partition, activation, partitions, evaluated, told, total)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (place, partition) DO UPDATE SET
  activation = excluded.activation, partitions = excluded.partitions,
  evaluated = excluded.evaluated, told = excluded.told, total = excluded.total
WHERE shown.activation <= excluded.activation
"""


class Activation(NamedTuple):
    """One activation, without what it put in force."""

    place: str
    revision: int
    edition: Edition
    network: str | None
    activated_by: str
    activated_at: datetime


async def find(session: AsyncSession, name: str, version: str) -> Version | None:
    """The version published under a name."""
    row = await session.get(StandardVersionRow, (name, version))
    return None if row is None else _version(row)


async def versions(session: AsyncSession) -> Sequence[Version]:
    """All, the last published first."""
    row = StandardVersionRow
    query = select(row).order_by(col(row.published_at).desc(), col(row.name), col(row.version))
    return [_version(one) for one in (await session.exec(query)).all()]


async def add(session: AsyncSession, version: Version, by: str, at: datetime) -> None:
    """Raises IntegrityError where the name and version are taken."""
    session.add(
        StandardVersionRow(
            name=version.name,
            version=version.version,
            network=version.network,
            base=version.base,
            title=version.title.model_dump(),
            effective_from=version.effective_from,
            digest=version.digest,
            document=version.document.model_dump_json(),
            files=dict(version.files),
            published_by=by,
            published_at=at,
        )
    )
    await session.flush()


async def one_at_a_time(session: AsyncSession) -> None:
    """Wait until no other transaction activates anything; others wait for this one."""
    await session.exec(text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=_LOCK))  # type: ignore[call-overload]


async def activations(session: AsyncSession) -> Sequence[Activation]:
    """All, by place, the first one first."""
    row = StandardActivationRow
    columns = (
        row.place, row.revision, row.name, row.version, row.digest, row.network, row.activated_by, row.activated_at,
    )  # fmt: skip
    query = select(*columns).order_by(col(row.place), col(row.revision))  # type: ignore[call-overload]
    return [
        Activation(place, revision, Edition(f"{name}/{version}", digest), network, by, at)
        for place, revision, name, version, digest, network, by, at in (await session.exec(query)).all()
    ]


async def latest(session: AsyncSession) -> Mapping[str, int]:
    """By place, the revision of its last activation."""
    row = StandardActivationRow
    query = select(row.place, func.max(row.revision)).group_by(row.place)
    return dict((await session.exec(query)).all())


async def documents(
    session: AsyncSession, wanted: Iterable[tuple[str, int]]
) -> Mapping[tuple[str, int], tuple[str | None, StandardDocument]]:
    """Of activations, by place and revision: the network, and what was put in force there."""
    row = StandardActivationRow
    query = select(row).where(tuple_(col(row.place), col(row.revision)).in_(list(wanted)))
    return {
        (one.place, one.revision): (one.network, StandardDocument.model_validate_json(one.document))
        for one in (await session.exec(query)).all()
    }


async def add_activation(session: AsyncSession, activating: Activating) -> None:
    """Put it down as the place's last."""
    version = activating.version
    session.add(
        StandardActivationRow(
            place=version.place,
            revision=activating.revision,
            name=version.name,
            version=version.version,
            network=version.network,
            base=version.base,
            digest=version.digest,
            document=version.document.model_dump_json(),
            published_by=version.published_by,
            activated_by=activating.activated_by,
            activated_at=activating.activated_at,
        )
    )
    await session.flush()


async def parts(session: AsyncSession) -> Mapping[str, Sequence[Part]]:
    """By place, how far each partition said last that it is."""
    found: dict[str, list[Part]] = {}
    for row in (await session.exec(select(StandardAppliedRow))).all():
        part = Part(row.activation, row.partitions, row.evaluated, row.told, row.total)
        found.setdefault(row.place, []).append(part)
    return found


async def show_applied(connection: PoolConnection, applied: Iterable[Applied]) -> None:
    """Take over what partitions say, in its order."""
    rows = [
        (one.place, one.partition, one.activation, one.partitions, one.evaluated, one.told, one.total)
        for one in applied
    ]
    if rows:
        await connection.executemany(_SHOW_APPLIED, rows)


def _version(row: StandardVersionRow) -> Version:
    return Version(
        name=row.name,
        version=row.version,
        network=row.network,
        base=row.base,
        title=Text.model_validate(row.title),
        effective_from=row.effective_from,
        digest=row.digest,
        document=StandardDocument.model_validate_json(row.document),
        files=row.files,
        published_by=row.published_by,
        published_at=row.published_at,
    )
