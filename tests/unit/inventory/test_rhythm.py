# SPDX-License-Identifier: Apache-2.0
"""When a feed is silent, and what is told of it to whom, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts import FindingState, Profile
from services.inventory.rhythm.domain import Place, Watched, event, judge

NOW = datetime(2026, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HERE = Place("cmdb", "mayor")


@pytest.fixture(scope="module")
def city(profile: Profile) -> Profile:
    """One feed with a rhythm, that speaks for one body."""
    (cmdb,) = [feed for feed in profile.feeds if feed.id == "cmdb"]
    feed = cmdb.model_copy(update={"bodies": frozenset({"mayor"}), "every": DAY})
    return profile.model_copy(update={"feeds": (feed,)})


def watch(city: Profile, watched: Watched | None, heard_at: datetime | None, now: datetime) -> Watched | None:
    """What is kept since; None where nothing changes."""
    known = {} if watched is None else {HERE: watched}
    found = list(judge(city, known, {} if heard_at is None else {"cmdb": heard_at}, now))
    assert len(found) <= 1
    return found[0].watched if found else None


def test_it_is_opened_once_and_resolved_once(city: Profile) -> None:
    begun = watch(city, None, None, NOW)
    assert begun == Watched(NOW)
    assert watch(city, begun, NOW, NOW + DAY) is None
    silent = watch(city, begun, NOW, NOW + DAY + timedelta(seconds=1))
    assert silent == Watched(NOW, FindingState.NOT_MET, 1)
    assert watch(city, silent, NOW, NOW + 9 * DAY) is None
    heard = watch(city, silent, NOW + 9 * DAY, NOW + 9 * DAY)
    assert heard == Watched(NOW, FindingState.MET, 2)
    assert watch(city, heard, NOW + 9 * DAY, NOW + 10 * DAY) is None
    assert watch(city, heard, NOW + 9 * DAY, NOW + 11 * DAY) == Watched(NOW, FindingState.NOT_MET, 3)


def test_a_feed_never_heard_of_is_given_its_time_from_when_it_is_expected(city: Profile) -> None:
    assert watch(city, Watched(NOW), None, NOW + DAY) is None
    assert watch(city, Watched(NOW), None, NOW + 2 * DAY) == Watched(NOW, FindingState.NOT_MET, 1)
    # heard of long before it declared how often
    assert watch(city, Watched(NOW), NOW - 90 * DAY, NOW + DAY) is None


def test_what_is_expected_no_longer_is_lifted_and_begins_anew(city: Profile) -> None:
    (cmdb,) = city.feeds
    without = city.model_copy(update={"feeds": (cmdb.model_copy(update={"every": None}),)})
    lifted = watch(without, Watched(NOW, FindingState.NOT_MET, 1), None, NOW + 2 * DAY)
    assert lifted == Watched(None, FindingState.LIFTED, 2)
    assert watch(without, lifted, None, NOW + 3 * DAY) is None
    assert watch(without, Watched(NOW), None, NOW + DAY) == Watched(None)

    again = watch(city, lifted, None, NOW + 9 * DAY)
    assert again == Watched(NOW + 9 * DAY, FindingState.LIFTED, 2)
    assert watch(city, again, None, NOW + 11 * DAY) == Watched(NOW + 9 * DAY, FindingState.NOT_MET, 3)


def test_each_body_is_told_under_a_key_of_its_own(city: Profile) -> None:
    (found,) = judge(city, {HERE: Watched(NOW)}, {}, NOW + 2 * DAY)
    key, told = event(city, found, None, NOW + 2 * DAY)

    assert key == b"mayor/mayor/cmdb/silent"
    assert (told.subject, told.body, told.network, told.revision) == ("cmdb/silent", "mayor", "mayor", 1)
    assert (told.data.feed, told.data.every, told.data.heard_at) == ("cmdb", DAY, None)
    assert (told.data.before, told.data.after) == (None, FindingState.NOT_MET)
    assert '"every":"P1D"' in told.model_dump_json()


def test_of_a_feed_that_is_gone_its_id_is_told(city: Profile) -> None:
    nobody = Profile.model_validate({**city.model_dump(mode="json"), "feeds": []})
    (found,) = judge(nobody, {HERE: Watched(NOW, FindingState.NOT_MET, 4)}, {}, NOW)
    _, told = event(nobody, found, NOW, NOW)
    assert (told.data.name.ja, told.data.every, told.data.after, told.revision) == ("cmdb", None, "lifted", 5)
