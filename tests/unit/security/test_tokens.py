# SPDX-License-Identifier: Apache-2.0
"""Which access tokens are taken, and why the others are not."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey

from libs.security import InvalidTokenError, Role, TokenVerifier

SignToken = Callable[..., str]
NOW = int(datetime(2027, 7, 1, 9, 0, tzinfo=UTC).timestamp())


def encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


async def refusal(verifier: TokenVerifier, token: str) -> str:
    with pytest.raises(InvalidTokenError) as refused:
        await verifier.verify(token)
    return refused.value.reason


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "PS256"])
async def test_a_token_of_each_allowed_algorithm_names_its_caller(
    verifier: TokenVerifier, sign: SignToken, algorithm: str
) -> None:
    identity = await verifier.verify(sign(algorithm))
    assert identity.subject == "section-manager"
    assert identity.bodies == {"waterworks"}
    assert identity.roles == {Role.READER}
    assert identity.feeds == frozenset()


@pytest.mark.parametrize("kind", ["at+jwt", "application/at+jwt", "JWT", None])
async def test_the_types_of_an_access_token_are_taken(
    verifier: TokenVerifier, sign: SignToken, kind: str | None
) -> None:
    assert (await verifier.verify(sign(header={"typ": kind}))).subject == "section-manager"


@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", 7])
async def test_other_types_are_refused(verifier: TokenVerifier, sign: SignToken, kind: object) -> None:
    header, payload, signature = sign().split(".")
    protected = json.loads(base64.urlsafe_b64decode(header + "==")) | {"typ": kind}
    assert await refusal(verifier, f"{encoded(protected)}.{payload}.{signature}") == "token_malformed"


async def test_a_token_signed_by_another_key_is_refused(verifier: TokenVerifier, sign: SignToken) -> None:
    stranger = ECKey.generate_key("P-256", {"kid": "ec"})
    assert await refusal(verifier, sign(key=stranger)) == "token_forged"


async def test_a_token_with_an_unknown_key_id_is_refused(verifier: TokenVerifier, sign: SignToken) -> None:
    assert await refusal(verifier, sign(header={"kid": "made-up"})) == "token_forged"


async def test_a_token_without_a_key_id_is_taken_where_one_key_fits(verifier: TokenVerifier, sign: SignToken) -> None:
    assert (await verifier.verify(sign("RS256", header={"kid": None}))).subject == "section-manager"


async def test_changed_claims_are_refused(verifier: TokenVerifier, sign: SignToken, claims: dict[str, Any]) -> None:
    header, _, signature = sign().split(".")
    raised = claims | {"roles": ["operator"], "bodies": ["*"]}
    assert await refusal(verifier, f"{header}.{encoded(raised)}.{signature}") == "token_forged"


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None])
async def test_an_unsigned_token_is_refused(verifier: TokenVerifier, claims: dict[str, Any], name: str | None) -> None:
    header = {"alg": name, "typ": "at+jwt", "kid": "ec"}
    assert await refusal(verifier, f"{encoded(header)}.{encoded(claims)}.") == "token_forged"


@pytest.mark.parametrize("kid", ["rsa", "ec"])
async def test_a_public_key_used_as_an_hmac_secret_is_refused(
    verifier: TokenVerifier, claims: dict[str, Any], signing_keys: Mapping[str, ECKey | RSAKey], kid: str
) -> None:
    secret = signing_keys[{"rsa": "RS256", "ec": "ES256"}[kid]].as_pem(private=False)
    signed = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': kid})}.{encoded(claims)}"
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), "sha256")).rstrip(b"=").decode()
    assert await refusal(verifier, f"{signed}.{signature}") == "token_forged"


async def test_an_algorithm_of_another_key_type_is_refused(verifier: TokenVerifier, sign: SignToken) -> None:
    assert await refusal(verifier, sign("RS256", header={"kid": "ec"})) == "token_forged"


async def test_a_key_is_used_for_its_own_algorithm_only(
    verifier: TokenVerifier, sign: SignToken, signing_keys: Mapping[str, ECKey | RSAKey]
) -> None:
    plain = RSAKey.import_key({**signing_keys["RS256"].as_dict(private=True), "alg": "PS256"})
    assert await refusal(verifier, sign("PS256", key=plain)) == "token_forged"


async def test_critical_extensions_are_refused(verifier: TokenVerifier, sign: SignToken) -> None:
    header, payload, signature = sign().split(".")
    protected = json.loads(base64.urlsafe_b64decode(header + "==")) | {"crit": ["b64"], "b64": False}
    assert await refusal(verifier, f"{encoded(protected)}.{payload}.{signature}") == "token_malformed"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://elsewhere.example"}, "token_elsewhere"),
        ({"iss": "https://login.example.lg.jp/realms/city/"}, "token_elsewhere"),
        ({"iss": None}, "token_elsewhere"),
        ({"aud": "another"}, "token_elsewhere"),
        ({"aud": ["another", "daichos"]}, "token_elsewhere"),
        ({"aud": None}, "token_elsewhere"),
        ({"aud": {"daicho": 1}}, "token_elsewhere"),
        ({"exp": NOW - 11}, "token_expired"),
        ({"exp": NOW - 10}, "token_expired"),
        ({"exp": None}, "token_claims"),
        ({"exp": "2099"}, "token_claims"),
        ({"exp": True}, "token_claims"),
        ({"exp": float("inf")}, "token_claims"),
        ({"exp": float("nan")}, "token_claims"),
        ({"nbf": NOW + 11}, "token_early"),
        ({"iat": NOW + 11}, "token_early"),
        ({"nbf": "soon"}, "token_claims"),
        ({"sub": None}, "token_claims"),
        ({"sub": ""}, "token_claims"),
        ({"sub": 7}, "token_claims"),
        ({"roles": None}, "token_claims"),
        ({"roles": "operator"}, "token_claims"),
        ({"bodies": None}, "token_claims"),
        ({"bodies": "*"}, "token_claims"),
        ({"bodies": ["*"]}, "token_claims"),
        ({"bodies": ["*", "waterworks"], "roles": ["operator"]}, "token_claims"),
        ({"bodies": [["*"]], "roles": ["operator"]}, "token_claims"),
        ({"feeds": "netbox"}, "token_claims"),
    ],
)
async def test_signed_claims_that_do_not_fit_are_refused(
    verifier: TokenVerifier, sign: SignToken, changes: dict[str, Any], reason: str
) -> None:
    assert await refusal(verifier, sign(**changes)) == reason


@pytest.mark.parametrize(
    "changes",
    [{"exp": NOW - 9}, {"nbf": NOW + 10}, {"iat": NOW + 10}, {"aud": ["other", "daicho"]}, {"exp": NOW + 0.5}],
)
async def test_clocks_may_differ_a_little(verifier: TokenVerifier, sign: SignToken, changes: dict[str, Any]) -> None:
    assert (await verifier.verify(sign(**changes))).subject == "section-manager"


@pytest.mark.parametrize("role", ["security_officer", "operator"])
async def test_every_body_is_for_the_security_office_and_operators(
    verifier: TokenVerifier, sign: SignToken, role: str
) -> None:
    identity = await verifier.verify(sign(roles=[role], bodies=["*"]))
    assert identity.bodies == "*"
    assert identity.scope(["mayor", "fire"]) == {"mayor", "fire"}


async def test_roles_of_other_applications_are_passed_over(verifier: TokenVerifier, sign: SignToken) -> None:
    assert (await verifier.verify(sign(roles=["reader", "offline_access"]))).roles == {Role.READER}


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b.c", "a.b.c.d.e", "é.b.c", "A" * 9000, encoded([]) + ".e30.x", encoded("x") + ".e30.x"],
)
async def test_what_is_no_token_is_refused(verifier: TokenVerifier, token: str) -> None:
    assert await refusal(verifier, token) == "token_malformed"


async def test_a_signed_payload_that_is_no_object_is_refused(
    verifier: TokenVerifier, signing_keys: Mapping[str, ECKey | RSAKey]
) -> None:
    from joserfc import jws

    for payload in (b"[]", b'"x"', b"\xff", b"", b"[" * 5000):
        token = jws.serialize_compact(
            {"alg": "ES256", "kid": "ec"}, payload, signing_keys["ES256"], algorithms=["ES256"]
        )
        assert await refusal(verifier, token) == "token_forged"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x"]),
        st.recursive(st.none() | st.text(max_size=9) | st.integers() | st.just("ES256"), st.lists, max_leaves=4),
    ),
    tail=st.text(st.characters(codec="ascii"), max_size=30),
)
async def test_no_header_breaks_the_verifier(verifier: TokenVerifier, header: dict[str, object], tail: str) -> None:
    with pytest.raises(InvalidTokenError):
        await verifier.verify(f"{encoded(header)}.e30.{tail}")
