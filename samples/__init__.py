# SPDX-License-Identifier: Apache-2.0
"""A made-up city's feeds: real NetBox webhooks, generated ledgers and a generated stream of changes."""
