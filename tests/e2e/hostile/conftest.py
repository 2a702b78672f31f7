# SPDX-License-Identifier: Apache-2.0
"""One instance that everybody treats badly, with every kind of feed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from confluent_kafka.admin import AdminClient, NewTopic

from cli.instance import Instance
from tests.e2e.city import PROFILE, City, account

SAMPLES = Path(__file__).parents[3] / "samples"
NO_CAPS = {"DAICHO_CAPS__MAX_INVALID_RATIO": "1", "DAICHO_CAPS__MAX_PARKED_KEYS": "10000000"}
"""The floods are meant: the caps, which would stop them, have tests of their own."""


@pytest.fixture(scope="package")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    feeds = yaml.safe_load((SAMPLES / "cmdb/feeds.yaml").read_text(encoding="utf-8"))
    for feed in feeds:
        if "mapping" in feed:
            feed["mapping"] = str(SAMPLES / "city" / feed["mapping"])
    profile["feeds"] += feeds
    folder = tmp_path_factory.mktemp("hostile")
    file = folder / "profile.yaml"
    file.write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    with Instance(folder / "data", profile=file, settings=NO_CAPS) as instance:
        admin = AdminClient(account(instance, "admin").admin())
        topics = [NewTopic(topic, 2, 1) for feed in feeds for topic in feed.get("topics", ())]
        for made in admin.create_topics(topics).values():
            made.result()
        # its readers look for new topics now and then; at their start they find them at once
        instance.kill("inventory")
        instance.start("inventory")
        yield City(instance)
