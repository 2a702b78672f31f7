# SPDX-License-Identifier: Apache-2.0
"""The steps by which the read model's tables came to be what they are."""
