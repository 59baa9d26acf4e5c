"""Changes of counts that wait in memory until their slice is written."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from state.count_rows import slice_bounds
from state.journal import SLICES

if TYPE_CHECKING:
    from state.count_rows import Keys

_MOST_RUNS = 64


class WaitingCounts:
    """Signed pair keys by epoch and slice, in sorted runs.

    Counting appends runs. A reader merges the small runs of a slice first, so that it searches only a few. A replay, in
    which nobody reads, sorts each key once.

    >>> waiting = WaitingCounts()
    >>> waiting.add({570: np.array([4, 6], np.uint64)})
    >>> waiting.add({570: np.array([2], np.uint64)})
    >>> [run.tolist() for run in waiting.runs(570, 0)], waiting.epochs()
    ([[4, 6], [2]], [570])
    >>> waiting.forget(0)
    >>> waiting.runs(570, 0)
    []
    """

    def __init__(self) -> None:
        self._runs: dict[int, list[list[Keys]]] = {}

    def add(self, keys: dict[int, Keys]) -> None:
        """Add epoch -> sorted signed keys, which are not copied."""
        for epoch, added in keys.items():
            slices = self._runs.setdefault(epoch, [[] for _ in range(SLICES)])
            bounds = slice_bounds(added)
            for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
                if begin < end:
                    slices[number].append(added[begin:end])
                    if len(slices[number]) > _MOST_RUNS:
                        _merge(slices[number])

    def runs(self, epoch: int, number: int) -> list[Keys]:
        """The keys of a slice and epoch as a few sorted runs; a key may be in several."""
        slices = self._runs.get(epoch)
        if slices is None:
            return []
        runs = slices[number]
        if len(runs) > 1:
            _merge(runs)
        return runs

    def epochs(self) -> list[int]:
        """The epochs that may have waiting counts, oldest first."""
        return sorted(self._runs)

    def keys(self, epoch: int, number: int) -> Keys:
        """The keys of a slice and epoch, sorted."""
        slices = self._runs.get(epoch)
        return merged(slices[number]) if slices is not None else merged([])

    def forget(self, number: int) -> None:
        """Drop the keys of a slice that was written."""
        for slices in self._runs.values():
            slices[number] = []


def merged(runs: list[Keys]) -> Keys:
    """One sorted run of the keys of several."""
    return np.sort(np.concatenate(runs)) if runs else np.zeros(0, np.uint64)


def _merge(runs: list[Keys]) -> None:
    """Merge runs until each is at most half as long as the one before, so that a key is merged only a few times."""
    groups: list[list[Keys]] = []
    sizes: list[int] = []
    for run in runs:
        groups.append([run])
        sizes.append(len(run))
        while len(sizes) > 1 and sizes[-2] < 2 * sizes[-1]:
            last_group, size = groups.pop(), sizes.pop()
            groups[-1] += last_group
            sizes[-1] += size
    runs[:] = [group[0] if len(group) == 1 else merged(group) for group in groups]
