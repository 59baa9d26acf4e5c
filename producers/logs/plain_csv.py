"""CSV logs, parsed by Arrow a block of lines at a time."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from producers.errors import LogError, OrderError
from producers.fields import FieldReader
from producers.logs.blocks import LONGEST_LINE_BYTES, TextFile
from producers.logs.chunks import Content, damaged
from producers.logs.columns import columns_of
from producers.logs.lines import read_lines
from producers.orders import Orders, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.log_format import LogFormat

_FIELD = rb'(?:"(?:[^"]++|"")*+"(?=[,\r\n]|\Z)|(?!")[^,\r\n]*+)'
_RECORD = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+(?=[\r\n]|\Z)")
_OPEN = re.compile(rb"(?:" + _FIELD + rb',)*+"(?:[^"]++|"")*+\Z')
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"')
_COMMA, _QUOTE, _NEWLINE, _RETURN = b',"\n\r'


class CsvLog:
    """A CSV file with a header, its fields separated by commas, in UTF-8.

    A quote that opens a field and is followed by text, never ends, or spans lines that are whole records themselves is
    a stray one: its line is rejected, and the next one is read.

    Args:
        path: the file.
        log_format: how it is read.

    Attributes:
        unfinished: whether the last line has no line end, or ends within quotes, and is left for the next time.
    """

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._last_counts = log_format.count_last_line or log_format.compression != "none"
        self._file = TextFile(path, gzipped=log_format.compression == "gzip", last_line=self._last_counts)
        self.unfinished = False
        head = self._file.head(1)
        if not head and self._file.damage:
            raise damaged(path, "its beginning", self._file.damage)
        if not head and self._file.unfinished:
            raise LogError(f"{path} has no whole line yet: its first line, which names the columns, has no line end")
        if not head:
            raise LogError(f"{path} is empty: a CSV log starts with a line that names its columns")
        try:
            header = next(csv.reader([head[0].decode("utf-8", "backslashreplace").rstrip("\r")]))
        except csv.Error as error:
            raise LogError(f"{path} starts with a line that is not CSV: {error}") from None
        self.names = header = [name.strip() for name in header]
        columns = columns_of(str(path), header, log_format)
        self._width = len(header)
        self._index = {field: header.index(column) for field, column in columns.items()}
        self._is_time = _reads_times(log_format)

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, the header being the first; a value that goes over several lines counts as one."""
        return f"line {position + 2:,}"

    def contents(self) -> Iterator[Content]:
        """As `Format` says."""
        self.unfinished = False
        end = 0
        rest = b""
        for number, block in enumerate(self._file.blocks()):
            data = rest + (block if number else block.partition(b"\n")[2])
            content, rest = self._parse(data, end, last=False)
            end = content.end
            yield content
        if rest and self._file.damage is None and self._last_counts:
            content, rest = self._parse(rest, end, last=True)
            end = content.end
            yield content
        self.unfinished = bool(rest or self._file.unfinished)
        if self._file.damage:
            raise damaged(self._path, self.place(end), self._file.damage)

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        orders, rejected = read_lines(content.lines(), content.positions, reader)
        return orders, np.ones(len(orders), bool), rejected

    def _parse(self, data: bytes, begin: int, *, last: bool) -> tuple[Content, bytes]:
        """The rows of whole lines, and the rest that goes on in lines to come, within quotes."""
        if not _has_empty_lines(data) and (_QUOTE not in data or _is_well_quoted(data)):
            columns, count = self._columns(data)
            if columns is not None:
                return Content(columns, np.arange(begin, begin + count), [], begin + count), b""
        records = _records(data, self._width, self._is_whole, last=last)
        columns, count = self._columns(b"".join(records.good))
        if columns is None or count != len(records.rows):
            columns = self._columns_slowly(records.good)
        positions = begin + np.array(records.rows, np.int64)
        rejected = [Rejection(begin + row, fault, text) for row, fault, text in records.faulty]
        return Content(columns, positions, rejected, begin + records.end), records.rest

    def _columns(self, data: bytes) -> tuple[dict[str, pa.Array] | None, int]:
        """The columns of whole records, and how many rows they have; None if there is anything wrong with them."""
        if not data:
            return {field: pa.array([], pa.binary()) for field in self._index}, 0
        names = [str(index) for index in range(self._width)]  # a header may name two columns alike
        wanted = list(dict.fromkeys(str(index) for index in self._index.values()))
        try:
            table = pa_csv.read_csv(
                pa.py_buffer(data),
                pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                pa_csv.ParseOptions(newlines_in_values=True),
                # as bytes, so that one value that is not UTF-8 spoils one line
                pa_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())),
            )
        except pa.ArrowInvalid:
            return None, 0
        return {field: _one_chunk(table.column(str(index))) for field, index in self._index.items()}, len(table)

    def _columns_slowly(self, records: list[bytes]) -> dict[str, pa.Array]:
        rows = [next(csv.reader([record.decode("utf-8", "surrogateescape")])) for record in records]
        return {
            field: pa.array([row[index].encode("utf-8", "surrogateescape") for row in rows], pa.binary())
            for field, index in self._index.items()
        }

    def _is_whole(self, line: bytes) -> bool:
        """Whether a line is a whole record: it has as many fields as the header, and a time where the time belongs."""
        try:
            row = next(csv.reader([line.decode("utf-8", "backslashreplace")]), [])
        except csv.Error:
            return False
        return len(row) == self._width and self._is_time(row[self._index["timestamp"]])


class _Records(NamedTuple):
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


def _records(data: bytes, width: int, is_whole: Callable[[bytes], bool], *, last: bool) -> _Records:
    """The records of a block, one line each or several where line ends stand in quotes.

    Args:
        data: whole lines, from the start of a record on.
        width: how many fields a record has.
        is_whole: whether a line is a whole record by itself.
        last: whether nothing follows: a quote that is open at the end is a stray one.
    """
    good: list[bytes] = []
    rows: list[int] = []
    faulty: list[tuple[int, str, str]] = []
    lines = data.splitlines(keepends=True)
    at = row = number = 0
    while number < len(lines):
        line = lines[number]
        record, fault, taken = line, "", 1
        if b'"' in line:
            found = _RECORD.match(data, at)
            if found is None:
                if not last and _is_open(data, at) and not any(map(is_whole, _shortened(lines[number + 1 :]))):
                    return _Records(good, rows, faulty, row, data[at:])
                fault = "a quote is opened and never closed, or followed by text"
            elif found.end() > at + len(line.rstrip(b"\r\n")):
                inside = data[at : found.end()].splitlines()
                if any(map(is_whole, inside[1:])):
                    fault = "a quote is opened and never closed: it would swallow whole lines"
                else:
                    taken = len(inside)
                    record = b"".join(lines[number : number + taken])
        if not fault and record.strip(b"\r\n"):
            fields = _QUOTED.sub(b"", record).count(b",") + 1 if b'"' in record else record.count(b",") + 1
            if fields != width:
                fault = f"the line has {fields} fields, the header {width}"
            else:
                good.append(record)
                rows.append(row)
        if fault:
            faulty.append((row, fault, record.rstrip(b"\r\n").decode("utf-8", "backslashreplace")))
        at += len(record)
        number += taken
        row += 1
    return _Records(good, rows, faulty, row, b"")


def _is_open(data: bytes, at: int) -> bool:
    """Whether a quote that is opened in the record from `at` on is open at the end of the data, not too far on."""
    return len(data) - at <= LONGEST_LINE_BYTES and _OPEN.match(data, at) is not None


def _shortened(lines: list[bytes]) -> list[bytes]:
    return lines[:1000]  # a stray quote swallows whole lines at once


def _is_well_quoted(data: bytes) -> bool:
    r"""Whether every quote opens a field, closes it or stands for a quote in it, and no line ends within quotes.

    >>> [_is_well_quoted(data) for data in (b'a,"b ""c"" ",d', b'a,5" nail,d', b'a,"b\n"')]
    [True, False, False]
    """
    content = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(content == _QUOTE)
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = content[opening - 1]
    starts = (opening == 0) | (before == _COMMA) | (before == _NEWLINE) | (before == _RETURN) | (before == _QUOTE)
    behind = content[np.minimum(closing + 1, len(content) - 1)]
    ends = (closing == len(content) - 1) | np.isin(behind, np.array([_COMMA, _NEWLINE, _RETURN, _QUOTE], np.uint8))
    doubled = (before == _QUOTE) & (opening > 0)
    # a quote before an opening one has to be the closing one right before it
    adjacent = np.zeros(len(opening), bool)
    adjacent[1:] = closing[:-1] == opening[1:] - 1
    if not (starts.all() and ends.all() and (adjacent == doubled).all()):
        return False
    line_ends = np.flatnonzero((content == _NEWLINE) | (content == _RETURN))
    return not (np.searchsorted(quotes, line_ends) % 2).any()


def _has_empty_lines(data: bytes) -> bool:
    return b"\n\n" in data or b"\n\r" in data or b"\r\r" in data or data.startswith((b"\n", b"\r"))


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _reads_times(log_format: LogFormat) -> Callable[[str], bool]:
    timestamps = FieldReader(log_format).timestamps

    def is_time(text: str) -> bool:
        try:
            timestamps.read(text)
        except OrderError:
            return False
        return True

    return is_time
