"""The commit journal, which keeps large state durable without rewriting all of it at every commit.

State is divided into slices. A commit writes its input as one journal record, and a few slices in full, in rotation.
The state on disk is the slices, plus the records that are newer than each. Opening a store reads the slices and applies
to each the records it lacks. The work of a commit and the length of the journal are bounded.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from state.columns import pack, unpack
from state.errors import StateDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rocksdict import WriteBatch

    from state.rocks import Rocks

SLICES = 64
_RECORD = b"j"
_POSITION = b"mjournal"
_NUMBER = struct.Struct(">Q")  # big-endian, so that records are read in the order of their commits


class Journal:
    """The journal of one store.

    Args:
        rocks: the store's directory.
        work_per_slice: units of work (the store's unit: order lines, pair updates) per slice written in full.

    Attributes:
        commit: number of the last commit, from 1; 0 before the first.
        written: (SLICES,) int64 commit that last wrote each slice.
        next_slice: the slice whose turn is next.
    """

    def __init__(self, rocks: Rocks, work_per_slice: int) -> None:
        self._rocks = rocks
        self._work_per_slice = work_per_slice
        self.commit = 0
        self.written = np.zeros(SLICES, np.int64)
        self.next_slice = 0
        self._work = 0
        position = rocks.get(_POSITION)
        if position is not None:
            self.written, state = unpack(position, [np.int64, np.int64])
            self.commit, self.next_slice, self._work = (int(number) for number in state)

    def begin(self, batch: WriteBatch, record: bytes, work: int) -> list[tuple[int, int]]:
        """Start the next commit in `batch`: journal its `record`.

        Returns:
            The slices that the commit has to write in full, each with the commit that wrote it last; none without work.
        """
        self.commit += 1
        batch.put(_RECORD + _NUMBER.pack(self.commit), record)
        due = 0
        if work:
            due, self._work = divmod(self._work + work, self._work_per_slice)
            due = min(due, SLICES)
        slices = [(self.next_slice + offset) % SLICES for offset in range(due)]
        self.next_slice = (self.next_slice + due) % SLICES
        due_slices = [(number, int(self.written[number])) for number in slices]
        self.wrote(batch, slices, self.commit)
        return due_slices

    def wrote(self, batch: WriteBatch, slices: Sequence[int], commit: int) -> None:
        """Record that slices are written in full in `batch`, as of a commit; drop the records that no slice lacks."""
        oldest = int(self.written.min())
        self.written[slices] = commit
        for number in range(oldest + 1, int(self.written.min()) + 1):
            batch.delete(_RECORD + _NUMBER.pack(number))
        batch.put(_POSITION, pack([self.written, np.array([self.commit, self.next_slice, self._work])]))

    def oldest_slice(self) -> int:
        """The slice that was written longest ago, and of several the one whose turn is next; its turn has come."""
        order = (np.arange(SLICES) + self.next_slice) % SLICES
        number = int(order[np.argmin(self.written[order])])
        if number == self.next_slice:
            self.next_slice = (number + 1) % SLICES
        return number

    def records(self) -> Iterator[tuple[int, bytes]]:
        """Commit number and record of every commit that some slice lacks, oldest first.

        Raises:
            StateDamaged: one is missing.
        """
        due = int(self.written.min()) + 1
        for key, record in self._rocks.scan(_RECORD):
            number = _NUMBER.unpack(key[1:])[0]
            if number != due:
                break
            yield number, record
            due += 1
        if due <= self.commit:
            raise StateDamaged(
                f"{self._rocks.path} is damaged: of {self.commit} commits, the journal lacks number {due}; "
                "restore a snapshot, or delete it and replay"
            )
