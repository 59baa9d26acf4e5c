"""Customers' histories and remembered orders in memory, as rows of varying length in shared columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from state.compiled import compiled
from state.errors import StateDamaged

ENTRY = np.dtype(
    [
        ("seq", np.uint32),
        ("purchases", np.uint32),
        ("first", np.int64),
        ("last", np.int64),
        ("quantity", np.int64),
    ]
)
"""A history's entry for an item, besides the item's number: 32 bytes. Times are milliseconds since 1970 UTC."""


class Rows:
    """Rows of varying length in one or more parallel columns; a row that outgrows its space moves.

    Attributes:
        start: (rows,) int64 where each row begins in the columns.
        length: (rows,) int64 elements in use.
        columns: the columns; the elements of a row are adjacent.
    """

    def __init__(self, *types: npt.DTypeLike) -> None:
        self.start = np.zeros(0, np.int64)
        self.length = np.zeros(0, np.int64)
        self._capacity = np.zeros(0, np.int64)  # (rows,) elements that each row has space for
        self._end = 0
        self._free: dict[int, list[int]] = {}  # capacity -> starts of the spaces that rows have left
        self.columns: list[npt.NDArray[Any]] = [np.zeros(0, kind) for kind in types]

    def grow_to(self, rows: int) -> None:
        """Have at least `rows` rows; new ones are empty."""
        if rows > len(self.start):
            size = max(rows, 2 * len(self.start), 1024)
            self.start = _extended(self.start, size)
            self.length = _extended(self.length, size)
            self._capacity = _extended(self._capacity, size)

    def reserve(self, rows: npt.NDArray[np.int64], extra: npt.NDArray[np.int64]) -> None:
        """Make room for `extra`, (n,), more elements in each of `rows`, (n,), which are distinct."""
        needed = self.length[rows] + extra
        full = needed > self._capacity[rows]
        rows = rows[full]
        if rows.size == 0:
            return
        # powers of two: a row moves seldom, and another fits into the space it leaves
        capacity = np.maximum(4, 1 << np.ceil(np.log2(needed[full])).astype(np.int64))
        if self._end + capacity.sum() > len(self.columns[0]):
            self._capacity[rows] = capacity
            self._rebuild()
            return
        starts = self._allocate(capacity)
        for column in self.columns:
            _move(column, self.start[rows], column, starts, self.length[rows])
        for freed, start in zip(self._capacity[rows].tolist(), self.start[rows].tolist(), strict=True):
            if freed:
                self._free.setdefault(freed, []).append(start)
        self.start[rows] = starts
        self._capacity[rows] = capacity

    def _rebuild(self) -> None:
        """Rebuild the columns without gaps between rows, a third of them spare."""
        starts = np.cumsum(self._capacity) - self._capacity
        self._end = int(self._capacity.sum())
        size = max(self._end * 3 // 2, 64)
        for number, column in enumerate(self.columns):
            # the system allocates zeros lazily: spare elements cost nothing
            self.columns[number] = np.zeros(size, column.dtype)
            _move(column, self.start, self.columns[number], starts, self.length)
        self.start = starts
        self._free.clear()

    def _allocate(self, capacity: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """(n,) where n rows of these capacities can start: in spaces that other rows have left, or at the end."""
        starts = np.empty(len(capacity), np.int64)
        for row, size in enumerate(capacity.tolist()):
            free = self._free.get(size)
            if free:
                starts[row] = free.pop()
            else:
                starts[row] = self._end
                self._end += size
        return starts

    def row(self, number: int) -> list[npt.NDArray[Any]]:
        """The columns of one row, as views."""
        elements = slice(int(self.start[number]), int(self.start[number] + self.length[number]))
        return [column[elements] for column in self.columns]

    def put(self, number: int, *columns: npt.NDArray[Any]) -> None:
        """Replace one row's elements."""
        self.length[number] = 0
        length = len(columns[0])
        self.reserve(np.array([number]), np.array([length]))
        self.length[number] = length
        for elements, new in zip(self.row(number), columns, strict=True):
            elements[:] = new


def _extended(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _move(
    column: npt.NDArray[Any],
    starts: npt.NDArray[np.int64],
    target: npt.NDArray[Any],
    target_starts: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> None:
    """Copy rows of `column` to `target`."""
    for row in range(len(starts)):
        for element in range(lengths[row]):
            target[target_starts[row] + element] = column[starts[row] + element]


class HistoryArrays(NamedTuple):
    """The arrays of a table of c customers, for compiled loops; valid until the table grows.

    Entries are elements start[c] to start[c] + length[c] of `item` and `entry`, remembered order lines are elements
    order_start[c] to order_start[c] + order_length[c] of `order_key` and `order_line`.
    """

    start: npt.NDArray[np.int64]
    """(c,) index of each customer's first entry."""
    length: npt.NDArray[np.int64]
    """(c,) items held."""
    item: npt.NDArray[np.uint32]
    """(entries,) store number of the item; the entries of a customer are in the order of seq."""
    entry: npt.NDArray[Any]
    """(entries,) of ENTRY."""
    next_seq: npt.NDArray[np.uint32]
    """(c,) seq of the next first purchase."""
    order_start: npt.NDArray[np.int64]
    """(c,) index of each customer's first remembered order line."""
    order_length: npt.NDArray[np.int64]
    """(c,) remembered order lines."""
    order_key: npt.NDArray[np.uint64]
    """(order lines,) `producers.orders.order_key` of the line's order."""
    order_line: npt.NDArray[np.uint32]
    """(order lines,) item << 1 | kind."""
    order_count: npt.NDArray[np.uint8]
    """(c,) remembered orders."""
    changed: npt.NDArray[np.bool_]
    """(c,) whether the customer's row changed since it was last written."""


class HistoryTable:
    """Every customer's history, and the order lines by which duplicates are recognised; customers are store numbers.

    Attributes:
        history: a row for each customer: item numbers and ENTRYs of the items held, in the order of seq.
        remembered: a row for each customer: order keys and lines (item << 1 | kind) of the orders remembered.
        next_seq: (customers,) uint32 seq of the next first purchase.
        order_count: (customers,) uint8 orders remembered.
        changed: (customers,) bool, whether the rows changed since they were last written.
    """

    def __init__(self) -> None:
        self.history = Rows(np.uint32, ENTRY)
        self.remembered = Rows(np.uint64, np.uint32)
        self.next_seq = np.zeros(0, np.uint32)
        self.order_count = np.zeros(0, np.uint8)
        self.changed = np.zeros(0, np.bool_)

    def grow_to(self, customers: int) -> None:
        """Have room for `customers` customers."""
        self.history.grow_to(customers)
        self.remembered.grow_to(customers)
        size = len(self.history.start)
        if size > len(self.next_seq):
            self.next_seq = _extended(self.next_seq, size)
            self.order_count = _extended(self.order_count, size)
            self.changed = _extended(self.changed, size)

    def reserve(self, customers: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> None:
        """Make room for what m orders, of `lines` lines each, can add to the rows of their `customers`."""
        if customers.size == 0:
            return
        distinct, code = np.unique(customers, return_inverse=True)
        self.grow_to(int(distinct[-1]) + 1)
        extra = np.bincount(code, lines).astype(np.int64)
        rows = distinct.astype(np.int64)
        self.history.reserve(rows, extra)
        self.remembered.reserve(rows, extra)

    def check(self, items: int) -> None:
        """Check that rows read from a disk can be counted on: compiled loops look at nothing twice.

        Args:
            items: how many items there are.

        Raises:
            StateDamaged: a row is impossible.
        """
        customer = _impossible(self.arrays(), items)
        if customer >= 0:
            raise StateDamaged(f"the history of customer {customer} is garbled; restore a snapshot, or replay the log")

    def excerpt(self, customer: int) -> HistoryTable:
        """A table of one customer, number 0, with a copy of the customer's rows; empty if the customer is unknown."""
        excerpt = HistoryTable()
        excerpt.grow_to(1)
        if customer < len(self.next_seq):
            excerpt.history.put(0, *self.history.row(customer))
            excerpt.remembered.put(0, *self.remembered.row(customer))
            excerpt.next_seq[0] = self.next_seq[customer]
            excerpt.order_count[0] = self.order_count[customer]
        return excerpt

    def arrays(self) -> HistoryArrays:
        """The arrays, for a compiled loop that changes them in place."""
        item, entry = self.history.columns
        order_key, order_line = self.remembered.columns
        return HistoryArrays(
            self.history.start,
            self.history.length,
            item,
            entry,
            self.next_seq,
            self.remembered.start,
            self.remembered.length,
            order_key,
            order_line,
            self.order_count,
            self.changed,
        )


@compiled
def _impossible(table: HistoryArrays, items: int) -> int:
    """The first customer whose rows are impossible, or -1."""
    for customer in range(len(table.start)):
        least = np.int64(0)
        for at in range(table.start[customer], table.start[customer] + table.length[customer]):
            entry = table.entry[at]
            if table.item[at] >= items or entry.seq < least or entry.purchases < 1 or entry.quantity < 1:
                return customer
            least = np.int64(entry.seq) + 1
        if least > table.next_seq[customer] or table.order_count[customer] > table.order_length[customer]:
            return customer
        begin = table.order_start[customer]
        for at in range(begin, begin + table.order_length[customer]):
            if table.order_line[at] >> 1 >= items or table.order_key[at] == 0:
                return customer
    return -1
