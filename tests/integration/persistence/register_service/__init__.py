# SPDX-License-Identifier: Apache-2.0
"""A service as small as can be, for the tests of `libs.persistence`."""
