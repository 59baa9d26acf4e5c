"""Changes of counts that wait in memory until their slice is written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from state.count_rows import by_slice
from state.journal import SLICES
from state.key_sorting import sort_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.count_rows import Keys

_MOST_UNSORTED = 64
_RUN_BYTES = 160
"""Of a run, besides its keys: the array's header, its place in a list, and what the allocator adds."""


class WaitingCounts:
    """Signed pair keys by epoch and slice.

    Each run of keys has memory of its own, so that forgetting a slice frees what its keys took. Counting appends runs
    as they come. A reader has those of a slice sorted and merged first, so that it searches only a few. During a replay
    nothing is read, so each key is sorted once, when its slice is written.

    >>> waiting = WaitingCounts()
    >>> waiting.add({570: np.array([6, 4], np.uint64)})
    >>> waiting.add({570: np.array([2], np.uint64)})
    >>> waiting.keys(570, 0).tolist(), waiting.epochs()
    ([2, 4, 6], [570])
    >>> waiting.forget(0)
    >>> waiting.runs(570, 0), waiting.nbytes
    ([], 0)
    """

    def __init__(self) -> None:
        self._slices: dict[int, list[_Slice]] = {}
        self._bytes = [0] * SLICES

    @property
    def nbytes(self) -> int:
        """Bytes that all keys take."""
        return sum(self._bytes)

    def add(self, keys: dict[int, Keys]) -> None:
        """Add copies of epoch -> signed keys."""
        for epoch, added in keys.items():
            slices = self._slices.setdefault(epoch, [_Slice() for _ in range(SLICES)])
            grouped, bounds = by_slice(added)
            for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
                if begin < end:
                    unsorted = slices[number].unsorted
                    unsorted.append(grouped[begin:end].copy())
                    self._bytes[number] += 8 * (end - begin) + _RUN_BYTES
                    if len(unsorted) > _MOST_UNSORTED:
                        self._bytes[number] -= _RUN_BYTES * _join(unsorted, np.concatenate)

    def runs(self, epoch: int, number: int) -> list[Keys]:
        """The keys of a slice and epoch as a few sorted runs; a key may be in several."""
        if epoch not in self._slices:
            return []
        waiting = self._slices[epoch][number]
        if waiting.unsorted:
            self._bytes[number] -= _RUN_BYTES * (len(waiting.unsorted) - 1)
            waiting.runs.append(sort_keys(waiting.unsorted))
            waiting.unsorted.clear()
            self._bytes[number] -= _RUN_BYTES * _join(waiting.runs, sort_keys)
        return waiting.runs

    def epochs(self) -> list[int]:
        """The epochs that may have waiting counts, oldest first."""
        return sorted(self._slices)

    def keys(self, epoch: int, number: int) -> Keys:
        """The keys of a slice and epoch, sorted."""
        if epoch not in self._slices:
            return sort_keys([])
        waiting = self._slices[epoch][number]
        return sort_keys([*waiting.runs, *waiting.unsorted])

    def forget(self, number: int) -> None:
        """Drop the keys of a slice that was written."""
        for epoch, slices in list(self._slices.items()):
            slices[number] = _Slice()
            if not any(waiting.runs or waiting.unsorted for waiting in slices):
                del self._slices[epoch]
        self._bytes[number] = 0


class _Slice:
    """The keys of a slice and epoch: sorted runs, and runs as they came."""

    def __init__(self) -> None:
        self.runs: list[Keys] = []
        self.unsorted: list[Keys] = []


def _join(runs: list[Keys], joined: Callable[[list[Keys]], Keys]) -> int:
    """Join runs until each is at most half as long as the one before, so that a key is moved only a few times.

    Returns:
        How many runs fewer there are.
    """
    groups: list[list[Keys]] = []
    sizes: list[int] = []
    for run in runs:
        groups.append([run])
        sizes.append(len(run))
        while len(sizes) > 1 and sizes[-2] < 2 * sizes[-1]:
            last_group, size = groups.pop(), sizes.pop()
            groups[-1] += last_group
            sizes[-1] += size
    fewer = len(runs) - len(groups)
    runs[:] = [group[0] if len(group) == 1 else joined(group) for group in groups]
    return fewer
