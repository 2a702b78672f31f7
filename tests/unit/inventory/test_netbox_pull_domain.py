# SPDX-License-Identifier: Apache-2.0
"""What a change log calls for, how far it was read, and when it is time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import yaml
from pydantic import ValidationError

from libs.catalogue import messages
from libs.contracts import NetboxPull
from services.inventory.doors.netbox import FIELDS, Fields, fields
from services.inventory.netbox_pull.domain import (
    Asked,
    Change,
    Held,
    Job,
    Progress,
    Showing,
    State,
    Trouble,
    due,
    further,
    missing,
    over_share,
    unseen,
    wanted,
)

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DEVICE, MACHINE = "dcim.device", "virtualization.virtualmachine"


def change(number: int, minutes: float = 0, object_type: str = DEVICE, of: int = 1, *, deleted: bool = False) -> Change:
    return Change(number, NOON + minutes * MINUTE, deleted, object_type, of)


def test_an_object_is_wanted_once_with_the_time_of_its_last_change() -> None:
    found = wanted([change(1, 3), change(2, 1), change(3, 2, of=7, deleted=True)], fields())

    assert found.objects == {DEVICE: {1: NOON + 3 * MINUTE, 7: NOON + 2 * MINUTE}}
    assert (found.showing, found.whole) == (set(), set())


def test_what_shows_a_changed_object_is_asked_for_by_it() -> None:
    found = wanted([change(1, object_type="dcim.rack", of=5), change(2, object_type="tenancy.contact", of=6)], fields())

    assert found.showing == {
        Showing(DEVICE, "rack_id", 5),
        Showing(DEVICE, "cf_steward", 6),
        Showing(MACHINE, "cf_steward", 6),
    }


@pytest.mark.parametrize(
    ("object_type", "whole"),
    [("tenancy.contact", {DEVICE, MACHINE}), ("extras.tag", {DEVICE, MACHINE}), ("dcim.rack", set()), ("x.y", set())],
)
def test_whole_collections_are_read_where_nobody_can_say_what_showed_the_deleted(
    object_type: str, whole: set[str]
) -> None:
    found = wanted([change(1, object_type=object_type), change(2, object_type=object_type, deleted=True)], fields())
    assert found.whole == whole
    assert not {one for one in found.showing if one.object_type in whole}


def test_a_record_counts_once_and_is_forgotten_when_it_leaves_the_overlap() -> None:
    progress = further(Progress(NOON), [change(1, 1), change(2, 8), change(3, 12)], 10 * MINUTE)

    assert progress == Progress(NOON + 12 * MINUTE, {2: NOON + 8 * MINUTE, 3: NOON + 12 * MINUTE})
    assert unseen([change(2, 8), change(3, 12), change(1, 9)], progress) == [change(1, 9)]
    assert further(progress, [change(1, 9)], 10 * MINUTE).newest == NOON + 12 * MINUTE
    assert further(progress, [], 10 * MINUTE) == progress


PULL = NetboxPull(url="https://netbox.example", every=60, compare_every=3600)


@pytest.mark.parametrize(
    ("state", "job"),
    [
        (State(), Job(compare=True)),
        (State(pulled_at=NOON - MINUTE, compared_at=NOON - MINUTE), Job(compare=False)),
        (State(pulled_at=NOON - 59 * MINUTE / 60, compared_at=NOON - MINUTE), None),
        (State(pulled_at=NOON, compared_at=NOON - 60 * MINUTE), Job(compare=True)),
        (State(pulled_at=NOON, compared_at=NOON, asked=Asked(NOON, "office")), Job(compare=False)),
        (State(pulled_at=NOON, compared_at=NOON, asked=Asked(NOON, "office", compare=True)), Job(compare=True)),
    ],
)
def test_what_is_due(state: State, job: Job | None) -> None:
    assert due(state, PULL, NOON) == job


def test_more_than_the_share_is_counted_by_type() -> None:
    known = [f"{DEVICE}:{number}" for number in range(100)] + [f"{MACHINE}:{number}" for number in range(10)]

    assert over_share(known, known[:10], 0.1) == {}
    assert over_share(known, known[:11], 0.1) == {DEVICE: 11}
    assert over_share(known, known[-2:], 0.1) == {MACHINE: 2}
    assert over_share(known, known, 1.0) == {}


def test_only_what_was_looked_for_can_be_missing() -> None:
    known = {key: Held("mayor", 1) for key in (f"{DEVICE}:1", f"{DEVICE}:2", f"{MACHINE}:1", "dcim.rack:1", "ledger")}

    assert missing(known, {f"{DEVICE}:2"}, fields()).keys() == {f"{DEVICE}:1", f"{MACHINE}:1"}


@pytest.mark.parametrize(
    "change",
    [{"shown_in": {"dcim.site": {"dcim.rack": ["site_id"]}}}, {"cleared_untold": ["dcim.moon"]}, {"colour": "red"}],
)
def test_a_mapping_that_names_what_it_does_not_declare_is_refused(change: dict[str, object]) -> None:
    content = yaml.safe_load(FIELDS.read_text(encoding="utf-8"))
    with pytest.raises(ValidationError):
        Fields.model_validate({**content, **change})


def test_every_trouble_has_its_sentence() -> None:
    assert {f"cli.pull.reason.{code}" for code in Trouble} <= messages().keys()
