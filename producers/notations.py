"""Notations of dates and times beside ISO 8601: which of them a column may be written in, and reading it.

A notation is settled once for a whole column, since 3/4/2023 alone is April in one country and March in another.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.orders import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from producers.arrays import Mask, Whole

_TIME = (
    r"(?:(?:[Tt]|,?\s+|:|\s*-\s+)(?P<h>\d{1,2})(?:[:.](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,](?P<f>\d{1,9}))?)?)?"
    r"(?:\s*(?P<p>[AaPp])\.?[Mm]\.?)?(?:\s*(?P<z>[Zz]|[+-]\d{2}:?(?:\d{2})?|(?:UTC|GMT)[+-]\d{1,2}(?::?\d{2})?|[A-Z]{3,4}))?"
    r"(?:\s+(?:\([A-Za-z ]+\)|UTC|GMT))?)?"
)
_WEEKDAY = r"(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,?\s+)?"
_MONTHS = r"(?P<B>(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))[A-Za-z]*\.?"
_PATTERNS = {
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
        r"(?P<Y>\d{4})(?P<M>\d{2})(?P<D>\d{2})(?:[Tt ]?(?P<h>\d{2}):?(?P<m>\d{2})(?::?(?P<s>\d{2}))?)?(?:\.0)?",
    ),
}
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
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

_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_EXCEL_EPOCH_DAYS = 25_569  # from 1899-12-30, Excel's day 0, to 1970-01-01
_EARLIEST_YEAR, _LATEST_YEAR = 1990, 2100
_UNREAD = np.iinfo(np.int64).min


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
        local, readable, minutes = _numbers(texts, notation, start)
        zoned = np.full(len(texts), notation in EPOCH_UNITS)
    elif "%" in notation:
        local, readable, minutes, zoned = _by_pattern(texts, notation)
    else:
        local, readable, minutes, zoned = _written(texts, notation)
    times = np.where(zoned, local - minutes * 60_000, local)
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
    if not len(column):
        return []
    return [notation for notation in (*_iso(column), *CANDIDATES) if notation == "iso" or reads_all(column, notation)]


CANDIDATES = ("year-first", "digits", "s", "ms", "us", "ns", "excel", "day-first", "month-first", "month-name")
"""Notations that may be found by looking at a column, the likeliest first; "iso" comes before them."""


def reads_all(column: pa.Array, notation: str) -> bool:
    """Whether every text is a time of a plausible year in a notation."""
    times = read_times(column, notation)
    if not times.readable.all():
        return False
    years = times.time.astype("datetime64[ms]").astype("datetime64[Y]").astype(int) + 1970
    return bool(((years >= _EARLIEST_YEAR) & (years < _LATEST_YEAR)).all())


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


def _written(texts: pa.Array, notation: str) -> tuple[Whole, Mask, Whole, Mask]:
    """Local time, whether readable, minutes east of Greenwich, whether zoned: of each text."""
    local = np.full(len(texts), _UNREAD, np.int64)
    minutes = np.zeros(len(texts), np.int64)
    zoned = np.zeros(len(texts), bool)
    for pattern in _PATTERNS[notation]:
        found = pc.extract_regex(texts, pattern=f"^{pattern}$")
        rows = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False) & (local == _UNREAD))
        if not len(rows):
            continue
        taken = found.take(pa.array(rows))
        groups = {field.name: taken.field(field.name) for field in taken.type}
        local[rows] = _local(groups, len(rows))
        zones = groups.get("z", pa.array([""] * len(rows))).dictionary_encode()
        known = [_zone_minutes(zone) for zone in zones.dictionary.to_pylist()]
        index = zones.indices.to_numpy()
        minutes[rows] = np.array([zone or 0 for zone in known], np.int64)[index]
        zoned[rows] = np.array([bool(zone) for zone in zones.dictionary.to_pylist()], bool)[index]
        local[rows[np.array([zone is None for zone in known], bool)[index]]] = _UNREAD
    return local, local != _UNREAD, minutes, zoned


def _local(groups: dict[str, pa.Array], count: int) -> Whole:
    """(n,) milliseconds since 1970 in local time; the least number where there is no such time."""

    def number(name: str, otherwise: int = 0) -> Whole:
        if name not in groups:
            return np.full(count, otherwise, np.int64)
        column = groups[name]
        values: Whole = pc.if_else(pc.equal(column, ""), str(otherwise), column).cast(pa.int64()).to_numpy()
        return values

    year, day, hour, minute, second = number("Y"), number("D"), number("h"), number("m"), number("s")
    if "B" in groups:
        names = pc.utf8_lower(groups["B"])
        month = pc.index_in(names, value_set=pa.array(_NAMES)).to_numpy().astype(np.int64) + 1
    else:
        month = number("M")
    year = np.where(year < 69, year + 2000, np.where(year < 100, year + 1900, year))
    good = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    months = (year - 1970) * 12 + np.where(good, month, 1) - 1
    first = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    beyond = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    good &= first + day <= beyond
    if "p" in groups:
        half = pc.utf8_lower(groups["p"]).to_numpy(zero_copy_only=False)
        good &= (half == "") | ((hour >= 1) & (hour <= 12))
        hour = np.where(half == "p", hour % 12 + 12, np.where(half == "a", hour % 12, hour))
    thousandths = np.zeros(count, np.int64)
    if "f" in groups:
        padded = pc.utf8_slice_codeunits(pc.utf8_rpad(groups["f"], 3, "0"), 0, 3)
        thousandths = padded.cast(pa.int64()).to_numpy()
    time: Whole = (first + day - 1) * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1000 + thousandths
    return np.where(good, time, _UNREAD)


def _zone_minutes(zone: str) -> int | None:
    """Minutes east of Greenwich; None for an abbreviation that is not known."""
    zone = zone.upper()
    if zone in ZONES:
        return ZONES[zone]
    offset = re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?", zone)
    if offset is None or int(offset[2]) > 15 or int(offset[3] or 0) > 59:
        return None
    return (-1 if offset[1] == "-" else 1) * (int(offset[2]) * 60 + int(offset[3] or 0))


def _numbers(texts: pa.Array, notation: str, start: str | None) -> tuple[Whole, Mask, Whole]:
    """Times written as numbers: local time, whether readable, and zeros."""
    pattern = rf"^(?P<n>{_NUMBER})(?:\s+(?P<t>\d{{1,2}}(?::?\d{{2}}){{0,2}}))?$"
    found = pc.extract_regex(texts, pattern=pattern)
    readable = found.is_valid().to_numpy(zero_copy_only=False).copy()
    local = np.zeros(len(texts), np.int64)
    rows = np.flatnonzero(readable)
    zeros = np.zeros(len(texts), np.int64)
    if not len(rows):
        return local, readable, zeros
    taken = found.take(pa.array(rows))
    numbers = taken.field("n")
    if notation in ("us", "ns") and pc.all(pc.match_substring_regex(numbers, r"^-?\d{1,18}$")).as_py():
        local[rows] = numbers.cast(pa.int64()).to_numpy() // (1000 if notation == "us" else 1_000_000)
        return local, readable, zeros
    values = np.clip(pc.cast(numbers, pa.float64()).to_numpy(), -1e19, 1e19)
    if notation in EPOCH_UNITS:
        values = values * EPOCH_UNITS[notation]
    else:
        origin = date.fromisoformat(start or "1970-01-01").toordinal() - date(1970, 1, 1).toordinal()
        # to the second, since Excel's days are floats
        days = values - (_EXCEL_EPOCH_DAYS if notation == "excel" else -origin)
        values = np.rint(days * 86_400) * 1000 if notation == "excel" else np.rint(days * DAY_MS)
        clock = [_clock_ms(text) for text in taken.field("t").to_pylist()]
        values += np.array([0 if ms is None else ms for ms in clock], np.float64)
        readable[rows[np.array([ms is None for ms in clock], bool)]] = False
    fits = np.abs(values) < 2.6e14  # year 9999
    readable[rows[~fits]] = False
    local[rows] = np.rint(np.where(fits, values, 0)).astype(np.int64)
    return local, readable, zeros


def _clock_ms(text: str) -> int | None:
    """Milliseconds since midnight of an hour (14), a time (14:05:00) or digits (1405); None if it is no time of day."""
    if not text:
        return 0
    if text.isdigit() and len(text) > 2:
        text = ":".join(re.findall("..", text.zfill(len(text) + len(text) % 2)))
    parts = [int(part) for part in text.split(":")] + [0, 0]
    hour, minute, second = parts[:3]
    return ((hour * 60 + minute) * 60 + second) * 1000 if hour < 24 and minute < 60 and second < 60 else None


def _by_pattern(texts: pa.Array, pattern: str) -> tuple[Whole, Mask, Whole, Mask]:
    """Times by a pattern of strptime."""
    local = np.zeros(len(texts), np.int64)
    readable, zoned = np.zeros(len(texts), bool), np.zeros(len(texts), bool)
    minutes = np.zeros(len(texts), np.int64)
    epoch = datetime(1970, 1, 1)  # noqa: DTZ001  of local time
    for row, text in enumerate(texts.to_pylist()):
        try:
            moment = datetime.strptime(text, pattern)  # noqa: DTZ007  the pattern says whether there is a zone
        except (ValueError, re.error):
            continue
        offset = moment.utcoffset()
        readable[row], zoned[row] = True, offset is not None
        minutes[row] = 0 if offset is None else int(offset.total_seconds() // 60)
        local[row] = (moment.replace(tzinfo=None) - epoch).total_seconds() * 1000
    return local, readable, minutes, zoned


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
