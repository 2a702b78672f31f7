# SPDX-License-Identifier: Apache-2.0
"""What is put aside, under which key, and when that is too much."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from aiokafka import ConsumerRecord

from libs.bus import CapExceeded, PartitionDeadLetters, Rejected, Subscription
from libs.bus.deadletters import CapGuard, OutOfOrder
from libs.contracts import DeadLettered, Reason

BAD = Rejected(Reason.SCHEMA, "data.name", "x")
Make = Callable[..., ConsumerRecord]


def run(letters: PartitionDeadLetters, records: Sequence[ConsumerRecord], bad: set[int]) -> list[int]:
    """Handle records as a service does; the offsets that were taken."""

    def read(record: ConsumerRecord) -> int:
        if record.offset in bad:
            raise BAD
        return record.offset

    return [offset for piece in letters.admit(records) for _, offset in letters.sift(piece, read)]


def test_later_records_of_a_rejected_key_are_put_aside_and_others_go_on(
    subscription: Subscription, make_record: Make
) -> None:
    a, b = b"mayor/mayor/a", b"mayor/fire/b"
    records = [make_record(offset, key=key) for offset, key in enumerate([a, b, a, b, a])]
    letters = PartitionDeadLetters(subscription, {})

    taken = run(letters, records, bad={0})

    assert taken == [1, 3]
    assert [(letter.record.offset, letter.rejected.reason) for letter in letters.letters] == [
        (0, Reason.SCHEMA),
        (2, Reason.KEY_PARKED),
        (4, Reason.KEY_PARKED),
    ]
    assert letters.is_parked(a)
    assert not letters.is_parked(b)
    assert letters.invalid == 1


def test_a_key_parked_before_stays_parked(subscription: Subscription, make_record: Make) -> None:
    parked = {b"mayor/mayor/a": datetime(2026, 3, 1, tzinfo=UTC)}
    letters = PartitionDeadLetters(subscription, parked)

    assert run(letters, [make_record(0), make_record(1, key=b"mayor/mayor/b")], bad=set()) == [1]
    assert parked == {b"mayor/mayor/a": datetime(2026, 3, 1, tzinfo=UTC)}

    letters.settle(parked)
    assert parked[b"mayor/mayor/a"] > datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize("key", [None, b"", b"no slashes", b"mayor//x", b"\xff/a/b"])
def test_a_record_without_a_proper_key_parks_nothing(
    key: bytes | None, subscription: Subscription, make_record: Make
) -> None:
    letters = PartitionDeadLetters(subscription, {})

    assert run(letters, [make_record(0, key=key), make_record(1, key=key)], bad={0}) == [1]
    assert not letters.changes


def test_the_letter_holds_the_record_whole(subscription: Subscription, make_record: Make) -> None:
    trace = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01"
    message = make_record(7, b"\x00\xff", b"waterworks/waterworks/x", [("ce_traceparent", trace), ("odd", b"\xfe")])
    letters = PartitionDeadLetters(subscription, {})
    letters.reject(message, BAD)

    (output,) = letters.outputs()
    event = DeadLettered.model_validate_json(output.value or b"")

    assert output.topic == "daicho.deadletter.v1"
    assert output.key == message.key
    assert dict(output.headers)["ce_type"] == b"daicho.deadletter.parked.v1"
    assert event.id == "inventory:daicho.feed.v1:0:7"
    assert event.source == "urn:daicho:990019:waterworks:inventory"
    assert (event.body, event.network) == ("waterworks", "waterworks")
    assert event.traceparent == trace.decode()
    assert (event.data.reason, event.data.field) == (Reason.SCHEMA, "data.name")
    assert b64decode(event.data.value or "") == message.value
    assert [(name, b64decode(value)) for name, value in event.data.headers] == list(message.headers)


def test_an_unknown_sender_is_not_taken_for_a_body(subscription: Subscription, make_record: Make) -> None:
    letters = PartitionDeadLetters(subscription, {})
    letters.reject(make_record(0, None, "mayor/市長/x".encode()), BAD)
    letters.reject(make_record(1, None, None), BAD)

    first, second = (DeadLettered.model_validate_json(output.value or b"") for output in letters.outputs())

    assert (first.body, first.source) == (None, "urn:daicho:990019:-:inventory")
    assert (second.data.key, second.data.value) == (None, None)


def test_times_of_letters_rise_even_where_the_clock_stands_still(subscription: Subscription, make_record: Make) -> None:
    letters = PartitionDeadLetters(subscription, {b"mayor/mayor/z": datetime(2030, 1, 1, tzinfo=UTC)})
    for offset in range(3):
        letters.reject(make_record(offset), BAD)

    times = [letter.time for letter in letters.letters]
    assert datetime(2030, 1, 1, tzinfo=UTC) < times[0] < times[1] < times[2]


def test_a_handler_that_takes_records_out_of_their_order_is_found_out(
    subscription: Subscription, make_record: Make
) -> None:
    letters = PartitionDeadLetters(subscription, {})
    pieces = letters.admit([make_record(0), make_record(1)])
    first = next(iter(pieces))
    letters.reject(first[0], BAD)

    with pytest.raises(OutOfOrder):
        list(pieces)


def test_too_many_parked_keys_stop_the_task(subscription: Subscription, make_record: Make) -> None:
    guard = CapGuard(subscription.caps)
    letters = PartitionDeadLetters(subscription, {})
    for number in range(3):
        letters.reject(make_record(number, key=b"mayor/mayor/%d" % number), BAD)
    guard.check(9, letters)

    letters.reject(make_record(3, key=b"mayor/mayor/3"), BAD)
    with pytest.raises(CapExceeded, match="parked-keys-cap"):
        guard.check(9, letters)


def test_a_resumed_task_has_room_for_as_many_keys_again(subscription: Subscription, make_record: Make) -> None:
    parked = {b"mayor/mayor/%d" % number: datetime(2026, 3, 1, tzinfo=UTC) for number in range(3)}
    guard = CapGuard(subscription.caps, resumed=True)
    for number in range(3, 6):
        letters = PartitionDeadLetters(subscription, parked)
        letters.reject(make_record(number, key=b"mayor/mayor/%d" % number), BAD)
        guard.check(1, letters)
        letters.settle(parked)

    letters = PartitionDeadLetters(subscription, parked)
    letters.reject(make_record(6, key=b"mayor/mayor/6"), BAD)
    with pytest.raises(CapExceeded, match="parked-keys-cap"):
        guard.check(1, letters)


def test_too_large_a_share_of_rejected_records_stops_the_task(subscription: Subscription, make_record: Make) -> None:
    guard = CapGuard(subscription.caps)

    def batch(count: int, rejected: int) -> None:
        letters = PartitionDeadLetters(subscription, {})
        for offset in range(rejected):
            letters.reject(make_record(offset, key=None), BAD)
        guard.check(count, letters)
        guard.add(count, letters)

    batch(6, 6)  # the window is not full
    batch(10, 0)  # the first six leave it
    batch(4, 4)
    with pytest.raises(CapExceeded, match="invalid-ratio-cap"):
        batch(8, 8)  # 12 of 22


def test_parked_followers_do_not_count_as_invalid(subscription: Subscription, make_record: Make) -> None:
    guard = CapGuard(subscription.caps)
    letters = PartitionDeadLetters(subscription, {})

    run(letters, [make_record(offset) for offset in range(20)], bad={0})

    guard.check(20, letters)
    assert len(letters.letters) == 20
