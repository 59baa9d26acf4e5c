"""A sheet of a workbook as a table."""

from __future__ import annotations

import io
import re
from itertools import islice
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
        rows = sheet_rows(path, log_format.member)
        body = log_format.skip_lines + (1 if log_format.header else 0)
        self._cells = rows[body:]
        self._first = body
        header = rows[body - 1] if log_format.header and len(rows) >= body else []
        width = max(map(len, rows[:100]), default=0)
        self.names = list(log_format.names) or (
            [(cell or "").strip() for cell in header] if log_format.header else [str(n + 1) for n in range(width)]
        )
        self.rows_total: int | None = len(self._cells)
        patterns = "|".join(f"(?:{pattern})" for pattern in log_format.footers)
        self._no_rows = re.compile(patterns) if patterns else None
        self._header = header
        wanted = (column for name in REQUIRED for column in log_format.column_of(name))
        self._required = [self.names.index(column) for column in wanted if column in self.names]

    @property
    def fraction(self) -> float:
        """Of its rows."""
        return self._read / len(self._cells) if self._cells else 1.0

    def place(self, position: int) -> str:
        """The row, numbered as spreadsheets do."""
        return f"row {position + 1 + self._first:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = [self.names.index(column) for column in columns]
        for first in range(0, len(self._cells), BATCH_ROWS):
            cells = self._cells[first : first + BATCH_ROWS]
            kept = [(number, row) for number, row in enumerate(cells, first) if self._is_row(row)]
            arrays = {
                column: pa.array(
                    [None if len(row) <= at or row[at] is None else utf8(str(row[at])) for _, row in kept], pa.binary()
                )
                for column, at in zip(columns, index, strict=True)
            }
            self._read = first + len(cells)
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


def sheet_rows(path: Path, sheet: str | None, most: int | None = None) -> list[list[str | None]]:
    """The rows of a sheet as text, from its first row on.

    Raises:
        LogError: the workbook cannot be read, or has several sheets with data and none is named.
    """
    try:
        import python_calamine  # noqa: PLC0415
    except ImportError:
        raise LogError(f'{path} is a workbook, which takes the extra: pip install "alsobought[formats]"') from None
    try:
        workbook = _opened(path)
        names = workbook.sheet_names
        if sheet is not None and sheet not in names:
            raise LogError(f"{path} has no sheet '{sheet}'; it has {', '.join(names)}")
        sheets = [workbook.get_sheet_by_name(name) for name in ([sheet] if sheet is not None else names)]
        filled = [found for found in sheets if found.height > 1] or sheets[:1]
        if len(filled) > 1:
            titles = ", ".join(found.name for found in filled)
            raise Undecided(f"{path} has several sheets, {titles}: name one, --member NAME")
        first = (filled[0].start or (0, 0))[0] if filled else 0
        rows: list[list[str | None]] = [[] for _ in range(first)]
        rows += (
            [cell if type(cell) is str else as_cell(cell) for cell in row]
            for row in islice(filled[0].iter_rows() if filled else (), most)
        )
    except (python_calamine.CalamineError, OSError) as error:
        raise LogError(f"{path} is a workbook that cannot be read: {error}") from None
    return rows


def _opened(path: Path) -> Any:  # noqa: ANN401 - a workbook of calamine, which loads only if it is needed
    """A workbook, by its content: a name that ends in that of another kind of workbook means nothing."""
    import python_calamine  # noqa: PLC0415

    try:
        return python_calamine.CalamineWorkbook.from_path(str(path))
    except python_calamine.CalamineError:
        return python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))
