# SPDX-License-Identifier: Apache-2.0
"""Ledgers as city halls write them, CSV and XLSX: read, checked against the register, imported, and written again."""
