"""Parquet logs, of which only the columns needed are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from producers.arrays import plain
from producers.logs.chunks import Content, damaged
from producers.logs.columns import FIELDS, columns_of
from producers.logs.lines import check_type, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.log_format import LogFormat
    from producers.orders import Orders, Rejection

BUFFER_BYTES = 1 << 20  # of each column, instead of the whole column of a row group
BATCH_ROWS = 65_536


def open_checked(path: Path) -> pq.ParquetFile:
    """A Parquet file whose pages are compared with their checksums, if they have any."""
    return pq.ParquetFile(path, buffer_size=BUFFER_BYTES, page_checksum_verification=True)


def group_batches(file: pq.ParquetFile, group: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The rows of a row group; of a small one no pages stay in memory while they are used."""
    batches = file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns)
    yield from [*batches] if file.metadata.row_group(group).num_rows <= BATCH_ROWS else batches


def is_flat(path: Path, log_format: LogFormat) -> bool:
    """Whether each field is a column of its own, in a type that needs no further reading; so too if that is unknown."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, ValueError, OSError):
        return True  # whoever reads it says what is wrong
    columns = [columns[0] for columns in log_format.columns.values() if any(columns)]
    if any(name not in schema.names and ("[]" in name or "." in name) for name in columns):
        return False
    kinds = [schema.field(name).type for name in (*columns, *FIELDS) if schema.names.count(name) == 1]
    return not any(pa.types.is_fixed_size_binary(kind) or isinstance(kind, pa.BaseExtensionType) for kind in kinds)


class ParquetLog:
    """A Parquet file.

    Args:
        path: the file.
        log_format: how it is read.
    """

    unfinished = False

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._read = 0
        try:
            with pq.ParquetFile(path) as file:
                self.rows_total: int | None = file.metadata.num_rows
                schema = file.schema_arrow
        except (pa.ArrowException, ValueError, OSError) as error:  # a name that is not UTF-8 is Python's error
            raise damaged(path, "its beginning", error) from None
        self.names = list(schema.names)
        self._columns = columns_of(str(path), self.names, log_format)
        for field, column in self._columns.items():
            check_type(str(path), column, schema.field(column).type, field)

    @property
    def fraction(self) -> float:
        """Of its rows."""
        return self._read / self.rows_total if self.rows_total else 1.0

    def place(self, position: int) -> str:
        """The row, from 0 as data frames count."""
        return f"row {position:,}"

    def contents(self, start: int = 0, /) -> Iterator[Content]:
        """As `Format` says: row groups before `start` are not decoded."""
        self._read = 0
        try:
            with open_checked(self._path) as file:
                wanted = list(dict.fromkeys(self._columns.values()))
                for group in range(file.num_row_groups):  # each by itself, so that damage spoils none before it
                    end = self._read + file.metadata.row_group(group).num_rows
                    if end <= start and group < file.num_row_groups - 1:
                        self._read = end
                        continue
                    for batch in group_batches(file, group, wanted):
                        begin, self._read = self._read, self._read + len(batch)
                        columns = {field: plain(batch.column(column)) for field, column in self._columns.items()}
                        yield Content(columns, np.arange(begin, self._read), [], self._read)
        except (pa.ArrowException, ValueError, OSError) as error:
            raise damaged(self._path, self.place(self._read), error) from None

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        orders, rejected = read_lines(content.lines(), content.positions, reader)
        return orders, np.ones(len(orders), bool), rejected
