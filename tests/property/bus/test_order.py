# SPDX-License-Identifier: Apache-2.0
"""However records fail, are put aside, released and fail again, each key's records are handled once each and in order.

A topic, a dead letters' topic and a consumer are played in memory with the bus's own rules; batches, crashes and the moments of releases
are drawn. The consumer's parked keys are rebuilt from the dead letters after each crash.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import Act, KafkaSettings, PartitionDeadLetters, Rejected, Subscription
from libs.bus.deadletters import parked_in_log
from libs.bus.records import Output
from libs.bus.release import event_output, release_event, return_of, unreleased
from libs.contracts import Reason, Release
from libs.observability import Metrics

TOPIC = TopicPartition("daicho.assets.v1", 0)
KEYS = [b"mayor/mayor/a", b"mayor/mayor/b"]
BAD = Rejected(Reason.FAILED, None, "x")


class World:
    """The log, the letters, and who handled what."""

    def __init__(self) -> None:
        self.log: list[ConsumerRecord] = []
        self.letters: list[ConsumerRecord] = []
        self.committed = 0
        self.parked: dict[bytes, datetime] = {}
        self.handled: defaultdict[bytes, list[int]] = defaultdict(list)
        self.failing: set[int] = set()
        self.time = datetime(2026, 4, 1, tzinfo=UTC)
        self.subscription = Subscription(
            settings=KafkaSettings(bootstrap="127.0.0.1:1"),
            group="classification",
            topic=TOPIC.topic,
            service="classification",
            municipality="990019",
            instance="one",
            metrics=Metrics(),
            clock=self.now,
        )

    def now(self) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time

    def append(self, log: list[ConsumerRecord], output: Output) -> int:
        place = (output.topic, 0, len(log), 0, 0, output.key, output.value, None, -1, -1, tuple(output.headers))
        log.append(ConsumerRecord(*place))
        return len(log) - 1

    def send(self, key: bytes, number: int) -> None:
        self.append(self.log, Output(TOPIC.topic, key, b"%d" % number, [("odd", b"1")]))

    def consume(self, count: int, crash: bool) -> None:
        """Handle a batch; a crash loses it before the commit, and with it what the consumer remembered."""
        records = self.log[self.committed : self.committed + count]
        letters = PartitionDeadLetters(self.subscription, self.parked)
        handled: list[tuple[bytes, int]] = []
        for piece in letters.admit(records):
            handled += [(record.key or b"", number) for record, number in letters.sift(piece, self.read)]
        if crash:
            self.restart()
            return
        for output in letters.outputs():
            self.append(self.letters, output)
        letters.settle(self.parked)
        self.committed += len(records)
        for key, number in handled:
            self.handled[key].append(number)

    def read(self, record: ConsumerRecord) -> int:
        number = int(record.value or b"")
        if number in self.failing:
            raise BAD
        return number

    def restart(self) -> None:
        """All the state comes from the dead letters, and is what it was."""
        before = self.parked

        async def log() -> AsyncIterator[Sequence[ConsumerRecord]]:
            for start in range(0, len(self.letters), 3):
                yield self.letters[start : start + 3]

        rebuilding = parked_in_log(log(), "classification", TOPIC, self.committed)
        try:
            rebuilding.send(None)
        except StopIteration as done:
            self.parked = done.value
        assert self.parked == before

    def release(self, key: bytes, discard: frozenset[int], late: Iterator[bool]) -> None:
        """Read the letters, bring them back, say so; the consumer may work on in between."""
        letters = [letter for letter in unreleased(self.letters) if letter.key == key]
        if not letters:
            return
        if next(late, False):
            self.consume(3, crash=False)
        given_up = frozenset(letter.id for letter in letters if self.number(letter.letter.value) in discard)
        self.dropped = {self.number(letter.letter.value) for letter in letters if letter.id in given_up}
        last = [self.append(self.log, output) for output in return_of(letters, Act("officer", discard=given_up))][-1]
        release = Release(
            consumer="classification", topic=TOPIC.topic, key=key.decode(), actor="officer", count=len(letters)
        )
        event = release_event(release, TOPIC, key, "990019", self.now())
        for output in event_output(event, key, letters[-1].time, {TOPIC: last}):
            self.append(self.letters, output)

    @staticmethod
    def number(value: str | None) -> int:
        from base64 import b64decode

        return int(b64decode(value or ""))


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(KEYS), st.booleans()),
        st.tuples(st.just("consume"), st.integers(1, 6), st.booleans()),
        st.tuples(st.just("consume"), st.just(6), st.just(False)),
        st.tuples(st.just("release"), st.sampled_from(KEYS), st.booleans()),
        st.tuples(st.just("release"), st.just(KEYS[0]), st.booleans()),
        st.tuples(st.just("mend"), st.integers(0, 3), st.just(False)),
    ),
    min_size=30,
    max_size=80,
)


@given(steps)
def test_each_record_is_handled_once_and_in_the_order_of_its_key(script: list[tuple[str, object, bool]]) -> None:
    world = World()
    sent: defaultdict[bytes, list[int]] = defaultdict(list)
    number = 0
    for what, which, flag in script:
        if what == "send":
            assert isinstance(which, bytes)
            sent[which].append(number)
            if flag:
                world.failing.add(number)
            world.send(which, number)
            number += 1
        elif what == "consume":
            assert isinstance(which, int)
            world.consume(which, crash=flag)
        elif what == "release":
            assert isinstance(which, bytes)
            world.release(which, frozenset(), iter([flag]))
        elif world.failing:
            world.failing.discard(sorted(world.failing)[0])
        for key, numbers in world.handled.items():
            assert numbers == sent[key][: len(numbers)], "out of order, or twice"

    world.failing.clear()
    for _ in range(200):
        world.consume(5, crash=False)
        if world.committed == len(world.log):
            for key in list(world.parked):
                world.release(key, frozenset(), iter([]))
    assert not world.parked
    assert {key: numbers for key, numbers in world.handled.items() if numbers} == dict(sent)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.integers(1, 12))
def test_what_is_given_up_frees_the_rest(bad: list[bool], batch: int) -> None:
    world = World()
    for number, fails in enumerate(bad):
        if fails:
            world.failing.add(number)
        world.send(KEYS[0], number)

    for _ in range(200):
        world.consume(batch, crash=False)
        if world.committed == len(world.log):
            if not world.parked:
                break
            world.release(KEYS[0], frozenset(world.failing), iter([]))

    assert not world.parked
    assert world.handled[KEYS[0]] == [number for number, fails in enumerate(bad) if not fails]
