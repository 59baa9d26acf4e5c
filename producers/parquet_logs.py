"""Parquet logs, of which only the columns needed are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from producers.chunks import Chunk, check_length, damaged
from producers.columns import find_columns
from producers.lines import check_type, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from producers.fields import FieldReader

BUFFER_BYTES = 1 << 20  # of each column, instead of the whole column of a row group


class ParquetLog:
    """A Parquet file."""

    def __init__(self, path: Path, wanted: Mapping[str, str]) -> None:
        self._path = path
        self._read = 0
        try:
            with pq.ParquetFile(path) as file:
                self.rows_total: int | None = file.metadata.num_rows
                schema = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, "its beginning", error) from None
        self._columns = find_columns(str(path), schema.names, wanted)
        for field, column in self._columns.items():
            check_type(str(path), column, schema.field(column).type, field)

    @property
    def fraction(self) -> float:
        """Of its rows."""
        return self._read / self.rows_total if self.rows_total else 1.0

    def place(self, position: int) -> str:
        """The row, from 0 as data frames count."""
        return f"row {position:,}"

    def chunks(self, start_row: int, most: int, reader: FieldReader) -> Iterator[Chunk]:
        """As `Format` says; row groups before `start_row` are not read at all."""
        for batch in self._batches(start_row, most):
            begin, end = self._read - len(batch), self._read
            first = max(begin, start_row)
            if first < end:
                columns = [batch.column(column)[first - begin :] for column in self._columns.values()]
                lines = pa.RecordBatch.from_arrays(columns, names=list(self._columns))
                orders, rejected = read_lines(lines, np.arange(first, end), reader)
                yield Chunk(orders, np.ones(len(orders), bool), rejected, end)
        check_length(self._path, self._read, start_row)

    def _batches(self, start_row: int, most: int) -> Iterator[pa.RecordBatch]:
        """The file from the row group of `start_row` on."""
        self._read = 0
        try:
            with pq.ParquetFile(self._path, buffer_size=BUFFER_BYTES, page_checksum_verification=True) as file:
                sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
                skipped = int(np.searchsorted(np.cumsum(sizes), start_row, side="right"))
                self._read = sum(sizes[:skipped])
                groups = range(skipped, len(sizes))
                for batch in file.iter_batches(most, row_groups=groups, columns=list(self._columns.values())):
                    self._read += len(batch)
                    yield batch
        except (pa.ArrowException, OSError) as error:
            raise damaged(self._path, self.place(self._read), error) from None
