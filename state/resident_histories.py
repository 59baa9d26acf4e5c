"""The histories that are in memory, of the many in a store: those that its commits change, and those used last."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled
from state.history_table import HistoryTable, extended
from state.journal import SLICES

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.history_rows import StoredRows

    Integers = npt.NDArray[np.int64]

ROW_BYTES = 96
"""What a customer in memory takes besides the history: its places in arrays of the table, and in the index."""
_NOBODY = np.uint32(0xFFFFFFFF)


class ResidentHistories:
    """A table of some customers' histories, and its row of each.

    Args:
        pairs: the kind of table.

    Attributes:
        table: the histories.
        customer: (rows,) uint32 store number of the customer in each row; rows from `len` on are unused.
    """

    def __init__(self, pairs: str) -> None:
        self.table = HistoryTable(pairs)
        self.customer = np.zeros(0, np.uint32)
        self._count = 0
        self._used = np.zeros(0, np.uint32)  # (rows,) when each was used last
        self._now = 0
        self._index_customer = np.full(1024, _NOBODY)
        self._index_row = np.zeros(1024, np.int32)

    def __len__(self) -> int:
        """How many customers are in memory."""
        return self._count

    @property
    def nbytes(self) -> int:
        """What they take in memory."""
        return self.table.bytes + self._count * ROW_BYTES

    def rows_of(self, customers: npt.NDArray[np.uint32]) -> Integers:
        """(n,) row of each of n customers, -1 for those who are not in memory."""
        rows = np.empty(len(customers), np.int64)
        _find(self._index_customer, self._index_row, customers, rows)
        return rows

    def add(self, stored: StoredRows, extra: Integers, items: int) -> None:
        """Add customers who are not in memory; the arguments and errors are those of `StoredRows.put_into`."""
        first = self._count
        stored.put_into(self.table, first, extra, items)
        self._count += len(stored.customer)
        size = len(self.table.next_seq)
        if size > len(self.customer):
            self.customer, self._used = extended(self.customer, size), extended(self._used, size)
        self.customer[first : self._count] = stored.customer
        self._put_into_index(first)

    def _put_into_index(self, first: int) -> None:
        """Put the customers from row `first` on into the index, half of which stays free."""
        if 2 * self._count >= len(self._index_customer):
            first = 0
            self._index_customer = np.full(2 << self._count.bit_length(), _NOBODY)
            self._index_row = np.zeros(len(self._index_customer), np.int32)
        _put(self._index_customer, self._index_row, self.customer[first : self._count], first)

    def use(self, rows: Integers) -> None:
        """Keep `rows` for longer than those that were used before."""
        self._now += 1
        self._used[rows] = self._now

    def changed(self, number: int) -> Integers:
        """(n,) rows of the customers of a slice whose history changed since it was written."""
        changed = np.flatnonzero(self.table.changed[: self._count])
        rows: Integers = changed[self.customer[changed] % SLICES == number]
        return rows

    def slices_to_write(self, first: int, most_bytes: int) -> int:
        """How many slices, in turn from `first` on, must be written for what is changed to take `most_bytes`."""
        changed = np.flatnonzero(self.table.changed[: self._count])
        sizes = self.table.bytes_of(self._count)[changed] + ROW_BYTES
        of_slice = np.bincount(self.customer[changed] % SLICES, sizes, SLICES)
        left = sizes.sum() - np.cumsum(np.roll(of_slice, -first))
        return 0 if sizes.sum() <= most_bytes else int(np.argmax(left <= most_bytes)) + 1

    def evict(self, most_bytes: int) -> None:
        """Drop who was not used for longest, until all take at most `most_bytes`; never what is changed."""
        sizes = self.table.bytes_of(self._count) + ROW_BYTES
        changed = self.table.changed[: self._count]
        latest = np.argsort(self._used[: self._count], kind="stable")[::-1]
        clean = latest[~changed[latest]]
        kept = clean[np.cumsum(sizes[clean]) <= most_bytes - sizes[changed].sum()]
        rows = np.sort(np.concatenate([np.flatnonzero(changed), kept]))
        self.table.keep(rows)
        self.customer, self._used, self._count = self.customer[rows], self._used[rows], len(rows)
        self._index_customer = np.zeros(0, np.uint32)
        self._put_into_index(0)


@compiled
def _find(
    index_customer: npt.NDArray[np.uint32],
    index_row: npt.NDArray[np.int32],
    customers: npt.NDArray[np.uint32],
    rows: Integers,
) -> None:
    """Set `rows` to the row of each customer, or -1."""
    last = len(index_customer) - 1
    for number in range(len(customers)):
        at = _hash(customers[number]) & last
        while index_customer[at] != customers[number] and index_customer[at] != _NOBODY:
            at = (at + 1) & last
        rows[number] = index_row[at] if index_customer[at] != _NOBODY else -1


@compiled
def _put(
    index_customer: npt.NDArray[np.uint32],
    index_row: npt.NDArray[np.int32],
    customers: npt.NDArray[np.uint32],
    first: int,
) -> None:
    """Put customers, none of whom is in the index, into it, with rows from `first` on."""
    last = len(index_customer) - 1
    for number in range(len(customers)):
        at = _hash(customers[number]) & last
        while index_customer[at] != _NOBODY:
            at = (at + 1) & last
        index_customer[at] = customers[number]
        index_row[at] = first + number


@compiled
def _hash(customer: np.uint32) -> int:
    """Spreads numbers that follow each other, or have a slice in common."""
    return int((np.int64(customer) * 0x9E3779B1) >> 12)
