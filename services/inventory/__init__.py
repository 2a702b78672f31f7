# SPDX-License-Identifier: Apache-2.0
"""The register of a municipality's information assets (design §5)."""
