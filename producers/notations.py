"""Notations of dates and times beside ISO 8601: which of them a column may be written in, and reading it.

A notation is settled once for a whole column, since 3/4/2023 alone is April in one country and March in another.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.written_times import EPOCH_UNITS, PATTERNS, read_by_pattern, read_numbers, read_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from producers.arrays import Mask, Whole

_EARLIEST_YEAR, _LATEST_YEAR = 1990, 2100


class Times(NamedTuple):
    """A column of times."""

    time: Whole
    """(n,) milliseconds since 1970 UTC; anything where not readable."""
    readable: Mask
    zoned: Mask
    """(n,) whether the time itself says its zone."""


def read_times(column: pa.Array, notation: str, timezone: str = "UTC", start: str | None = None) -> Times:
    """A column of text as times.

    Args:
        column: of text; nulls are not readable.
        notation: a timestamp format of `LogFormat`, except iso.
        timezone: of times that name none.
        start: the day that "days" counts from, or a day of the first year of a log whose times name no year.

    >>> read_times(pa.array(["12/1/2010 8:26"]), "month-first").time.astype("datetime64[ms]").astype(str).tolist()
    ['2010-12-01T08:26:00.000']
    >>> read_times(pa.array(["Thu, 05 Jan 2023 10:11:12 +0100", "5 Jan 23"]), "month-name").readable.tolist()
    [True, True]
    >>> read_times(pa.array(["31.02.2023", "2023-01-01"]), "day-first").readable.tolist()
    [False, False]
    """
    encoded = pc.utf8_trim_whitespace(column.cast(pa.string())).dictionary_encode()
    texts, index = encoded.dictionary, encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    if notation in EPOCH_UNITS or notation in ("excel", "days"):
        read = read_numbers(texts, notation, start)
    elif "%" in notation:
        read = read_by_pattern(texts, notation)
    else:
        read = read_written(texts, PATTERNS[notation])
    readable, zoned = read.readable, read.zoned
    times = np.where(zoned, read.local - read.minutes * 60_000, read.local)
    if timezone != "UTC" and (bare := readable & ~zoned).any():
        times[bare] = _in_zone(times[bare], timezone)
    index = index.astype(np.int64)
    return Times(np.append(times, 0)[index], np.append(readable, False)[index], np.append(zoned, False)[index])


def notations_of(texts: Iterable[str]) -> list[str]:
    """The notations in which every one of the texts is a time between 1990 and 2100, the likeliest first.

    >>> notations_of(["12/1/2010", "13/1/2010"]), notations_of(["12/1/2010", "1/12/2010"])
    (['day-first'], ['day-first', 'month-first'])
    >>> [notations_of([text]) for text in ("20230105", "1673000000000000", "44931.5", "milk")]
    [['digits'], ['us'], ['excel'], []]
    """
    column = pa.array([text.strip() for text in texts], pa.string())
    if not len(column) or not pc.all(pc.match_substring_regex(column, "[0-9]")).as_py():
        return []  # no time is without a digit
    return [notation for notation in (*_iso(column), *CANDIDATES) if notation == "iso" or reads_all(column, notation)]


def usual_notations(texts: Sequence[str]) -> list[str]:
    """The notations in which the most of some texts are times, at least half of them; empty if there is none.

    >>> usual_notations(["2023-01-05", "soon", "2023-01-06"]), usual_notations(["soon", "later", "2023-01-06"])
    (['iso', 'year-first'], [])
    """
    column = pa.array([text.strip() for text in texts], pa.string())
    counts = {"iso": sum(bool(_iso(column[place : place + 1])) for place in range(len(column)))}
    counts |= {notation: int(_plausible(column, notation).sum()) for notation in CANDIDATES}
    most = max(counts.values())
    return [notation for notation, count in counts.items() if count == most] if 0 < most >= len(column) / 2 else []


CANDIDATES = ("year-first", "digits", "s", "ms", "us", "ns", "excel", "day-first", "month-first", "month-name")
"""Notations that may be found by looking at a column, the likeliest first; "iso" comes before them."""


def reads_all(column: pa.Array, notation: str) -> bool:
    """Whether every text is a time of a plausible year in a notation."""
    return bool(_plausible(column, notation).all())


def _plausible(column: pa.Array, notation: str) -> Mask:
    """(n,) which texts are times of a plausible year in a notation."""
    times = read_times(column, notation)
    years = times.time.astype("datetime64[ms]").astype("datetime64[Y]").astype(int) + 1970
    found: Mask = times.readable & (years >= _EARLIEST_YEAR) & (years < _LATEST_YEAR)
    return found


def _iso(column: pa.Array) -> list[str]:
    """["iso"] if every text is ISO 8601 or Unix time in seconds or milliseconds."""
    numbers = pc.match_substring_regex(column, r"^-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?$").to_numpy(zero_copy_only=False)
    if numbers.any():
        values = np.array([float(text) for text in column.filter(pa.array(numbers)).to_pylist()])
        seconds = np.where(np.abs(values) < 1e11, values, values / 1000)
        if not ((seconds >= 631_152_000) & (seconds < 4_102_444_800)).all():  # 1990 to 2100
            return []
    for text in column.filter(pa.array(~numbers)).to_pylist():
        try:
            year = datetime.fromisoformat(text).year
        except ValueError:
            return []
        if not _EARLIEST_YEAR <= year < _LATEST_YEAR:
            return []
    return ["iso"]


def _in_zone(local: Whole, timezone: str) -> Whole:
    """Local times as UTC: the earlier of two, and the moment of the change where the clock skips a time."""
    stamps = pa.array(local, pa.timestamp("ms"))
    zoned = pc.assume_timezone(stamps, timezone, ambiguous="earliest", nonexistent="latest")
    times: Whole = zoned.cast(pa.int64()).to_numpy()
    return times


def is_zone(name: str) -> bool:
    """Whether there is a time zone of this name.

    >>> is_zone("Europe/Berlin"), is_zone("Berlin")
    (True, False)
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def readings(text: str, notations: Sequence[str]) -> list[str]:
    """A text as a day in each notation, for a question.

    >>> readings("3/4/2023", ["day-first", "month-first"])
    ['2023-04-03', '2023-03-04']
    """
    times = [read_times(pa.array([text]), notation).time for notation in notations]
    return [str(time.astype("datetime64[ms]").astype("datetime64[D]")[0]) for time in times]
