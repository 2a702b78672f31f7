# SPDX-License-Identifier: Apache-2.0
"""The register to read: as it is or was, what two moments differ in, how long relations lasted, and what is found in it by words."""
