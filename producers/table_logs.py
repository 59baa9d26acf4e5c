"""Logs that are not plain: of any container, dialect and notation, by their `LogFormat`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from producers.arrays import plain
from producers.chunks import Content
from producers.fields import FieldReader
from producers.lines import read_lines
from producers.shaping import Shaper
from producers.tables import open_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.log_format import LogFormat
    from producers.orders import Orders, Rejection


class TableLog:
    """A log of any container."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._table = open_table(path, log_format)
        self._shaper = Shaper(str(path), self._table.names, log_format)
        self.rows_total: int | None = self._table.rows_total
        self._zoneless = self._nested = False

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

    def contents(self) -> Iterator[Content]:
        """As `Format` says: rows as the shaper leaves them."""
        shaper = self._shaper = Shaper(str(self._path), self._table.names, self._format)
        for batch in self._table.batches(shaper.columns):
            shaped = shaper.shape(batch)
            self._zoneless |= shaped.zoneless
            self._nested |= batch.nested or shaper.nested
            lines = shaped.lines
            columns = {name: plain(column) for name, column in zip(lines.schema.names, lines.columns, strict=True)}
            yield Content(columns, shaped.positions, shaped.rejected, batch.end)

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        shaped_reader = FieldReader(latest_ms=reader.timestamps.latest_ms)  # the shaper has read the rest
        orders, rejected = read_lines(content.lines(), content.positions, shaped_reader)
        zoneless = shaped_reader.timestamps.utc_assumed or self._zoneless
        reader.timestamps.utc_assumed |= zoneless and self._format.timezone == "UTC"
        reader.fractions += shaped_reader.fractions
        reader.events = self._shaper.skipped
        if self._nested:
            return *joined_records(orders), rejected
        return orders, np.ones(len(orders), bool), rejected


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
