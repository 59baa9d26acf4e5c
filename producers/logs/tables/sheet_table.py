"""A sheet of a workbook as a table."""

from __future__ import annotations

import io
import re
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from producers.errors import LogError, Undecided
from producers.logs.columns import REQUIRED
from producers.logs.tables.records import as_cell
from producers.logs.tables.table import BATCH_ROWS, TableBatch, utf8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat


class SheetTable:
    """A sheet of a workbook: .xlsx, .xls, .xlsb or .ods."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._read = 0
        self._sheet = Sheet(path, log_format.member)
        self._first = body = log_format.skip_lines + (1 if log_format.header else 0)
        header = next(self._sheet.rows(body - 1), []) if log_format.header else []
        width = max(map(len, self._sheet.rows(end=100)), default=0)
        self.names = list(log_format.names) or (
            [(cell or "").strip() for cell in header] if log_format.header else [str(n + 1) for n in range(width)]
        )
        self.rows_total: int | None = max(0, len(self._sheet) - body)
        patterns = "|".join(f"(?:{pattern})" for pattern in log_format.footers)
        self._no_rows = re.compile(patterns) if patterns else None
        self._header = header
        wanted = (column for name in REQUIRED for column in log_format.column_of(name))
        self._required = [self.names.index(column) for column in wanted if column in self.names]

    @property
    def fraction(self) -> float:
        """Of its rows."""
        return self._read / self.rows_total if self.rows_total else 1.0

    def place(self, position: int) -> str:
        """The row, numbered as spreadsheets do."""
        return f"row {position + 1 + self._first:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = [self.names.index(column) for column in columns]
        self._read = 0
        rows = self._sheet.rows(self._first)
        while cells := [*islice(rows, BATCH_ROWS)]:
            kept = [(number, row) for number, row in enumerate(cells, self._read) if self._is_row(row)]
            arrays = {
                column: pa.array(
                    [None if len(row) <= at or row[at] is None else utf8(str(row[at])) for _, row in kept], pa.binary()
                )
                for column, at in zip(columns, index, strict=True)
            }
            self._read += len(cells)
            yield TableBatch(arrays, np.array([number for number, _ in kept], np.int64), False, [], self._read)

    def _is_row(self, row: Sequence[str | None]) -> bool:
        """Whether a row is data: a whole record is, whatever it looks like."""
        if not any(row) or row == self._header:
            return False
        if self._no_rows is None or not self._no_rows.fullmatch(line_of(row)):
            return True
        return all(place < len(row) and row[place] for place in self._required)


def line_of(row: Sequence[str | None]) -> str:
    """A row as a line of text, by which lines that are no rows are recognised."""
    return ",".join(cell or "" for cell in row).rstrip(",")


class Sheet:
    """The rows of a sheet as text.

    Args:
        path: the workbook.
        name: of the sheet; None: the only one that holds data.

    Attributes:
        above: how many empty rows stand before its first cell.

    Raises:
        LogError: the workbook cannot be read, or has several sheets with data and none is named.
    """

    def __init__(self, path: Path, name: str | None) -> None:
        try:
            import python_calamine  # noqa: PLC0415
        except ImportError:
            raise LogError(f'{path} is a workbook, which takes the extra: pip install "alsobought[formats]"') from None
        try:
            workbook = _opened(path)
            names = workbook.sheet_names
            if name is not None and name not in names:
                raise LogError(f"{path} has no sheet '{name}'; it has {', '.join(names)}")
            sheets = [workbook.get_sheet_by_name(each) for each in ([name] if name is not None else names)]
        except (python_calamine.CalamineError, OSError) as error:
            raise LogError(f"{path} is a workbook that cannot be read: {error}") from None
        filled = [found for found in sheets if found.height > 1] or sheets[:1]
        if len(filled) > 1:
            titles = ", ".join(found.name for found in filled)
            raise Undecided(f"{path} has several sheets, {titles}: name one, --member NAME")
        self._cells = filled[0] if filled else None
        self.above: int = (filled[0].start or (0, 0))[0] if filled else 0

    def __len__(self) -> int:
        """How many rows there are, the empty ones above included."""
        return self.above + (self._cells.height if self._cells is not None else 0)

    def rows(self, begin: int = 0, end: int | None = None) -> Iterator[list[str | None]]:
        """Some of the rows, which are no text until then: a sheet of a million rows takes half as much memory so."""
        cells = self._cells.iter_rows() if self._cells is not None else ()
        for row in islice(chain(repeat((), self.above), cells), begin, end):
            yield [cell if type(cell) is str else as_cell(cell) for cell in row]


def _opened(path: Path) -> Any:  # noqa: ANN401 - a workbook of calamine, which loads only if it is needed
    """A workbook, by its content: a name that ends in that of another kind of workbook means nothing."""
    import python_calamine  # noqa: PLC0415

    try:
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.CalamineError:
        return python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))
