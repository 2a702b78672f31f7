# SPDX-License-Identifier: Apache-2.0
"""The dead letters over HTTP, for the operators of each body: what waits and why, and what a person makes of it."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Literal, TypeAlias

from aiokafka.errors import KafkaError, ProducerFenced
from fastapi import APIRouter, Depends, Path, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter
from pydantic_core import from_json, to_json

from libs.bus import Act, Caps, KafkaSettings, Output, ParkedLetter, Rejected, enqueue
from libs.bus.resuming import resumption_output
from libs.catalogue import text_pair
from libs.contracts import FeedItem, ProblemType, Profile, Reason, Resumption, Text, kafka_headers
from libs.contracts.topics import FEED, MAX_VALUE_BYTES
from libs.contracts.words import COUNTED, Moment, ShortText, Slug
from libs.observability import child_of
from libs.persistence import Sessions, driver_of
from libs.persistence.scope import NO_BODY
from libs.security import FieldError, Identity, ProblemError, Role, authenticated
from libs.security.identity import EVERY_BODY
from services.inventory.calls import Limit
from services.inventory.dead_letters import store
from services.inventory.dead_letters.releases import ANY, WRITABLE, Asked, BehindError, Releases
from services.inventory.dead_letters.store import LetterFilter, LetterRow, LetterState, ParkedPlace
from services.inventory.debezium import ChangeReader, ChangeRecord
from services.inventory.domain import Refused, check_authority
from services.inventory.doors.mapping import FeedMapping
from services.inventory.intake import key_of, submission, value_of
from services.inventory.worker import Clock

MOST_KEYS_AT_ONCE: Final = 200
"""Keys that one call releases: each is a transaction, and a caller waits for all of them."""

Operator = Annotated[Identity, Depends(authenticated(Role.OPERATOR))]
LetterId = Annotated[str, Path(max_length=500)]
Named = Annotated[str | None, Query(max_length=249)]
KeyText = Annotated[str, Field(min_length=1, max_length=1000)]
TopicName = Annotated[str, Field(max_length=249)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Decided(BaseModel):
    """What a person made of a letter, and why."""

    by: str
    at: datetime
    note: str | None


class ListedLetter(BaseModel):
    """A letter without what it holds. `body` is None where it is not known; `key` is as it stands on the topic."""

    id: str
    body: str | None
    feed: str | None
    consumer: str
    topic: str
    partition: int
    offset: int
    key: str
    reason: Reason
    reason_text: Text
    field: str | None
    detail: str
    parked_at: datetime
    state: LetterState
    decision: Decided | None


class LetterPage(BaseModel):
    """Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[ListedLetter, ...]
    next: str | None


class Content(BaseModel):
    """Bytes as `text` where they are text in UTF-8, and else as `base64`; both None where there are none."""

    text: str | None = None
    base64: str | None = None


class MessageHeader(Content):
    """A header of the message."""

    name: str


class CorrectedMessage(BaseModel):
    """What went back in place of the message."""

    key: str
    value: Content


class ShownLetter(ListedLetter):
    """A letter whole, with how many wait behind it.

    `item` is what can be corrected: the item of the feed format, as far as it is one. `first_id` names the letter that the record was
    in first, if it was released and put aside again.
    """

    first_id: str
    value: Content
    headers: tuple[MessageHeader, ...]
    item: dict[str, Any] | None
    behind: int
    correction: CorrectedMessage | None


class ParkedKey(BaseModel):
    """A key whose records wait for a release, and why the first of them does."""

    consumer: str
    topic: str
    partition: int
    key: str
    reason: Reason
    letters: int
    parked_at: datetime


class ParkedKeyPage(BaseModel):
    """The longest parked first. Give `next` as `after` for the page that follows; None on the last one."""

    items: tuple[ParkedKey, ...]
    next: str | None


class ParkedCount(BaseModel):
    """What waits of one partition for one consumer; its task stops at the caps."""

    consumer: str
    topic: str
    partition: int
    keys: int
    letters: int
    oldest_at: datetime


class CapsShown(BaseModel):
    """A partition's task stops with more parked keys than `max_parked_keys`, or a larger share of bad records among its last `window`."""

    max_parked_keys: int
    max_invalid_ratio: float
    window: int


class Summary(BaseModel):
    """What waits, by reason and by body (`-` where the body is not known)."""

    by_reason: Mapping[Reason, int]
    by_body: Mapping[str, Mapping[Reason, int]]
    oldest_at: datetime | None
    parked: tuple[ParkedCount, ...]
    caps: CapsShown


class KeyToRelease(_Request):
    """A parked key, as it stands on its topic; of one consumer if asked."""

    topic: TopicName = FEED.name
    key: KeyText
    consumer: TopicName | None = None
    note: ShortText | None = None


class ReasonToRelease(_Request):
    """All keys with letters of one reason, of one body or feed if asked.

    `before`: only what was put aside until then, so that what is put aside again is not released again. Give that of the first answer.
    """

    reason: Reason
    body: Slug | None = None
    feed: Slug | None = None
    consumer: TopicName | None = None
    before: Moment | None = None
    note: ShortText | None = None


class LetterToRelease(_Request):
    """Why a record may be taken now."""

    note: ShortText | None = None


class CorrectionOfLetter(_Request):
    """The item in place of the one in the letter, and why it was corrected so."""

    item: FeedItem
    note: ShortText


class Discarding(_Request):
    """Why a record is given up."""

    note: ShortText


class TaskToResume(_Request):
    """A task that a cap has stopped, and why it may go on."""

    consumer: TopicName
    topic: TopicName
    partition: Annotated[int, Field(ge=0), COUNTED]
    note: ShortText


class Released(BaseModel):
    """How many records went back to their topic."""

    records: int


class AllReleased(Released):
    """`keys` were released; with `more`, ask again with the same `before` for the others."""

    keys: int
    more: bool
    before: datetime


class Resumed(BaseModel):
    """The task that goes on, if it has stopped."""

    consumer: str
    topic: str
    partition: int


_After: TypeAlias = tuple[AwareDatetime, str, str, int, str]
_AFTER: Final = TypeAdapter(_After)


class DeadLetterApi:
    """The routes, over what they need."""

    def __init__(
        self,
        sessions: Sessions,
        profile: Profile,
        kafka: KafkaSettings,
        caps: Caps,
        clock: Clock,
        mappings: Mapping[str, FeedMapping],
    ) -> None:
        self._readers = {
            topic: ChangeReader(profile, feed, mappings[feed.id]) for feed in profile.feeds for topic in feed.topics
        }
        self._sessions = sessions
        self._profile = profile
        self._bodies = frozenset(profile.body_by_id)
        self._caps = caps
        self._clock = clock
        self._releases = Releases(kafka, profile.municipality, clock)

    def router(self) -> APIRouter:
        router = APIRouter(prefix="/v1/dead-letters", tags=["dead letters"])
        router.get("")(self.letters)
        router.get("/summary")(self.summary)
        router.get("/keys")(self.keys)
        router.post("/release", status_code=202)(self.release)
        router.post("/release-all", status_code=202)(self.release_all)
        router.post("/resume", status_code=202)(self.resume)
        router.get("/{letter_id}")(self.letter)
        router.post("/{letter_id}/release", status_code=202)(self.release_one)
        router.post("/{letter_id}/correct", status_code=202)(self.correct)
        router.post("/{letter_id}/discard", status_code=202)(self.discard)
        return router

    async def letters(
        self,
        caller: Operator,
        reason: Reason | None = None,
        body: Slug | None = None,
        feed: Slug | None = None,
        consumer: Named = None,
        topic: Named = None,
        key: Annotated[str | None, Query(max_length=1000)] = None,
        state: LetterState | Literal["decided"] = LetterState.PARKED,
        order: Literal["oldest", "newest"] = "oldest",
        after: Annotated[str | None, Query(max_length=500)] = None,
        limit: Limit = 100,
    ) -> LetterPage:
        """Letters that wait, or that were decided on, with who did it and why."""
        wanted = LetterFilter(state=state, reason=reason, body=body, feed=feed, consumer=consumer, topic=topic, key=key)
        async with self._sessions.session(self._scope(caller)) as session:
            rows = await store.page(session, wanted, order=order, after=after, limit=limit + 1)
        more = len(rows) > limit
        return LetterPage(items=tuple(map(_listed, rows[:limit])), next=rows[limit - 1].letter_id if more else None)

    async def letter(self, letter_id: LetterId, caller: Operator) -> ShownLetter:
        """One letter with the message's bytes, and how many of its key wait behind it."""
        async with self._sessions.session(self._scope(caller)) as session:
            row = _there(await store.find(session, letter_id))
            return _shown(row, await store.behind(session, row))

    async def summary(self, caller: Operator) -> Summary:
        """How much waits, and how near the caps it is."""
        async with self._sessions.session(self._scope(caller)) as session:
            counts = await store.waiting(session)
            parked = await store.parked_counts(session)
        by_body: defaultdict[str, Counter[Reason]] = defaultdict(Counter)
        for one in counts:
            by_body[one.body][Reason(one.reason)] += one.letters
        return Summary(
            by_reason=sum(by_body.values(), Counter()),
            by_body=by_body,
            oldest_at=min((one.oldest_at for one in counts), default=None),
            parked=tuple(ParkedCount(**one._asdict()) for one in parked),
            caps=CapsShown(
                max_parked_keys=self._caps.max_parked_keys,
                max_invalid_ratio=self._caps.max_invalid_ratio,
                window=self._caps.window,
            ),
        )

    async def keys(
        self,
        caller: Operator,
        reason: Reason | None = None,
        body: Slug | None = None,
        feed: Slug | None = None,
        consumer: Named = None,
        after: Annotated[str | None, Query(max_length=2000)] = None,
        limit: Limit = 100,
    ) -> ParkedKeyPage:
        """The keys whose records are put aside until they are released."""
        wanted = LetterFilter(reason=reason, body=body, feed=feed, consumer=consumer)
        async with self._sessions.session(self._scope(caller)) as session:
            found = await store.parked_keys(session, wanted, after=_read_after(after), limit=limit + 1)
        items = tuple(map(_parked_key, found[:limit]))
        return ParkedKeyPage(items=items, next=_after(found[limit - 1]) if len(found) > limit else None)

    async def release(self, wanted: KeyToRelease, caller: Operator) -> Released:
        """Send the records of a parked key back to their topic, in their order."""
        chosen = LetterFilter(topic=wanted.topic, key=wanted.key, consumer=wanted.consumer)
        async with self._sessions.session(self._scope(caller)) as session:
            found = await store.parked_keys(session, chosen, limit=MOST_KEYS_AT_ONCE)
        released = await self._released(caller, [one.place for one in found], Act(caller.subject, wanted.note))
        if not released:
            raise ProblemError(ProblemType.NOT_FOUND, "inventory.not_parked")
        return Released(records=sum(released.values()))

    async def release_all(self, wanted: ReasonToRelease, caller: Operator) -> AllReleased:
        """Release the keys with letters of one reason, once its cause is mended; the longest parked first, so many at a time."""
        before = wanted.before or self._clock()
        chosen = LetterFilter(reason=wanted.reason, body=wanted.body, feed=wanted.feed, consumer=wanted.consumer)
        async with self._sessions.session(self._scope(caller)) as session:
            found = await store.parked_keys(session, chosen, before=before, limit=MOST_KEYS_AT_ONCE + 1)
        places = [one.place for one in found[:MOST_KEYS_AT_ONCE]]

        def asked(letter: ParkedLetter) -> bool:
            return letter.letter.reason is wanted.reason and letter.time <= before

        released = await self._released(caller, places, Act(caller.subject, wanted.note), asked)
        return AllReleased(
            keys=len(released),
            records=sum(released.values()),
            more=len(found) > MOST_KEYS_AT_ONCE,
            before=before,
        )

    async def release_one(self, letter_id: LetterId, wanted: LetterToRelease, caller: Operator) -> Released:
        """Send a letter's record back, with all that waits of its key.

        What a CMDB's own topic holds is read anew by the feed's mapping as it is now, and its items go to the feed topic.
        """
        letter = await self._to_decide(letter_id, caller)
        return await self._decided(letter, caller, Act(caller.subject, wanted.note))

    async def correct(self, letter_id: LetterId, wanted: CorrectionOfLetter, caller: Operator) -> Released:
        """Send a key's records back to their topic with one of them corrected; the letter keeps what came and what went back.

        It stays in its place in the order. An item that the correction gives another key goes behind what that key has already.
        """
        letter = await self._to_decide(letter_id, caller)
        if letter.letter.topic not in {FEED.name, *self._readers}:
            raise ProblemError(ProblemType.CONFLICT, "inventory.letter_no_item", topic=letter.letter.topic)
        record = self._record(wanted.item, letter, caller)
        return await self._decided(letter, caller, Act(caller.subject, wanted.note, corrections={letter.id: record}))

    async def discard(self, letter_id: LetterId, wanted: Discarding, caller: Operator) -> Released:
        """Give a record up; the others of its key go back to their topic. The letter is kept, with who did this and why."""
        letter = await self._to_decide(letter_id, caller)
        return await self._decided(letter, caller, Act(caller.subject, wanted.note, discard=frozenset({letter.id})))

    async def resume(self, wanted: TaskToResume, caller: Operator) -> Resumed:
        """Let a task go on that a cap has stopped, with room for as many parked keys again as the cap allows."""
        if caller.bodies != EVERY_BODY:
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.instance_operator")
        told = Resumption(
            consumer=wanted.consumer,
            topic=wanted.topic,
            partition=wanted.partition,
            actor=caller.subject,
            reason=wanted.note,
        )
        message = resumption_output(told, self._profile.municipality, "inventory", self._clock)
        async with self._sessions.session(()) as session:
            await enqueue(await driver_of(session), [message])
        return Resumed(consumer=wanted.consumer, topic=wanted.topic, partition=wanted.partition)

    def _scope(self, caller: Identity) -> frozenset[str]:
        """What is of no known body is for those who answer for the whole instance."""
        return caller.scope(self._bodies) | ({NO_BODY} if caller.bodies == EVERY_BODY else frozenset())

    async def _to_decide(self, letter_id: str, caller: Identity) -> ParkedLetter:
        async with self._sessions.session(self._scope(caller)) as session:
            row = _there(await store.find(session, letter_id))
        if row.state != LetterState.PARKED:
            raise _decided_already()
        return row.parked()

    async def _decided(self, letter: ParkedLetter, caller: Identity, act: Act) -> Released:
        """Raises ProblemError (409) where another was first."""
        open_session = partial(self._sessions.session, self._scope(caller))
        if letter.letter.topic in self._readers:
            outputs = self._read_anew(letter, act)
            async with _broker():
                records = await self._releases.elsewhere(open_session, letter, outputs, act)
        elif not letter.parks:
            _check_topics([letter.letter.topic])
            async with _broker():
                records = await self._releases.single(open_session, letter, act)
        else:
            place = ParkedPlace(letter.letter.consumer, *letter.source, letter.key or b"")
            records = (await self._released(caller, [place], act, lambda one: one.id == letter.id)).get(place)
        if records is None:
            raise _decided_already()
        return Released(records=records)

    async def _released(
        self, caller: Identity, places: Collection[ParkedPlace], act: Act, asked: Asked = ANY
    ) -> dict[ParkedPlace, int]:
        _check_topics([place.topic for place in places])
        by_consumer: defaultdict[str, list[ParkedPlace]] = defaultdict(list)
        for place in places:
            by_consumer[place.consumer].append(place)
        released: dict[ParkedPlace, int] = {}
        open_session = partial(self._sessions.session, self._scope(caller))
        async with _broker():
            for wanted in by_consumer.values():
                released |= await self._releases.keys(open_session, wanted, act, asked)
        return released

    def _read_anew(self, letter: ParkedLetter, act: Act) -> Sequence[Output]:
        """What goes to the feed topic for a record of a CMDB's own topic. Raises ProblemError where it still cannot be read."""
        if letter.id in act.discard:
            return ()
        if letter.id in act.corrections:
            return (act.corrections[letter.id],)
        dead = letter.letter
        value = None if dead.value is None else b64decode(dead.value)
        record = ChangeRecord(dead.topic, dead.partition, dead.offset, letter.time, letter.key, value)
        try:
            return self._readers[dead.topic].read(record)
        except Rejected as rejected:
            field = "/" + (rejected.field or "").replace(".", "/")
            raise _invalid(FieldError(field, f"reason.{rejected.reason}")) from None

    def _record(self, item: FeedItem, letter: ParkedLetter, caller: Identity) -> Output:
        """Raises ProblemError for an item that the register would not take from its feed, or that is another body's."""
        try:
            if item.body not in self._bodies:
                raise Refused(Reason.UNKNOWN_BODY, "data.body")
            event = submission(self._profile, item, self._clock(), child_of(_trace_of(letter)))
            record = Output(FEED.name, key_of(event), value_of(event), kafka_headers(event))
            check_authority(self._profile, event, record.key)
        except Refused as refused:
            field = "/" + refused.field.replace("data.", "item.").replace(".", "/")
            raise _invalid(FieldError(field, f"reason.{refused.reason}")) from None
        if not caller.may_read(item.body):
            raise ProblemError(ProblemType.FORBIDDEN, "inventory.not_your_body", feed=item.feed)
        if len(record.value or b"") > MAX_VALUE_BYTES:
            raise _invalid(FieldError("/item", "inventory.item_too_large", limit=MAX_VALUE_BYTES))
        return record


@asynccontextmanager
async def _broker() -> AsyncIterator[None]:
    """What the bus is asked, told as problems where it cannot be had."""
    try:
        yield
    except ProducerFenced:
        raise ProblemError(ProblemType.CONFLICT, "inventory.released_meanwhile") from None
    except BehindError:
        raise ProblemError(ProblemType.BUSY, "inventory.letters_behind", headers={"Retry-After": "5"}) from None
    except (KafkaError, OSError, TimeoutError) as error:
        raise ProblemError(ProblemType.BUSY, "inventory.broker_busy", headers={"Retry-After": "5"}) from error


def _check_topics(topics: Collection[str]) -> None:
    if elsewhere := sorted(set(topics) - WRITABLE):
        raise ProblemError(ProblemType.CONFLICT, "inventory.letter_other_topic", topic=elsewhere[0])


def _invalid(error: FieldError) -> ProblemError:
    return ProblemError(ProblemType.INVALID, "problems.invalid", errors=[error], count=1)


def _decided_already() -> ProblemError:
    return ProblemError(ProblemType.CONFLICT, "inventory.letter_decided")


def _there(row: LetterRow | None) -> LetterRow:
    if row is None:
        raise ProblemError(ProblemType.NOT_FOUND, "inventory.letter_not_found")
    return row


def _listed(row: LetterRow) -> ListedLetter:
    return ListedLetter(**_columns(row))


def _columns(row: LetterRow) -> dict[str, Any]:
    decision = Decided(by=row.decided_by, at=row.decided_at, note=row.decision_reason) if row.decided_at else None
    return {
        "id": row.letter_id,
        "body": None if row.body == NO_BODY else row.body,
        "feed": row.feed,
        "consumer": row.consumer,
        "topic": row.topic,
        "partition": row.partition,
        "offset": int(row.letter_id.rpartition(":")[2]),
        "key": _text_of(row.key),
        "reason": row.reason,
        "reason_text": text_pair(f"reason.{row.reason}"),
        "field": row.field,
        "detail": row.detail,
        "parked_at": row.parked_at,
        "state": row.state,
        "decision": decision,
    }


def _shown(row: LetterRow, behind: int) -> ShownLetter:
    letter = row.parked().letter
    headers = tuple(MessageHeader(name=name, **_content(value).model_dump()) for name, value in letter.headers)
    corrected = row.correction
    return ShownLetter(
        **_columns(row),
        first_id=row.first_id,
        value=_content(letter.value),
        headers=headers,
        item=_item(letter.value) if row.topic == FEED.name else None,
        behind=behind,
        correction=CorrectedMessage(key=_text_of(b64decode(corrected["key"])), value=_content(corrected["value"]))
        if corrected
        else None,
    )


def _content(base64: str | None) -> Content:
    if base64 is None:
        return Content()
    try:
        return Content(text=b64decode(base64).decode())
    except UnicodeDecodeError:
        return Content(base64=base64)


def _item(base64: str | None) -> dict[str, Any] | None:
    try:
        event = from_json(b64decode(base64 or ""))
    except ValueError:
        return None
    item = event.get("data") if isinstance(event, dict) else None
    return item if isinstance(item, dict) else None


def _trace_of(letter: ParkedLetter) -> str | None:
    trace = dict(letter.letter.headers).get("ce_traceparent")
    return None if trace is None else _text_of(b64decode(trace))


def _text_of(key: bytes) -> str:
    return key.decode("utf-8", "replace")


def _parked_key(found: store.ParkedKey) -> ParkedKey:
    place = found.place
    return ParkedKey(
        consumer=place.consumer,
        topic=place.topic,
        partition=place.partition,
        key=_text_of(place.key),
        reason=found.reason,
        letters=found.letters,
        parked_at=found.oldest_at,
    )


def _after(found: store.ParkedKey) -> str:
    *place, key = found.place
    return urlsafe_b64encode(to_json((found.oldest_at, *place, key.decode()))).decode().rstrip("=")


def _read_after(told: str | None) -> tuple[datetime, ParkedPlace] | None:
    """Raises ProblemError for what no page has given."""
    if told is None:
        return None
    try:
        oldest_at, *place, key = _AFTER.validate_json(urlsafe_b64decode(told + "=" * (-len(told) % 4)))
    except ValueError:
        raise _invalid(FieldError("query:after", "problems.field.other")) from None
    return oldest_at, ParkedPlace(*place, key.encode())
