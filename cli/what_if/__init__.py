# SPDX-License-Identifier: Apache-2.0
"""`daicho what-if`: what a candidate standard, or candidate facts, would change of the live register; nothing is published."""
