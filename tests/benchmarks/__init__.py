# SPDX-License-Identifier: Apache-2.0
"""Each scenario against its floor: the bare library doing the same work in the same run."""
