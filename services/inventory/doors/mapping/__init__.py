# SPDX-License-Identifier: Apache-2.0
"""Mapping files: what the records of a source mean, in YAML. A new CMDB needs such a file, and no code (docs/feeds/mapping.md)."""

from services.inventory.doors.mapping.applying import AssetKey, FeedMapping
from services.inventory.doors.mapping.document import MappingDocument
from services.inventory.doors.mapping.loading import MappingFileError, load, parse
from services.inventory.doors.mapping.values import Scene

__all__ = ["AssetKey", "FeedMapping", "MappingDocument", "MappingFileError", "Scene", "load", "parse"]
