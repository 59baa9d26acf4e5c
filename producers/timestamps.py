"""Timestamps as milliseconds since 1970 UTC, whatever way a log writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.arrays import Mask, Whole, floats, moments, numerals, present, whole_numbers
from producers.errors import OrderError
from producers.layouts import matching
from producers.log_format import MISSING_TEXTS, LogFormat
from producers.notations import read_times
from producers.orders import DAY_MS, EARLIEST_MS
from producers.values import Value, absent, as_text, shown

SECONDS_BELOW = 1e11  # as seconds the year 5138, as milliseconds 1973: before any order
MILLISECONDS_BELOW = 1e14  # as microseconds 1973 again
MICROSECONDS_BELOW = 1e17
LATEST_MS = 253_402_300_799_999  # the end of year 9999
TEXTS_AT_ONCE = 1024  # one text that Arrow cannot read costs this many the quick way
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class TimestampReader:
    """Reads the timestamps of a log, and remembers whether a zone had to be assumed for any.

    In the format "iso" a timestamp is ISO 8601 with or without zone, a date, or Unix time: a number is seconds below
    10^11, milliseconds below 10^14, microseconds below 10^17, else nanoseconds. It must lie between 1990 and
    `latest_ms`.

    Args:
        latest_ms: the latest time an order can have; None: any.
        log_format: says how times are written, and the zone of those that name none.

    Attributes:
        utc_assumed: whether any timestamp read named no zone, and the format none but UTC.

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

    def __init__(self, latest_ms: int | None = None, log_format: LogFormat | None = None) -> None:
        log_format = log_format or LogFormat()
        self.latest_ms = LATEST_MS if latest_ms is None else latest_ms
        self.utc_assumed = False
        self._notation = log_format.timestamp_format
        self._timezone = log_format.timezone
        self._start = log_format.start

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
        if pa.types.is_string(column.type) and "%" not in self._notation and _begins_spaced(column):
            column = pc.ascii_trim(column, " ")
        if self._notation != "iso" and not pa.types.is_temporal(column.type):
            times, readable = self._read_otherwise(column)
        elif pa.types.is_string(column.type):
            times, readable = self._read_texts(column)
        elif pa.types.is_floating(column.type):
            numbers = floats(column)
            times, readable = _epoch(np.nan_to_num(numbers)), ~np.isnan(numbers)
        elif pa.types.is_integer(column.type):
            times, readable = _epoch(whole_numbers(column)), present(column)
        else:
            times, readable = _from_unit(column), present(column)
            if getattr(column.type, "tz", None) is None:
                times = self._in_zone(times)
        return times, readable & (times >= EARLIEST_MS) & (times <= self.latest_ms)

    def _milliseconds(self, value: Value) -> int:
        if isinstance(value, int) and self._notation == "iso":
            return _scaled(value)
        if absent(value) or (text := as_text(value).strip()).lower() in MISSING_TEXTS:
            raise OrderError("timestamp is missing")
        if self._notation != "iso":
            (time,), (readable,) = self._read_otherwise(pa.array([text]))
            if not readable:
                raise OrderError(f"timestamp {shown(value)} is no time of the form '{self._notation}'")
            return int(time)
        if isinstance(value, float) or NUMBER.fullmatch(text):
            return _scaled(int(text) if text.isdigit() else min(max(float(text), -1e30), 1e30))
        try:
            if isinstance(value, bytes):
                value.decode()  # spelt out, a byte that is no text might pass for a time
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise OrderError(f"timestamp {shown(value)} is not a date") from None
        if moment.tzinfo is None:
            bare = (moment.replace(tzinfo=UTC) - EPOCH) // MILLISECOND
            return int(self._in_zone(np.array([bare]))[0])
        return (moment - EPOCH) // MILLISECOND

    def _in_zone(self, local: Whole) -> Whole:
        """Local times as UTC: the earlier of two, and the moment of the change where the clock skips a time."""
        if self._timezone == "UTC":
            self.utc_assumed = True
            return local
        bounded = np.clip(local, -LATEST_MS, LATEST_MS)
        stamps = pa.array(bounded, pa.timestamp("ms"))
        zoned = pc.assume_timezone(stamps, self._timezone, ambiguous="earliest", nonexistent="latest")
        times: Whole = zoned.cast(pa.int64()).to_numpy()
        return times

    def _read_otherwise(self, column: pa.Array) -> tuple[Whole, Mask]:
        """A column in a notation other than ISO 8601."""
        texts = column if pa.types.is_string(column.type) else pc.cast(column, pa.string())
        times, readable, zoned = read_times(texts, self._notation, self._timezone, self._start)
        if self._timezone == "UTC" and not zoned[readable].all():
            self.utc_assumed = True
        return times, readable

    def _read_texts(self, texts: pa.Array) -> tuple[Whole, Mask]:
        readable = numerals(texts, 18)
        times = _epoch(whole_numbers(texts, readable))
        if not readable.all() and NUMBER.fullmatch(texts[int(np.argmin(readable))].as_py() or ""):
            self._read_fractions(texts, times, readable)
        if readable.all():
            return times, readable
        for first in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts.slice(first, TEXTS_AT_ONCE)
            rows = slice(first, first + len(part))
            if readable[rows].all():
                continue
            for zone in (None, "UTC"):
                try:
                    # nanoseconds, since Arrow refuses more decimals than the unit has
                    zoned = part.cast(pa.timestamp("ns", zone))
                except pa.ArrowInvalid:
                    continue
                read = _from_unit(zoned)
                times[rows], readable[rows] = self._in_zone(read) if zone is None else read, present(part)
                break
        self._read_fractions(texts, times, readable)
        return times, readable

    @staticmethod
    def _read_fractions(texts: pa.Array, times: Whole, readable: Mask) -> None:
        """Set the times of numbers that are not whole, or are in scientific notation, among those not read yet."""
        left = np.flatnonzero(~readable & present(texts))
        for layout, _ in matching(texts.take(pa.array(left)), [NUMBER]) if len(left) else ():
            if not layout.text.strip("0"):
                continue  # more digits than a float holds
            numbers = texts.take(pa.array(left[layout.rows])).cast(pa.float64()).to_numpy()
            times[left[layout.rows]], readable[left[layout.rows]] = _epoch(numbers), True


def _begins_spaced(text: pa.Array) -> bool:
    """Whether there are spaces around the first text, and so most likely around all."""
    first = text[0].as_py() if len(text) else None
    return first is not None and first != first.strip(" ")


def _scaled(number: float) -> int:
    """Unix time as milliseconds; anything beyond year 9999 as some time beyond it.

    >>> [_scaled(number) for number in (1483228800, 1483228800000, 1483228800000000, 1483228800000000000)]
    [1483228800000, 1483228800000, 1483228800000, 1483228800000]
    """
    size = abs(number)
    if size < SECONDS_BELOW:
        return round(number * 1000)
    if size < MILLISECONDS_BELOW:
        return round(number)
    if size < MICROSECONDS_BELOW:
        return round(number // 1000)
    return max(min(round(number // 1_000_000), LATEST_MS + 1), -LATEST_MS)


def _epoch(numbers: npt.NDArray[Any]) -> Whole:
    """`_scaled` of each."""
    if numbers.dtype.kind == "f":
        numbers = np.clip(numbers, -1e30, 1e30)
    size = np.abs(numbers)
    if not len(size) or size.max() < SECONDS_BELOW:
        seconds: Whole = np.rint(numbers * 1000).astype(np.int64)
        return seconds
    scales = np.select(
        [size < SECONDS_BELOW, size < MILLISECONDS_BELOW, size < MICROSECONDS_BELOW],
        [numbers * 1000.0, numbers, numbers // 1000],
        numbers // 1_000_000,
    )
    times: Whole = np.rint(np.clip(scales, -LATEST_MS, LATEST_MS + 1)).astype(np.int64)
    return times


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
