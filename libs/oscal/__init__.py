# SPDX-License-Identifier: Apache-2.0
"""Standards as OSCAL (NIST, 1.2): a catalog of obligations, a profile for each overlay, a component for each body; and profiles as overlays."""

from libs.oscal.exporting import export
from libs.oscal.importing import OscalError, overlay_files

__all__ = ["OscalError", "export", "overlay_files"]
