# SPDX-License-Identifier: Apache-2.0
"""The pull heals what webhooks missed, retires what is gone and no more, and copes with a NetBox that does not do as it should."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import Response
from fastapi.responses import JSONResponse

from libs.contracts import Profile
from services.inventory.domain import Outcome
from services.inventory.netbox_pull.client import PAUSES, NetboxError
from services.inventory.netbox_pull.pull import Compared
from tests.netbox import City, FakeNetbox, dump, recorded_webhooks

DEVICE, MACHINE = "dcim.device", "virtualization.virtualmachine"


def small(devices: int = 12, machines: int = 4) -> FakeNetbox:
    """The first few objects of the sample, and no change yet."""
    content = dump("initial.json.gz")
    few = {
        name: dict(list(content[name].items())[:count])
        for name, count in (("devices", devices), ("virtual_machines", machines))
    }
    return FakeNetbox(few)


@pytest.fixture
async def city(profile: Profile) -> City:
    """A small NetBox, read whole."""
    city = City(profile, small())
    await city.load()
    return city


def referring(netbox: FakeNetbox, field: str) -> tuple[int, dict[str, Any]]:
    """The number of a device that shows another object, and that object."""
    return next((number, one[field]) for number, one in netbox.objects[DEVICE].items() if one[field])


def told(event: str, object_type: str, data: dict[str, Any], netbox: FakeNetbox) -> bytes:
    return json.dumps(
        {"event": event, "timestamp": netbox.now.isoformat(), "object_type": object_type, "data": data}
    ).encode()


class TestSample:
    """The recorded 703 webhooks."""

    async def test_the_fake_comes_to_what_the_real_netbox_had(self, profile: Profile) -> None:
        city, real = City(profile), City(profile, FakeNetbox(dump("expected.json.gz")))
        for content in recorded_webhooks():
            city.netbox.apply(content)

        assert city.truth == real.truth

    @pytest.mark.parametrize("lost", [0, 3, 1], ids=["none lost", "every third lost", "all lost"])
    async def test_webhooks_and_one_pull_leave_no_difference(self, profile: Profile, lost: int) -> None:
        city = City(profile)
        await city.load()
        for number, content in enumerate(recorded_webhooks()):
            city.netbox.apply(content)
            if not lost or number % lost:
                await city.deliver(content)
        await city.pull()

        real = City(profile, FakeNetbox(dump("expected.json.gz")))
        assert len(city.active) == 393
        assert city.active == real.truth

    async def test_what_webhooks_told_late_undoes_nothing(self, profile: Profile) -> None:
        city = City(profile)
        await city.load()
        for content in recorded_webhooks():
            city.netbox.apply(content)
        await city.pull()
        pulled = city.active

        await city.deliver(*recorded_webhooks())
        # what was made and deleted between two pulls is unknown to the first; its webhooks say both
        assert city.active == pulled

    async def test_a_second_comparison_changes_nothing(self, profile: Profile) -> None:
        city = City(profile)
        await city.load()
        city.outcomes.clear()
        await city.pull()
        assert city.outcomes == []
        await city.puller.compare()
        assert set(city.outcomes) == {Outcome.UNCHANGED}
        assert len(city.outcomes) == 380


class TestSilentChanges:
    async def test_a_renamed_rack_is_seen_in_its_devices(self, city: City) -> None:
        number, rack = referring(city.netbox, "rack")
        city.netbox.apply(told("updated", "dcim.rack", {**rack, "name": "移設後"}, city.netbox))

        await city.pull()
        assert city.active[f"{DEVICE}:{number}"]["facts"]["rack"] == "移設後"
        assert city.active == city.truth

    async def test_a_rack_that_moves_takes_the_site_of_its_devices_along(self, city: City) -> None:
        number, rack = referring(city.netbox, "rack")
        for one in city.netbox.objects[DEVICE].values():
            if one["rack"] and one["rack"]["id"] == rack["id"]:
                one["site"] = {**one["site"], "id": 99, "slug": "new-site"}
        city.netbox.record("updated", "dcim.rack", rack["id"], city.netbox.now)

        await city.pull()
        assert city.active[f"{DEVICE}:{number}"]["facts"]["site"] == "new-site"
        assert city.active == city.truth

    @pytest.mark.parametrize(("object_type", "field"), [("tenancy.contact", "steward"), ("extras.tag", "tags")])
    async def test_what_is_deleted_leaves_the_objects_that_showed_it(
        self, city: City, object_type: str, field: str
    ) -> None:
        shown = [one for one in city.netbox.objects[DEVICE].values() if one["tags"] and one["custom_fields"]["steward"]]
        gone = shown[0]["tags"][0] if field == "tags" else shown[0]["custom_fields"]["steward"]
        before = city.active
        city.netbox.apply(told("deleted", object_type, gone, city.netbox))

        await city.pull()
        assert city.active != before
        assert city.active == city.truth

    async def test_what_has_no_record_at_all_is_found_by_the_comparison(self, city: City) -> None:
        city.netbox.objects[DEVICE][1]["comments"] = "書込みの記録なし"

        await city.pull()
        assert city.active != city.truth
        await city.puller.compare()
        assert city.active == city.truth


class TestVersions:
    """docs/decisions/0008."""

    async def test_a_webhook_of_the_same_last_updated_does_not_undo_what_was_read(self, city: City) -> None:
        webhook = city.netbox.edit(DEVICE, 1, serial="NEW")
        rack = city.netbox.objects[DEVICE][1]["rack"]
        city.netbox.apply(told("updated", "dcim.rack", {**rack, "name": "改称"}, city.netbox))
        # all within the second that NetBox's clock tells
        city.netbox.now -= timedelta(seconds=1)
        await city.pull()

        await city.deliver(webhook)
        assert city.outcomes[-1] is Outcome.IGNORED
        assert city.active == city.truth

    async def test_a_webhook_of_a_later_change_is_taken_after_a_pull(self, city: City) -> None:
        city.netbox.edit(DEVICE, 1, serial="ONE")
        await city.pull()
        await city.deliver(city.netbox.edit(DEVICE, 1, serial="TWO"))

        assert city.outcomes[-1] is Outcome.APPLIED
        assert city.active == city.truth

    async def test_a_change_that_ended_after_the_reading_is_read_with_its_late_record(self, city: City) -> None:
        """It was saved before the pull read the object, and could be seen after: its webhook looks old."""
        city.netbox.edit(DEVICE, 2, serial="LAST")
        before = dict(city.netbox.objects[DEVICE][1])
        webhook = city.netbox.edit(DEVICE, 1, serial="LATE")
        after, record = city.netbox.objects[DEVICE][1], city.netbox.log.pop()
        city.netbox.objects[DEVICE][1] = before
        city.netbox.now += timedelta(seconds=30)
        city.netbox.record("updated", DEVICE, 1, city.netbox.now)
        await city.pull()

        city.netbox.objects[DEVICE][1] = after
        await city.deliver(webhook)
        assert city.active[f"{DEVICE}:1"]["facts"]["serial"] != "LATE"
        city.netbox.log.append({**record, "id": record["id"] - 1})
        await city.pull()
        assert city.active == city.truth

    async def test_a_creation_told_after_its_deletion_brings_nothing_back(self, city: City) -> None:
        created = city.netbox.create(DEVICE, 900, city.netbox.objects[DEVICE][1])
        await city.deliver(created)
        city.netbox.delete(DEVICE, 900)
        await city.pull()

        await city.deliver(created)
        assert f"{DEVICE}:900" not in city.active

    async def test_what_was_retired_and_is_there_again_comes_back(self, city: City) -> None:
        """A token that may see it again, or a NetBox restored from yesterday."""
        hidden = city.netbox.objects[DEVICE].pop(1)
        await city.puller.compare(allowed=1)
        assert f"{DEVICE}:1" not in city.active

        city.netbox.now += timedelta(minutes=5)
        city.netbox.objects[DEVICE][1] = hidden
        await city.pull()
        await city.puller.compare()
        assert city.active == city.truth

    async def test_what_a_person_retired_comes_back_when_netbox_changes_it_and_not_before(self, city: City) -> None:
        city.retire(f"{DEVICE}:1")
        city.netbox.now += timedelta(minutes=5)
        city.netbox.record("updated", DEVICE, 1, city.netbox.now)
        await city.pull()
        await city.puller.compare()
        assert f"{DEVICE}:1" not in city.active

        city.netbox.edit(DEVICE, 1, serial="RETURNED")
        await city.pull()
        assert city.active == city.truth


class TestRetiring:
    async def test_a_deletion_without_a_webhook_retires(self, city: City) -> None:
        city.netbox.delete(DEVICE, 1)
        await city.pull()

        assert f"{DEVICE}:1" not in city.active
        assert city.active == city.truth

    async def test_a_record_of_a_deletion_that_is_not_true_retires_nothing(self, city: City) -> None:
        city.netbox.record("deleted", DEVICE, 1, city.netbox.now)
        await city.pull()

        assert city.active == city.truth

    async def test_more_than_the_share_waits_for_a_person_who_allows_as_many(self, profile: Profile) -> None:
        city = City(profile, small(), retire_at_most=0.1)
        await city.load()
        for number in (1, 2):
            del city.netbox.objects[DEVICE][number]

        assert await city.puller.compare() == Compared(held=2)
        assert await city.puller.compare(allowed=1) == Compared(held=2)
        assert len(city.active) == 16
        assert await city.puller.compare(allowed=2) == Compared(retired=2)
        assert city.active == city.truth

    async def test_a_type_that_is_not_shown_any_more_waits_even_if_it_is_a_small_part(self, profile: Profile) -> None:
        city = City(profile, small(devices=60, machines=2), retire_at_most=0.1)
        await city.load()
        city.netbox.objects[MACHINE].clear()

        assert await city.puller.compare() == Compared(held=2)

    async def test_within_the_share_it_retires_after_asking_for_each(self, profile: Profile) -> None:
        city = City(profile, small(devices=20))
        await city.load()
        hidden = {number: city.netbox.objects[DEVICE].pop(number) for number in (1, 2)}

        def back(path: str) -> None:
            if path.startswith("dcim/devices/2"):
                city.netbox.objects[DEVICE][2] = hidden[2]

        city.netbox.meanwhile = back
        assert await city.puller.compare() == Compared(retired=1)
        assert city.active == city.truth

    async def test_what_another_feed_told_is_not_touched(self, city: City) -> None:
        """The register knows it under another key; what is no type of NetBox's is nothing that NetBox could miss."""
        city.links["ledger:1"] = city.links[f"{DEVICE}:1"]

        assert await city.puller.compare() == Compared()
        assert "ledger:1" in city.active

    @pytest.mark.parametrize("status", [500, 403, 302])
    async def test_a_comparison_that_was_not_complete_retires_nothing(self, city: City, status: int) -> None:
        city.netbox.objects[DEVICE].pop(1)
        pages: list[str] = []

        def fail(path: str) -> None:
            pages.append(path)
            if path.startswith("virtualization"):
                city.netbox.answers = [Response(status_code=status, headers={"Location": "http://elsewhere.example/"})]

        city.netbox.meanwhile = fail
        with pytest.raises(NetboxError):
            await city.puller.compare(allowed=100)
        assert f"{DEVICE}:1" in city.active


class TestPages:
    @pytest.mark.parametrize("most", [1, 7, 50])
    async def test_netbox_decides_how_large_a_page_is(self, profile: Profile, most: int) -> None:
        netbox = small()
        netbox.most_a_page = most
        city = City(profile, netbox)
        await city.load()
        for number in (3, 5, 7):
            netbox.edit(DEVICE, number, serial=f"S{number}")
        await city.pull()

        assert city.active == city.truth

    async def test_objects_that_come_and_go_while_they_are_listed_shift_nothing(self, profile: Profile) -> None:
        netbox = small(devices=30)
        netbox.most_a_page = 5
        city = City(profile, netbox)
        await city.load()
        numbers = iter(range(1, 30))
        created = iter(range(1000, 2000))

        def churn(path: str) -> None:
            if path.strip("/") == "dcim/devices" and (number := next(numbers, None)) is not None and number % 4 == 0:
                netbox.delete(DEVICE, number)
                netbox.create(DEVICE, next(created), netbox.objects[DEVICE][30])

        netbox.meanwhile = churn
        await city.puller.compare(allowed=100)
        netbox.meanwhile = lambda path: None
        await city.pull()
        assert city.active == city.truth

    async def test_a_page_out_of_order_is_not_believed(self, city: City) -> None:
        one, two = city.netbox.objects[DEVICE][1], city.netbox.objects[DEVICE][2]
        city.netbox.answers = [JSONResponse({"count": 2, "next": None, "results": [two, one]})]
        with pytest.raises(NetboxError, match="order"):
            await city.puller.compare(allowed=100)


class TestTroubles:
    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    async def test_what_passes_is_waited_for(self, city: City, status: int) -> None:
        city.netbox.edit(DEVICE, 1, serial="NEW")
        city.netbox.answers = [
            Response(status_code=status, headers={"Retry-After": "30"}),
            Response(status_code=status),
        ]
        await city.pull()

        assert city.waits == [30.0, PAUSES[1]]
        assert city.active == city.truth

    async def test_what_lasts_ends_the_pull(self, city: City) -> None:
        city.netbox.answers = [Response(status_code=503) for _ in range(len(PAUSES) + 1)]
        with pytest.raises(NetboxError) as raised:
            await city.pull()
        assert (raised.value.code, city.waits) == ("unavailable", list(PAUSES))

    async def test_a_long_wait_is_left_to_the_next_pull(self, city: City) -> None:
        city.netbox.answers = [Response(status_code=429, headers={"Retry-After": "3600"})]
        with pytest.raises(NetboxError) as raised:
            await city.pull()
        assert (raised.value.retry_after, city.waits) == (3600.0, [])

    @pytest.mark.parametrize(
        ("told", "waits"),
        [("Mon, 23 Nov 2026 05:02:21 GMT", 20.0), ("Mon, 23 Nov 2026 05:00:00 GMT", PAUSES[0]), ("soon", PAUSES[0])],
    )
    async def test_until_when_to_wait_may_be_a_date(self, city: City, told: str, waits: float) -> None:
        city.netbox.now = datetime(2026, 11, 23, 5, 2, 1, tzinfo=UTC)
        city.netbox.answers = [Response(status_code=503, headers={"Retry-After": told})]
        await city.pull()
        assert city.waits == [waits]

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (lambda: Response(status_code=401), "refused"),
            (lambda: Response(status_code=403), "refused"),
            (lambda: Response(status_code=302, headers={"Location": "https://elsewhere.example/"}), "redirected"),
            (lambda: Response(status_code=404), "rejected"),
            (lambda: Response("<html>"), "unusable"),
            (lambda: JSONResponse({"results": []}), "unusable"),
            (lambda: JSONResponse({"next": None, "results": [{"id": "one"}]}), "unusable"),
            (lambda: JSONResponse({"next": None, "results": [{"id": 7}]}), "unusable"),
            (lambda: JSONResponse({"next": None, "results": []}, headers={"Date": "yesterday"}), "unusable"),
            (lambda: Response(b" " * (33 * 1024 * 1024)), "unusable"),
        ],
    )
    async def test_what_cannot_be_used_is_told_by_its_code(
        self, city: City, answer: Callable[[], Response], code: str
    ) -> None:
        city.netbox.answers = [answer()]
        asked = len(city.netbox.asked)
        with pytest.raises(NetboxError) as raised:
            await city.pull()
        assert raised.value.code == code
        assert len(city.netbox.asked) == asked + 1

    async def test_an_object_that_cannot_be_read_keeps_no_other_out(self, city: City) -> None:
        city.netbox.edit(DEVICE, 1, custom_fields={**city.netbox.objects[DEVICE][1]["custom_fields"], "body": "nobody"})
        city.netbox.edit(DEVICE, 2, serial="NEW")
        await city.pull()
        await city.puller.compare()

        assert city.active[f"{DEVICE}:2"]["facts"]["serial"] == "NEW"
        # it is there, so nothing is retired; what it was before stays until it can be read
        assert f"{DEVICE}:1" in city.active
        assert b'outcome="unreadable"} 2.0' in city.metrics.exposition()

    async def test_an_object_too_large_for_a_message_keeps_no_other_out(self, city: City) -> None:
        full = dict.fromkeys(("data_kinds", "remarks", "lease_end", "record_count", "rto_hours"), ["長" * 300] * 64)
        city.netbox.edit(DEVICE, 1, custom_fields={**city.netbox.objects[DEVICE][1]["custom_fields"], **full})
        city.netbox.edit(DEVICE, 2, serial="NEW")
        await city.pull()

        assert city.active[f"{DEVICE}:2"]["facts"]["serial"] == "NEW"
        assert city.active[f"{DEVICE}:1"]["facts"].get("data_kinds") != full["data_kinds"]
        assert b'outcome="unreadable"} 1.0' in city.metrics.exposition()

    async def test_a_pull_that_was_broken_off_goes_on_where_it_was(self, profile: Profile) -> None:
        netbox = small()
        netbox.most_a_page = 2
        city = City(profile, netbox)
        await city.load()
        for number in range(1, 9):
            netbox.edit(DEVICE, number, serial=f"S{number}")

        def fail(path: str) -> None:
            if len([one for one in netbox.asked if "object-changes" in one]) == 5:
                netbox.answers = [Response(status_code=403)]

        netbox.meanwhile = fail
        with pytest.raises(NetboxError):
            await city.pull()
        netbox.meanwhile = lambda path: None
        netbox.asked.clear()
        await city.pull()

        assert city.active == city.truth
        # what was done before is not asked for again
        assert "id=1&" not in "".join(one for one in netbox.asked if one.startswith("dcim/devices"))
