"""CSV logs, parsed by Arrow a block of lines at a time."""

from __future__ import annotations

import codecs
import csv
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from producers.errors import LogError
from producers.logs.blocks import TextFile
from producers.logs.chunks import Content, damaged
from producers.logs.columns import columns_of
from producers.logs.csv_records import CsvRecords, filled_lines, has_empty_lines
from producers.logs.lines import read_lines
from producers.orders import Orders, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.log_format import LogFormat


class CsvLog:
    """A CSV file with a header, its fields separated by commas, in UTF-8.

    `CsvRecords` says what becomes of stray quotes.

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
        self._records = CsvRecords(header, log_format)

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, the header being the first; a value that goes over several lines counts as one."""
        return f"line {position + 2:,}"

    def contents(self, _start: int = 0, /) -> Iterator[Content]:
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
        empty = has_empty_lines(data)
        # a return alone ends a line, too
        if self._records.are_lines(data) and not (empty and data.count(b"\r") != data.count(b"\r\n")):
            columns, count = self._columns(data)
            lines, end = np.arange(count), begin + count
            if empty:
                lines, end = filled_lines(data), begin + data.count(b"\n") + (not data.endswith(b"\n"))
            if columns is not None and len(lines) == count:
                return Content(columns, begin + lines, [], end), b""
        records = self._records.divide(data, last=last)
        columns, count = self._columns(b"".join(records.good))
        if columns is None or count != len(records.rows):
            columns = self._columns_slowly(records.good)
        positions = begin + np.array(records.rows, np.int64)
        rejected = [Rejection(begin + row, fault, text) for row, fault, text in records.faulty]
        return Content(columns, positions, rejected, begin + records.end), records.rest

    def _columns(self, data: bytes) -> tuple[dict[str, pa.Array] | None, int]:
        """The columns of whole records, and how many rows they have; None if there is anything wrong with them."""
        if data.startswith(codecs.BOM_UTF8):
            return None, 0  # Arrow would take it off, though it is text wherever a block does not begin
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
        rows = [self._records.fields(record) for record in records]
        return {
            field: pa.array([row[index].encode("utf-8", "surrogateescape") for row in rows], pa.binary())
            for field, index in self._index.items()
        }


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
