# SPDX-License-Identifier: Apache-2.0
"""References to documents: addresses and numbers are taken, contents and credentials are not."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from services.inventory.attachments.domain import AttachmentGiven, faults_of


def fault(**reference: Any) -> str | None:
    found = faults_of(AttachmentGiven(title="契約書", kind="contract", **reference))
    return found[0].key.rpartition(".")[2] if found else None


@pytest.mark.parametrize(
    "uri",
    [
        "https://documents.city.example/contract/2026/12",
        "https://documents.city.example/view?id=12&page=3",
        "file:///share/%E7%A8%8E%E5%8B%99/%E5%A5%91%E7%B4%84.pdf",
        "smb://files.city.example/tax/contract.pdf",
        "urn:isbn:9784324000000",
    ],
)
def test_an_address_is_taken(uri: str) -> None:
    assert fault(uri=uri) is None


def test_a_number_in_the_records_is_taken() -> None:
    assert fault(number="青浜総務第123号") is None


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("data:text/plain;base64,5rC05pys", "scheme"),
        ("DATA:,secret", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("contract.pdf", "scheme"),
        ("https://", "no_address"),
        ("https://[::1", "no_address"),
        ("https://taro:himitsu@documents.example/1", "credentials"),
        ("https://taro@documents.example/1", "credentials"),
        ("https://documents.example/1?token=abc", "credentials"),
        ("https://documents.example/1?X-Amz-Signature=abc", "credentials"),
        ("https://documents.example/1?api-key=abc", "credentials"),
        ("https://store.example/1?sv=2024-01-01&sig=abc", "credentials"),
        ("https://documents.example/1#access_token=abc", "credentials"),
        ("https://documents.example/1?PASSWORD=", "credentials"),
    ],
)
def test_contents_and_credentials_are_not(uri: str, why: str) -> None:
    assert fault(uri=uri) == why


def test_there_is_one_reference() -> None:
    assert fault() == "one_reference"
    assert fault(uri="https://a.example/1", number="1") == "one_reference"


@pytest.mark.parametrize(
    "fields", [{"content": "…"}, {"sha256": "abc"}, {"uri": "https://a.example/\n1"}, {"title": ""}]
)
def test_what_is_no_reference_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AttachmentGiven.model_validate({"title": "契約書", "kind": "contract", "number": "1", **fields})
