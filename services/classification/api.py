# SPDX-License-Identifier: Apache-2.0
"""The read API: levels with their reasons, obligations in force, the standard, and counts by body."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Response
from pydantic import BaseModel

from libs.catalogue import Language
from libs.contracts import (
    AssetKind,
    Audience,
    Dimension,
    Duty,
    Explanation,
    FindingState,
    Levels,
    Part,
    ProblemType,
    Profile,
    Zone,
)
from libs.contracts import Standard as PublishedStandard
from libs.contracts.words import LevelCode, Moment, Slug
from libs.observability import Metrics
from libs.persistence import Sessions
from libs.security import FieldError, Identity, ProblemError, Role, TokenVerifier, authenticated
from libs.security import create_app as secured_app
from services.classification import store
from services.classification.domain import Clock
from services.classification.drawing import draw
from services.classification.explanations import ExplainedAsset, explain, on_the_way
from services.classification.overrides.api import OverrideApi, asset_there, check_body
from services.classification.standards.api import StandardApi
from services.classification.standards.domain import Version
from services.classification.standards.ruling import Ruling, Rulings

VERSION: Final = "1"
MOST_A_PAGE: Final = 500

Reader = Annotated[Identity, Depends(authenticated(Role.READER))]
AsOf = Annotated[Moment | None, Query(description="What held at this moment (RFC 3339, with its zone); left out: now.")]
KnownTag = Annotated[str | None, Header(alias="If-None-Match")]


class ClassifiedAsset(BaseModel):
    """An asset with its effective levels, each with where it comes from, and the ids of the obligations in force.

    `asset_revision` is the register's last that changed something shown here, `revision` that of the last event.
    """

    asset_id: UUID
    body: Slug
    network: Slug
    name: str
    kind: AssetKind
    zone: Zone | None
    section: str | None
    asset_revision: int
    revision: int
    standard: str | None
    levels: Levels
    explanations: dict[Dimension, Explanation]
    in_force: tuple[str, ...]


class Page(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[ClassifiedAsset, ...]
    next: UUID | None


class BodySummary(BaseModel):
    """`levels` counts assets by dimension and level; the others count obligations over all assets, `met` and `not_met` by their checks.

    Of an earlier moment what checks showed then is not kept: both are None.
    """

    body: Slug
    assets: int
    levels: dict[Dimension, dict[str, int]]
    obligations_in_force: int
    met: int | None
    not_met: int | None


class ShownFinding(BaseModel):
    """Whether an obligation is seen to be met, and since when; None where nothing was told of it yet."""

    obligation: str
    state: FindingState
    since: datetime | None


class SvgResponse(Response):
    """A picture that runs nothing and fetches nothing."""

    media_type = "image/svg+xml"

    def __init__(self, content: bytes, status_code: int = 200) -> None:
        super().__init__(content, status_code, headers={"Content-Security-Policy": "default-src 'none'"})


class Api:
    """The routes, over what they need."""

    def __init__(self, sessions: Sessions, rulings: Rulings, profile: Profile) -> None:
        self._sessions = sessions
        self._rulings = rulings
        self._profile = profile
        self._bodies = frozenset(profile.body_by_id)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1", tags=["classification"])
        router.get("/classifications")(self.classifications)
        router.get("/classifications/{asset_id}", response_model=ClassifiedAsset)(self.classification)
        router.get("/classifications/{asset_id}/obligations", response_model=tuple[Duty, ...])(self.obligations)
        router.get("/classifications/{asset_id}/findings", response_model=tuple[ShownFinding, ...])(self.findings)
        router.get("/classifications/{asset_id}/explanation", response_model=ExplainedAsset)(self.explanation)
        router.get("/classifications/{asset_id}/explanation.svg", response_class=SvgResponse)(self.drawing)
        router.get("/standard")(self.standard)
        router.get("/summary")(self.summary)
        return router

    async def classifications(
        self,
        caller: Reader,
        body: Slug | None = None,
        kind: AssetKind | None = None,
        zone: Zone | None = None,
        obligation: str | None = None,
        unmet: str | None = None,
        part: Part | None = None,
        audience: Audience | None = None,
        min_confidentiality: LevelCode | None = None,
        min_integrity: LevelCode | None = None,
        min_availability: LevelCode | None = None,
        as_of: AsOf = None,
        after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_A_PAGE)] = 100,
    ) -> Page:
        """Assets by id; each minimum is a level of the standard's scale and finds that level and those above.

        Of `obligation`, `part` and `audience`, what is given must all be true of one obligation in force. `unmet` is an obligation whose
        check shows that it is not met; it cannot be asked for with `as_of`.
        """
        scope = caller.scope(self._bodies)
        check_body(body, scope)
        ruling = await self._rulings.now()
        levels = {
            dimension: _at_least(ruling.base, dimension, code)
            for dimension, code in zip(Dimension, (min_confidentiality, min_integrity, min_availability), strict=True)
            if code is not None
        }
        duties = self._duties_of(ruling, scope, obligation, part, audience)
        if unmet is not None and as_of is not None:
            raise _invalid("as_of", "classification.unmet_is_of_now")
        self._check_carried(ruling, scope, unmet)
        wanted = store.Wanted(body=body, kind=kind, zone=zone, duties=duties, unmet=unmet, levels=levels)
        async with self._sessions.session(scope) as session:
            rows = await store.page(session, store.as_of(as_of), wanted, after=after, limit=limit + 1)
        items = tuple(self._shown(row) for row in rows[:limit])
        return Page(items=items, next=items[-1].asset_id if len(rows) > limit else None)

    async def classification(
        self, asset_id: UUID, caller: Reader, response: Response, as_of: AsOf = None, known: KnownTag = None
    ) -> ClassifiedAsset | Response:
        """One asset: why it has the levels it has. 304 where `If-None-Match` names what it still is."""
        row = await self._row(asset_id, caller, as_of)
        tag = _tag_of(row)
        if known == tag:
            return _unchanged(tag)
        response.headers["ETag"] = tag
        return self._shown(row)

    async def obligations(
        self, asset_id: UUID, caller: Reader, response: Response, known: KnownTag = None
    ) -> tuple[Duty, ...] | Response:
        """The obligations in force for one asset, whole. 304 as above.

        One that another standard has withdrawn is told as it was, until the asset is evaluated anew; 503 where no text of it is left.
        """
        row = await self._row(asset_id, caller)
        tag = _tag_of(row)
        if known == tag:
            return _unchanged(tag)
        texts = (await self._rulings.now()).by_network[row.network]
        duties = {**texts.earlier, **texts.duties}
        if not duties.keys() >= set(row.in_force):
            raise ProblemError(ProblemType.BUSY, "classification.standard_changing", headers={"Retry-After": "10"})
        response.headers["ETag"] = tag
        return tuple(duties[one] for one in row.in_force)

    async def findings(self, asset_id: UUID, caller: Reader) -> tuple[ShownFinding, ...]:
        """Of the obligations in force that carry a check, whether each is seen to be met; those of which nothing was told are unknown."""
        row = await self._row(asset_id, caller)
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            told = {one.obligation: one for one in await store.findings_of(session, row.body, asset_id)}
        carried = (await self._rulings.now()).by_network[row.network].checked
        return tuple(
            ShownFinding(obligation=duty_id, state=told[duty_id].state, since=told[duty_id].since)
            if duty_id in told
            else ShownFinding(obligation=duty_id, state=FindingState.UNKNOWN, since=None)
            for duty_id in row.in_force
            if duty_id in carried
        )

    async def explanation(self, asset_id: UUID, caller: Reader) -> ExplainedAsset:
        """Why each level is what it is: the rule as written, the assets that it came down by, or the override."""
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            row = asset_there(await store.classification_of(session, asset_id))
            known = await store.classifications_of(session, on_the_way(row))
        # the way leads past assets of its own body only, whatever else the caller may read
        own = {one: found for one, found in known.items() if found.body == row.body}
        return explain(row, (await self._rulings.now()).standards.of(row.network), own)

    async def drawing(
        self, asset_id: UUID, caller: Reader, dimension: Dimension, language: Language = "ja"
    ) -> SvgResponse:
        """The way that one level came down, as a picture."""
        return SvgResponse(draw(await self.explanation(asset_id, caller), dimension, language))

    async def standard(self, caller: Reader, body: Slug | None = None) -> PublishedStandard:
        """The base standard, or with `body` the one in force there: its scales in rising order, and every obligation."""
        ruling = await self._rulings.now()
        if body is None:
            return ruling.base
        check_body(body, caller.scope(self._bodies))
        return ruling.by_network[self._profile.network_of(body)].standard

    async def summary(self, caller: Reader, as_of: AsOf = None) -> tuple[BodySummary, ...]:
        """Counts by body."""
        rows, scales = store.as_of(as_of), (await self._rulings.now()).base.scales
        counts: dict[str, dict[Dimension, dict[str, int]]] = {}
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            for dimension in Dimension:
                for body, level, count in await store.level_counts(session, rows, dimension):
                    counts.setdefault(body, {}).setdefault(dimension, {})[level] = count
            duties = dict(await store.duty_counts(session, rows))
            findings: dict[str, dict[FindingState, int]] = {}
            for body, state, count in await store.finding_counts(session):
                findings.setdefault(body, {})[FindingState(state)] = count

        def checked(body: str, state: FindingState) -> int | None:
            return findings.get(body, {}).get(state, 0) if as_of is None else None

        return tuple(
            BodySummary(
                body=body,
                assets=sum(levels[Dimension.CONFIDENTIALITY].values()),
                levels={dimension: _in_order(scales[dimension], found) for dimension, found in levels.items()},
                obligations_in_force=duties.get(body, 0),
                met=checked(body, FindingState.MET),
                not_met=checked(body, FindingState.NOT_MET),
            )
            for body, levels in sorted(counts.items())
        )

    async def _row(self, asset_id: UUID, caller: Identity, as_of: datetime | None = None) -> store.ClassificationRow:
        async with self._sessions.session(caller.scope(self._bodies)) as session:
            return asset_there(await store.classification_of(session, asset_id, store.as_of(as_of)))

    def _duties_of(
        self,
        ruling: Ruling,
        scope: Collection[str],
        obligation: str | None,
        part: Part | None,
        audience: Audience | None,
    ) -> Mapping[str, Collection[str]] | None:
        """By network of the scope, the obligations that are all that is asked for; None where nothing is."""
        if obligation is None and part is None and audience is None:
            return None
        by_network = {network: ruling.by_network[network] for network in map(self._profile.network_of, scope)}
        if obligation is not None and not any(obligation in here.duties for here in by_network.values()):
            raise _invalid("obligation", "classification.obligation_unknown")
        return {
            network: [
                duty.id
                for duty in here.duties.values()
                if obligation in (None, duty.id) and part in (None, duty.part) and audience in (None, duty.audience)
            ]
            for network, here in by_network.items()
        }

    def _check_carried(self, ruling: Ruling, scope: Collection[str], unmet: str | None) -> None:
        networks = map(self._profile.network_of, scope)
        if unmet is not None and not any(unmet in ruling.by_network[network].checked for network in networks):
            raise _invalid("unmet", "classification.check_unknown")

    def _shown(self, row: store.ClassificationRow) -> ClassifiedAsset:
        levels = {dimension: getattr(row, dimension) for dimension in Dimension}
        content: dict[str, Any] = row.model_dump(exclude={*Dimension, "levels_revision", "duties_revision"})
        revision = max(row.levels_revision, row.duties_revision)
        return ClassifiedAsset.model_validate({**content, "levels": levels, "revision": revision})


def _at_least(standard: PublishedStandard, dimension: Dimension, code: str) -> Sequence[str]:
    scale = standard.scales[dimension]
    if code not in scale:
        raise _invalid(f"min_{dimension.value}", "classification.level_unknown", known=", ".join(scale))
    return scale[scale.index(code) :]


def _in_order(scale: Sequence[str], counts: Mapping[str, int]) -> dict[str, int]:
    """In the order of the scale; a level of an earlier standard, which is there until it is evaluated anew, at the end."""
    return {level: counts[level] for level in (*scale, *sorted(counts.keys() - set(scale))) if level in counts}


def _tag_of(row: store.ClassificationRow) -> str:
    """Of the three topics that a row is from, each is read at its own pace."""
    return f'"{row.asset_revision}-{row.levels_revision}-{row.duties_revision}"'


def _unchanged(tag: str) -> Response:
    return Response(status_code=304, headers={"ETag": tag})


def _invalid(parameter: str, key: str, **args: object) -> ProblemError:
    error = FieldError(f"query:{parameter}", key, **args)
    return ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)


def create_app(
    verifier: TokenVerifier,
    sessions: Sessions,
    rulings: Rulings,
    shipped: Sequence[Version],
    profile: Profile,
    clock: Clock,
    metrics: Metrics,
) -> FastAPI:
    """The service's application, without its health routes; does no I/O. What is `shipped` can be activated without being published."""
    app = secured_app("Daicho classification", verifier, version=VERSION, metrics=metrics)
    app.include_router(Api(sessions, rulings, profile).router())
    app.include_router(OverrideApi(sessions, rulings, profile, clock).router())
    app.include_router(StandardApi(sessions, rulings, shipped, profile, clock).router())
    return app
