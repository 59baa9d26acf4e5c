"""Customers' histories and remembered orders in memory, as rows of varying length in shared columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from state.compiled import compiled
from state.settings import CUSTOMER, ORDER

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


ORDER_LINE = np.dtype(
    [
        ("seq", np.uint32),
        ("order", np.uint32),
        ("first", np.int64),
        ("key", np.uint64),
        ("quantity", np.int64),
    ]
)
"""The entry for a line of an order, where pairs are of orders: as large as an ENTRY, so rows of both look the same.

`order` numbers the customer's orders, and `seq` the lines of one. `first` is the time of the line. `key` is
`producers.orders.order_key` of the order id while the order is remembered, else 0.
"""


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
        self._element_bytes = sum(column.itemsize for column in self.columns)

    def grow_to(self, rows: int) -> None:
        """Have at least `rows` rows; new ones are empty."""
        if rows > len(self.start):
            size = max(rows, 2 * len(self.start), 1024)
            self.start = extended(self.start, size)
            self.length = extended(self.length, size)
            self._capacity = extended(self._capacity, size)

    def reserve(self, rows: npt.NDArray[np.int64], extra: npt.NDArray[np.int64]) -> None:
        """Make room for `extra`, (n,), more elements in each of `rows`, (n,), which are distinct."""
        needed = self.length[rows] + extra
        full = needed > self._capacity[rows]
        rows = rows[full]
        if rows.size == 0:
            return
        capacity = _capacity(needed[full])
        if self._end + capacity.sum() > len(self.columns[0]):
            self._capacity[rows] = capacity
            self._rebuild()
            return
        starts = self._allocate(capacity)
        for column in self.columns:
            move_rows(column, self.start[rows], column, starts, self.length[rows])
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
            move_rows(column, self.start, self.columns[number], starts, self.length)
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

    @property
    def bytes(self) -> int:
        """What the rows take in memory: spaces that rows have left included, spare elements not."""
        return self._end * self._element_bytes

    def bytes_of(self, rows: int) -> npt.NDArray[np.int64]:
        """(rows,) what each of the first rows takes."""
        return self._capacity[:rows] * self._element_bytes

    def keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Keep only `rows`, (n,), which are then rows 0 to n, in spaces of their size."""
        self.start, self.length = self.start[rows], self.length[rows]
        self._capacity = _capacity(self.length)
        self._rebuild()

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


def _capacity(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(n,) elements to have space for in n rows: powers of two, so that a row moves seldom and others fit its space."""
    powers = 1 << np.ceil(np.log2(np.maximum(lengths, 1))).astype(np.int64)
    return np.where(lengths > 0, np.maximum(4, powers), 0)


def extended(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """A copy of `array` with `size` elements, the new ones 0."""
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def move_rows(
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
    """The arrays of a table of c rows, one a customer, for compiled loops; valid until the table grows.

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
    """(entries,) of ENTRY or ORDER_LINE."""
    next_seq: npt.NDArray[np.uint32]
    """(c,) seq of the next first purchase; of ORDER_LINEs, number of the next order."""
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
    """Customers' histories, and the order lines by which duplicates are recognised; a row for each customer in it.

    Args:
        pairs: CUSTOMER or ORDER of `state.settings`: what the pairs are of that are counted from it.

    Attributes:
        history: item numbers and ENTRYs of the items held, in the order of seq; where pairs are of orders, item numbers
            and ORDER_LINEs of the lines held, in the order of `order` and `seq`.
        remembered: order keys and lines (item << 1 | kind) of the orders remembered.
        next_seq: (rows,) uint32 seq of the next first purchase; or number of the next order.
        order_count: (rows,) uint8 orders remembered.
        changed: (rows,) bool, whether the rows changed since they were last written.
    """

    def __init__(self, pairs: str = CUSTOMER) -> None:
        self.pairs = pairs
        self.history = Rows(np.uint32, ORDER_LINE if pairs == ORDER else ENTRY)
        self.remembered = Rows(np.uint64, np.uint32)
        self.next_seq = np.zeros(0, np.uint32)
        self.order_count = np.zeros(0, np.uint8)
        self.changed = np.zeros(0, np.bool_)

    @property
    def bytes(self) -> int:
        """What the histories and remembered orders take in memory."""
        return self.history.bytes + self.remembered.bytes

    def bytes_of(self, rows: int) -> npt.NDArray[np.int64]:
        """(rows,) what those of each of the first rows take."""
        return self.history.bytes_of(rows) + self.remembered.bytes_of(rows)

    def grow_to(self, rows: int) -> None:
        """Have at least `rows` rows; new ones are empty."""
        self.history.grow_to(rows)
        self.remembered.grow_to(rows)
        size = len(self.history.start)
        if size > len(self.next_seq):
            self.next_seq = extended(self.next_seq, size)
            self.order_count = extended(self.order_count, size)
            self.changed = extended(self.changed, size)

    def keep(self, rows: npt.NDArray[np.int64]) -> None:
        """Keep only `rows`, (n,), which are then rows 0 to n."""
        self.history.keep(rows)
        self.remembered.keep(rows)
        self.next_seq = self.next_seq[rows]
        self.order_count = self.order_count[rows]
        self.changed = self.changed[rows]

    def reserve(self, rows: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> None:
        """Make room for what m orders, of `lines` lines each, can add to the rows of their customers.

        Args:
            rows: (m,) each order's row.
            lines: (m,) its lines.
        """
        if rows.size == 0:
            return
        distinct, code = np.unique(rows, return_inverse=True)
        self.grow_to(int(distinct[-1]) + 1)
        extra = np.bincount(code, lines).astype(np.int64)
        self.history.reserve(distinct.astype(np.int64), extra)
        self.remembered.reserve(distinct.astype(np.int64), extra)

    def impossible(self, rows: npt.NDArray[np.int64], items: int) -> int:
        """Whether rows read from a disk can be counted on: compiled loops look at nothing twice.

        Args:
            rows: (n,) those to look at.
            items: how many items there are.

        Returns:
            The index in `rows` of the first that is impossible, or -1.
        """
        impossible = _impossible_lines if self.pairs == ORDER else _impossible
        return impossible(self.arrays(), rows, items)

    def held(self, row: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any]]:
        """(k,) item numbers and (k,) ENTRYs of the items that a customer holds, whatever pairs are of; copies."""
        items, entries = self.history.row(row)
        return (items.copy(), entries.copy()) if self.pairs == CUSTOMER else _held(items, entries)

    def excerpt(self, row: int) -> HistoryTable:
        """A table with a copy of one row, as number 0."""
        excerpt = HistoryTable(self.pairs)
        excerpt.grow_to(1)
        excerpt.history.put(0, *self.history.row(row))
        excerpt.remembered.put(0, *self.remembered.row(row))
        excerpt.next_seq[0] = self.next_seq[row]
        excerpt.order_count[0] = self.order_count[row]
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
def _impossible(table: HistoryArrays, rows: npt.NDArray[np.int64], items: int) -> int:
    """The index of the first of some rows that is impossible, or -1."""
    for index in range(len(rows)):
        row = rows[index]
        least = np.int64(0)
        for at in range(table.start[row], table.start[row] + table.length[row]):
            entry = table.entry[at]
            if table.item[at] >= items or entry.seq < least or entry.purchases < 1 or entry.quantity < 1:
                return index
            least = np.int64(entry.seq) + 1
        if least > table.next_seq[row] or table.order_count[row] > table.order_length[row]:
            return index
        if not _remembered_possible(table, row, items):
            return index
    return -1


@compiled
def _impossible_lines(table: HistoryArrays, rows: npt.NDArray[np.int64], items: int) -> int:
    """The same of rows of ORDER_LINEs."""
    for index in range(len(rows)):
        row = rows[index]
        least, order = np.int64(0), np.int64(0)
        for at in range(table.start[row], table.start[row] + table.length[row]):
            line = table.entry[at]
            if np.int64(line.order) > order:
                least, order = np.int64(0), np.int64(line.order)
            if table.item[at] >= items or line.order < order or line.seq < least or line.quantity < 1:
                return index
            least = np.int64(line.seq) + 1
        numbered = table.length[row] == 0 or order < table.next_seq[row]
        if not numbered or table.order_count[row] > table.order_length[row]:
            return index
        if not _remembered_possible(table, row, items):
            return index
    return -1


@compiled
def _remembered_possible(table: HistoryArrays, row: int, items: int) -> bool:
    """Whether the remembered order lines of a row are possible."""
    begin = table.order_start[row]
    for at in range(begin, begin + table.order_length[row]):
        if table.order_line[at] >> 1 >= items or table.order_key[at] == 0:
            return False
    return True


def _held(items: npt.NDArray[np.uint32], lines: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any]]:
    """The items of order lines, each once, as ENTRYs: a purchase for each order that holds it; seqs without holes."""
    distinct, begins, code = np.unique(items, return_index=True, return_inverse=True)
    entries = np.zeros(len(distinct), ENTRY)
    entries["purchases"] = np.bincount(code, minlength=len(distinct))
    entries["first"] = lines["first"][begins]
    entries["last"] = entries["first"]
    np.minimum.at(entries["first"], code, lines["first"])
    np.maximum.at(entries["last"], code, lines["first"])
    np.add.at(entries["quantity"], code, lines["quantity"])
    order = np.argsort(begins)
    entries = entries[order]
    entries["seq"] = np.arange(len(entries))
    return distinct[order], entries
