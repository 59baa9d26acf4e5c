"""Purchases of each item per day and per epoch, and its holders, in memory and in stored slices."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.columns import pack, unpack
from state.compiled import compiled
from state.count_rows import BUNDLE
from state.errors import StateDamaged
from state.journal import SLICES

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.rocks import Rocks, WriteBatch

    Column = npt.NDArray[np.unsignedinteger[Any] | np.int64]

DAYS = 60
"""Number of UTC days for which daily purchases are kept, the newest purchase's included."""

_KEY = struct.Struct(">cHI")  # slice first, so that the records written together are adjacent
_EPOCH, _DAY = b"e", b"d"
_STRIDE = SLICES * BUNDLE
_TYPES = (np.uint8, np.uint16, np.uint32, np.int64)


class PopularityChange(NamedTuple):
    """Where counts of a popularity table changed."""

    items: npt.NDArray[np.int64]
    """(k,) rising."""
    epochs: list[int]
    """In which holders or purchases changed."""
    days: list[int]
    """On which purchases changed."""


class PopularityTable:
    """Integer popularity of all items, in columns that grow as items appear and have zeros to spare.

    Each column has the narrowest type that holds its counts: most items sell less than 256 times in a month.

    Attributes:
        holders: epoch of the first purchase -> (n,) customers who hold each item.
        purchases: epoch -> (n,) purchases of each item.
        days: DAYS columns, each (n,) purchases of each item on one of the days up to `newest_day`; day d is in
            d % DAYS.
        newest_day: UTC day of the newest purchase, in days since 1970-01-01; -1 before the first.
    """

    def __init__(self) -> None:
        self._size = _STRIDE
        self.holders: dict[int, Column] = {}
        self.purchases: dict[int, Column] = {}
        self.days = [self._zeros() for _ in range(DAYS)]
        self.newest_day = -1
        self._changed: dict[tuple[bytes, int], int] = {}  # kind of record and its epoch or day -> last commit
        self._item_changed = np.zeros(self._size, np.int64)  # by item: last commit that changed one of its counts
        self._stored_days: list[set[int]] = [set() for _ in range(SLICES)]  # by slice

    def _zeros(self) -> Column:
        return np.zeros(self._size, _TYPES[0])

    def grow_to(self, items: int) -> None:
        """Have room for `items` items."""
        if items <= self._size:
            return
        self._size = -(-max(items, self._size * 3 // 2) // _STRIDE) * _STRIDE
        for table in (self.holders, self.purchases):
            for epoch, column in table.items():
                table[epoch] = _extended(column, self._size)
        self.days = [_extended(column, self._size) for column in self.days]
        self._item_changed = np.pad(self._item_changed, (0, self._size - len(self._item_changed)))

    def advance(self, day: int) -> None:
        """Make `day` the newest if it is later, and zero the columns of the new days, which hold expired days."""
        if self.newest_day >= 0:
            for new_day in range(max(self.newest_day + 1, day - DAYS + 1), day + 1):
                self.days[new_day % DAYS] = self._zeros()
        self.newest_day = max(self.newest_day, day)

    def epoch(self, epoch: int) -> tuple[Column, Column]:
        """The holders and purchases of an epoch, zeros if it is new."""
        if epoch not in self.holders:
            self.holders[epoch], self.purchases[epoch] = self._zeros(), self._zeros()
        return self.holders[epoch], self.purchases[epoch]

    def totals(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(n,) holders and (n,) purchases of each item over all epochs."""
        holders, purchases = np.zeros(self._size, np.int64), np.zeros(self._size, np.int64)
        for epoch, column in self.holders.items():
            holders += column
            purchases += self.purchases[epoch]
        return holders, purchases

    def totals_of(self, items: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(k,) holders and (k,) purchases over all epochs of (k,) items."""
        holders, purchases = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
        for epoch, column in self.holders.items():
            holders += column[items]
            purchases += self.purchases[epoch][items]
        return holders, purchases

    def add_holders(
        self, commit: int, items: npt.NDArray[Any], epochs: npt.NDArray[np.int64], change: npt.NDArray[np.int64]
    ) -> None:
        """Add `change`, +1 or -1, to the holders of `items` in `epochs`; each (k,).

        Raises:
            StateDamaged: an item would have fewer than no holders.
        """
        self._item_changed[items] = commit
        for epoch in np.unique(epochs).tolist():
            mask = epochs == epoch
            self.holders[epoch] = _sum(self.epoch(epoch)[0], items[mask], change[mask])
            self._changed[_EPOCH, epoch] = commit

    def add_purchases(
        self, commit: int, items: npt.NDArray[Any], days: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64]
    ) -> None:
        """Add a purchase of each of `items` on `days`, which are in `epochs`; each (k,)."""
        self._item_changed[items] = commit
        ones = np.ones(len(items), np.int64)
        for epoch in np.unique(epochs).tolist():
            mask = epochs == epoch
            self.purchases[epoch] = _sum(self.epoch(epoch)[1], items[mask], ones[mask])
            self._changed[_EPOCH, epoch] = commit
        for day in np.unique(days).tolist():
            if day > self.newest_day - DAYS:
                mask = days == day
                self.days[day % DAYS] = _sum(self.days[day % DAYS], items[mask], ones[mask])
                self._changed[_DAY, day] = commit

    def changed(self, since: int) -> PopularityChange:
        """What changed after commit `since`, which is not before the table was loaded."""
        columns = [(kind, when) for (kind, when), commit in self._changed.items() if commit > since]
        return PopularityChange(
            items=np.flatnonzero(self._item_changed > since),
            epochs=[when for kind, when in columns if kind == _EPOCH],
            days=[when for kind, when in columns if kind == _DAY],
        )

    def write_slice(self, batch: WriteBatch, number: int, since: int) -> None:
        """Put what changed in slice `number` after commit `since` into `batch`, and delete the slice's expired days."""
        for (kind, when), commit in list(self._changed.items()):
            if kind == _DAY and when <= self.newest_day - DAYS:
                del self._changed[kind, when]
            elif commit > since:
                key = _KEY.pack(kind, number, when)
                if kind == _EPOCH:
                    columns = [_of_slice(column, number) for column in self.epoch(when)]
                else:
                    columns = [_of_slice(self.days[when % DAYS], number)]
                    self._stored_days[number].add(when)
                batch.put(key, pack(columns))
        for day in [day for day in self._stored_days[number] if day <= self.newest_day - DAYS]:
            batch.delete(_KEY.pack(_DAY, number, day))
            self._stored_days[number].remove(day)

    def load(self, rocks: Rocks, items: int) -> None:
        """Read every slice. What was counted after a slice was written follows with the journal."""
        self.grow_to(items)
        for key, record in rocks.scan(_EPOCH):
            _, number, epoch = _KEY.unpack(key)
            holders, purchases = self.epoch(epoch)
            stored_holders, stored_purchases = unpack(record, [np.int64, np.int64])
            self.holders[epoch] = _with_slice(holders, number, stored_holders)
            self.purchases[epoch] = _with_slice(purchases, number, stored_purchases)
        daily = [(*_KEY.unpack(key)[1:], record) for key, record in rocks.scan(_DAY)]
        self.newest_day = max((day for _, day, _ in daily), default=-1)
        for number, day, record in daily:
            self._stored_days[number].add(day)
            if day > self.newest_day - DAYS:
                self.days[day % DAYS] = _with_slice(self.days[day % DAYS], number, *unpack(record, [np.int64]))


def _extended(column: Column, size: int) -> Column:
    longer = np.zeros(size, column.dtype)
    longer[: len(column)] = column
    return longer


def _holding(column: Column, count: int) -> Column:
    """The column, or a copy of a wider type, in which `count` fits."""
    if count < 0:
        raise StateDamaged("the popularity of an item would fall below zero; restore a snapshot, or replay the log")
    kind = next(kind for kind in _TYPES if count <= np.iinfo(kind).max)
    return column if column.itemsize >= np.dtype(kind).itemsize else column.astype(kind)


def _sum(column: Column, items: npt.NDArray[Any], change: npt.NDArray[np.int64]) -> Column:
    """The column, or a wider copy, after adding (k,) changes to the counts of (k,) items."""
    added = _add(column, items, change, 0, np.iinfo(column.dtype).max)
    while added < len(items):
        column = _holding(column, int(column[items[added]]) + int(change[added]))
        added = _add(column, items, change, added, np.iinfo(column.dtype).max)
    return column


@compiled
def _add(column: Column, items: npt.NDArray[np.uint32], change: npt.NDArray[np.int64], first: int, most: int) -> int:
    """Add changes from the one at `first` on, up to one that gives no count from 0 to `most`; return its index."""
    for at in range(first, len(items)):
        count = np.int64(column[items[at]]) + change[at]
        if not 0 <= count <= most:
            return at
        column[items[at]] = count
    return len(items)


def _of_slice(column: Column, number: int) -> Column:
    """The elements of a column that belong to the items of one slice, in order."""
    part: Column = column.reshape(-1, SLICES, BUNDLE)[:, number].ravel()
    return part


def _with_slice(column: Column, number: int, part: npt.NDArray[np.int64]) -> Column:
    """The column, or a wider copy, with other counts of the items of one slice.

    Items that appeared after the slice was written stay 0. If the column it was written from had more spare elements
    than this one, they are zeros, and dropped.
    """
    column = _holding(column, min(int(part.min(initial=0)), 0) or int(part.max(initial=0)))
    blocks = column.reshape(-1, SLICES, BUNDLE)[:, number]
    stored = part.reshape(-1, BUNDLE)[: len(blocks)]
    blocks[: len(stored)] = stored
    return column
