"""Plots as inline SVG in the colours of the report. Every mark is labelled, so no meaning depends on colour."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.intervals import Interval

WIDTH = 860
_LABELS = 210
_VALUES = 70
_LINE = 20


class Bar(NamedTuple):
    """A named value with an interval."""

    name: str
    value: Interval
    strong: bool


def bars(title: str, rows: Sequence[Bar], unit: str) -> str:
    """Horizontal bars from 0 with whiskers for intervals, in the order given."""
    top = max([row.value.high for row in rows] + [1e-9])
    width = WIDTH - _LABELS - _VALUES
    height = _LINE * len(rows) + 40
    scale = width / top
    parts = [_open(title, height)]
    for tick in ticks(top):
        x = _LABELS + tick * scale
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{height - 34}"/>')
        parts.append(_text("tick", x, height - 18, f"{tick:g}", "middle"))
    for number, (name, value, strong) in enumerate(rows):
        y = _LINE * number + 8
        low, high = (_LABELS + max(bound, 0) * scale for bound in (value.low, value.high))
        kind = "bar strong" if strong else "bar"
        parts.append(_text("name", _LABELS - 8, y + 11, name, "end"))
        parts.append(
            f'<rect class="{kind}" x="{_LABELS}" y="{y}" width="{max(value.mean, 0) * scale:.1f}" height="14" rx="2"/>'
        )
        if high > low:
            ends = f"M{low:.1f} {y + 3}v8M{high:.1f} {y + 3}v8"
            parts.append(f'<path class="whisker" d="M{low:.1f} {y + 7}H{high:.1f}{ends}"/>')
        parts.append(_text("value", WIDTH - _VALUES + 12, y + 11, f"{value.mean:.3f}"))
    parts.append(_text("tick", _LABELS + width / 2, height - 2, unit, "middle"))
    return "".join([*parts, "</svg></div>"])


class Line(NamedTuple):
    """A named line through points."""

    name: str
    points: Sequence[tuple[int, float]]
    """(index on the horizontal axis, value)."""


def lines(title: str, labels: Sequence[str], rows: Sequence[Line], unit: str) -> str:
    """Lines over a labelled axis, each named at its right end, without overlap."""
    left, right, height = 50, 170, 320
    top = max([value for row in rows for _, value in row.points] + [1e-9])
    across = (WIDTH - left - right) / max(len(labels) - 1, 1)
    up = (height - 60) / top
    parts = [_open(title, height)]
    for tick in ticks(top):
        y = height - 45 - tick * up
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text("tick", left - 6, y + 4, f"{tick:g}", "end"))
    for number, label in enumerate(labels):
        parts.append(_text("tick", left + number * across, height - 26, label, "middle"))
    parts.append(_text("tick", (left + WIDTH - right) / 2, height - 6, unit, "middle"))
    ends = []
    for number, (name, points) in enumerate(rows):
        places = [(left + place * across, height - 45 - value * up) for place, value in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path class="line line-{number}" d="M{path}"/>')
        parts += [f'<circle class="dot line-{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        ends.append((places[-1][1], places[-1][0], number, name))
    below = 0.0
    for y, x, number, name in sorted(ends):
        below = max(y, below + 15)
        parts.append(f'<path class="leader line-{number}" d="M{x + 5:.1f} {y:.1f}L{WIDTH - right + 12} {below:.1f}"/>')
        parts.append(_text("name", WIDTH - right + 16, below + 4, name))
    return "".join([*parts, "</svg></div>"])


def ticks(top: float) -> list[float]:
    """About four round numbers from 0 to `top`.

    >>> ticks(0.163)
    [0.0, 0.05, 0.1, 0.15]
    """
    raw = top / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [round(step * number, 12) for number in range(int(top / step + 1e-9) + 1)]


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _open(title: str, height: float) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )
