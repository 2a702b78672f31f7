# SPDX-License-Identifier: Apache-2.0
"""What the scenarios are fed with is as much as asked for, and what the services take."""

from __future__ import annotations

from libs.contracts import AssetChanged, FeedItemSubmitted, parse_key
from tests.benchmarks.content import asset_messages, told_again, told_first
from tests.benchmarks.floors import Message


def test_each_asset_is_told_of_first_and_then_once_more_with_a_change() -> None:
    first, again = (
        {event.subject: event.data for event in map(_event, messages)}
        for messages in (told_first(300), told_again(300))
    )

    assert len(first) == 300
    assert first.keys() == again.keys()
    for source_key, item in first.items():
        changed = again[source_key]
        assert changed.source_version == item.source_version + 1
        assert changed.model_copy(update={"source_version": item.source_version}) != item


def _event(message: Message) -> FeedItemSubmitted:
    return FeedItemSubmitted.model_validate_json(message.value)


def test_asset_messages_are_revisions_of_one_network_in_their_order() -> None:
    messages = asset_messages(900)

    assert len(messages) == 900
    seen: dict[str, int] = {}
    for message in messages:
        event = AssetChanged.model_validate_json(message.value)
        assert parse_key(message.key) == ("mayor", event.body, event.subject)
        assert event.revision == seen.get(event.subject, 0) + 1
        assert dict(message.headers)["ce_id"] == event.id.encode()
        seen[event.subject] = event.revision
    assert len(seen) < 900
