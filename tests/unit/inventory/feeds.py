# SPDX-License-Identifier: Apache-2.0
"""The feeds of the samples of a CMDB of one's own, and their mappings."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from libs.contracts import Feed
from services.inventory.doors.mapping import FeedMapping, load

SAMPLES: Final = Path(__file__).parents[3] / "samples"
FEEDS: Final = {
    feed.id: feed
    for feed in map(Feed.model_validate, yaml.safe_load((SAMPLES / "cmdb/feeds.yaml").read_text(encoding="utf-8")))
}
MAPPINGS: Final[dict[str, FeedMapping]] = {
    feed.id: load(SAMPLES / "city" / feed.mapping) for feed in FEEDS.values() if feed.mapping is not None
}
