"""The table that a file holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from producers.errors import LogError
from producers.logs.sources import READ_ERRORS
from producers.logs.tables.arrow_table import ArrowTable
from producers.logs.tables.delimited_table import DelimitedTable
from producers.logs.tables.record_table import RecordTable
from producers.logs.tables.sheet_table import SheetTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.tables.table import Table, TableBatch


def open_table(path: Path, log_format: LogFormat) -> Table:
    """The table that a file holds, with the columns that its directories name.

    Raises:
        LogError: it cannot be read so.
    """
    table = _table(path, log_format)
    return ConstantColumns(table, log_format.constants) if log_format.constants else table


def _table(path: Path, log_format: LogFormat) -> Table:
    try:
        match log_format.container:
            case "csv":
                return DelimitedTable(path, log_format)
            case "jsonl" | "json" | "avro":
                return RecordTable(path, log_format)
            case "excel":
                return SheetTable(path, log_format)
            case _:
                return ArrowTable(path, log_format)
    except (*READ_ERRORS, pa.ArrowException, UnicodeDecodeError) as error:
        raise LogError(f"{path} is damaged or cut short at its beginning: {error}") from None


class ConstantColumns:
    """A table with further columns; one that it has itself stays as it is.

    Args:
        table: what the file holds.
        constants: column -> its value; None is missing.
    """

    def __init__(self, table: Table, constants: Mapping[str, str | None]) -> None:
        self._table = table
        self._constants = {name: value for name, value in constants.items() if name not in table.names}
        self.names = [*table.names, *self._constants]
        self.rows_total = table.rows_total

    @property
    def fraction(self) -> float:
        """As the table says."""
        return self._table.fraction

    @property
    def unfinished(self) -> bool:
        """As the table says, if it does."""
        return getattr(self._table, "unfinished", False)

    def place(self, position: int) -> str:
        """As the table says."""
        return self._table.place(position)

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        own = [column for column in columns if column not in self._constants]
        for batch in self._table.batches(own):
            added = {
                column: pa.array([value] * len(batch.positions), pa.string())
                for column, value in self._constants.items()
                if column in columns
            }
            yield batch._replace(columns={**batch.columns, **added})
