# SPDX-License-Identifier: Apache-2.0
"""A reference to a document: by its number in the city's records, or by an address that holds neither content nor credentials. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, StringConstraints

from libs.contracts.words import ShortText

SCHEMES: Final = ("https", "http", "file", "smb", "ftps", "sftp", "urn")
"""What an address may begin with; others (`data:`, `javascript:`) hold contents, or run."""
_SECRET: Final = frozenset(
    {
        "access_token", "accesskey", "apikey", "auth", "authorization", "code", "credential", "credentials", "jwt", "key", "pass",
        "passwd", "password", "pwd", "secret", "session", "sessionid", "sig", "signature", "token", "awsaccesskeyid", "sv",
    }
)  # fmt: skip
"""Names of parameters by which a link lets in whoever has it; a signed link of a cloud store is one."""
_SECRET_ENDINGS: Final = ("token", "password", "secret", "signature", "credential", "apikey")


class AttachmentKind(StrEnum):
    """What a document is to its asset."""

    CONTRACT = "contract"
    SPECIFICATION = "specification"
    DIAGRAM = "diagram"
    MANUAL = "manual"
    CERTIFICATE = "certificate"
    PHOTO = "photo"
    OTHER = "other"


class Fault(NamedTuple):
    """An offending field, and the catalogue key of what to do about it."""

    field: str
    key: str


class AttachmentGiven(BaseModel):
    """A document by reference: its `number` in the records, or its `uri`. `sha256` is of its bytes, in hexadecimal, so that it can be told apart later."""

    model_config = ConfigDict(extra="forbid")

    title: ShortText
    kind: AttachmentKind
    uri: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x20]*$")] | None = None
    number: ShortText | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    note: ShortText | None = None


def faults_of(given: AttachmentGiven) -> tuple[Fault, ...]:
    """Why a reference is not taken: none, or both; a scheme that holds contents; credentials."""
    if (given.uri is None) == (given.number is None):
        return (Fault("/uri", "inventory.attachment.one_reference"),)
    fault = None if given.uri is None else _fault_of(given.uri)
    return () if fault is None else (Fault("/uri", fault),)


def _fault_of(uri: str) -> str | None:
    try:
        parts = urlsplit(uri)
        named = parts.netloc or parts.path
    except ValueError:
        return "inventory.attachment.no_address"
    if parts.scheme not in SCHEMES:
        return "inventory.attachment.scheme"
    if not named:
        return "inventory.attachment.no_address"
    return "inventory.attachment.credentials" if "@" in parts.netloc or _lets_in(parts.query, parts.fragment) else None


def _lets_in(*parts: str) -> bool:
    names = {name.lower().replace("-", "_") for part in parts for name, _ in parse_qsl(part, keep_blank_values=True)}
    bare = {name.replace("_", "") for name in names}
    return not (names | bare).isdisjoint(_SECRET) or any(name.endswith(_SECRET_ENDINGS) for name in bare)
