# SPDX-License-Identifier: Apache-2.0
"""Merges: candidates put before a person, two assets made one, a source split off again, and any of it undone."""
