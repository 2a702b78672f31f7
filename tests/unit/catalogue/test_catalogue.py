# SPDX-License-Identifier: Apache-2.0
"""The catalogue is whole, and a file that is not is refused with the key's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.catalogue import MESSAGES, CatalogueError, fields_of, load, messages, text, text_pair
from libs.contracts import ProblemType, Reason


def test_a_sentence_comes_in_each_language_and_in_both():
    assert text("reason.not-json", "ja") == "JSONとして読み取れません"
    assert text("reason.not-json", "en") == "The message is not JSON"
    assert text_pair("reason.not-json").model_dump() == {
        "ja": text("reason.not-json", "ja"),
        "en": text("reason.not-json", "en"),
    }


def test_arguments_are_filled_in_and_never_read_as_templates(tmp_path, monkeypatch):
    (tmp_path / "area.yaml").write_text("area.hello: {ja: 'ようこそ、{name}さん', en: 'Hello, {name}'}", "utf-8")
    monkeypatch.setattr("libs.catalogue.catalogue.messages", lambda: load(tmp_path))
    assert text("area.hello", "ja", name="{name} {0}") == "ようこそ、{name} {0}さん"
    with pytest.raises(KeyError, match="name"):
        text("area.hello", "en")
    with pytest.raises(KeyError, match=r"area\.absent"):
        text("area.absent", "en")


@pytest.mark.parametrize(
    "key", [f"reason.{reason}" for reason in Reason] + [f"problems.title.{one}" for one in ProblemType]
)
def test_every_code_has_its_sentence(key):
    assert key in messages()


@pytest.mark.parametrize("key", sorted(load(MESSAGES)))
def test_the_two_languages_ask_for_the_same_and_differ(key):
    sentence = messages()[key]
    assert fields_of(sentence.ja) == fields_of(sentence.en)
    assert sentence.ja != sentence.en, "is it translated?"
    assert not any("\u3040" <= sign <= "\u9fff" for sign in sentence.en), "Japanese in the English sentence"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("area.a: {ja: あ}", "area.a must have a sentence in each"),
        ("area.a: {ja: あ, en: a, fr: à}", "area.a must have a sentence in each"),
        ("area.a: a", "area.a must have a sentence in each"),
        ("area.a: {ja: '', en: a}", "area.a has a sentence that is empty"),
        ("area.a: {ja: あ, en: no}", "area.a has a sentence that is empty or no text"),
        ("area.a: {ja: 'あ{x}', en: 'a{y}'}", "area.a asks for different arguments"),
        ("area.a: {ja: 'あ{', en: a}", "area.a is no format string"),
        ("area.a: {ja: 'あ{}', en: 'a{}'}", "area.a asks for an argument without a name"),
        ("other.a: {ja: あ, en: a}", "other.a must begin with area."),
        ("area.a: {ja: あ, en: a}\narea.a: {ja: い, en: b}", "area.a stands twice"),
        ("area.a: {ja: あ, en: a, en: b}", "en stands twice"),
        ("- a", "must map keys to sentences"),
        ("a: [", "area.yaml"),
    ],
)
def test_what_is_not_whole_is_refused_by_name(tmp_path: Path, content: str, complaint: str):
    (tmp_path / "area.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(CatalogueError, match=complaint):
        load(tmp_path)
