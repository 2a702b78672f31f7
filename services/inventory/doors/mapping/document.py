# SPDX-License-Identifier: Apache-2.0
"""A mapping file as it is written: for each kind of record, which field of a feed item comes from where."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from libs.catalogue import text
from libs.contracts import Dimension, RelationType
from libs.contracts.words import FactName, Slug

Path = Annotated[str, StringConstraints(pattern=r"^[^.\s][^.]*(\.[^.]+)*$", max_length=300)]
"""Names of the record with dots between them; through a list, the path goes on in each of its entries."""
Cel = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
"""An expression in the Common Expression Language over `row`, the record, and `source`, what tells where it comes from."""
LookupName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Scalar = bool | int | float | str
Told = Scalar | list[str]
As = Literal["text", "integer", "number", "boolean", "list", "date", "microseconds"]


class Entry(BaseModel):
    """Entries refuse what they do not know: a mistyped word in a mapping must not pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


class ValueEntry(Entry):
    """Where a value comes from, one of `path`, `constant` and `cel`, and what is made of it, in this order.

    `separator` cuts a text into a list; `lookup` names the table that says what each word means, and `otherwise` is for words that are
    not in it, or for no value at all; `as` is the type it is brought to:

    `date` is a day as ISO 8601 text, or as the number of days since 1970-01-01; `microseconds` since then, of an ISO 8601 time with its offset.
    """

    path: Path | None = None
    constant: Told | None = None
    cel: Cel | None = None
    separator: Annotated[str, StringConstraints(min_length=1, max_length=5)] | None = None
    lookup: LookupName | None = None
    otherwise: Told | None = None
    as_: Annotated[As | None, Field(alias="as")] = None

    @model_validator(mode="after")
    def _one_origin(self) -> ValueEntry:
        if [self.path, self.constant, self.cel].count(None) != 2:
            raise _wrong("inventory.mapping.one_of")
        return self


def _written_out(given: Any) -> Any:
    return {"path": given} if isinstance(given, str) else given


Value = Annotated[ValueEntry, BeforeValidator(_written_out, json_schema_input_type=Path | ValueEntry)]
"""A text alone is a path."""


class RelationEntry(Entry):
    """A relation to each asset that `to` gives the source key of, as `feed` (default: this feed) knows it; none where it gives nothing."""

    type: RelationType
    to: Value
    feed: Slug | None = None


class RecordEntry(Entry):
    """One kind of record. `when` says which records these are, and `retired` of which of them the asset is gone.

    Without `body`, the one body that the feed may speak for. Of a Debezium feed, `source_version` follows from the connector's position.
    """

    when: Cel = "true"
    source_key: Value
    source_version: Value | None = None
    body: Value | None = None
    kind: Value | None = None
    name: Value | None = None
    section: Value | None = None
    zone: Value | None = None
    retired: Cel = "false"
    reason: Value | None = None
    observed_at: Value | None = None
    facts: Annotated[dict[FactName, Value], Field(max_length=64)] = {}
    declared: dict[Dimension, Value] = {}
    relations: tuple[RelationEntry, ...] = ()


def _at_least_one(records: tuple[RecordEntry, ...]) -> tuple[RecordEntry, ...]:
    # not `min_length`: pydantic counts only entries that are right, and would call one wrong entry none
    if not records:
        raise _wrong("inventory.mapping.no_kind")
    return records


class MappingDocument(Entry):
    """The whole file. A record is read by the first of `records` whose `when` holds; where none does, it is passed over.

    `lookups` say, by name, what the words of a source mean.
    """

    records: Annotated[tuple[RecordEntry, ...], Field(max_length=100), AfterValidator(_at_least_one)]
    lookups: dict[LookupName, dict[str, Told]] = {}


def _wrong(key: str) -> PydanticCustomError:
    """An error whose type is the key of its sentence, as `libs.catalogue.field_sentence` reads it."""
    return PydanticCustomError(key, text(key, "en"))
