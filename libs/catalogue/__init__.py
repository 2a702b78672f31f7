# SPDX-License-Identifier: Apache-2.0
"""Every sentence for people, in Japanese and English: `messages/<area>.yaml` maps `area.name` to `{ja: …, en: …}`."""

from libs.catalogue.catalogue import (
    MESSAGES,
    Catalogue,
    CatalogueError,
    Language,
    Sentence,
    field_sentence,
    fields_of,
    load,
    messages,
    text,
    text_pair,
)

__all__ = [
    "MESSAGES",
    "Catalogue",
    "CatalogueError",
    "Language",
    "Sentence",
    "field_sentence",
    "fields_of",
    "load",
    "messages",
    "text",
    "text_pair",
]
