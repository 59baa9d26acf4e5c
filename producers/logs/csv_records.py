"""Records of delimited text: one line each, or several where line ends stand in quotes.

A quote that opens a field and is followed by text, never ends, or spans lines that are whole records themselves is a
stray one: its line is rejected, and the next one is read.
"""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from producers.errors import OrderError
from producers.fields import FieldReader
from producers.logs.blocks import LONGEST_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.arrays import Mask, Whole
    from producers.log_format import LogFormat

MOST_LINES_AHEAD = 1000  # a stray quote swallows whole lines at once
_NEWLINE, _RETURN = b"\n\r"


class Records(NamedTuple):
    """The records of some lines."""

    good: list[bytes]
    rows: list[int]
    """Of `good`: which record of the block, empty lines included."""
    faulty: list[tuple[int, str, str]]
    """Row, fault and text of each invalid record."""
    end: int
    """How many records there are."""
    rest: bytes
    """What may go on in lines to come."""


class CsvRecords:
    """Divides text in UTF-8 into records of a dialect.

    Args:
        names: of the columns.
        log_format: how the text is read.
        separator: between fields, one byte; by default the format's.
        width: how many fields a record has; by default as many as there are columns.
        no_rows: matches lines that are no data, unless they are whole records; None: there are none.
    """

    def __init__(
        self,
        names: Sequence[str],
        log_format: LogFormat,
        separator: str | None = None,
        width: int | None = None,
        no_rows: re.Pattern[bytes] | None = None,
    ) -> None:
        self._separator = (separator or log_format.separator).encode()
        self._quote = log_format.quote.encode()
        self._escape = log_format.escape.encode()
        self._width = width or len(names)
        self._no_rows = no_rows
        self._no_row_lines = None if no_rows is None else re.compile(rb"(?m)^(?:%s)\r?$" % no_rows.pattern)
        self._dialect = {
            "delimiter": self._separator.decode(),
            "quotechar": log_format.quote or None,
            "quoting": csv.QUOTE_MINIMAL if log_format.quote else csv.QUOTE_NONE,
            "escapechar": log_format.escape or None,
            "doublequote": not log_format.escape,
        }
        self._times = [names.index(name) for name in log_format.column_of("timestamp") if name in names]
        self._is_time = _reads_times(log_format)
        self._filled_down = "timestamp" in log_format.fill_down
        mark, quote, escape = map(re.escape, (self._separator, self._quote or b"\0", self._escape or b"\0"))
        inside = rb"[^%s%s]++|%s." % (quote, escape, escape) if self._escape else rb"[^%s]++|%s%s" % ((quote,) * 3)
        plain = rb"(?:[^%s\r\n%s]++|%s.)*+" % (mark, escape, escape) if self._escape else rb"[^%s\r\n]*+" % mark
        self._quoted = re.compile(rb"(\A|%s)%s(?:%s)*+%s" % (mark, quote, inside, quote), re.DOTALL)
        field = rb"(?:%s(?:%s)*+%s(?=[%s\r\n]|\Z)|(?!%s)%s)" % (quote, inside, quote, mark, quote, plain)
        self._record = re.compile(rb"%s(?:%s%s)*+(?=[\r\n]|\Z)" % (field, mark, field), re.DOTALL)
        self._open = re.compile(rb"(?:%s%s)*+%s(?:%s)*+\Z" % (field, mark, quote, inside), re.DOTALL)
        self._escaped = re.compile(rb"%s." % escape, re.DOTALL)

    def are_lines(self, data: bytes) -> bool:
        """Whether each line is a record: quotes, if any, open and close fields, and hold no line end."""
        unescaped = self._without_escapes(data)
        if unescaped is None:
            return False
        if not self._quote or self._quote not in unescaped:
            return True
        content = np.frombuffer(unescaped, np.uint8)
        quotes = np.flatnonzero(content == self._quote[0])
        if not is_well_quoted(content, quotes, self._separator, doubled=not self._escape):
            return False
        return not _within(np.flatnonzero((content == _NEWLINE) | (content == _RETURN)), quotes).any()

    def divide(self, data: bytes, *, last: bool) -> Records:
        """The records of a block.

        Args:
            data: whole lines, from the start of a record on.
            last: whether nothing follows: a quote that is open at the end is a stray one.
        """
        return self._divide_at_once(data, last=last) or self._divide_one_by_one(data, last=last)

    def _divide_at_once(self, data: bytes, *, last: bool) -> Records | None:
        """As `divide` says; None if a quote may be a stray one, or a line no data."""
        unescaped = self._without_escapes(data)
        if unescaped is None or (b"\r" in data and data.count(b"\r") != data.count(b"\r\n")):
            return None
        if self._no_row_lines is not None and self._no_row_lines.search(data):
            return None
        content = np.frombuffer(unescaped, np.uint8)
        quotes = np.flatnonzero(content == self._quote[0]) if self._quote else np.zeros(0, np.intp)
        line_ends = np.flatnonzero(content == _NEWLINE) + 1
        if data and not data.endswith(b"\n"):
            line_ends = np.append(line_ends, len(data))
        inside = _within(line_ends, quotes)
        ends = line_ends[~inside]
        begins = np.append(0, ends)
        whole, begins = int(begins[-1]), begins[:-1]
        if whole < len(data) and (last or not self._is_open(data, whole)):
            return None
        content, quotes = content[:whole], quotes[quotes < whole]
        if not is_well_quoted(content, quotes, self._separator, doubled=not self._escape):
            return None
        further = zip(line_ends[:-1][inside[:-1]].tolist(), line_ends[1:][inside[:-1]].tolist(), strict=True)
        if any(self._is_whole(data[begin:end].rstrip(b"\r\n")) for begin, end in further):
            return None
        marks = np.flatnonzero(content == self._separator[0])
        fields = 1 + np.diff(np.searchsorted(marks[~_within(marks, quotes)], ends), prepend=0)
        empty = (content[begins] == _NEWLINE) | (content[begins] == _RETURN)
        good = np.flatnonzero(~empty & (fields == self._width)).tolist()
        faulty = np.flatnonzero(~empty & (fields != self._width)).tolist()
        records = [data[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        return Records(
            records if len(good) == len(records) else [records[row] for row in good],
            good,
            [(row, miscounted(int(fields[row]), self._width), _shown(records[row])) for row in faulty],
            len(records),
            data[whole:],
        )

    def _without_escapes(self, data: bytes) -> bytes | None:
        """The data with other text for each escape and what it escapes; None if that is a line end, or nothing."""
        if not self._escape or self._escape not in data:
            return data
        for sign in (self._escape, self._quote, self._separator):  # the escape itself first
            data = data.replace(self._escape + sign, b"xx") if sign else data
        ends = data.endswith(self._escape) or self._escape + b"\n" in data or self._escape + b"\r" in data
        return None if ends else data

    def _divide_one_by_one(self, data: bytes, *, last: bool) -> Records:
        good: list[bytes] = []
        rows: list[int] = []
        faulty: list[tuple[int, str, str]] = []
        lines = data.splitlines(keepends=True)
        at = row = number = 0
        while number < len(lines):
            line = lines[number]
            record, fault, taken = line, "", 1
            bare = line.rstrip(b"\r\n")
            if self.is_no_row(bare):
                record = line[len(bare) :]
            elif self._is_special(line):
                taken, fault = self._taken(data, at, lines, number, last=last)
                if not taken:
                    return Records(good, rows, faulty, row, data[at:])
                record = b"".join(lines[number : number + taken])
            if not fault and record.strip(b"\r\n"):
                fault = self._miscounted(record)
                if not fault:
                    good.append(record)
                    rows.append(row)
            if fault:
                faulty.append((row, fault, _shown(record)))
            at += sum(map(len, lines[number : number + taken]))
            number += taken
            row += 1
        return Records(good, rows, faulty, row, b"")

    def is_no_row(self, line: bytes) -> bool:
        """Whether a line, without its end, is no data. A whole record is data, whatever it looks like."""
        return self._no_rows is not None and bool(self._no_rows.fullmatch(line)) and not self._is_whole(line)

    def fields(self, record: bytes) -> list[str]:
        """The fields of a record."""
        lines = io.StringIO(record.decode("utf-8", "surrogateescape"), newline="")
        return next(csv.reader(lines, **self._dialect), [])  # type: ignore[arg-type]

    def _is_special(self, line: bytes) -> bool:
        return bool(self._quote and self._quote in line) or bool(self._escape and self._escape in line)

    def _taken(self, data: bytes, at: int, lines: list[bytes], number: int, *, last: bool) -> tuple[int, str]:
        """How many lines the record from `at` on takes, none if it may go on beyond them all; and what is wrong."""
        found = self._record.match(data, at)
        if found is None:
            ahead = lines[number + 1 : number + 1 + MOST_LINES_AHEAD]
            if not last and self._is_open(data, at) and not any(map(self._is_whole, ahead)):
                return 0, ""
            return 1, "a quote is opened and never closed, or followed by text"
        if found.end() <= at + len(lines[number].rstrip(b"\r\n")):
            return 1, ""
        inside = data[at : found.end()].splitlines()
        if any(map(self._is_whole, inside[1:])):
            return 1, "a quote is opened and never closed: it would swallow whole lines"
        return len(inside), ""

    def _miscounted(self, record: bytes) -> str:
        """What is wrong with the number of a record's fields; "" if nothing is."""
        special = self._is_special(record)
        marks = self._quoted.sub(rb"\1", record) if special and self._quote else record
        marks = self._escaped.sub(b"", marks) if special and self._escape else marks
        return miscounted(marks.count(self._separator) + 1, self._width)

    def _is_open(self, data: bytes, at: int) -> bool:
        """Whether a quote opened in the record from `at` on is open at the end of the data, not too far on."""
        return len(data) - at <= LONGEST_LINE_BYTES and self._open.match(data, at) is not None

    def _is_whole(self, line: bytes) -> bool:
        """Whether a line is a whole record: it has as many fields as the header, and a time where the time belongs."""
        if line.count(self._separator) + 1 < self._width:
            return False
        try:
            row = self.fields(line)
        except csv.Error:
            return False
        if len(row) != self._width:
            return False
        time = " ".join(row[place].strip() for place in self._times)
        return not self._times or self._is_time(time) or (self._filled_down and not time.strip())


def miscounted(fields: int, width: int) -> str:
    """What is wrong with a record of so many fields; "" if nothing is."""
    return f"the line has {fields} fields, the header {width}" if fields != width else ""


def has_empty_lines(data: bytes) -> bool:
    """Whether a line is empty."""
    returns = b"\r" in data and (b"\n\r" in data or b"\r\r" in data)
    return b"\n\n" in data or returns or data.startswith((b"\n", b"\r"))


def filled_lines(block: bytes) -> Whole:
    """The numbers of the lines of a block that are not empty."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.append(0, ends[:-1] + 1)
    content = np.frombuffer(block, np.uint8)
    lengths = ends - starts
    lone = (lengths == 1) & (content[np.minimum(starts, len(block) - 1)] == ord("\r"))
    return np.flatnonzero((lengths > 0) & ~lone)


def is_well_quoted(
    content: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp], separator: bytes, *, doubled: bool = True
) -> bool:
    r"""Whether every quote of some records opens a field, closes it or, `doubled`, is text in it.

    Args:
        content: the records.
        quotes: where they stand in it.
        separator: one byte.
        doubled: whether two quotes are a quote within a field.

    >>> texts = [np.frombuffer(data, np.uint8) for data in (b'a,"b ""c"" ",d', b'a,5" nail,d', b'a,"b\n"')]
    >>> [is_well_quoted(text, np.flatnonzero(text == ord('"')), b",") for text in texts]
    [True, False, True]
    """
    if not len(quotes) or len(quotes) % 2:
        return not len(quotes)
    mark, sign = separator[0], content[quotes[0]]
    opening, closing = quotes[::2], quotes[1::2]
    before = content[opening - 1]
    starts = (opening == 0) | (before == mark) | (before == _NEWLINE) | (before == _RETURN) | (before == sign)
    behind = content[np.minimum(closing + 1, len(content) - 1)]
    ends = (closing == len(content) - 1) | np.isin(behind, np.array([mark, _NEWLINE, _RETURN, sign], np.uint8))
    behind_quote = (before == sign) & (opening > 0)
    # a quote before an opening one has to be the closing one right before it
    adjacent = np.zeros(len(opening), bool)
    adjacent[1:] = closing[:-1] == opening[1:] - 1
    well_placed = starts.all() and ends.all() and (adjacent == behind_quote).all()
    return bool(well_placed and (doubled or not adjacent.any()))


def _within(places: npt.NDArray[np.intp], quotes: npt.NDArray[np.intp]) -> Mask:
    """(n,) which places, in the order of the text, are within quotes, if each quote opens or closes a field."""
    inside: Mask = np.searchsorted(quotes, places) % 2 == 1
    return inside


def _shown(record: bytes) -> str:
    """A record as text."""
    return record.rstrip(b"\r\n").decode("utf-8", "backslashreplace")


def _reads_times(log_format: LogFormat) -> Callable[[str], bool]:
    timestamps = FieldReader(log_format).timestamps

    def is_time(text: str) -> bool:
        try:
            timestamps.read(text)
        except OrderError:
            return False
        return True

    return is_time
