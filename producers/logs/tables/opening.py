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
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.tables.table import Table


def open_table(path: Path, log_format: LogFormat) -> Table:
    """The table that a file holds.

    Raises:
        LogError: it cannot be read so.
    """
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
