"""Digests of published lists, which show without reading the list whether a new one is worth publishing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streams.engine.ranking import LIST_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from state.related_store import StoredList
    from streams.engine.ranking import RelatedLists

_ROOM = 1024
_UNKNOWN, _NEVER = -2, -1
# odd, and different for each column and rank, so that no single bit of a list can change without changing the sum
_FACTORS = np.random.default_rng(2017).integers(1, 1 << 63, (5, LIST_LENGTH), np.uint64) | np.uint64(1)


class PublishedDigests:
    """Members, scores and a checksum of published lists: 420 bytes for each item of the partition, 4 for any other.

    Args:
        read: (item numbers) returns their published lists, None for none; called once for each item.
    """

    def __init__(self, read: Callable[[list[int]], list[StoredList | None]]) -> None:
        self._read = read
        self._row_of = np.full(_ROOM, -1, np.int32)  # by item number; -1: nothing was asked about it
        self._rows = 0
        self._item = np.zeros((_ROOM, LIST_LENGTH), np.uint32)
        self._score = np.zeros((_ROOM, LIST_LENGTH), np.float32)
        self._length = np.full(_ROOM, _UNKNOWN)
        self._checksum = np.zeros(_ROOM, np.uint64)

    def differing(self, items: npt.NDArray[np.uint32], lists: RelatedLists, tolerance: float) -> npt.NDArray[np.intp]:
        """Rows of `lists`, the lists of (n,) `items`, that differ from the published ones.

        A list differs if its items or their order do, or if a score moved by more than `tolerance` times its previous
        value; with tolerance 0, if anything differs.
        """
        known = self._rows_of(items)
        unknown = np.flatnonzero(self._length[known] == _UNKNOWN)
        for row, stored in zip(known[unknown].tolist(), self._read(items[unknown].tolist()), strict=True):
            self._recall(row, stored)
        same = self._length[known] == lists.length
        if tolerance == 0:
            same &= self._checksum[known] == _checksums(lists[:5])
        else:
            published = self._score[known]
            same &= (self._item[known] == lists.item).all(axis=1)
            same &= (np.abs(lists.score - published) <= tolerance * np.abs(published)).all(axis=1)
        return np.flatnonzero(~same)

    def record(self, items: npt.NDArray[np.uint32], lists: RelatedLists, rows: npt.NDArray[np.intp]) -> None:
        """Record that some rows of `lists`, the lists of (n,) `items`, are being published."""
        published = self._rows_of(items)[rows]
        self._item[published] = lists.item[rows]
        self._score[published] = lists.score[rows]
        self._length[published] = lists.length[rows]
        self._checksum[published] = _checksums([column[rows] for column in lists[:5]])

    def _recall(self, row: int, stored: StoredList | None) -> None:
        if stored is None:
            self._length[row] = _NEVER
            return
        length = len(stored.item)
        columns = [np.zeros((1, LIST_LENGTH), column.dtype) for column in stored]
        for wide, column in zip(columns, stored, strict=True):
            wide[0, :length] = column
        self._item[row], self._score[row] = columns[0][0], columns[1][0]
        self._length[row] = length
        self._checksum[row] = _checksums(columns)[0]

    def _rows_of(self, items: npt.NDArray[np.uint32]) -> npt.NDArray[np.int32]:
        """(n,) the rows of items, which are distinct; new ones get the next rows."""
        more = int(items.max(initial=0)) + 1 - len(self._row_of)
        if more > 0:
            self._row_of = np.concatenate([self._row_of, np.full(max(more, len(self._row_of) // 2), -1, np.int32)])
        new = items[self._row_of[items] < 0]
        self._make_room(self._rows + len(new))
        self._row_of[new] = np.arange(self._rows, self._rows + len(new))
        self._rows += len(new)
        rows: npt.NDArray[np.int32] = self._row_of[items]
        return rows

    def _make_room(self, rows: int) -> None:
        room = len(self._length)
        if rows <= room:
            return
        more = max(rows, room * 3 // 2) - room
        self._item = np.concatenate([self._item, np.zeros((more, LIST_LENGTH), np.uint32)])
        self._score = np.concatenate([self._score, np.zeros((more, LIST_LENGTH), np.float32)])
        self._length = np.concatenate([self._length, np.full(more, _UNKNOWN)])
        self._checksum = np.concatenate([self._checksum, np.zeros(more, np.uint64)])


def _checksums(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """(n,) one number for each row of (n, LIST_LENGTH) columns: items and four columns of floats."""
    bits = [columns[0].astype(np.uint64), *[np.ascontiguousarray(column).view(np.uint64) for column in columns[1:]]]
    sums: npt.NDArray[np.uint64] = sum(
        ((part * factor).sum(axis=1) for part, factor in zip(bits, _FACTORS, strict=True)),
        np.zeros(len(columns[0]), np.uint64),
    )
    return sums
