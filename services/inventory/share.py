# SPDX-License-Identifier: Apache-2.0
"""How much a source may take out of the register at once, before a person has looked at it. Pure."""

from __future__ import annotations

from decimal import Decimal


def needs_a_person(gone: int, known: int, share: float) -> bool:
    """Whether `gone` of the `known` assets are more than a source's share (0 to 1) of them.

    One may always go, for of a few assets it is soon more than the share; but never the last ones all together, for a source that
    sees nothing any more looks just like that. With a share of 0 each waits for a person, with 1 none does.
    """
    if gone == 0 or share >= 1:
        return False
    if gone >= known:
        return True
    # as it is written in the profile: 0.29 × 100 is 29, which it is not in binary
    return gone > max(Decimal(1 if share else 0), Decimal(str(share)) * known)
