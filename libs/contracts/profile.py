# SPDX-License-Identifier: Apache-2.0
"""The instance profile: which municipality, networks, bodies and feeds an instance serves (design §8)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from libs.contracts.addresses import BaseUrl
from libs.contracts.words import AssetKind, Contract, FactName, RelationType, Slug, Text, Zone


def _checked_municipality(code: str) -> str:
    weighted = sum(int(digit) * weight for digit, weight in zip(code, (6, 5, 4, 3, 2), strict=False))
    expected = (11 - weighted % 11) % 10
    if int(code[5]) != expected:
        raise ValueError(f"the check digit of the local-government code must be {expected}")
    return code


Municipality = Annotated[str, StringConstraints(pattern=r"^[0-9]{6}$"), AfterValidator(_checked_municipality)]
"""全国地方公共団体コード: five digits and a check digit (総務省, modulus 11, weights 6 5 4 3 2)."""


def _iso_8601(given: Any) -> Any:
    if not isinstance(given, str | timedelta) or (isinstance(given, str) and not given.startswith("P")):
        raise ValueError("an ISO 8601 duration such as P1D or PT15M is expected")
    return given


Rhythm = Annotated[timedelta, BeforeValidator(_iso_8601), Field(gt=timedelta())]
"""How often a source is heard of: an ISO 8601 duration (`P1D`, `PT15M`)."""

_RELATIONS = "|".join(kind.value for kind in RelationType)
AuthorityField = Annotated[
    str,
    StringConstraints(
        pattern=r"^(existence|body|kind|name|section|zone"
        r"|facts(\.[a-z][a-z0-9_]{0,39})?"
        r"|declared(\.(confidentiality|integrity|availability))?"
        rf"|relations(\.({_RELATIONS}))?)$"
    ),
]
"""What a feed may be the authority for: `zone`, one fact (`facts.serial`), all of them (`facts`), or whether the asset is there (`existence`)."""

MatchField = Annotated[
    str, StringConstraints(pattern=r"^(source_key|name|section|zone|kind|facts\.[a-z][a-z0-9_]{0,39})$")
]
"""Where a feed tells what an asset may be known again by."""

FourEyesAct = Annotated[
    str,
    StringConstraints(
        pattern=r"^(add|retire|restore|dispose|edit(\.(kind|name|section|zone"
        r"|facts(\.[a-z][a-z0-9_]{0,39})?"
        r"|declared(\.(confidentiality|integrity|availability))?"
        rf"|relations(\.({_RELATIONS}))?))?)$"
    ),
]
"""What a person does that waits for a second person: `retire`, any `edit`, or the edits of one field (`edit.declared`, `edit.facts.serial`)."""


def _in_one_order(key: Mapping[str, str]) -> Mapping[str, str]:
    return dict(sorted(key.items()))


MatchKey = Annotated[Mapping[FactName, MatchField], Field(min_length=1, max_length=4), AfterValidator(_in_one_order)]
"""What an asset may be known again by: what it is called in every feed, and where this one tells it (`{serial: facts.serial}`).

In the order of the names, so that feeds agree on it.
"""


class _Declared(Contract):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(_Declared):
    """所管ネットワーク: `separation` None is the mayor's own (基本方針 §9).

    `standard` names the folder, beside the base standard's, of the one that holds here in its place; only a separated network has one.
    """

    id: Slug
    in_charge: Slug
    separation: Literal["logical", "physical"] | None = None
    standard: Slug | None = None

    @model_validator(mode="after")
    def _own_standard_on_a_separated_network_only(self) -> Network:
        if self.standard is not None and self.separation is None:
            raise ValueError(f"{self.id} is not separated, so the base standard holds there: take `standard` away")
        return self


class Body(_Declared):
    """行政機関 (基本方針 §4 (1))."""

    id: Slug
    name: Text
    network: Slug


def _somebody_elses(topic: str) -> str:
    if topic.startswith("daicho."):
        raise ValueError(f"{topic} is a topic of this register's own: name one that the source writes")
    return topic


TopicName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,200}$"), AfterValidator(_somebody_elses)]
"""A topic of a source's own on the instance's Kafka."""

_READS_BY_MAPPING: Final = frozenset({"mapped", "debezium"})


class NetboxPull(_Declared):
    """Where a NetBox is asked for what its webhooks did not tell, and how often. Durations are in seconds.

    `ca_file` is the path of the certificates (PEM) that vouch for it where the system's do not. Its change log is read `every` so
    often, `overlap` again each time, for a change shows when its transaction ends; every `compare_every` all of it is read.
    """

    url: BaseUrl
    ca_file: str | None = None
    every: Annotated[int, Field(ge=5, le=86_400)] = 60
    overlap: Annotated[int, Field(ge=60, le=86_400)] = 600
    compare_every: Annotated[int, Field(ge=600, le=2_592_000)] = 86_400


class Scope(_Declared):
    """The only assets that a feed may retire; what is left empty bounds nothing."""

    kinds: frozenset[AssetKind] = frozenset()
    zones: frozenset[Zone] = frozenset()
    bodies: frozenset[Slug] = frozenset()


class Feed(_Declared):
    """連携元: `bodies` are those it may speak for; `format` is how its door reads it.

    `scope` None: it may retire what it told of itself. `authority` names the fields in which it is heard before feeds that do not name
    them, and `rank` who is heard first among equals (1 before 2; then the order of the profile). `match` are its match keys in the
    order in which they are tried; a feed without any neither finds another's assets nor is found. `every` is how often it is expected
    to be heard, and `retire_at_most` the share of its assets that one snapshot may retire without a person.

    `pull` is where a NetBox is asked as well; `mapping` is the file, beside the profile, that says what the feed's records mean; `topics`
    are those on which Debezium tells the changes of its tables.
    """

    id: Slug
    name: Text
    bodies: Annotated[frozenset[Slug], Field(min_length=1)]
    format: Literal["plain", "netbox", "csv", "mapped", "glpi", "debezium"] = "plain"
    scope: Scope | None = None
    authority: frozenset[AuthorityField] = frozenset()
    rank: Annotated[int, Field(ge=1)] = 100
    match: tuple[MatchKey, ...] = ()
    every: Rhythm | None = None
    retire_at_most: Annotated[float, Field(ge=0, le=1)] = 0.1
    pull: NetboxPull | None = None
    mapping: Annotated[str, StringConstraints(min_length=1, max_length=300)] | None = None
    topics: tuple[TopicName, ...] = ()

    @model_validator(mode="after")
    def _only_a_netbox_is_pulled(self) -> Feed:
        if self.pull is not None and self.format != "netbox":
            raise ValueError(f"{self.id} has the format {self.format}: only a feed of the format netbox is pulled")
        return self

    @model_validator(mode="after")
    def _mapping_and_topics_where_they_are_read(self) -> Feed:
        if self.format in _READS_BY_MAPPING and self.mapping is None:
            raise ValueError(f"{self.id} has the format {self.format}: name the file of its `mapping`")
        if self.mapping is not None and self.format not in _READS_BY_MAPPING | {"glpi"}:
            raise ValueError(f"{self.id} has the format {self.format}, which reads no mapping: take `mapping` away")
        if bool(self.topics) != (self.format == "debezium"):
            raise ValueError(f"{self.id}: a feed of the format debezium names its `topics`, and no other feed does")
        return self

    @model_validator(mode="after")
    def _retires_for_those_it_speaks_for(self) -> Feed:
        if self.scope is not None and not self.scope.bodies <= self.bodies:
            strangers = sorted(self.scope.bodies - self.bodies)
            raise ValueError(f"{self.id} may not speak for {strangers}: take them out of `scope`")
        return self


class Profile(_Declared):
    """Raises ValidationError naming the entry where ids repeat or one names what is not declared.

    `four_eyes` names what one person asks for and another approves (兼務の禁止); all else a person with the role does alone.
    """

    municipality: Municipality
    name: Text
    networks: Annotated[tuple[Network, ...], Field(min_length=1)]
    bodies: Annotated[tuple[Body, ...], Field(min_length=1)]
    feeds: tuple[Feed, ...] = ()
    four_eyes: frozenset[FourEyesAct] = frozenset()

    @model_validator(mode="after")
    def _ids_agree(self) -> Profile:
        for what, ids in (("networks", self.networks), ("bodies", self.bodies), ("feeds", self.feeds)):
            listed = [entry.id for entry in ids]
            if len(set(listed)) != len(listed):
                raise ValueError(f"{what}: an id stands twice")
        networks = {network.id for network in self.networks}
        bodies = {body.id for body in self.bodies}
        for body in self.bodies:
            if body.network not in networks:
                raise ValueError(f"bodies: {body.id} names the network {body.network}, which is not declared")
        for network in self.networks:
            if network.in_charge not in bodies:
                raise ValueError(f"networks: {network.id} names the body {network.in_charge}, which is not declared")
        for feed in self.feeds:
            if not feed.bodies <= bodies:
                raise ValueError(f"feeds: {feed.id} names bodies that are not declared: {sorted(feed.bodies - bodies)}")
        topics = [topic for feed in self.feeds for topic in feed.topics]
        if len(set(topics)) != len(topics):
            raise ValueError("feeds: a topic stands twice")
        return self

    @cached_property
    def body_by_id(self) -> Mapping[str, Body]:
        return {body.id: body for body in self.bodies}

    @cached_property
    def feed_by_id(self) -> Mapping[str, Feed]:
        return {feed.id: feed for feed in self.feeds}

    def network_of(self, body: str) -> str:
        """The network of a declared body; KeyError for one that is not."""
        return self.body_by_id[body].network
