"""Customers' histories and remembered orders in memory, as rows of varying length in shared columns."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from state.compiled import compiled

ENTRY = np.dtype(
    [
        ("seq", np.uint32),
        ("purchases", np.uint32),
        ("first", np.int64),
        ("last", np.int64),
        ("quantity", np.int64),
    ]
)
"""What a history knows of an item besides its number: 32 bytes."""


class Rows:
    """Rows of varying length in one or more parallel columns; a row that outgrows its place moves to the end.

    Attributes:
        start: (rows,) int64 where each row begins in the columns.
        length: (rows,) int64 elements in use.
        columns: the columns; elements of one row are adjacent.
    """

    def __init__(self, *types: npt.DTypeLike) -> None:
        self.start = np.zeros(0, np.int64)
        self.length = np.zeros(0, np.int64)
        self._room = np.zeros(0, np.int64)
        self._end = 0
        self._free: dict[int, list[int]] = {}
        self.columns: list[npt.NDArray[Any]] = [np.zeros(0, kind) for kind in types]

    def grow_to(self, rows: int) -> None:
        """Have at least `rows` rows; new ones are empty."""
        if rows > len(self.start):
            room = max(rows, 2 * len(self.start), 1024)
            self.start = _extended(self.start, room)
            self.length = _extended(self.length, room)
            self._room = _extended(self._room, room)

    def reserve(self, rows: npt.NDArray[np.int64], extra: npt.NDArray[np.int64]) -> None:
        """Make room for `extra` more elements in each of `rows`, which are distinct."""
        needed = self.length[rows] + extra
        tight = needed > self._room[rows]
        rows = rows[tight]
        if rows.size == 0:
            return
        # powers of two: a row moves seldom, and the place it leaves fits another
        room = np.maximum(4, 1 << np.ceil(np.log2(needed[tight])).astype(np.int64))
        if self._end + room.sum() > len(self.columns[0]):
            self._room[rows] = room
            self._lay_out()
            return
        places = self._places(room)
        for column in self.columns:
            _move(column, self.start[rows], column, places, self.length[rows])
        for left, place in zip(self._room[rows].tolist(), self.start[rows].tolist(), strict=True):
            if left:
                self._free.setdefault(left, []).append(place)
        self.start[rows] = places
        self._room[rows] = room

    def _lay_out(self) -> None:
        """Rebuild the columns without the gaps of rows that moved, with a third to spare."""
        places = np.cumsum(self._room) - self._room
        self._end = int(self._room.sum())
        size = max(self._end * 3 // 2, 64)
        for number, column in enumerate(self.columns):
            # the system gives zeros lazily: spare room costs nothing
            self.columns[number] = np.zeros(size, column.dtype)
            _move(column, self.start, self.columns[number], places, self.length)
        self.start = places
        self._free.clear()

    def _places(self, room: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where rows of these sizes can go: places that others left, or the end."""
        places = np.empty(len(room), np.int64)
        for row, size in enumerate(room.tolist()):
            left = self._free.get(size)
            if left:
                places[row] = left.pop()
            else:
                places[row] = self._end
                self._end += size
        return places

    def row(self, number: int) -> list[npt.NDArray[Any]]:
        """The columns of one row, as views."""
        here = slice(int(self.start[number]), int(self.start[number] + self.length[number]))
        return [column[here] for column in self.columns]

    def place(self, number: int, *columns: npt.NDArray[Any]) -> None:
        """Set one row's elements."""
        self.length[number] = 0
        length = len(columns[0])
        self.reserve(np.array([number]), np.array([length]))
        self.length[number] = length
        for mine, given in zip(self.row(number), columns, strict=True):
            mine[:] = given


def _extended(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    longer = np.zeros(size, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _move(
    column: npt.NDArray[Any],
    sources: npt.NDArray[np.int64],
    target: npt.NDArray[Any],
    places: npt.NDArray[np.int64],
    lengths: npt.NDArray[np.int64],
) -> None:
    for row in range(len(sources)):
        for element in range(lengths[row]):
            target[places[row] + element] = column[sources[row] + element]


class HistoryArrays(NamedTuple):
    """The table's arrays as compiled loops take them; valid until the table grows."""

    start: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    item: npt.NDArray[np.uint32]
    entry: npt.NDArray[Any]
    next_seq: npt.NDArray[np.uint32]
    order_start: npt.NDArray[np.int64]
    order_length: npt.NDArray[np.int64]
    order_key: npt.NDArray[np.uint64]
    order_line: npt.NDArray[np.uint32]
    orders: npt.NDArray[np.uint8]
    changed: npt.NDArray[np.bool_]


class HistoryTable:
    """Every customer's history, in the order of `seq`, and the order lines by which duplicates are recognised.

    Customers and items are store numbers. A remembered line is `item << 1 | kind`, beside the key of its order.
    """

    def __init__(self) -> None:
        self.history = Rows(np.uint32, ENTRY)
        self.remembered = Rows(np.uint64, np.uint32)
        self.next_seq = np.zeros(0, np.uint32)
        self.orders = np.zeros(0, np.uint8)
        self.changed = np.zeros(0, np.bool_)

    def grow_to(self, customers: int) -> None:
        """Have room for `customers` customers."""
        self.history.grow_to(customers)
        self.remembered.grow_to(customers)
        room = len(self.history.start)
        if room > len(self.next_seq):
            self.next_seq = _extended(self.next_seq, room)
            self.orders = _extended(self.orders, room)
            self.changed = _extended(self.changed, room)

    def reserve(self, customers: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> None:
        """Make room for what m orders, of `lines` lines each, can add to the rows of their `customers`."""
        if customers.size == 0:
            return
        distinct, place = np.unique(customers, return_inverse=True)
        self.grow_to(int(distinct[-1]) + 1)
        extra = np.bincount(place, lines).astype(np.int64)
        rows = distinct.astype(np.int64)
        self.history.reserve(rows, extra)
        self.remembered.reserve(rows, extra)

    def excerpt(self, customer: int) -> HistoryTable:
        """A table of one customer: a copy of this one's rows, as customer 0; empty if the customer is new here."""
        alone = HistoryTable()
        alone.grow_to(1)
        if customer < len(self.next_seq):
            alone.history.place(0, *self.history.row(customer))
            alone.remembered.place(0, *self.remembered.row(customer))
            alone.next_seq[0] = self.next_seq[customer]
            alone.orders[0] = self.orders[customer]
        return alone

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
            self.orders,
            self.changed,
        )
