"""Purchases of each item per day and per epoch, and its holders, in memory and in stored slices."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from state.columns import pack, unpack
from state.count_rows import BUNDLE
from state.journal import SLICES

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.rocks import Rocks, WriteBatch

DAYS = 60
"""Number of UTC days for which daily purchases are kept, the newest purchase's included."""

_KEY = struct.Struct(">cHI")  # slice first, so that the records written together are adjacent
_EPOCH, _DAY = b"e", b"d"
_STRIDE = SLICES * BUNDLE


class PopularityTable:
    """Integer popularity of all items, in columns that grow as items appear and have zeros to spare.

    Attributes:
        holders: epoch of the first purchase -> (n,) int64 customers who hold each item.
        purchases: epoch -> (n,) int64 purchases of each item.
        days: (DAYS, n) int32 purchases of each item on the days up to `newest_day`; day d is row d % DAYS.
        newest_day: UTC day of the newest purchase, in days since 1970-01-01; -1 before the first.
    """

    def __init__(self) -> None:
        self.holders: dict[int, npt.NDArray[np.int64]] = {}
        self.purchases: dict[int, npt.NDArray[np.int64]] = {}
        self.days = np.zeros((DAYS, _STRIDE), np.int32)
        self.newest_day = -1
        self._changed: dict[tuple[bytes, int], int] = {}  # kind of record and its epoch or day -> last commit
        self._stored_days: list[set[int]] = [set() for _ in range(SLICES)]  # by slice

    def grow_to(self, items: int) -> None:
        """Have room for `items` items."""
        size = self.days.shape[1]
        if items <= size:
            return
        size = -(-max(items, size * 3 // 2) // _STRIDE) * _STRIDE
        for table in (self.holders, self.purchases):
            for epoch, column in table.items():
                table[epoch] = _extended(column, size)
        days = np.zeros((DAYS, size), np.int32)
        days[:, : self.days.shape[1]] = self.days
        self.days = days

    def advance(self, day: int) -> None:
        """Make `day` the newest if it is later, and zero the rows of the new days, which hold expired days."""
        if self.newest_day >= 0:
            for new_day in range(max(self.newest_day + 1, day - DAYS + 1), day + 1):
                self.days[new_day % DAYS] = 0
        self.newest_day = max(self.newest_day, day)

    def epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The holders and purchases of an epoch, zeros if it is new; views."""
        if epoch not in self.holders:
            self.holders[epoch] = np.zeros(self.days.shape[1], np.int64)
            self.purchases[epoch] = np.zeros(self.days.shape[1], np.int64)
        return self.holders[epoch], self.purchases[epoch]

    def totals(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(n,) holders and (n,) purchases of each item over all epochs."""
        zeros = np.zeros(self.days.shape[1], np.int64)
        return sum(self.holders.values(), zeros), sum(self.purchases.values(), zeros)

    def add_holders(
        self, commit: int, items: npt.NDArray[Any], epochs: npt.NDArray[np.int64], change: npt.NDArray[np.int64]
    ) -> None:
        """Add `change`, +1 or -1, to the holders of `items` in `epochs`; each (k,)."""
        for epoch in np.unique(epochs).tolist():
            mask = epochs == epoch
            np.add.at(self.epoch(epoch)[0], items[mask], change[mask])
            self._changed[_EPOCH, epoch] = commit

    def add_purchases(
        self, commit: int, items: npt.NDArray[Any], days: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64]
    ) -> None:
        """Add a purchase of each of `items` on `days`, which are in `epochs`; each (k,)."""
        for epoch in np.unique(epochs).tolist():
            np.add.at(self.epoch(epoch)[1], items[epochs == epoch], 1)
            self._changed[_EPOCH, epoch] = commit
        for day in np.unique(days).tolist():
            if day > self.newest_day - DAYS:
                np.add.at(self.days[day % DAYS], items[days == day], 1)
                self._changed[_DAY, day] = commit

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
            for column, stored in zip(self.epoch(epoch), unpack(record, [np.int64, np.int64]), strict=True):
                _put_slice(column, number, stored)
        daily = [(*_KEY.unpack(key)[1:], record) for key, record in rocks.scan(_DAY)]
        self.newest_day = max((day for _, day, _ in daily), default=-1)
        for number, day, record in daily:
            self._stored_days[number].add(day)
            if day > self.newest_day - DAYS:
                _put_slice(self.days[day % DAYS], number, unpack(record, [np.int64])[0])


def _extended(column: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    longer = np.zeros(size, np.int64)
    longer[: len(column)] = column
    return longer


def _of_slice(column: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """The elements of a column that belong to the items of one slice, in order."""
    part: npt.NDArray[np.int64] = column.reshape(-1, SLICES, BUNDLE)[:, number].ravel()
    return part


def _put_slice(column: npt.NDArray[np.int64], number: int, part: npt.NDArray[np.int64]) -> None:
    """Set the elements of a column that belong to the items of one slice.

    Items that appeared after the slice was written stay 0. If the column it was written from had more spare elements
    than this one, they are zeros, and dropped.
    """
    blocks = column.reshape(-1, SLICES, BUNDLE)[:, number]
    stored = part.reshape(-1, BUNDLE)[: len(blocks)]
    blocks[: len(stored)] = stored
