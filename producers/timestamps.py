"""Timestamps: each way in which logs write them, as milliseconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from producers.arrays import Mask, Whole, floats, moments, numerals, present, whole_numbers
from producers.errors import OrderError
from producers.fields import Value, absent, as_text, shown
from producers.orders import DAY_MS, EARLIEST_MS

SECONDS_BELOW = 100_000_000_000  # as seconds the year 5138, as milliseconds 1973: before any order
LATEST_MS = 253_402_300_799_999  # the end of year 9999
TEXTS_AT_ONCE = 1024  # one text that Arrow cannot read costs this many the quick way
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class TimestampReader:
    """Reads the timestamps of a log, and remembers whether UTC had to be assumed for any.

    A timestamp is ISO 8601 with or without zone, a date, or a number: seconds since 1970 below 100,000,000,000, else
    milliseconds. It must lie between 1990 and `latest_ms`.

    >>> timestamps = TimestampReader()
    >>> timestamps.read("2017-01-01T12:00:00+01:00"), timestamps.utc_assumed
    (1483268400000, False)
    >>> timestamps.read("2017-01-01"), timestamps.utc_assumed
    (1483228800000, True)
    >>> timestamps.read(1483228800), timestamps.read("1483228800000")
    (1483228800000, 1483228800000)
    >>> timestamps.read("2017-13-01")
    Traceback (most recent call last):
    producers.errors.OrderError: timestamp '2017-13-01' is not a date
    """

    def __init__(self, latest_ms: int | None = None) -> None:
        self.latest_ms = LATEST_MS if latest_ms is None else latest_ms
        self.utc_assumed = False

    def read(self, value: Value) -> int:
        """Milliseconds since 1970 UTC.

        Raises:
            OrderError: not a timestamp, before 1990 or after `latest_ms`.
        """
        time_ms = self._milliseconds(value)
        if EARLIEST_MS <= time_ms <= self.latest_ms:
            return time_ms
        if time_ms < EARLIEST_MS:
            raise OrderError(f"timestamp {shown(value)} is before 1990")
        latest = (EPOCH + self.latest_ms * MILLISECOND).strftime("%Y-%m-%d %H:%M:%SZ")
        raise OrderError(f"timestamp {shown(value)} is after {latest}, later than an order can be")

    def read_column(self, column: pa.Array) -> tuple[Whole, Mask]:
        """The same for an Arrow column of timestamps, dates, numbers or text, where that goes quickly.

        Returns:
            (n,) int64, milliseconds; and (n,) bool, whether the row was read: `read` decides about the others.
        """
        if pa.types.is_string(column.type):
            times, readable = self._read_texts(column)
        elif pa.types.is_floating(column.type):
            numbers = floats(column)
            times, readable = _epoch(np.nan_to_num(numbers)), ~np.isnan(numbers)
        elif pa.types.is_integer(column.type):
            times, readable = _epoch(whole_numbers(column)), present(column)
        else:
            times, readable = _from_unit(column), present(column)
            self.utc_assumed |= getattr(column.type, "tz", None) is None
        return times, readable & (times >= EARLIEST_MS) & (times <= self.latest_ms)

    def _milliseconds(self, value: Value) -> int:
        if isinstance(value, int):
            return value * 1000 if abs(value) < SECONDS_BELOW else value
        if absent(value):
            raise OrderError("timestamp is missing")
        text = as_text(value)
        if isinstance(value, float) or NUMBER.fullmatch(text):
            number = max(min(float(text), LATEST_MS + 1.0), -1.0 * LATEST_MS)
            return round(number * 1000 if abs(number) < SECONDS_BELOW else number)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise OrderError(f"timestamp {shown(value)} is not a date") from None
        if moment.tzinfo is None:
            self.utc_assumed = True
            moment = moment.replace(tzinfo=UTC)
        return (moment - EPOCH) // MILLISECOND

    def _read_texts(self, texts: pa.Array) -> tuple[Whole, Mask]:
        readable = numerals(texts, 18)
        times = _epoch(whole_numbers(texts, readable))
        if readable.all():
            return times, readable
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts.slice(first, TEXTS_AT_ONCE)
            rows = slice(first, first + len(part))
            for zone in (None, "UTC"):
                try:
                    # nanoseconds, since Arrow refuses more decimals than the unit has
                    zoned = part.cast(pa.timestamp("ns", zone))
                except pa.ArrowInvalid:
                    continue
                times[rows], readable[rows] = _from_unit(zoned), present(part)
                self.utc_assumed |= zone is None
                break
        return times, readable


def _epoch(numbers: Whole | npt.NDArray[np.float64]) -> Whole:
    """Seconds or milliseconds since 1970 as milliseconds; anything beyond year 9999 as some time beyond it."""
    bounded = np.clip(numbers, -10 * LATEST_MS, 10 * LATEST_MS)
    return np.rint(np.where(np.abs(bounded) < SECONDS_BELOW, bounded * 1000, bounded)).astype(np.int64)


def _from_unit(column: pa.Array) -> Whole:
    """A timestamp or date column as milliseconds; anything beyond year 9999 as some time beyond it."""
    times = moments(column)
    units = times.astype(np.int64)
    match np.datetime_data(times.dtype)[0]:
        case "D":
            return units * DAY_MS
        case "s":
            return np.clip(units, -LATEST_MS, LATEST_MS) * 1000
        case "ms":
            return units
        case "us":
            return units // 1000
        case _:
            return units // 1_000_000
