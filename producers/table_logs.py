"""Logs that are not plain: of any container, dialect and notation, by their `LogFormat`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from producers.chunks import Chunk, check_length
from producers.fields import FieldReader
from producers.lines import read_lines
from producers.shaping import Shaper
from producers.tables import open_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.log_format import LogFormat
    from producers.orders import Orders


class TableLog:
    """A log of any container."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._table = open_table(path, log_format)
        self._shaper = Shaper(str(path), self._table.names, log_format)
        self.rows_total: int | None = self._table.rows_total

    @property
    def fraction(self) -> float:
        """Of the file."""
        return self._table.fraction

    @property
    def skipped(self) -> int:
        """Rows that are neither purchases nor returns, or items left out."""
        return self._shaper.skipped

    def place(self, position: int) -> str:
        """As the table says."""
        return self._table.place(position)

    def chunks(self, start_row: int, most: int, reader: FieldReader) -> Iterator[Chunk]:
        """As `Format` says."""
        shaped_reader = FieldReader(latest_ms=reader.timestamps.latest_ms)  # the shaper has read the rest
        shaper = self._shaper = Shaper(str(self._path), self._table.names, self._format)
        end = 0
        for batch in self._table.batches(shaper.columns):
            begin, end = end, batch.end
            shaped = shaper.shape(batch)  # before rows are passed over, since values are filled down
            for first in range(max(begin, start_row), end, most):
                beyond = min(first + most, end)
                rows = slice(*np.searchsorted(shaped.positions, [first, beyond]).tolist())
                orders, rejected = read_lines(shaped.lines[rows], shaped.positions[rows], shaped_reader)
                zoneless = shaped_reader.timestamps.utc_assumed or shaped.zoneless
                reader.timestamps.utc_assumed |= zoneless and self._format.timezone == "UTC"
                rejected = sorted([*rejected, *(r for r in shaped.rejected if first <= r.position < beyond)])
                flat = np.ones(len(orders), bool)
                if batch.nested or shaper.nested:
                    orders, flat = joined_records(orders)
                yield Chunk(orders, flat, rejected, beyond)
        check_length(self._path, end, start_row)


def joined_records(orders: Orders) -> tuple[Orders, Mask]:
    """One order for the lines that stand at one place, and whether its neighbours may be joined to it.

    Args:
        orders: one for each line.
    """
    count = len(orders)
    opens = np.ones(count, bool)
    opens[1:] = (
        (np.diff(orders.position) != 0)
        | (orders.customer[1:] != orders.customer[:-1])
        | (orders.kind[1:] != orders.kind[:-1])
        | (orders.key[1:] != orders.key[:-1])
    )
    first = np.flatnonzero(opens)
    joined = replace(
        orders,
        customer=orders.customer[first],
        time=orders.time[first],
        kind=orders.kind[first],
        key=orders.key[first],
        start=np.append(first, count).astype(np.int64),
        after=orders.after[first],
    )
    return joined, joined.key != 0
