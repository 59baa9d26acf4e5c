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
_LEVELS = 512
"""Levels of a score an octave: each is an eighth of a percent above the last."""


class PublishedDigests:
    """Scores and checksums of published lists: 120 bytes for each item of the partition, 4 for any other.

    Scores are kept as logarithms in two bytes, and of members no more than a sum: both only save publishing a list
    again that hardly changed. Whether one changed at all is seen by its checksum.

    Args:
        read: (item numbers) returns their published lists, None for none; called once for each item.
    """

    def __init__(self, read: Callable[[list[int]], list[StoredList | None]]) -> None:
        self._read = read
        self._row_of = np.full(_ROOM, -1, np.int32)  # by item number; -1: nothing was asked about it
        self._rows = 0
        self._level = np.zeros((_ROOM, LIST_LENGTH), np.uint16)
        self._members = np.zeros(_ROOM, np.uint64)
        self._length = np.full(_ROOM, _UNKNOWN, np.int8)
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
            same &= self._members[known] == _checksums(lists[:1])
            moved = _levels(lists.score).astype(np.int32) - self._level[known]
            down, up = _LEVELS * np.log2([max(1.0 - tolerance, 1e-9), 1.0 + tolerance])
            same &= ((down <= moved) & (moved <= up)).all(axis=1)
        return np.flatnonzero(~same)

    def record(self, items: npt.NDArray[np.uint32], lists: RelatedLists, rows: npt.NDArray[np.intp]) -> None:
        """Record that some rows of `lists`, the lists of (n,) `items`, are being published."""
        published = self._rows_of(items)[rows]
        self._put(published, [column[rows] for column in lists[:5]], lists.length[rows])

    def _recall(self, row: int, stored: StoredList | None) -> None:
        if stored is None:
            self._length[row] = _NEVER
            return
        length = len(stored.item)
        columns = [np.zeros((1, LIST_LENGTH), column.dtype) for column in stored]
        for wide, column in zip(columns, stored, strict=True):
            wide[0, :length] = column
        self._put(np.array([row], np.int32), columns, np.array([length]))

    def _put(
        self, rows: npt.NDArray[np.int32], columns: Sequence[npt.NDArray[Any]], length: npt.NDArray[np.int64]
    ) -> None:
        """Keep the digests of (n, LIST_LENGTH) columns of n lists."""
        self._level[rows] = _levels(columns[1])
        self._members[rows] = _checksums(columns[:1])
        self._length[rows] = length
        self._checksum[rows] = _checksums(columns)

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
        self._level = np.concatenate([self._level, np.zeros((more, LIST_LENGTH), np.uint16)])
        self._members = np.concatenate([self._members, np.zeros(more, np.uint64)])
        self._length = np.concatenate([self._length, np.full(more, _UNKNOWN, np.int8)])
        self._checksum = np.concatenate([self._checksum, np.zeros(more, np.uint64)])


def _levels(score: npt.NDArray[np.float64]) -> npt.NDArray[np.uint16]:
    """Logarithms of scores; 0 where there is none."""
    octaves = np.log2(score, out=np.full(score.shape, -64.0), where=score > 0)
    levels: npt.NDArray[np.uint16] = np.clip(np.rint(_LEVELS * (octaves + 64)), 0, 65535).astype(np.uint16)
    return levels


def _checksums(columns: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """(n,) one number for each row of (n, LIST_LENGTH) columns: items, and up to four columns of floats."""
    bits = [columns[0].astype(np.uint64), *[np.ascontiguousarray(column).view(np.uint64) for column in columns[1:]]]
    sums: npt.NDArray[np.uint64] = sum(
        ((part * factor).sum(axis=1) for part, factor in zip(bits, _FACTORS, strict=False)),
        np.zeros(len(columns[0]), np.uint64),
    )
    return sums
