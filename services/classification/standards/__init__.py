# SPDX-License-Identifier: Apache-2.0
"""Standards: published by one person, activated by another, and applied while the stream goes on."""
