"""The related lists of one item partition as they were last published, in one RocksDB directory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.columns import pack, unpack
from state.errors import StateDamaged
from state.rocks import WriteBatch
from state.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy.typing as npt

    from state.log_identity import LogIdentity
    from state.memory import Memory

_LIST = struct.Struct(">cI")
_CURRENT = b"mcurrent"
_POSITION = b"mrelated"
_SCORE = b"mscore"
_UNRECORDED_SCORE = "blend"  # of states from before there was a choice
_ENTRY_BYTES = 4 + 4 * 8


class StoredList(NamedTuple):
    """One related list of k entries, best first."""

    item: npt.NDArray[np.uint32]
    """(k,) items listed, as numbers of the partition's count store."""
    score: npt.NDArray[np.float64]
    """(k,) above 0, descending."""
    together: npt.NDArray[np.float64]
    """(k,) N, customers who hold both items; weighted if the score has a half-life."""
    expected: npt.NDArray[np.float64]
    """(k,) E, the co-purchases that heavy buying alone explains; weighted likewise."""
    trend: npt.NDArray[np.float64]
    """(k,) ratio of the recent to the long-term share of purchases; 1 if it is switched off."""

    def taken(self, rows: npt.NDArray[np.int64] | slice) -> StoredList:
        """Some of the entries, in this order."""
        return StoredList(self.item[rows], self.score[rows], self.together[rows], self.expected[rows], self.trend[rows])


class RelatedStore(Store):
    """Published related lists by item number, and the version of the counts for which all of them are exact.

    Lists can be computed from the counts at any time; the store keeps those that readers have. A write that returned
    survives SIGKILL.

    Args:
        path: the directory; created if missing.
        read_only: open without taking the directory's lock.
        memory: what the store shares with the others of the process; None: the default one.

    Attributes:
        score: the name of the score by which the lists are ranked.
        exact_as_of: the counts' `purchases_offset_sum` for which every list is exact; -1 if there is none.
        related_items_offset: offset in related-items up to which the caller knows the published lists; set by the
            caller, written with the lists.
    """

    def __init__(self, path: Path, *, read_only: bool = False, memory: Memory | None = None) -> None:
        super().__init__(path, read_only=read_only, memory=memory)
        with self.closed_on_error():
            position = self._rocks.get(_POSITION)
            self.related_items_offset = 0 if position is None else int(unpack(position, [np.int64])[0][0])
            score = self._rocks.get(_SCORE)
            self.score = _UNRECORDED_SCORE if score is None else score.decode()
            current = self._rocks.get(_CURRENT)
            self.exact_as_of = -1 if current is None else int(unpack(current, [np.int64])[0][0])

    def write(self, lists: Iterable[tuple[int, StoredList | None]], exact_as_of: int = -1) -> None:
        """Write the lists of some items in one batch.

        Args:
            lists: item number and list; None if the published list is not known.
            exact_as_of: the counts' `purchases_offset_sum` for which all lists are exact; -1 if there is none.
        """
        batch = WriteBatch(raw_mode=True)
        for number, stored in lists:
            key = _LIST.pack(b"l", number)
            if stored is None:
                batch.delete(key)
            else:
                batch.put(key, _packed(stored))
        batch.put(_CURRENT, pack([np.array([exact_as_of])]))
        batch.put(_POSITION, pack([np.array([self.related_items_offset])]))
        self._rocks.write(batch)
        self.exact_as_of = exact_as_of

    def restart(self, score: str, logs: Mapping[str, LogIdentity] | None = None) -> None:
        """Delete every list, in one batch: from now on they are ranked by another score, or published elsewhere.

        Args:
            score: by which lists are ranked from now on.
            logs: name -> identity, if lists are published to another log from now on, of which nothing is known.
        """
        batch = WriteBatch(raw_mode=True)
        for key, _ in self._rocks.scan(b"l"):
            batch.delete(key)
        batch.put(_CURRENT, pack([np.array([-1])]))
        batch.put(_SCORE, score.encode())
        if logs is not None:
            self.related_items_offset = 0
            batch.put(_POSITION, pack([np.array([0])]))
            self._put_logs(batch, logs)
        self._rocks.write(batch)
        self.score, self.exact_as_of = score, -1

    def get(self, number: int) -> StoredList | None:
        """An item's list, or None if it is not known."""
        return self.get_many([number])[0]

    def get_many(self, numbers: Iterable[int]) -> list[StoredList | None]:
        """The lists of some items; None for those not known."""
        records = self._rocks.get_many([_LIST.pack(b"l", number) for number in numbers])
        return [None if record is None else self._unpacked(record) for record in records]

    def every(self) -> Iterator[tuple[int, StoredList]]:
        """All lists by rising item number."""
        for key, record in self._rocks.scan(b"l"):
            yield _LIST.unpack(key)[1], self._unpacked(record)

    def _unpacked(self, record: bytes) -> StoredList:
        length, rest = divmod(len(record), _ENTRY_BYTES)
        if rest:
            raise StateDamaged(
                f"{self.path}: a list of {len(record)} bytes is cut off, an entry has {_ENTRY_BYTES}; restore a "
                "snapshot, or delete it and replay"
            )
        items = np.frombuffer(record, np.uint32, length)
        figures = np.frombuffer(record, np.float64, 4 * length, 4 * length)
        if not np.isfinite(figures).all():
            raise StateDamaged(
                f"{self.path}: a list has a figure that is no number; delete it, and lists are made again"
            )
        return StoredList(items, *figures.reshape(4, length))


def _packed(stored: StoredList) -> bytes:
    """The columns, concatenated: items as uint32, the others as float64, which no encoding makes much shorter."""
    return b"".join([column.tobytes() for column in stored])
