# SPDX-License-Identifier: Apache-2.0
"""However records fail, are put aside, released and fail again, each key's records are handled once each and in order.

A topic, a dead letters' topic and a consumer are played in memory with the bus's own rules; batches, crashes and the moments of releases
are drawn. The consumer's parked keys are rebuilt from the dead letters after each crash.
"""

from __future__ import annotations

from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from aiokafka import ConsumerRecord, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import Act, KafkaSettings, PartitionDeadLetters, Rejected, Subscription
from libs.bus.deadletters import parked_in_log
from libs.bus.records import Output
from libs.bus.release import ParkedLetter, release, unreleased
from libs.contracts import Reason
from libs.observability import Metrics

TOPIC = TopicPartition("daicho.assets.v1", 0)
KEYS = [b"mayor/mayor/a", b"mayor/mayor/b"]
BAD = Rejected(Reason.FAILED, None, "x")
CORRECTED = 10_000
"""Added to a number to say that a person has corrected it."""
Decide = Callable[[Sequence[ParkedLetter]], Act]


def plainly(_: Sequence[ParkedLetter]) -> Act:
    return Act("officer")


def give_up_the_bad(world: World) -> Decide:
    def decide(letters: Sequence[ParkedLetter]) -> Act:
        bad = frozenset(one.id for one in letters if world.number(one.letter.value) in world.failing)
        return Act("officer", discard=bad)

    return decide


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

    def release(self, key: bytes, decide: Decide, late: Iterator[bool]) -> None:
        """Read the letters, decide, bring them back, say so; the consumer may work on in between."""
        letters = [letter for letter in unreleased(self.letters) if letter.key == key]
        if not letters:
            return
        if next(late, False):
            self.consume(3, crash=False)
        act = decide(letters)
        releasing = release(self, letters, act, municipality="990019", clock=self.now)  # type: ignore[arg-type]
        with suppress(StopIteration):
            releasing.send(None)

    async def write(
        self,
        outputs: Sequence[Output],
        *,
        pinned: Mapping[str, int],
        beside: Sequence[Output],
        then: Callable[[Mapping[TopicPartition, int]], Sequence[Output]],
    ) -> None:
        """What a `TransactionalWriter` does for a release."""
        last = [self.append(self.log, output) for output in outputs][-1]
        for output in beside:
            self.append(self.log, output)
        for output in then({TOPIC: last}):
            self.append(self.letters, output)

    @staticmethod
    def number(value: str | None) -> int:
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
            world.release(which, plainly, iter([flag]))
        elif world.failing:
            world.failing.discard(sorted(world.failing)[0])
        for key, numbers in world.handled.items():
            assert numbers == sent[key][: len(numbers)], "out of order, or twice"

    world.failing.clear()
    for _ in range(200):
        world.consume(5, crash=False)
        if world.committed == len(world.log):
            for key in list(world.parked):
                world.release(key, plainly, iter([]))
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
            world.release(KEYS[0], give_up_the_bad(world), iter([]))

    assert not world.parked
    assert world.handled[KEYS[0]] == [number for number, fails in enumerate(bad) if not fails]


class Expected:
    """The naive model: for each key, what its consumer is to handle in the end, in order."""

    def __init__(self) -> None:
        self.of: defaultdict[bytes, list[int]] = defaultdict(list)

    def decided(self, world: World, key: bytes, what: str, pick: int, good: bool) -> Decide:
        """A decision on one of the letters, which the model follows when it is taken."""

        def decide(letters: Sequence[ParkedLetter]) -> Act:
            letter = letters[pick % len(letters)]
            number = world.number(letter.letter.value)
            place = self.of[key].index(number)
            if what == "discard":
                del self.of[key][place]
                return Act("officer", discard={letter.id})
            corrected = number + CORRECTED
            if not good:
                world.failing.add(corrected)
            if what == "correct":
                self.of[key][place] = corrected
                return Act("officer", corrections={letter.id: output(key, corrected)})
            other = KEYS[1 - KEYS.index(key)]
            del self.of[key][place]
            self.of[other].append(corrected)
            return Act("officer", corrections={letter.id: output(other, corrected)})

        return decide if what != "release" else plainly


def output(key: bytes, number: int) -> Output:
    return Output(TOPIC.topic, key, b"%d" % number, [("corrected", b"1")])


deeds = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(KEYS), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("consume"), st.sampled_from(KEYS), st.integers(1, 6), st.booleans()),
        st.tuples(
            st.sampled_from(["release", "discard", "correct", "move"]),
            st.sampled_from(KEYS),
            st.integers(0, 5),
            st.booleans(),
        ),
        st.tuples(st.just("mend"), st.sampled_from(KEYS), st.integers(0, 3), st.just(False)),
    ),
    min_size=20,
    max_size=80,
)


@given(deeds, st.lists(st.booleans(), max_size=20))
def test_order_holds_whatever_is_corrected_moved_given_up_and_released(
    script: list[tuple[str, bytes, int, bool]], late: list[bool]
) -> None:
    world, expected, number = World(), Expected(), 0
    meanwhile = iter(late)
    for what, key, count, flag in script:
        if what == "send":
            expected.of[key].append(number)
            if flag:
                world.failing.add(number)
            world.send(key, number)
            number += 1
        elif what == "consume":
            world.consume(count, crash=flag)
        elif what == "mend":
            world.failing -= set(sorted(world.failing)[:1])
        else:
            world.release(key, expected.decided(world, key, what, count, flag), meanwhile)
        for handled_of, numbers in world.handled.items():
            assert numbers == expected.of[handled_of][: len(numbers)], "out of order, twice, or what was given up"

    world.failing.clear()
    for _ in range(300):
        world.consume(5, crash=False)
        if world.committed == len(world.log):
            for key in list(world.parked):
                world.release(key, plainly, iter([]))
    assert not world.parked
    for key in KEYS:
        assert world.handled[key] == expected.of[key]
