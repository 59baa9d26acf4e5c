"""The report: one self-contained HTML file, light or dark as the reader's system."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from evaluation.intervals import Interval
from evaluation.plots import Bar, Line, bars, lines
from evaluation.protocol import day_text
from evaluation.results import HELD_BOUNDS
from evaluation.tables import cells, columns, heading

if TYPE_CHECKING:
    from pathlib import Path

    from evaluation.results import Results, Row

_SMALLEST_GROUP = 30
"""Fewest customers for which a hit rate by history length is shown."""
_SHOWN_BY_HISTORY = ("default", "bestsellers-14d", "customers-full", "als", "ease", "autoencoder-time")

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --paper: #fff; --faint: #d8dce0; --soft: #60686f; --bar: #9db4c8;
        --strong: #1f6fb2; --c1: #b4560f; --c2: #2f7d4f; --c3: #8a3ea8; --c4: #7a6a00; --c5: #b02a4c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --paper: #16191c; --faint: #363c42; --soft: #a0a8b0;
        --bar: #48617a; --strong: #5aa9ee; --c1: #f0a060; --c2: #66c78d; --c3: #cf90ea; --c4: #d8c860;
        --c5: #f08aa5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1000px;
       margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin-top: 2.5rem } p { max-width: 46rem }
svg { width: 100%; min-width: 640px; height: auto; font: 12px system-ui, sans-serif } svg text { fill: var(--ink) }
svg .tick { fill: var(--soft) } .grid { stroke: var(--faint) } .bar { fill: var(--bar) } .strong { fill: var(--strong) }
.whisker { stroke: var(--ink); fill: none } .leader { stroke: currentColor; fill: none }
.line { fill: none; stroke-width: 2; stroke: currentColor } .dot { fill: currentColor }
svg text.name { fill: var(--ink) }
.line-0 { color: var(--strong) } .line-1 { color: var(--c1) } .line-2 { color: var(--c2) } .line-3 { color: var(--c3) }
.line-4 { color: var(--c4) } .line-5 { color: var(--c5) } .scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--faint) }
th:first-child, td:first-child { text-align: left } tr.strong { font-weight: 600; fill: none }
"""
_PROTOCOL = """<p>{heading}; cutoffs {days}. A system knows only what is strictly before the cutoff.
Intervals are 95 % by paired bootstrap over customers.</p>"""
_RANK = """<p>Mean rank by purchases of the first recommendations, as a share of the candidates: 0 is the bestseller,
0.5 what a random order would give.</p>"""


def write_report(path: Path, results: Results) -> None:
    """Write the report of results to a file."""
    hit = f"hit@{results.protocol.at}"
    rows = sorted(results.rows, key=lambda row: -row.metrics["hit"].value.mean)
    days = ", ".join(day_text(cutoff) for cutoff in results.cutoffs)
    body = [
        "<h1>Recommenders compared</h1>",
        _PROTOCOL.format(heading=escape(heading(results)), days=days),
        f"<h2>{hit}</h2>",
        bars(hit, [Bar(row.name, row.metrics["hit"].value, row.name == "default") for row in rows], hit),
        f"<h2>{hit} by the number of items a customer holds</h2>",
        _by_history(results),
        "<h2>Popularity of the recommendations</h2>",
        _RANK,
        _popularity(rows),
        "<h2>All figures</h2>",
        _table(results),
    ]
    path.write_text(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'><title>Recommenders compared</title>"
        f"<style>{_STYLE}</style></head><body>{''.join(body)}</body></html>\n",
        encoding="utf-8",
    )


def _by_history(results: Results) -> str:
    shown = [row for row in results.rows if row.name in _SHOWN_BY_HISTORY] or results.rows[:6]
    known = [bound for bound, customers, _ in shown[0].by_history if customers >= _SMALLEST_GROUP]
    if not known:
        return "<p>Too few customers.</p>"
    starts = (*HELD_BOUNDS, None)
    labels = [_range(bound, starts[starts.index(bound) + 1]) for bound in known]
    drawn = [
        Line(row.name, [(known.index(bound), rate) for bound, _, rate in row.by_history if bound in known])
        for row in shown
    ]
    return lines("hit rate by history length", labels, drawn, "items held")


def _range(first: int, following: int | None) -> str:
    if following is None:
        return f"{first} or more"
    return str(first) if following == first + 1 else f"{first} to {following - 1}"


def _popularity(rows: list[Row]) -> str:
    ranked = sorted(rows, key=lambda row: row.popularity)
    shown = [Bar(row.name, Interval(*[row.popularity] * 3), row.name == "default") for row in ranked]
    return bars("popularity", shown, "mean rank of the recommendations")


def _table(results: Results) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns(results))
    lines_of = "".join(
        f"<tr{' class=strong' if row.name == 'default' else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells(row, results.against))
        + "</tr>"
        for row in results.rows
    )
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{lines_of}</tbody></table></div>"
