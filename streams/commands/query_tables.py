"""Answers as tables on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_REASONS = 3
_NUMBERS = {"score", "popularity", "purchases", "together", "expected", "trend"}


def print_related(document: dict[str, Any]) -> None:
    """Print a related list."""
    heading = Text(document.get("title", document["item_id"]), "bold")
    heading.append(f": {document['buyers']:,} {document.get('pairs', 'customer')}s; {_stamp(document)}", "")
    rows = [
        (
            _name(entry),
            f"{entry['bought_together']:,.0f}",
            f"{entry['expected']:,.1f}",
            f"{entry['trend']:.2f}",
            f"{entry['score']:.4g}",
        )
        for entry in document["related"]
    ]
    score = document["score"]
    _print(heading, ("also bought", "together", "expected", "trend", score), rows, _NUMBERS | {score})
    if not rows:
        _console().print("no item is bought with it more often than chance explains")


def print_recommendations(customer: str, document: dict[str, Any]) -> None:
    """Print recommendations and their reasons."""
    kind = "recommended to" if document["known"] else "no history: bestsellers for"
    rows = []
    for entry in document["recommendations"]:
        because = [f"{_share(reason, entry)}{_reason(reason)}" for reason in entry["because"]]
        rows.append((_name(entry), f"{entry['score']:.2%}", ", ".join(because[:_SHOWN_REASONS])))
    heading = Text(f"{kind} {customer}; {_stamp(document)}", "bold")
    _print(heading, ("item", "score", "because of (together, expected)"), rows)


def print_bestsellers(document: dict[str, Any]) -> None:
    """Print bestsellers."""
    rows = [
        (_name(entry), f"{entry['popularity']:.2%}", f"{entry['purchases']:,}") for entry in document["bestsellers"]
    ]
    days = document.get("widened_to_days", document["days"])
    heading = Text(f"bestsellers of {days} days; {_stamp(document)}", "bold")
    _print(heading, ("item", "popularity", "purchases"), rows)


def _reason(reason: dict[str, Any]) -> str:
    if "item_id" in reason:
        name = reason.get("title", reason["item_id"])
        event = f"{reason['event']}: " if "event" in reason else ""
        return f"{event}{name} ({reason['bought_together']:,.0f}, {reason['expected']:,.0f})"
    if "repeats" in reason:
        return f"bought {reason['repeats']:,} times before"
    if "filler" in reason:
        return f"fills the list up, bought {reason['filler']:,} times"
    return "popularity" if "popularity" in reason else f"{reason['others']} more"


def _share(reason: dict[str, Any], entry: dict[str, Any]) -> str:
    return f"{reason['share'] / entry['score']:.0%} " if entry["score"] else ""


def _name(entry: dict[str, Any]) -> str:
    return f"{entry.get('title', '')} {entry['item_id']}".strip()


def _stamp(document: dict[str, Any]) -> str:
    return f"as of {document['as_of']['timestamp']}, {document['as_of']['lines']:,} lines"


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)  # ids like "[b]:apple:" print verbatim


def _print(heading: Text, columns: Sequence[str], rows: Sequence[tuple[str, ...]], right: set[str] = _NUMBERS) -> None:
    """Print a heading and a table; the columns in `right` are right-aligned."""
    console = _console()
    console.print(heading, soft_wrap=True)
    if not rows:
        return
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
