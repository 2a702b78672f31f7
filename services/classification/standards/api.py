# SPDX-License-Identifier: Apache-2.0
"""Standards over HTTP: published by one person, activated by another, and listed with how far each is applied."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

from fastapi import APIRouter, Depends, Header, Path, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from libs.contracts import ProblemType, Profile, StandardState, Text
from libs.contracts.words import Slug
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError, Role, authenticated
from libs.security.preconditions import check_match, etag_of, required
from libs.standards import StandardDocument, StandardError
from libs.standards.overlay import Overlay, OverlayRefusedError, refuse_overlay
from services.classification.domain import Clock
from services.classification.overrides.store import tell
from services.classification.standards import store
from services.classification.standards.domain import (
    BASE,
    Activating,
    Edition,
    Part,
    Refusal,
    Situation,
    Version,
    base_version,
    overlay_version,
    read,
    refuse_activating,
    share_of,
    state_of,
)
from services.classification.standards.ruling import Rulings

Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
Publisher = Annotated[Identity, Depends(authenticated(Role.EDITOR, Role.SECURITY_OFFICER))]
Officer = Annotated[Identity, Depends(authenticated(Role.SECURITY_OFFICER))]
IfMatch = Annotated[str | None, Header()]
Number = Annotated[str, Path(pattern=r"^\d{4}\.\d+$")]

FileName = Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]*/)?[a-z][a-z0-9_]*\.yaml$", max_length=100)]
MOST_FILES: Final = 200

_REFUSED: Final[Mapping[Refusal, str]] = {
    Refusal.OWN_PUBLICATION: "classification.standard_own_publication",
    Refusal.HOLDS_ALREADY: "classification.standard_holds_already",
    Refusal.TOO_EARLY: "classification.standard_too_early",
    Refusal.NOT_SEPARATED: "classification.standard_not_separated",
    Refusal.BASE_NEVER_HELD: "classification.standard_base_never_held",
    Refusal.OTHER_SCALES: "classification.standard_other_scales",
}


class Publication(BaseModel):
    """The files of a base standard or of an overlay, by their paths in its folder."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[dict[FileName, str], Field(min_length=1, max_length=MOST_FILES)]


class StandardVersion(BaseModel):
    """A version with where it may hold (`network` None: as the base) and how it stands there.

    `activation` is how many times something was activated at its place. `activated_*` are of this version's own last activation;
    `share` is how much of it is applied, from 0 to 1, where it holds. What is shipped was published by nobody.
    """

    name: Slug
    version: str
    network: Slug | None
    base: str | None
    title: Text
    effective_from: datetime
    digest: str
    state: StandardState
    share: float | None
    activation: int
    published_by: str | None
    published_at: datetime | None
    activated_by: str | None
    activated_at: datetime | None


class WholeStandardVersion(StandardVersion):
    """As `StandardVersion`, with its files, and with the whole standard that they make as `document`."""

    files: dict[str, str]
    document: dict[str, Any]


class _Place(NamedTuple):
    """A place as it is now: how many activations it has had, what holds there, and how much of that is applied."""

    revision: int
    holds: Edition | None
    share: float


class _Records(NamedTuple):
    """What the records say of activations, and of how far they are applied."""

    activations: Sequence[store.Activation]
    parts: Mapping[str, Sequence[Part]]


class StandardApi:
    """The routes, over what they need."""

    def __init__(
        self, sessions: Sessions, rulings: Rulings, shipped: Sequence[Version], profile: Profile, clock: Clock
    ) -> None:
        self._sessions = sessions
        self._rulings = rulings
        self._shipped = {(one.name, one.version): one for one in shipped}
        self._shipped_at = {one.place: one.edition for one in shipped}
        self._profile = profile
        self._bodies = frozenset(profile.body_by_id)
        self._clock = clock

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["standards"])
        router.post("/standards", status_code=201)(self.publish)
        router.get("/standards")(self.standards)
        router.get("/standards/{name}/{version}")(self.standard)
        router.post("/standards/{name}/{version}/activation", status_code=202)(self.activate)
        return router

    async def publish(self, given: Publication, caller: Publisher, response: Response) -> StandardVersion:
        """Put a version where another person can activate it; what holds does not change. 200 where it is there already.

        An overlay is published by its body, on a base that is here; a base by the body in charge of the mayor's network, or by an office
        that may read every body. 409 where the name and version are taken by other content.
        """
        version = await self._read(given.files, caller)
        known = await self._find(version.name, version.version)
        if known is None:
            try:
                async with self._sessions.session(()) as session:
                    await store.add(session, version, caller.subject, self._clock())
            except IntegrityError:
                pass  # somebody else has published it at the same moment
            else:
                known = version._replace(published_by=caller.subject, published_at=self._clock())
            known = known or await self._find(version.name, version.version)
        else:
            response.status_code = 200
        if known is None or (known.digest, known.network) != (version.digest, version.network):
            raise ProblemError(ProblemType.CONFLICT, "classification.standard_taken", version=version.edition.full_name)
        response.headers["Location"] = f"/v1/standards/{version.edition.full_name}"
        return self._shown(known, await self._records())

    async def standards(self, caller: Reader) -> tuple[StandardVersion, ...]:
        """Every base, and the overlays of the caller's networks: the last published first, then what is shipped."""
        networks = self._networks(caller)
        async with self._sessions.session(()) as session:
            published = await store.versions(session)
        records = await self._records()
        taken = {(one.name, one.version) for one in published}
        every = (*published, *(one for key, one in self._shipped.items() if key not in taken))
        return tuple(self._shown(one, records) for one in every if one.network is None or one.network in networks)

    async def standard(self, name: Slug, version: Number, caller: Reader, response: Response) -> WholeStandardVersion:
        """One version, whole; `ETag` is what `If-Match` of its activation asks for."""
        found = await self._there(name, version, caller)
        shown = self._shown(found, await self._records())
        response.headers["ETag"] = etag_of(shown.activation)
        return WholeStandardVersion(
            **shown.model_dump(), files=dict(found.files), document=found.document.model_dump(mode="json")
        )

    async def activate(
        self, name: Slug, version: Number, caller: Officer, response: Response, if_match: IfMatch = None
    ) -> StandardVersion:
        """Let a version hold at its place, as another person than the one who published it (兼務の禁止).

        `If-Match` says which activation of the place the caller has seen last (0: none); 412 where there has been one since. An earlier
        version is brought back in the same way. 202: it is applied from now on; `share` tells how far it is.
        """
        given = required(if_match)
        found = await self._there(name, version, caller)
        if not caller.scope(self._in_charge(found.network)):
            raise ProblemError(ProblemType.FORBIDDEN, "classification.standard_not_yours")
        now = self._clock()
        async with self._sessions.session(()) as session:
            await store.one_at_a_time(session)
            records = await self._records_in(session)
            place = self._place(found.place, records)
            check_match(given, place.revision)
            ruling = await self._rulings.within(session)
            situation = Situation(ruling.standards, place.holds, self._bases(records))
            refusal = refuse_activating(found, situation, self._profile, caller.subject, now)
            if refusal is not None:
                problem = ProblemType.FORBIDDEN if refusal is Refusal.OWN_PUBLICATION else ProblemType.CONFLICT
                raise ProblemError(problem, _REFUSED[refusal], begins=found.effective_from, base=found.base)
            activating = Activating(place.revision + 1, found, caller.subject, now)
            await store.add_activation(session, activating)
            await tell(session, [activating.message(self._profile.municipality)])
        response.headers["ETag"] = etag_of(activating.revision)
        return self._shown(found, await self._records())

    async def _read(self, files: Mapping[str, str], caller: Identity) -> Version:
        """Raises ProblemError: 422 with every mistake at its place, 403 for whom it is not to publish."""
        try:
            document = await asyncio.to_thread(read, files)
            if isinstance(document, StandardDocument):
                self._check_publisher(caller, None)
                return base_version(files, document)
            return await self._read_overlay(files, document, caller)
        except StandardError as error:
            raise _mistaken(error) from None
        except OverlayRefusedError as error:
            key = f"classification.overlay_refused.{error.why}"
            raise ProblemError(
                ProblemType.CONFLICT, key, body=error.body, network=error.network, in_charge=error.in_charge
            ) from None

    async def _read_overlay(self, files: Mapping[str, str], overlay: Overlay, caller: Identity) -> Version:
        refuse_overlay(self._profile, overlay)
        network = self._profile.network_of(overlay.document.body)
        self._check_publisher(caller, network)
        base = await self._find(*overlay.document.base.split("/"))
        if base is None or base.network is not None:
            raise ProblemError(ProblemType.CONFLICT, "classification.standard_no_base", base=overlay.document.base)
        return await asyncio.to_thread(overlay_version, files, overlay, base.document, network)

    def _check_publisher(self, caller: Identity, network: str | None) -> None:
        if not caller.scope(self._in_charge(network)):
            raise ProblemError(ProblemType.FORBIDDEN, "classification.standard_not_yours")

    def _in_charge(self, network: str | None) -> Collection[str]:
        """Whose standard it is: the body in charge of the network; of the base, that of the mayor's, or of any where there is none."""
        networks = self._profile.networks
        if network is not None:
            return [one.in_charge for one in networks if one.id == network]
        return [one.in_charge for one in networks if one.separation is None] or [one.in_charge for one in networks]

    def _networks(self, caller: Identity) -> Collection[str]:
        return {self._profile.network_of(body) for body in caller.scope(self._bodies)}

    async def _find(self, name: str, version: str) -> Version | None:
        """What was published under a name, else what is shipped under it."""
        async with self._sessions.session(()) as session:
            published = await store.find(session, name, version)
        return published or self._shipped.get((name, version))

    async def _there(self, name: str, version: str, caller: Identity) -> Version:
        """Raises ProblemError (404) for one that is not there, or of a network that is not the caller's."""
        found = await self._find(name, version)
        if found is None or (found.network is not None and found.network not in self._networks(caller)):
            raise ProblemError(ProblemType.NOT_FOUND, "classification.standard_not_found")
        return found

    async def _records(self) -> _Records:
        async with self._sessions.session(()) as session:
            return await self._records_in(session)

    async def _records_in(self, session: AsyncSession) -> _Records:
        return _Records(await store.activations(session), await store.parts(session))

    def _place(self, place: str, records: _Records) -> _Place:
        last = next((one for one in reversed(records.activations) if one.place == place), None)
        if last is None:
            return _Place(0, self._shipped_at.get(place), 1.0)
        return _Place(last.revision, last.edition, share_of(last.revision, records.parts.get(place, ())))

    def _bases(self, records: _Records) -> Collection[str]:
        """Every base that holds, or has held, by its full name."""
        ever = [one.edition for one in records.activations if one.place == BASE]
        return {one.full_name for one in (*ever, self._shipped_at[BASE])}

    def _shown(self, version: Version, records: _Records) -> StandardVersion:
        place = self._place(version.place, records)
        own = [one for one in records.activations if one.edition == version.edition]
        ever = {one.edition for one in records.activations} | set(self._shipped_at.values())
        last = own[-1] if own else None
        return StandardVersion(
            name=version.name,
            version=version.version,
            network=version.network,
            base=version.base,
            title=version.title,
            effective_from=version.effective_from,
            digest=version.digest,
            state=state_of(version, place.holds, ever, place.share),
            share=place.share if place.holds == version.edition else None,
            activation=place.revision,
            published_by=version.published_by,
            published_at=version.published_at,
            activated_by=last.activated_by if last else None,
            activated_at=last.activated_at if last else None,
        )


def _mistaken(error: StandardError) -> ProblemError:
    """Each mistake at its file, line and column."""
    errors = [FieldError(one.place, one.sentence.key, **one.sentence.args) for one in error.mistakes]
    return ProblemError(ProblemType.INVALID, "classification.standard_mistakes", errors=errors, count=len(errors))
