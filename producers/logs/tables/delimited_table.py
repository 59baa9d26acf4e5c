"""Delimited text of any dialect as a table."""

from __future__ import annotations

import codecs
import csv
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from producers.errors import LogError
from producers.logs.csv_records import CsvRecords, filled_lines, has_empty_lines, miscounted
from producers.logs.tables.encoded_text import TextOfAnyEncoding
from producers.logs.tables.table import TableBatch
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat


class DelimitedTable:
    """Delimited text of any dialect. `CsvRecords` says what becomes of stray quotes.

    Attributes:
        unfinished: whether the last line has no line end, or ends within quotes, and is left for the next time.
    """

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._text = TextOfAnyEncoding(path, log_format, quoted=False)
        self._last_counts = log_format.count_last_line or log_format.compression != "none"
        self.unfinished = False
        patterns = list(log_format.footers)
        if log_format.comment:
            patterns.append(re.escape(log_format.comment) + ".*")
        joined = "|".join(f"(?:{pattern})" for pattern in patterns).encode()
        self._no_rows = re.compile(rb"(?m)^(?:%s)\r?$" % joined) if patterns else None
        self._head_lines = log_format.skip_lines + (1 if log_format.header else 0)
        names = list(log_format.names) or self._header()
        self._width = len(names) + (1 if log_format.trailing_separator else 0)
        self.names = [name.strip() for name in names]
        self._separator, self._change = one_character(log_format.separator)
        no_row = re.compile(joined) if patterns else None
        self._records = CsvRecords(self.names, log_format, self._separator, self._width, no_row)

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._text.fraction

    def place(self, position: int) -> str:
        """The line; a value that goes over several lines counts as one."""
        return f"line {position + 1 + self._head_lines:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = {column: self.names.index(column) for column in columns}
        end, left, rest = 0, self._head_lines, b""
        self.unfinished = False
        for block in self._text.blocks():
            below = block
            while left and below:
                below = below.partition(b"\n")[2]
                left -= 1
            if self._change[0]:
                below = below.replace(self._change[0].encode(), self._change[1].encode())
            batch, rest = self._parse(rest + below, end, index, last=False)
            end = batch.end
            yield batch
        if rest and self._text.damage is None and self._last_counts:
            batch, rest = self._parse(rest, end, index, last=True)
            end = batch.end
            yield batch
        self.unfinished = bool(rest or self._text.unfinished)
        if self._text.damage:
            raise LogError(
                f"{self._path} is damaged or cut short at {self.place(end)} ({self._text.damage}): "
                "fetch it again and go on; what was read before the damage stays counted"
            )

    def _header(self) -> list[str]:
        if not self._format.header:
            raise LogError(f"{self._path} has no line end yet: its columns are counted in its first whole line")
        lines = next(self._text.blocks(), b"").decode("utf-8", "backslashreplace").split("\n")[: self._head_lines]
        if len(lines) < self._head_lines:
            raise LogError(f"{self._path} has no line {self._head_lines}, where its header should be")
        rows = split([lines[-1]], self._format.separator, self._format.quote, self._format.escape)
        names = next(iter(rows), [])
        if not names:
            raise LogError(
                f"{self._path} line {self._head_lines}, where its header should be, has no columns: it is empty, or a "
                "carriage return divides it: write the names of the columns in one line"
            )
        return names[:-1] if self._format.trailing_separator and names and not names[-1].strip() else names

    def _parse(self, data: bytes, begin: int, index: dict[str, int], *, last: bool) -> tuple[TableBatch, bytes]:
        """The rows of whole lines, and the rest that goes on in lines to come, within quotes."""
        if self._records.are_lines(data):
            lines = data if self._no_rows is None else self._no_rows.sub(self._left_out, data)
            batch = self._rows_of_lines(lines, begin, index)
            if batch is not None:
                return batch, b""
        records = self._records.divide(data, last=last)
        table = self._table(b"".join(records.good), index, None) if records.good else None
        if table is None or len(table) != len(records.good):
            rows = [self._records.fields(record) for record in records.good]
            columns = {
                column: pa.array(
                    [self._shown(row[number]).encode("utf-8", "surrogateescape") for row in rows], pa.binary()
                )
                for column, number in index.items()
            }
        else:
            columns = self._columns(table, index)
        positions = begin + np.array(records.rows, np.int64)
        rejected = [Rejection(begin + row, fault, self._shown(text)) for row, fault, text in records.faulty]
        return TableBatch(columns, positions, False, rejected, begin + records.end), records.rest

    def _left_out(self, line: re.Match[bytes]) -> bytes:
        """What is read of a line that looks like no data."""
        return b"" if self._records.is_no_row(line[0].rstrip(b"\r")) else line[0]

    def _rows_of_lines(self, data: bytes, begin: int, index: dict[str, int]) -> TableBatch | None:
        """The rows of lines that are a record each; None if they are not after all."""
        end = begin + data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
        if not data.strip():
            return TableBatch(
                {column: pa.array([], pa.binary()) for column in index}, np.zeros(0, np.int64), False, [], end
            )
        broken: list[pa_csv.InvalidRow] = []
        table = self._table(data, index, broken)
        if table is None:
            return None
        lines = filled_lines(data) if has_empty_lines(data) else np.arange(end - begin)
        if len(lines) != len(table) + len(broken):
            return None
        rejected = [
            Rejection(
                begin + int(lines[row.number - 1]), miscounted(row.actual_columns, self._width), self._shown(row.text)
            )
            for row in broken
        ]
        positions = begin + np.delete(lines, [row.number - 1 for row in broken])
        return TableBatch(self._columns(table, index), positions, False, rejected, end)

    def _table(self, data: bytes, index: dict[str, int], broken: list[pa_csv.InvalidRow] | None) -> pa.Table | None:
        """The columns of records; None if anything is wrong with them, but for what `broken` takes."""

        def reject(row: pa_csv.InvalidRow) -> str:
            assert broken is not None  # noqa: S101 - for the type checker
            broken.append(row)
            return "skip"

        if data.startswith(codecs.BOM_UTF8):
            return None  # Arrow would take it off, though it is text wherever a block does not begin
        handler: Callable[[pa_csv.InvalidRow], str] | None = reject if broken is not None else None
        try:
            data.decode()
        except UnicodeDecodeError:
            handler = None  # Arrow cannot show broken lines that are not UTF-8
        names = [str(number) for number in range(self._width)]  # a header may name two columns alike
        wanted = list(dict.fromkeys(str(number) for number in index.values()))
        try:
            return pa_csv.read_csv(
                pa.py_buffer(data),
                pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
                pa_csv.ParseOptions(
                    delimiter=self._separator,
                    quote_char=self._format.quote or False,
                    escape_char=self._format.escape or False,
                    newlines_in_values=True,
                    invalid_row_handler=handler,
                ),
                # as bytes, so that one value that is not UTF-8 spoils one line
                pa_csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.binary())),
            )
        except pa.ArrowInvalid:
            return None

    def _columns(self, table: pa.Table, index: dict[str, int]) -> dict[str, pa.Array]:
        columns = {column: _one_chunk(table.column(str(number))) for column, number in index.items()}
        if self._change[1] != self._separator:
            return columns
        # a separator of several characters within quotes is text
        return {
            name: pc.replace_substring(column, self._separator.encode(), self._format.separator.encode())
            for name, column in columns.items()
        }

    def _shown(self, text: str) -> str:
        """A line as it stands in the file."""
        return text.replace(self._separator, self._format.separator) if self._change[1] == self._separator else text


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


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
    return (separator, ("", "")) if len(separator.encode()) == 1 else ("\x1f", (separator, "\x1f"))
