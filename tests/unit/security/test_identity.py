# SPDX-License-Identifier: Apache-2.0
"""What a caller may do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.security import Identity, Role

BODIES = st.frozensets(st.sampled_from(["mayor", "fire", "waterworks", "audit"]))


@given(own=BODIES, known=BODIES)
def test_a_scope_never_holds_another_body(own: frozenset[str], known: frozenset[str]) -> None:
    identity = Identity("x", own, frozenset({Role.READER}))
    assert identity.scope(known) == own & known
    assert all(identity.may_read(body) for body in identity.scope(known))


def test_a_feed_speaks_for_its_bodies_in_its_role_only() -> None:
    feeder = Identity("x", frozenset({"fire"}), frozenset({Role.FEEDER}), frozenset({"netbox"}))
    assert feeder.may_feed("netbox", "fire")
    assert not feeder.may_feed("netbox", "mayor")
    assert not feeder.may_feed("ledger", "fire")
    reader = Identity("x", frozenset({"fire"}), frozenset({Role.READER}), frozenset({"netbox"}))
    assert not reader.may_feed("netbox", "fire")
