# SPDX-License-Identifier: Apache-2.0
"""対策基準: from an asset's facts and relations to its levels and obligations. Pure: no I/O, no clock."""
