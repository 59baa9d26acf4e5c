"""Figures of a benchmark, beside their limits."""

from __future__ import annotations

import resource
from typing import NamedTuple

from rich.console import Console
from rich.table import Table


class Figure(NamedTuple):
    """One measured figure."""

    name: str
    value: float
    limit: float | None
    """What the value must reach; None if there is no limit."""
    at_least: bool = False
    """Whether the limit is a minimum rather than a maximum."""

    @property
    def ratio(self) -> float | None:
        """The value divided by its limit; None if there is none, or it is 0."""
        return self.value / self.limit if self.limit else None

    @property
    def met(self) -> bool:
        """Whether the value meets its limit."""
        return self.limit is None or (self.value >= self.limit if self.at_least else self.value <= self.limit)


def table(figures: list[Figure]) -> None:
    """Print figures with their limits and ratios."""
    shown = Table(box=None, pad_edge=False)
    shown.add_column("figure")
    for name in ("measured", "limit", "ratio", ""):
        shown.add_column(name, justify="right")
    for figure in figures:
        bound = "" if figure.limit is None else f"{'>=' if figure.at_least else '<='} {figure.limit:,.4g}"
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        verdict = "" if figure.limit is None else "met" if figure.met else "MISSED"
        shown.add_row(figure.name, f"{figure.value:,.4g}", bound, ratio, verdict)
    Console(width=120, highlight=False).print(shown)


def peak_mib() -> float:
    """Peak resident memory of this process, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
