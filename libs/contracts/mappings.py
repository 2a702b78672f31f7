# SPDX-License-Identifier: Apache-2.0
"""Levels of a scale that was used before, and which of today's each may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import ConfigDict, Field

from libs.contracts.events import Basis
from libs.contracts.words import Contract, Dimension, LevelCode, Text


class EarlierLevel(Contract):
    """A level as a ledger of that time has it, by its code or its name.

    `to` lists today's levels that it may be, in rising order. Where there are several, `decide` says by what a person tells which;
    until then the asset is declared at the highest of them, so that none is protected too little meanwhile.
    """

    model_config = ConfigDict(extra="forbid")

    code: LevelCode
    name: Text
    to: Annotated[tuple[LevelCode, ...], Field(min_length=1)]
    decide: Text | None = None
    basis: Basis


EarlierScales = Mapping[Dimension, tuple[EarlierLevel, ...]]
