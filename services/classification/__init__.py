# SPDX-License-Identifier: Apache-2.0
"""Gives every asset its levels, with the reason for each, and the obligations that bind it."""
