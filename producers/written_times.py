"""Dates and times as they are written: by regular expressions, by patterns of strptime, and as numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.layouts import matching
from producers.orders import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.arrays import Mask, Whole
    from producers.layouts import Layout

_TIME = (
    r"(?:(?:[Tt]|,?\s+|:|\s*-\s+)(?P<h>\d{1,2})(?:[:.](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?:\s*(?P<p>[AaPp])\.?[Mm]\.?)?(?:\s*(?P<z>[Zz]|[+-]\d{2}:?(?:\d{2})?|(?:UTC|GMT)[+-]\d{1,2}(?::?\d{2})?|[A-Z]{3,4}))?"
    r"(?:\s+(?:\([A-Za-z ]+\)|UTC|GMT))?)?"
)
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_MONTHS = r"(?P<B>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))[A-Za-z]*\.?"
_TEXTS = {
    "year-first": (r"(?P<Y>\d{4})[-/. ](?P<M>\d{1,2})[-/. ](?P<D>\d{1,2})" + _TIME,),
    "day-first": (_WEEKDAY + r"(?P<D>\d{1,2})[-/.]\s?(?P<M>\d{1,2})[-/.]\s?(?P<Y>\d{4}|\d{2})" + _TIME,),
    "month-first": (_WEEKDAY + r"(?P<M>\d{1,2})[-/](?P<D>\d{1,2})[-/](?P<Y>\d{4}|\d{2})" + _TIME,),  # dots: day first
    "month-name": (
        _WEEKDAY + _MONTHS + r"[\s-]+(?P<D>\d{1,2})(?:st|nd|rd|th)?,?[\s-]+(?P<Y>\d{4})" + _TIME,
        _WEEKDAY + r"(?P<D>\d{1,2})(?:st|nd|rd|th|\.)?[\s/-]*" + _MONTHS + r",?[\s/-]*(?P<Y>\d{4}|\d{2})" + _TIME,
        _MONTHS + r"-(?P<D>\d{1,2})-(?P<Y>\d{2})" + _TIME,
        # as Unix's date and C's asctime write it: the year comes last
        _WEEKDAY
        + _MONTHS
        + r"\s+(?P<D>\d{1,2})\s+(?P<h>\d{1,2}):(?P<m>\d{2}):(?P<s>\d{2})(?:\s+(?P<z>[A-Z]{3,4}))?\s+(?P<Y>\d{4})",
    ),
    "digits": (
        r"(?P<Y>\d{4})(?P<M>\d{2})(?P<D>\d{2})(?:[Tt ]?(?P<h>\d\d):?(?P<m>\d\d)(?::?(?P<s>\d\d))?)?(?:\.(?P<zero>\d))?",
    ),
}
PATTERNS = {name: tuple(re.compile(text, re.ASCII) for text in texts) for name, texts in _TEXTS.items()}
"""By notation: regular expressions that take all digits alike, as `layouts` need it."""

_NUMBER_AND_CLOCK = re.compile(
    r"(?P<n>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?:\s+(?P<t>\d{1,2}(?::?\d{2}){0,2}))?", re.ASCII
)
_WHOLE = re.compile(r"-?\d{1,18}", re.ASCII)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?", re.ASCII)
EPOCH_UNITS = {"s": 1000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
"""Milliseconds in a unit of Unix time."""

ZONES = {
    **dict.fromkeys(("", "Z", "UTC", "GMT", "WET"), 0),
    **dict.fromkeys(("BST", "WEST", "CET"), 60),
    **dict.fromkeys(("CEST", "EET"), 120),
    **dict.fromkeys(("EEST", "MSK"), 180),
    **dict.fromkeys(("JST", "KST"), 540),
    **dict.fromkeys(("PST",), -480),
    **dict.fromkeys(("PDT", "MST"), -420),
    **dict.fromkeys(("MDT", "CST"), -360),
    **dict.fromkeys(("CDT", "EST"), -300),
    **dict.fromkeys(("EDT",), -240),
    **dict.fromkeys(("AEST",), 600),
    **dict.fromkeys(("AEDT",), 660),
    **dict.fromkeys(("NZST",), 720),
    **dict.fromkeys(("NZDT",), 780),
}
"""Minutes east of Greenwich, by abbreviation; those of America as RFC 2822 has them. IST, which is three, is none."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXCEL_EPOCH_DAYS = 25_569  # from 1899-12-30, Excel's day 0, to 1970-01-01
_FIRST_SHORT_YEAR = 69  # of two digits: 1969 to 2068
_MOST_HOURS_EAST = 15
_BEYOND_YEAR_9999_MS = 2.6e14
_UNREAD = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Times as they are written."""

    local: Whole
    """(n,) milliseconds since 1970 in local time; anything where not readable."""
    readable: Mask
    zoned: Mask
    """(n,) whether the time itself says its zone."""
    minutes: Whole
    """(n,) minutes east of Greenwich of that zone."""

    @staticmethod
    def unread(count: int) -> LocalTimes:
        """So many that are not readable yet."""
        zeros, nothing = (np.zeros(count, np.int64) for _ in range(2)), (np.zeros(count, bool) for _ in range(2))
        return LocalTimes(next(zeros), next(nothing), next(nothing), next(zeros))


def read_written(texts: pa.Array, patterns: Sequence[re.Pattern[str]]) -> LocalTimes:
    """The times of texts by the first pattern that makes a time of them."""
    read = LocalTimes.unread(len(texts))
    for layout, match in matching(texts, patterns):
        local, minutes = _local(layout, match), _zone_minutes(layout, match)
        left = ~read.readable[layout.rows] & (local != _UNREAD) & (minutes != _UNREAD)
        rows = layout.rows[left]
        read.readable[rows] = True
        read.local[rows], read.minutes[rows] = local[left], minutes[left]
        read.zoned[rows] = bool(_text(match, "z"))
    return read


def _text(match: re.Match[str], group: str) -> str:
    """What a group of a pattern matched; "" if it did not, or the pattern has none of that name."""
    return match.groupdict().get(group) or ""


def _number(layout: Layout, match: re.Match[str], group: str) -> Whole:
    """(n,) the numbers of a group; zeros if it did not match."""
    return layout.number(*match.span(group)) if _text(match, group) else np.zeros(len(layout.rows), np.int64)


def _local(layout: Layout, match: re.Match[str]) -> Whole:
    """(n,) milliseconds since 1970 in local time; the least number where there is no such time."""
    year, day, hour, minute, second = (_number(layout, match, name) for name in ("Y", "D", "h", "m", "s"))
    name = _text(match, "B")[:3].lower()
    month = np.full(len(year), MONTHS.index(name) + 1) if name else _number(layout, match, "M")
    if len(_text(match, "Y")) == 2:
        year = np.where(year < _FIRST_SHORT_YEAR, year + 2000, year + 1900)
    good = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    months = (year - 1970) * 12 + np.where(good, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    beyond = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    good &= (first + day <= beyond) & (_number(layout, match, "zero") == 0)
    if half := _text(match, "p").lower():
        good &= (hour >= 1) & (hour <= 12)
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    fraction = _text(match, "f")[:3]
    begin = match.start("f") if fraction else 0
    thousandths = layout.number(begin, begin + len(fraction)) * 10 ** (3 - len(fraction))
    time: Whole = (first + day - 1) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + thousandths
    return np.where(good, time, _UNREAD)


def _zone_minutes(layout: Layout, match: re.Match[str]) -> Whole:
    """(n,) minutes east of Greenwich; the least number for a zone that is not known."""
    zone = _text(match, "z").upper()
    offset = _OFFSET.fullmatch(zone)
    if offset is None:
        return np.full(len(layout.rows), ZONES.get(zone, _UNREAD), np.int64)
    place = match.start("z")
    hours = layout.number(place + offset.start(2), place + offset.end(2))
    minutes = layout.number(place + offset.start(3), place + offset.end(3)) if offset[3] else 0
    east = (hours * 60 + minutes) * (-1 if offset[1] == "-" else 1)
    return np.where((hours <= _MOST_HOURS_EAST) & (minutes <= 59), east, _UNREAD)


def read_numbers(texts: pa.Array, notation: str, start: str | None) -> LocalTimes:
    """Times written as numbers: days perhaps with an hour or a time of day behind."""
    read = LocalTimes.unread(len(texts))
    for layout, match in matching(texts, [_NUMBER_AND_CLOCK]):
        rows = layout.rows
        begin, end = match.span("n")
        digits = pc.utf8_slice_codeunits(texts.take(pa.array(rows)), begin + layout.text.startswith("+"), end)
        if notation in ("us", "ns") and _WHOLE.fullmatch(_text(match, "n")):
            read.local[rows] = pc.cast(digits, pa.int64()).to_numpy() // (1000 if notation == "us" else 1_000_000)
            read.readable[rows] = True
            continue
        values = np.clip(pc.cast(digits, pa.float64()).to_numpy(), -1e19, 1e19)
        clock = np.zeros(len(rows), np.int64)
        if notation in EPOCH_UNITS:
            values = values * EPOCH_UNITS[notation]
        else:
            origin = date.fromisoformat(start or "1970-01-01").toordinal() - date(1970, 1, 1).toordinal()
            # to the second, since Excel's days are floats
            days = values - (_EXCEL_EPOCH_DAYS if notation == "excel" else -origin)
            values = np.rint(days * 86_400) * 1000 if notation == "excel" else np.rint(days * DAY_MS)
            clock = _clock_ms(layout, match)
        values = values + clock
        good = (np.abs(values) < _BEYOND_YEAR_9999_MS) & (clock != _UNREAD)
        read.readable[rows] = good
        read.local[rows] = np.rint(np.where(good, values, 0)).astype(np.int64)
    read.zoned[:] = notation in EPOCH_UNITS
    return read


def _clock_ms(layout: Layout, match: re.Match[str]) -> Whole:
    """(n,) milliseconds since midnight of 14, 14:05, 14:05:00 or 1405; the least number where it is no time of day."""
    text = _text(match, "t")
    place = match.start("t")
    if text.isdigit() and len(text) > 2:
        ends = [*range(len(text) % 2 or 2, len(text) + 1, 2)]
        spans = [(max(0, end - 2), end) for end in ends]
    else:
        spans = [piece.span() for piece in re.finditer("0+", text)]
    parts = [layout.number(place + begin, place + end) for begin, end in spans]
    hour, minute, second = [*parts, *[np.zeros(len(layout.rows), np.int64)] * 3][:3]
    good = (hour < 24) & (minute < 60) & (second < 60)
    return np.where(good, ((hour * 60 + minute) * 60 + second) * 1000, _UNREAD)


def read_by_pattern(texts: pa.Array, pattern: str) -> LocalTimes:
    """Times by a pattern of strptime, which reads those that are left when most have been read at once."""
    quick = _quick_pattern(pattern)
    read = read_written(texts, [quick]) if quick else LocalTimes.unread(len(texts))
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001  of local time
    left = np.flatnonzero(~read.readable)
    for row, text in zip(left.tolist(), texts.take(pa.array(left)).to_pylist(), strict=True):
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007  the pattern says whether there is a zone
        except (ValueError, re.error):
            continue
        offset = moment.utcoffset()
        read.readable[row], read.zoned[row] = True, offset is not None
        read.minutes[row] = 0 if offset is None else int(offset.total_seconds() // 60)
        read.local[row] = (moment.replace(tzinfo=None) - epoch).total_seconds() * 1000
    return read


_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<Y>\d{2})",
    "m": r"(?P<M>\d{1,2})",
    "d": r"(?P<D>\d{1,2})",
    "b": rf"(?P<B>{'|'.join(MONTHS)})",
    "B": "(?P<B>january|february|march|april|may|june|july|august|september|october|november|december)",
    "a": "(?:mon|tue|wed|thu|fri|sat|sun)",
    "A": "(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)",
    "H": r"(?P<h>\d{1,2})",
    "I": r"(?P<h>\d{1,2})",
    "M": r"(?P<m>\d{1,2})",
    "S": r"(?P<s>\d{1,2})",
    "f": r"(?P<f>\d{1,6})",
    "p": "(?P<p>am|pm)",
    "z": r"(?P<z>z|[+-]\d{2}:?\d{2})",
}
_PARTS = {
    **dict.fromkeys("Yy", "year"),
    **dict.fromkeys("mbB", "month"),
    **dict.fromkeys("HI", "hour"),
    **dict.fromkeys("aA", "weekday"),
    "d": "day",
    "M": "minute",
    "S": "second",
    "f": "fraction",
    "p": "half",
    "z": "zone",
}


def _quick_pattern(pattern: str) -> re.Pattern[str] | None:
    """A regular expression for a pattern of strptime, or some of what that reads; None if it might mean else."""
    pieces = re.findall(r"%(.)|([^%]+)", pattern, re.DOTALL)
    names = [name for name, _ in pieces if name]
    parts = [_PARTS[name] for name in names if name in _PARTS]
    adjacent = any(first and then for (first, _), (then, _) in pairwise(pieces))  # digits side by side
    whole_date = {"year", "month", "day"} <= set(parts) and len(set(parts)) == len(parts) == len(names)
    if adjacent or not whole_date or ("I" in names) != ("p" in names) or re.search(r"\d", pattern, re.ASCII):
        return None
    escaped = [_DIRECTIVES.get(name) or re.sub(r"(?:\\\s)+", r"\\s+", re.escape(text)) for name, text in pieces]
    return re.compile("".join(escaped), re.ASCII | re.IGNORECASE)
