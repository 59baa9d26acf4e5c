"""CSV logs, parsed by Arrow a block of lines at a time."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from producers.blocks import TextFile
from producers.chunks import Chunk, check_length, damaged
from producers.columns import find_columns
from producers.errors import LogError
from producers.lines import read_lines
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from producers.arrays import Whole
    from producers.fields import FieldReader


class CsvLog:
    """A CSV file with a header, its fields separated by commas."""

    rows_total: int | None = None

    def __init__(self, path: Path, wanted: Mapping[str, str]) -> None:
        self._path = path
        self._file = TextFile(path, quoted=True)
        head = self._file.head(1)
        if not head and self._file.damage:
            raise damaged(path, "its beginning", self._file.damage)
        if not head:
            raise LogError(f"{path} is empty: a CSV log starts with a line that names its columns")
        try:
            header = next(csv.reader([head[0].decode("utf-8", "backslashreplace").rstrip("\r")]))
        except csv.Error as error:
            raise LogError(f"{path} starts with a line that is not CSV: {error}") from None
        columns = find_columns(str(path), header, wanted)
        self._width = len(header)
        self._index = {field: header.index(column) for field, column in columns.items()}

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, the header being the first; a value that goes over several lines counts as one."""
        return f"line {position + 2:,}"

    def chunks(self, start_row: int, most: int, reader: FieldReader) -> Iterator[Chunk]:
        """As `Format` says."""
        end = 0
        for number, block in enumerate(self._file.blocks()):
            begin = end
            lines, positions, broken, end = self._parse(block if number else block.partition(b"\n")[2], begin)
            for first in range(max(begin, start_row), end, most):
                beyond = min(first + most, end)
                rows = slice(*np.searchsorted(positions, [first, beyond]).tolist())
                orders, rejected = read_lines(lines[rows], positions[rows], reader)
                rejected += [line for line in broken if first <= line.position < beyond]
                yield Chunk(orders, np.ones(len(orders), bool), sorted(rejected), beyond)
        if self._file.damage:
            raise damaged(self._path, self.place(end), self._file.damage)
        check_length(self._path, end, start_row)

    def _parse(self, block: bytes, begin: int) -> tuple[pa.RecordBatch, Whole, list[Rejection], int]:
        """The lines of a block with as many fields as the header, their positions; the other lines; the block's end."""
        if b"\n\n" in block or b"\n\r\n" in block or block.startswith((b"\n", b"\r")) or block.count(b'"') % 2:
            return self._parse_slowly(block, begin)  # Arrow would not count empty lines
        broken: list[pa_csv.InvalidRow] = []

        def reject(row: pa_csv.InvalidRow) -> str:
            broken.append(row)
            return "skip"

        names = [str(index) for index in range(self._width)]  # a header may name two columns alike
        wanted = [str(index) for index in self._index.values()]
        try:
            table = pa_csv.read_csv(
                pa.py_buffer(block),
                pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                pa_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=reject if _is_utf8(block) else None),
                # as bytes, so that one value that is not UTF-8 spoils one line
                pa_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())),
            )
        except pa.ArrowInvalid:
            return self._parse_slowly(block, begin)
        if any("\n" in row.text for row in broken):
            return self._parse_slowly(block, begin)
        lines = pa.RecordBatch.from_arrays([_one_chunk(column) for column in table.columns], names=list(self._index))
        end = begin + len(lines) + len(broken)
        rejected = [
            Rejection(begin + row.number - 1, _miscounted(row.actual_columns, self._width), row.text) for row in broken
        ]
        return lines, np.delete(np.arange(begin, end), [row.number - 1 for row in broken]), rejected, end

    def _parse_slowly(self, block: bytes, begin: int) -> tuple[pa.RecordBatch, Whole, list[Rejection], int]:
        """The same for blocks with empty lines, stray quotes, or broken lines that are not UTF-8."""
        rejected: list[Rejection] = []
        rows: list[list[str]] = []
        positions: list[int] = []
        end = begin
        for position, (row, fault, text) in enumerate(_records(block, self._width), begin):
            end = position + 1
            if fault:
                line = _bytes(text.rstrip("\r\n")).decode("utf-8", "backslashreplace")
                rejected.append(Rejection(position, fault, line))
            elif row:
                rows.append(row)
                positions.append(position)
        columns = [pa.array([_bytes(row[index]) for row in rows], pa.binary()) for index in self._index.values()]
        lines = pa.RecordBatch.from_arrays(columns, names=list(self._index))
        return lines, np.array(positions, np.int64), rejected, end


def _records(block: bytes, width: int) -> Iterator[tuple[list[str], str, str]]:
    """Each record of a block: its fields, none if it is an empty line; what is wrong with it, if anything; its text.

    A record over several lines with something wrong is given up after its first line: a stray quote would swallow good
    lines up to the next quote.
    """
    lines = list(io.StringIO(block.decode("utf-8", "surrogateescape"), newline=""))
    first = 0
    while first < len(lines):
        begin, reader = first, csv.reader(map(lines.__getitem__, range(first, len(lines))))
        while first < len(lines):
            try:
                row = next(reader)
                fault = _miscounted(len(row), width) if row and len(row) != width else ""
            except csv.Error as error:
                row, fault = [], f"not CSV: {error}"
            end = begin + reader.line_num
            text = "".join(lines[first:end])
            if end > first + 1 and end == len(lines) and text.count('"') % 2:
                fault = "a quote is opened and never closed"
            if fault and end > first + 1:
                yield row, fault, lines[first]
                first += 1
                break
            yield row, fault, text
            first = end


def _miscounted(fields: int, width: int) -> str:
    return f"the line has {fields} fields, the header {width}"


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _is_utf8(block: bytes) -> bool:
    """Whether Arrow can show us the block's broken lines: it fails over one that is not UTF-8."""
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
