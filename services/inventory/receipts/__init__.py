# SPDX-License-Identifier: Apache-2.0
"""What became of each accepted item."""
