"""Delimited text of any dialect as a table."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from producers.errors import LogError
from producers.logs.tables.encoded_text import TextOfAnyEncoding
from producers.logs.tables.table import TableBatch, utf8
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Whole
    from producers.log_format import LogFormat


class DelimitedTable:
    """Delimited text of any dialect."""

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._text = TextOfAnyEncoding(path, log_format, quoted=log_format.quote == '"' and not log_format.escape)
        patterns = list(log_format.footers)
        if log_format.comment:
            patterns.append(re.escape(log_format.comment) + ".*")
        joined = "|".join(f"(?:{pattern})" for pattern in patterns)
        self._no_rows = re.compile(rf"(?m)^(?:{joined})\r?$".encode()) if patterns else None
        self._head_lines = log_format.skip_lines + (1 if log_format.header else 0)
        names = list(log_format.names) or self._header()
        self._width = len(names) + (1 if log_format.trailing_separator else 0)
        self.names = [name.strip() for name in names]

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._text.fraction

    @property
    def unfinished(self) -> bool:
        """Whether a last line without line end was left out."""
        return bool(self._text.unfinished)

    def place(self, position: int) -> str:
        """The line; a value that goes over several lines counts as one."""
        return f"line {position + 1 + self._head_lines:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = {column: self.names.index(column) for column in columns}
        end, left = 0, self._head_lines
        for block in self._text.blocks():
            below = block
            while left and below:
                below = below.partition(b"\n")[2]
                left -= 1
            batch = self._parse(below if self._no_rows is None else self._no_rows.sub(b"", below), end, index)
            end = batch.end
            yield batch
        if self._text.damage:
            raise LogError(
                f"{self._path} is damaged or cut short at {self.place(end)} ({self._text.damage}): "
                "fetch it again and go on; what was read before the damage stays counted"
            )

    def _header(self) -> list[str]:
        lines = next(self._text.blocks(), b"").decode("utf-8", "backslashreplace").split("\n")[: self._head_lines]
        if len(lines) < self._head_lines:
            raise LogError(f"{self._path} has no line {self._head_lines}, where its header should be")
        rows = split([lines[-1]], self._format.separator, self._format.quote, self._format.escape)
        names = next(iter(rows), [])
        return names[:-1] if self._format.trailing_separator and names and not names[-1].strip() else names

    def _parse(self, block: bytes, begin: int, index: dict[str, int]) -> TableBatch:
        quoted = bool(self._format.quote) and self._format.quote.encode() in block
        empty = block.startswith((b"\n", b"\r")) or b"\n\n" in block or b"\n\r\n" in block
        single, change = one_character(self._format.separator)
        if change[0]:
            block = block.replace(change[0].encode(), change[1].encode())
        if quoted and (empty or self._format.escape or block.count(self._format.quote.encode()) % 2):
            return self._parse_slowly(block, begin, index)
        lines = _filled_lines(block) if empty else None
        broken: list[pa_csv.InvalidRow] = []

        def reject(row: pa_csv.InvalidRow) -> str:
            broken.append(row)
            return "skip"

        names = [str(number) for number in range(self._width)]
        wanted = [str(number) for number in index.values()]
        if not block.strip():
            return TableBatch(
                {column: pa.array([], pa.binary()) for column in index},
                np.zeros(0, np.int64), False, [], begin + block.count(b"\n"),
            )  # fmt: skip
        try:
            block.decode()
            handler = reject
        except UnicodeDecodeError:
            handler = None  # Arrow cannot show broken lines that are not UTF-8
        try:
            table = pa_csv.read_csv(
                pa.py_buffer(block),
                pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                pa_csv.ParseOptions(
                    delimiter=single,
                    quote_char=self._format.quote or False,
                    escape_char=self._format.escape or False,
                    newlines_in_values=quoted,
                    invalid_row_handler=handler,
                ),
                pa_csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(wanted)), column_types=dict.fromkeys(wanted, pa.binary())
                ),
            )
        except pa.ArrowInvalid:
            return self._parse_slowly(block, begin, index)
        if any("\n" in row.text for row in broken):
            return self._parse_slowly(block, begin, index)
        count = len(table) + len(broken)
        if lines is None:
            lines, end = np.arange(count), begin + count
        else:
            end = begin + block.count(b"\n") + (not block.endswith(b"\n"))
        rejected = [
            Rejection(begin + int(lines[row.number - 1]), _miscounted(row.actual_columns, self._width), row.text)
            for row in broken
        ]
        columns = {column: _one_chunk(table.column(str(number))) for column, number in index.items()}
        positions = begin + np.delete(lines, [row.number - 1 for row in broken])
        return TableBatch(columns, positions, False, rejected, end)

    def _parse_slowly(self, block: bytes, begin: int, index: dict[str, int]) -> TableBatch:
        rejected: list[Rejection] = []
        rows: list[list[str]] = []
        positions: list[int] = []
        end = begin
        separator = one_character(self._format.separator)[0]
        for position, (row, fault, text) in enumerate(
            records_of(block, self._width, separator, self._format.quote, self._format.escape), begin
        ):
            end = position + 1
            if fault:
                rejected.append(Rejection(position, fault, _shown(text)))
            elif row:
                rows.append(row)
                positions.append(position)
        columns = {
            column: pa.array([row[number].encode("utf-8", "surrogateescape") for row in rows], pa.binary())
            for column, number in index.items()
        }
        return TableBatch(columns, np.array(positions, np.int64), False, rejected, end)


def _filled_lines(block: bytes) -> Whole:
    """The numbers of the lines of a block that are not empty."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.append(0, ends[:-1] + 1)
    content = np.frombuffer(block, np.uint8)
    lengths = ends - starts
    lone = (lengths == 1) & (content[np.minimum(starts, len(block) - 1)] == ord("\r"))
    return np.flatnonzero((lengths > 0) & ~lone)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def records_of(
    block: bytes, width: int, separator: str, quote: str, escape: str
) -> Iterator[tuple[list[str], str, str]]:
    """Each record of a block: its fields, none if it is an empty line; what is wrong with it, if anything; its text.

    A record over several lines with something wrong is given up after its first line: a stray quote would swallow good
    lines up to the next quote.
    """
    lines = list(io.StringIO(block.decode("utf-8", "surrogateescape"), newline=""))
    first = 0
    while first < len(lines):
        begin = first
        reader = csv.reader(
            map(lines.__getitem__, range(first, len(lines))),
            delimiter=separator,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            escapechar=escape or None,
            doublequote=not escape,
        )
        while first < len(lines):
            try:
                row = next(reader)
                fault = _miscounted(len(row), width) if row and len(row) != width else ""
            except csv.Error as error:
                row, fault = [], f"not CSV: {error}"
            end = begin + reader.line_num
            text = "".join(lines[first:end])
            if end > first + 1 and end == len(lines) and text.count(quote or '"') % 2:
                fault = "a quote is opened and never closed"
            if fault and end > first + 1:
                yield row, fault, lines[first]
                first += 1
                break
            yield row, fault, text
            first = end


def _miscounted(fields: int, width: int) -> str:
    return f"the line has {fields} fields, the header {width}"


def _shown(text: str) -> str:
    return utf8(text.rstrip("\r\n")).decode("utf-8", "backslashreplace")


def split(lines: Iterable[str], separator: str, quote: str, escape: str) -> Iterable[list[str]]:
    r"""The fields of lines.

    >>> list(split(['a::"b', 'c"::d'], "::", '"', "")), list(split([r'a|"b\"c"'], "|", '"', "\\"))
    ([['a', 'b\nc', 'd']], [['a', 'b"c']])
    """
    single, change = one_character(separator)
    reader = csv.reader(
        ((line.replace(*change) if change[0] else line) + "\n" for line in lines),
        delimiter=single,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        escapechar=escape or None,
        doublequote=not escape,
    )
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            continue


def one_character(separator: str) -> tuple[str, tuple[str, str]]:
    r"""A separator of one character in place of one of any length, and what to replace in lines for it by what.

    >>> one_character("::"), one_character(", "), one_character(";")
    (('\x1f', ('::', '\x1f')), (',', (', "', ',"')), (';', ('', '')))
    """
    if len(separator) == 2 and separator[1] == " ":
        return separator[0], (f'{separator}"', f'{separator[0]}"')
    return (separator, ("", "")) if len(separator) == 1 else ("\x1f", (separator, "\x1f"))
