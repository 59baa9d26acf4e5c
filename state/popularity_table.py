"""How often each item was bought, per day and per epoch, and how many customers hold it, in memory and in slices."""

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
"""Days of event time of which daily purchases are kept."""

_KEY = struct.Struct(">cHI")  # slice first: what a turn writes is adjacent
_EPOCH, _DAY = b"e", b"d"
_STRIDE = SLICES * BUNDLE


class PopularityTable:
    """Integer popularity of all items, with columns that grow as items appear.

    Attributes:
        holders: epoch -> (n,) int64 customers who hold each item, by the epoch of their first purchase.
        purchases: epoch -> (n,) int64 purchases of each item.
        days: (DAYS, n) int32 purchases of the days up to `newest_day`; day d in row d % DAYS.
        newest_day: UTC day of the newest purchase; -1 before the first.
    """

    def __init__(self) -> None:
        self.holders: dict[int, npt.NDArray[np.int64]] = {}
        self.purchases: dict[int, npt.NDArray[np.int64]] = {}
        self.days = np.zeros((DAYS, _STRIDE), np.int32)
        self.newest_day = -1
        self._touched: dict[tuple[bytes, int], int] = {}
        self._stored_days: list[set[int]] = [set() for _ in range(SLICES)]

    def grow_to(self, items: int) -> None:
        """Have room for `items` items."""
        room = self.days.shape[1]
        if items <= room:
            return
        room = -(-max(items, room * 3 // 2) // _STRIDE) * _STRIDE
        for table in (self.holders, self.purchases):
            for epoch, column in table.items():
                table[epoch] = _widened(column, room)
        days = np.zeros((DAYS, room), np.int32)
        days[:, : self.days.shape[1]] = self.days
        self.days = days

    def advance(self, day: int) -> None:
        """Let `day` be the newest, if it is later: days that fall out of reach are emptied."""
        if self.newest_day >= 0:
            for gone in range(max(self.newest_day + 1, day - DAYS + 1), day + 1):
                self.days[gone % DAYS] = 0
        self.newest_day = max(self.newest_day, day)

    def epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Holders and purchases of an epoch, zeros if it is new."""
        if epoch not in self.holders:
            self.holders[epoch] = np.zeros(self.days.shape[1], np.int64)
            self.purchases[epoch] = np.zeros(self.days.shape[1], np.int64)
        return self.holders[epoch], self.purchases[epoch]

    def totals(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(n,) holders and (n,) purchases of each item, of all epochs."""
        nothing = np.zeros(self.days.shape[1], np.int64)
        return sum(self.holders.values(), nothing), sum(self.purchases.values(), nothing)

    def add_holders(
        self, commit: int, items: npt.NDArray[Any], epochs: npt.NDArray[np.int64], change: npt.NDArray[np.int64]
    ) -> None:
        """Add `change`, +1 or -1, to the holders of `items` in `epochs`; each (k,)."""
        for epoch in np.unique(epochs).tolist():
            here = epochs == epoch
            np.add.at(self.epoch(epoch)[0], items[here], change[here])
            self._touched[_EPOCH, epoch] = commit

    def add_purchases(
        self, commit: int, items: npt.NDArray[Any], days: npt.NDArray[np.int64], epochs: npt.NDArray[np.int64]
    ) -> None:
        """Add a purchase of each of `items` on `days`, which lie in `epochs`; each (k,)."""
        for epoch in np.unique(epochs).tolist():
            np.add.at(self.epoch(epoch)[1], items[epochs == epoch], 1)
            self._touched[_EPOCH, epoch] = commit
        for day in np.unique(days).tolist():
            if day > self.newest_day - DAYS:
                np.add.at(self.days[day % DAYS], items[days == day], 1)
                self._touched[_DAY, day] = commit

    def write_slice(self, batch: WriteBatch, number: int, since: int) -> None:
        """Put into `batch` what of slice `number` changed after commit `since`, and delete days out of reach."""
        for (kind, when), commit in list(self._touched.items()):
            if kind == _DAY and when <= self.newest_day - DAYS:
                del self._touched[kind, when]
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
        """Read back every slice. Days that no slice has seen yet come with the journal."""
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


def _widened(column: npt.NDArray[np.int64], room: int) -> npt.NDArray[np.int64]:
    wide = np.zeros(room, np.int64)
    wide[: len(column)] = column
    return wide


def _of_slice(column: npt.NDArray[np.int64], number: int) -> npt.NDArray[np.int64]:
    """The elements of one slice's items, in order."""
    part: npt.NDArray[np.int64] = column.reshape(-1, SLICES, BUNDLE)[:, number].ravel()
    return part


def _put_slice(column: npt.NDArray[np.int64], number: int, part: npt.NDArray[np.int64]) -> None:
    """Set the elements of one slice's items; later ones, unknown when it was written, stay 0.

    The column it was written from may have had more room for items to come: zeros, which are left out.
    """
    blocks = column.reshape(-1, SLICES, BUNDLE)[:, number]
    stored = part.reshape(-1, BUNDLE)[: len(blocks)]
    blocks[: len(stored)] = stored
