"""Logs that are not plain: of any container, dialect and notation, by their `LogFormat`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.arrays import plain
from producers.logs.chunks import Content
from producers.logs.lines import read_lines
from producers.logs.record_columns import joined_records
from producers.logs.shaping import Shaper
from producers.logs.tables.opening import open_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.log_format import LogFormat
    from producers.orders import Orders, Rejection


class TableLog:
    """A log of any container."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._table = open_table(path, log_format)
        Shaper(str(path), self._table.names, log_format)  # columns that are missing are named before anything is read
        self.rows_total: int | None = self._table.rows_total
        self.names = list(self._table.names)
        self._nested = False

    @property
    def fraction(self) -> float:
        """Of the file."""
        return self._table.fraction

    @property
    def unfinished(self) -> bool:
        """Whether a last line was left that may not be whole yet."""
        return getattr(self._table, "unfinished", False)

    def place(self, position: int) -> str:
        """As the table says."""
        return self._table.place(position)

    def contents(self, _start: int = 0, /) -> Iterator[Content]:
        """As `Format` says."""
        shaper = Shaper(str(self._path), self._table.names, self._format)
        for batch in self._table.batches(shaper.columns):
            fields, positions = shaper.shape(batch)
            self._nested |= batch.nested or shaper.nested
            columns = {name: plain(column) for name, column in fields.items()}
            yield Content(columns, positions, batch.rejected, batch.end)

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        orders, rejected = read_lines(content.lines(), content.positions, reader)
        if self._nested:
            return *joined_records(orders), rejected
        return orders, np.ones(len(orders), bool), rejected
