# SPDX-License-Identifier: Apache-2.0
"""A comparison as one HTML page that needs nothing else: charts are inline SVG, and it can be sent or printed as it is. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final, NamedTuple

from cli.language import current, pick, say
from cli.what_if.report import Report, dimension_name
from libs.contracts import Dimension, Part
from libs.standards.what_if import BodyCounts, Difference

_STYLE: Final = """
body { font: 15px/1.6 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1f2933; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #cbd2d9; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid #cbd2d9; padding: .25rem .5rem; text-align: left; vertical-align: top; }
th { background: #f0f3f6; } td.number { text-align: right; }
.charts { display: flex; flex-wrap: wrap; gap: 2rem; } figure { margin: 1rem 0; } figcaption { font-weight: 600; }
svg text { font: 13px system-ui, sans-serif; fill: #1f2933; }
.up { fill: #b45309; } .down { fill: #1d4ed8; } b.up { color: #b45309; } b.down { color: #1d4ed8; }
@media print { body { margin: 0; max-width: none; } tr, figure { break-inside: avoid; } }
"""
_LABEL: Final = 190
_BAR: Final = 240
_ROW: Final = 36
_NUMBER: Final = 60


class Bars(NamedTuple):
    """One row of a chart: what is more under the candidate, and what is less."""

    label: str
    up: int
    down: int


def to_html(report: Report) -> str:
    """The page, in the person's language."""
    return "".join(_page(report))


def _page(report: Report) -> Iterator[str]:
    title = escape(say("cli.what_if.title"))
    yield f'<!DOCTYPE html>\n<html lang="{current()}">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
    yield '<meta name="viewport" content="width=device-width">\n'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    yield f"<p>{escape(report.headline())}</p>\n<p>{escape(say('cli.what_if.not_published'))}</p>\n"
    yield _summary(report)
    duties = _titles(report)
    by_body = {counts.body: list[Difference]() for counts in report.comparison.bodies}
    for difference in report.comparison.differences:
        by_body[difference.asset.body].append(difference)
    for counts in report.comparison.bodies:
        if counts.changed:
            yield from _section(report.names.body(counts.body), counts, by_body[counts.body], duties)
    yield from _legend(report, duties)
    yield "</body>\n</html>\n"


def _summary(report: Report) -> str:
    headings = (say("cli.column_body"), say("cli.column_assets"), say("cli.what_if.changed"))
    duties = (say("cli.what_if.imposed"), say("cli.what_if.lifted"))
    rows = (
        [
            _cell(report.names.body(counts.body)),
            *map(_number, (counts.assets, counts.changed)),
            *(_arrows(counts, dimension) for dimension in Dimension),
            *map(_number, (sum(counts.imposed.values()), sum(counts.lifted.values()))),
        ]
        for counts in report.comparison.bodies
    )
    return _table([*headings, *map(dimension_name, Dimension), *duties], rows)


def _section(name: str, counts: BodyCounts, differences: Sequence[Difference], duties: dict[str, str]) -> Iterator[str]:
    levels = [Bars(dimension_name(one), counts.raised[one], counts.lowered[one]) for one in Dimension]
    parts = [Bars(say(f"cli.part.{part}"), counts.imposed[part], counts.lifted[part]) for part in Part]
    yield f'<section>\n<h2>{escape(name)}</h2>\n<div class="charts">\n'
    yield chart(say("cli.what_if.levels"), levels, say("cli.what_if.raised"), say("cli.what_if.lowered"))
    yield chart(say("cli.what_if.duties"), parts, say("cli.what_if.imposed"), say("cli.what_if.lifted"))
    yield "</div>\n"
    headings = (say("cli.column.asset"), say("cli.column.kind"), *map(dimension_name, Dimension))
    rows = (_row(difference, duties) for difference in differences)
    yield _table([*headings, say("cli.what_if.imposed"), say("cli.what_if.lifted")], rows)
    yield "</section>\n"


def chart(title: str, rows: Sequence[Bars], up: str, down: str) -> str:
    """Two bars for each row, with their numbers; all to one scale. Its label says the numbers, for those who cannot see it."""
    most = max((max(row.up, row.down) for row in rows), default=0) or 1
    height = _ROW * len(rows)
    bars = "".join(_bars(row, _ROW * at, most) for at, row in enumerate(rows))
    key = f'<b class="up">■ {escape(up)}</b> <b class="down">■ {escape(down)}</b>'
    size = f'width="{_LABEL + _BAR + _NUMBER}" height="{height}"'
    said = "; ".join(f"{row.label}: {up} {row.up}, {down} {row.down}" for row in rows)
    image = f'<svg role="img" aria-label="{escape(f"{title} — {said}")}" {size}>{bars}</svg>'
    return f"<figure><figcaption>{escape(title)}</figcaption>{key}<br>{image}</figure>\n"


def _bars(row: Bars, top: int, most: int) -> str:
    middle = top + _ROW // 2
    label = f'<text x="{_LABEL - 8}" y="{middle + 4}" text-anchor="end">{escape(row.label)}</text>'
    return label + _bar("up", row.up, middle - 13, most) + _bar("down", row.down, middle + 1, most)


def _bar(kind: str, count: int, top: int, most: int) -> str:
    width = round(_BAR * count / most, 1)
    bar = f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{width}" height="12"/>'
    return f'{bar}<text x="{_LABEL + width + 5}" y="{top + 11}">{count}</text>'


def _row(difference: Difference, duties: dict[str, str]) -> list[str]:
    asset = difference.asset
    return [
        f"<td>{escape(asset.name)}<br><small>{escape(asset.asset_id)}</small></td>",
        _cell(say(f"words.kind.{asset.kind}")),
        *(_step(difference, dimension) for dimension in Dimension),
        _duties(difference.imposed, duties),
        _duties(difference.lifted, duties),
    ]


def _step(difference: Difference, dimension: Dimension) -> str:
    before, after = escape(getattr(difference.before, dimension)), escape(getattr(difference.after, dimension))
    if dimension in difference.raised:
        return f'<td><b class="up">{before} → {after} ↑</b></td>'
    if dimension in difference.lowered:
        return f'<td><b class="down">{before} → {after} ↓</b></td>'
    return f"<td>{after}</td>"


def _duties(ids: Iterable[str], duties: dict[str, str]) -> str:
    """Ids alone: a title repeated for each of thousands of assets would make the page slow to open."""
    links = (f'<a href="#{escape(one)}">{escape(one)}</a>' for one in ids)
    return f"<td>{' '.join(links)}</td>"


def _legend(report: Report, duties: dict[str, str]) -> Iterator[str]:
    """What the obligations that are named on the page say."""
    named = {duty for one in report.comparison.differences for duty in (*one.imposed, *one.lifted)}
    if not named:
        return
    yield f"<h2>{escape(say('cli.what_if.duties'))}</h2>\n<dl>\n"
    for duty in sorted(named):
        yield f'<dt id="{escape(duty)}">{escape(duty)}</dt><dd>{escape(duties[duty])}</dd>\n'
    yield "</dl>\n"


def _titles(report: Report) -> dict[str, str]:
    """The candidate's words, where both standards have the obligation."""
    every = (*report.now, *report.candidate)
    return {obligation.id: pick(obligation.title) for one in every for obligation in one.document.obligations}


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(cells)}</tr>\n" for cells in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _cell(content: str) -> str:
    return f"<td>{escape(content)}</td>"


def _number(count: int) -> str:
    return f'<td class="number">{count:,}</td>'


def _arrows(counts: BodyCounts, dimension: Dimension) -> str:
    up, down = counts.raised[dimension], counts.lowered[dimension]
    return f'<td class="number"><b class="up">↑{up}</b> <b class="down">↓{down}</b></td>'
