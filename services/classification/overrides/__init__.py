# SPDX-License-Identifier: Apache-2.0
"""Overrides: asked by a person, approved by another, and ended by a third or by time; each step is an event."""
