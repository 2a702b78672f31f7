# SPDX-License-Identifier: Apache-2.0
"""The shapes that the database has had (alembic)."""
