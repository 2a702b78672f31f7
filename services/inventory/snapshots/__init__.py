# SPDX-License-Identifier: Apache-2.0
"""Snapshots: a feed tells all that it has, between a beginning and an end, and what it did not tell is retired."""
