# SPDX-License-Identifier: Apache-2.0
"""What a person's act on assets needs: their networks held against other writers, the part of the register about them, and the write."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import Profile
from libs.persistence import PoolConnection, driver_of
from services.inventory import store
from services.inventory.composition import PERSON
from services.inventory.domain import Move, Part, Register, Source, Target, first_known_as
from services.inventory.store import AssetRow

_NAMED: Final = """
SELECT asset_id, asset.state->>'network' AS network, link.feed, link.source_key
FROM asset JOIN source_link link USING (asset_id)
WHERE asset_id = ANY ($1::uuid[]) AND asset.body = ANY ($2::text[]) AND link.feed <> $3
ORDER BY asset_id, link.feed, link.source_key
"""


async def hold(
    session: AsyncSession, profile: Profile, networks: Collection[str], rows: Iterable[AssetRow] = ()
) -> PoolConnection:
    """Hold networks until the transaction ends, and read rows again, now that nobody else can change them.

    What has relations to an asset may be of any body of its network, and follows: all of them are in the session's scope from here on.
    """
    connection = await driver_of(session)
    bodies = [body.id for body in profile.bodies if body.network in networks]
    await store.enter(connection, bodies, networks)
    for row in rows:
        await session.refresh(row)
    return connection


async def about(connection: PoolConnection, profile: Profile, asset_ids: Iterable[str]) -> Register:
    """The part of the register that is about these assets, and those that have relations to them."""
    return await _with_targets(connection, Register(profile, await store.concerned(connection, list(asset_ids))))


async def _with_targets(connection: PoolConnection, register: Register) -> Register:
    register.add(Part(targets=await store.targets_under(connection, register.named())))
    return register


@dataclass(frozen=True)
class Acting:
    """A transaction in which a person acts on one asset; its network is held. `scope` are the bodies that the person may read."""

    session: AsyncSession
    connection: PoolConnection
    profile: Profile
    scope: frozenset[str]
    asset_id: UUID

    async def asset(self) -> AssetRow:
        """The asset as it is now; it must be there."""
        row = await self.session.get_one(AssetRow, self.asset_id)
        await self.session.refresh(row)
        return row

    async def register(self) -> Register:
        """The part of the register that is about the asset alone: those that have relations to it do not change with it."""
        part = await store.of_assets(self.connection, [str(self.asset_id)])
        return await _with_targets(self.connection, Register(self.profile, part))

    async def known_as(self, asset_ids: Collection[str]) -> Mapping[str, tuple[Source, Target]]:
        """Under which source each of the assets is known, for what names it by that follows it through merges: by its first one.

        Those only that the person may read, and of which a source tells.
        """
        known: dict[str, tuple[Source, Target]] = {}
        for row in await self.connection.fetch(_NAMED, list(asset_ids), sorted(self.scope), PERSON):
            asset_id, source = str(row["asset_id"]), Source(row["feed"], row["source_key"])
            if asset_id not in known or first_known_as(self.profile.municipality, source) == asset_id:
                known[asset_id] = (source, Target(asset_id, row["network"]))
        return known

    async def write(self, register: Register, move: Move, at: datetime) -> None:
        await store.write_move(self.connection, self.profile, register, move, at)
