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
    """Members, scores and a checksum of published lists by item number; 420 bytes per item.

    Args:
        read: (item numbers) returns their published lists, None for none; called once for each item.
    """

    def __init__(self, read: Callable[[list[int]], list[StoredList | None]]) -> None:
        self._read = read
        self._item = np.zeros((_ROOM, LIST_LENGTH), np.uint32)
        self._score = np.zeros((_ROOM, LIST_LENGTH), np.float32)
        self._length = np.full(_ROOM, _UNKNOWN)
        self._checksum = np.zeros(_ROOM, np.uint64)

    def differing(self, items: npt.NDArray[np.uint32], lists: RelatedLists, tolerance: float) -> npt.NDArray[np.intp]:
        """Rows of `lists`, the lists of (n,) `items`, that differ from the published ones.

        A list differs if its items or their order do, or if a score moved by more than `tolerance` times its previous
        value; with tolerance 0, if anything differs.
        """
        self._make_room(items)
        unknown = items[self._length[items] == _UNKNOWN].tolist()
        for item, stored in zip(unknown, self._read(unknown), strict=True):
            self._recall(item, stored)
        same = self._length[items] == lists.length
        if tolerance == 0:
            same &= self._checksum[items] == _checksums(lists[:5])
        else:
            published = self._score[items]
            same &= (self._item[items] == lists.item).all(axis=1)
            same &= (np.abs(lists.score - published) <= tolerance * np.abs(published)).all(axis=1)
        return np.flatnonzero(~same)

    def record(self, items: npt.NDArray[np.uint32], lists: RelatedLists, rows: npt.NDArray[np.intp]) -> None:
        """Record that some rows of `lists`, the lists of (n,) `items`, are being published."""
        self._make_room(items)
        published = items[rows]
        self._item[published] = lists.item[rows]
        self._score[published] = lists.score[rows]
        self._length[published] = lists.length[rows]
        self._checksum[published] = _checksums([column[rows] for column in lists[:5]])

    def _recall(self, item: int, stored: StoredList | None) -> None:
        if stored is None:
            self._length[item] = _NEVER
            return
        length = len(stored.item)
        columns = [np.zeros((1, LIST_LENGTH), column.dtype) for column in stored]
        for wide, column in zip(columns, stored, strict=True):
            wide[0, :length] = column
        self._item[item], self._score[item] = columns[0][0], columns[1][0]
        self._length[item] = length
        self._checksum[item] = _checksums(columns)[0]

    def _make_room(self, items: npt.NDArray[np.uint32]) -> None:
        room = len(self._length)
        if not len(items) or items.max() < room:
            return
        more = max(int(items.max()) + 1, room * 3 // 2) - room
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
