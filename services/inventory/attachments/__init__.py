# SPDX-License-Identifier: Apache-2.0
"""Documents that belong to an asset, by reference: where they are, never what they say."""
