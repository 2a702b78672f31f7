# SPDX-License-Identifier: Apache-2.0
"""The way that a level came down, as an SVG picture that needs nothing else: the source at the top, the asset at the bottom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple
from unicodedata import east_asian_width
from xml.etree import ElementTree

from libs.catalogue import Language, text
from libs.contracts import Dimension
from services.classification.explanations import ExplainedAsset, ExplainedLevel

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_WIDTH, _BOX, _GAP, _MARGIN = 560, 60, 52, 16
_LONGEST: Final = 66
"""Half-width characters of a line in a box."""


class _Box(NamedTuple):
    """`below` is said beside the arrow to the box below it."""

    title: str
    line: str
    below: str


def draw(asset: ExplainedAsset, dimension: Dimension, language: Language) -> bytes:
    """An SVG 1.1 document in UTF-8, with a title and a description for those who cannot see it."""
    explained = asset.dimensions[dimension]
    boxes = [*_above(explained, language), _own(asset, explained, language)]
    height = 2 * _MARGIN + len(boxes) * _BOX + (len(boxes) - 1) * _GAP
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": _NAMESPACE,
            "viewBox": f"0 0 {_WIDTH} {height}",
            "width": str(_WIDTH),
            "height": str(height),
            "role": "img",
            "font-family": "sans-serif",
            "font-size": "14",
        },
    )
    word = text(f"words.dimension.{dimension}", language)
    _add(svg, "title", text("classification.drawing_title", language, asset=asset.name, dimension=word))
    _add(svg, "desc", " → ".join(f"{box.title} {box.line}" for box in boxes))
    _add(svg, "rect", width=_WIDTH, height=height, fill="#ffffff")
    for at, box in enumerate(boxes):
        _draw_box(svg, box, _MARGIN + at * (_BOX + _GAP), last=at == len(boxes) - 1)
    return ElementTree.tostring(svg, encoding="utf-8", xml_declaration=True)


def _above(explained: ExplainedLevel, language: Language) -> Iterator[_Box]:
    """From the source down."""
    if explained.other_body is not None:
        yield _Box(text("classification.drawing_other_body", language), explained.level, "")
    reason = _reason(explained, language)
    for step in reversed(explained.path):
        name = step.name or text("classification.drawing_gone", language)
        relation = text(f"words.relation.{step.relation}", language) if step.relation else ""
        if explained.omitted and step is explained.path[-1]:
            relation = text("words.omitted", language, count=explained.omitted)
        yield _Box(name, _line(step.level, reason), relation)
        reason = ""


def _own(asset: ExplainedAsset, explained: ExplainedLevel, language: Language) -> _Box:
    origin = text(f"words.origin.{explained.origin}", language)
    reason = "" if explained.path else _reason(explained, language)
    return _Box(asset.name, _line(explained.level, origin, reason), "")


def _line(*parts: str | None) -> str:
    return "  ".join(part for part in parts if part)


def _reason(explained: ExplainedLevel, language: Language) -> str:
    if explained.override is not None:
        return explained.override.reason
    if explained.rule is not None:
        said = explained.rule.text.ja if language == "ja" else explained.rule.text.en
        return f"{explained.rule.id} {said}"
    return text("words.origin.declared", language) if explained.at_source == "declared" else ""


def _draw_box(svg: ElementTree.Element, box: _Box, top: int, *, last: bool) -> None:
    middle = _WIDTH // 2
    place = {"x": _MARGIN, "y": top, "width": _WIDTH - 2 * _MARGIN, "height": _BOX, "rx": 6}
    _add(svg, "rect", **place, fill="#dbeafe" if last else "#f1f5f9", stroke="#475569")
    _add(svg, "text", _shortened(box.title), x=middle, y=top + 25, **{"text-anchor": "middle", "font-weight": "bold"})
    _add(svg, "text", _shortened(box.line), x=middle, y=top + 46, **{"text-anchor": "middle"})
    if last:
        return
    begin, end = top + _BOX, top + _BOX + _GAP
    _add(svg, "line", x1=middle, y1=begin, x2=middle, y2=end - 8, stroke="#475569", **{"stroke-width": 2})
    _add(svg, "path", d=f"M {middle - 6} {end - 10} L {middle + 6} {end - 10} L {middle} {end} Z", fill="#475569")
    if box.below:
        _add(svg, "text", box.below, x=middle + 12, y=begin + _GAP // 2 + 4)


def _add(parent: ElementTree.Element, tag: str, said: str | None = None, **attributes: object) -> None:
    child = ElementTree.SubElement(parent, tag, {name: str(value) for name, value in attributes.items()})
    # no XML may hold control characters
    child.text = said and "".join(sign for sign in said if sign.isprintable())


def _shortened(said: str) -> str:
    """Cut to what fits a box."""
    width = 0
    for at, sign in enumerate(said):
        width += 2 if east_asian_width(sign) in "WF" else 1
        if width > _LONGEST:
            return said[:at] + "…"
    return said
