"""Times without a year, made whole: the year that brings a line nearest to the one before it."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.written_times import MONTHS

if TYPE_CHECKING:
    from producers.arrays import Whole

_CLOCK = r"(?P<rest>(?:[\sT,]+\d{1,2}(?:[:.]\d{2}){0,2}(?:[.,]\d{1,9})?(?:\s*[AaPp]\.?[Mm]\.?)?(?:\s*[A-Z]{3,4})?)?)"
_DAY = r"(?P<D>\d{1,2})(?:st|nd|rd|th|\.)?"
_NAME = rf"(?P<B>(?i:{'|'.join(MONTHS)}))[A-Za-z]*\.?"
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_PATTERNS = {
    "day-first": (rf"{_WEEKDAY}(?P<D>\d{{1,2}})[-/.](?P<M>\d{{1,2}})\.?{_CLOCK}",),
    "month-first": (rf"{_WEEKDAY}(?P<M>\d{{1,2}})[-/](?P<D>\d{{1,2}}){_CLOCK}",),
    "month-name": (rf"{_WEEKDAY}{_NAME}[\s-]+{_DAY}{_CLOCK}", rf"{_WEEKDAY}{_DAY}[\s-]*{_NAME}{_CLOCK}"),
}
YEARLESS = tuple(_PATTERNS)
"""Notations whose times may leave out the year, if it is known when the log starts."""
_YEAR_DAYS = 365.25


class Years:
    """Completes the times of one log, line by line from its first.

    A line is less than half a year from the one before it, so that a January behind a December is of the next year,
    and one before it of the same.

    Args:
        notation: of `YEARLESS`; others have their years.
        start: the day of the first line, or one at most half a year from it, as ISO 8601.

    >>> years = Years("month-name", "2022-12-30")
    >>> years.complete(pa.array(["Dec 31 23:59", None, "Jan 1 00:10", "Dec 31 23:58", "5 Feb 2024"])).to_pylist()
    ['31 Dec 2022 23:59', None, '1 Jan 2023 00:10', '31 Dec 2022 23:58', '5 Feb 2024']
    >>> Years("day-first", "2022-12-30").complete(pa.array(["31/12", "1/1 10:00"])).to_pylist()
    ['31/12/2022', '1/1/2023 10:00']
    """

    def __init__(self, notation: str, start: str) -> None:
        first = date.fromisoformat(start)
        self._notation = notation
        self._year = first.year
        self._day = float(first.timetuple().tm_yday)

    def complete(self, column: pa.Array) -> pa.Array:
        """A column of text, with the year in each time that has none; batches come in the order of the log."""
        texts = pc.utf8_trim_whitespace(column.cast(pa.string()))
        whole = texts.to_pylist()
        for pattern in _PATTERNS.get(self._notation, ()):
            found = pc.extract_regex(texts, pattern=f"^{pattern}$")
            rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
            if not len(rows):
                continue
            taken = found.take(pa.array(rows))
            groups = {field.name: taken.field(field.name) for field in taken.type}
            days = groups["D"].to_pylist()
            months = _months(groups)
            years = self._years(months, np.array(days, np.int64))
            names = [MONTHS[month - 1].title() if 0 < month <= 12 else "?" for month in months.tolist()]
            parts = zip(
                rows.tolist(), days, months.tolist(), names, years.tolist(), groups["rest"].to_pylist(), strict=True
            )
            for row, day, month, name, year, rest in parts:
                whole[row] = {
                    "day-first": f"{day}/{month}/{year}{rest}",
                    "month-first": f"{month}/{day}/{year}{rest}",
                    "month-name": f"{day} {name} {year}{rest}",
                }[self._notation]
        return pa.array(whole, pa.string())

    def _years(self, months: Whole, days: Whole) -> Whole:
        """(n,) the years of days of which only the month and the number are known."""
        day_of_year = (months - 1) * (_YEAR_DAYS / 12) + days
        steps = np.diff(day_of_year, prepend=self._day)
        turns = np.where(steps < -_YEAR_DAYS / 2, 1, np.where(steps > _YEAR_DAYS / 2, -1, 0))
        years: Whole = self._year + np.cumsum(turns)
        self._year, self._day = int(years[-1]), float(day_of_year[-1])
        return years


def names_no_year(texts: list[str], notation: str) -> bool:
    """Whether all of some texts are times without a year in a notation.

    >>> names_no_year(["Jan 5 10:11"], "month-name"), names_no_year(["Jan 5, 2023 10:11"], "month-name")
    (True, False)
    """
    patterns = [re.compile(pattern) for pattern in _PATTERNS.get(notation, ())]
    return bool(texts) and all(any(pattern.fullmatch(text) for pattern in patterns) for text in texts)


def _months(groups: dict[str, pa.Array]) -> Whole:
    if "B" not in groups:
        return np.array(groups["M"].to_pylist(), np.int64)
    index: Whole = pc.index_in(pc.utf8_lower(groups["B"]), value_set=pa.array(MONTHS)).to_numpy().astype(np.int64)
    return index + 1
