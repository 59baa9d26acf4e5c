"""Figures of a benchmark: what was measured beside what must be reached."""

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
    """What must be reached; None where nothing must."""
    at_least: bool = False
    """Whether the limit is the least, rather than the most, that will do."""

    @property
    def ratio(self) -> float | None:
        """The figure over its limit."""
        return None if self.limit is None else self.value / self.limit

    @property
    def met(self) -> bool:
        """Whether the limit is kept."""
        return self.limit is None or (self.value >= self.limit if self.at_least else self.value <= self.limit)


def table(figures: list[Figure]) -> None:
    """Print figures, their limits and ratios."""
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
    """The most memory this process has had resident, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
