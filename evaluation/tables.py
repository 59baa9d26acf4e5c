"""Results as a table, on the terminal and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluation.intervals import Interval
    from evaluation.results import Results, Row


def heading(results: Results) -> str:
    """The protocol, in one line."""
    protocol = results.protocol
    held = "items new to the customer" if protocol.target == "new" else "any items"
    return (
        f"hit@{protocol.at} within {protocol.horizon_days} days of {len(results.cutoffs)} cutoffs, {held}, "
        f"{round(sum(results.customers) / len(results.customers)):,} customers per cutoff"
    )


def columns(results: Results) -> list[str]:
    """The names of the columns."""
    return [
        "system",
        f"hit@{results.protocol.at}",
        f"vs {results.against}",
        "recall@20",
        "NDCG@20",
        "coverage",
        "cold hit",
        "build s",
        "ms per visit",
    ]


def cells(row: Row, against: str) -> list[str]:
    """The cells of a system's row, compared with another system."""
    hit = row.metrics["hit"]
    return [
        row.name,
        interval(hit.value),
        "" if row.name == against else interval(hit.difference, signed=True),
        f"{row.metrics['recall'].value.mean:.4f}",
        f"{row.metrics['ndcg'].value.mean:.4f}",
        f"{row.coverage:.3f}",
        "" if row.cold is None else f"{row.cold:.3f}",
        f"{row.build_seconds:.1f}",
        f"{row.visit_ms:.2f}",
    ]


def interval(value: Interval, *, signed: bool = False) -> str:
    """A mean and its interval.

    >>> from evaluation.intervals import Interval
    >>> interval(Interval(0.163, 0.15, 0.1751))
    '.163 (.150 to .175)'
    >>> interval(Interval(-0.01, -0.0201, 0.0004), signed=True)
    '-.010 (-.020 to +.000)'
    """
    mean, low, high = (f"{number:+.3f}" if signed else f"{number:.3f}" for number in value)
    return f"{mean} ({low} to {high})".replace("0.", ".")


def on_terminal(results: Results) -> Table:
    """The table for a terminal."""
    table = Table(title=heading(results), title_justify="left", box=None, header_style="bold")
    for number, column in enumerate(columns(results)):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in results.rows:
        table.add_row(*cells(row, results.against), style="bold" if row.name == "default" else None)
    return table


def markdown(results: Results) -> str:
    """The table in Markdown, and one with the cost of user-based filtering."""
    return "\n".join([heading(results) + ".", "", *_lines(results), "", *_costs(results), ""])


def _lines(results: Results) -> Iterator[str]:
    names = columns(results)
    yield f"| {' | '.join(names)} |"
    yield f"|---|{'---:|' * (len(names) - 1)}"
    for row in results.rows:
        bold = "**" if row.name == "default" else ""
        yield f"| {' | '.join(f'{bold}{cell}{bold}' if cell else '' for cell in cells(row, results.against))} |"


def _costs(results: Results) -> Iterator[str]:
    compared = [row for row in results.rows if row.group in ("default", "user-based")]
    yield "| system | pairs of customers compared to build | build s | customers looked up per visit | ms per visit |"
    yield "|---|---:|---:|---:|---:|"
    for row in compared:
        yield (
            f"| {row.name} | {row.build_lookups:,.0f} | {row.build_seconds:.1f} | "
            f"{row.serve_lookups:,} | {row.visit_ms:.2f} |"
        )
