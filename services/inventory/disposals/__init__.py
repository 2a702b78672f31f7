# SPDX-License-Identifier: Apache-2.0
"""How the media of assets were disposed of: records that are added to and corrected by others, never changed and never deleted."""
