# SPDX-License-Identifier: Apache-2.0
"""What the scenarios are fed with is as much as asked for, and what the services take."""

from __future__ import annotations

from libs.contracts import AssetChanged, FeedItemSubmitted, parse_key
from tests.benchmarks.content import asset_messages, feed_messages


def test_feed_messages_are_items_with_repetitions() -> None:
    messages = feed_messages(900)

    assert len(messages) == 900
    events = [FeedItemSubmitted.model_validate_json(message.value) for message in messages]
    assert 300 < len({event.subject for event in events}) < 900


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
