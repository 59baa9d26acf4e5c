"""The merge of related lists: which items they contain, and how much each list contributes. Compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


class SeedLists(NamedTuple):
    """The related lists of s seeds, each of at most w entries."""

    item: npt.NDArray[np.uint32]
    """(s, w)"""
    score: Floats
    """(s, w)"""
    together: Floats
    """(s, w)"""
    expected: Floats
    """(s, w)"""
    length: Integers
    """(s,) number of entries; 0 if there is no list."""

    def taken(self, rows: Integers) -> SeedLists:
        """The lists of some seeds, by row; a copy."""
        return SeedLists(self.item[rows], self.score[rows], self.together[rows], self.expected[rows], self.length[rows])


class Repeats(NamedTuple):
    """The visitor's own repeats: r items held."""

    item: Integers
    """(r,)"""
    share: Floats
    """(r,) part of the score."""
    purchases: Integers
    """(r,)"""


class Parts(NamedTuple):
    """What seeds contribute to the chosen items: m contributions, by chosen item, the largest first."""

    chosen: Integers
    """(m,) index of the chosen item, ascending."""
    seed: Integers
    """(m,) index of the seed."""
    entry: Integers
    """(m,) index in the seed's list."""
    share: Floats
    """(m,)"""


def merged(
    lists: SeedLists, weight: Floats, bought: int, known: int, share: float, own: Repeats
) -> tuple[Integers, Floats, float]:
    """The distinct items in lists and repeats, what each is given, and the factor of the list scores.

    Args:
        lists: related lists of the seeds.
        weight: (s,) weights of the seeds.
        bought: items from this number on are newer than the assortment, and are left out.
        known: number of items.
        share: total that the lists give.
        own: the visitor's own repeats.
    """
    slot = np.zeros(known, np.int32)
    room = lists.item.size + len(own.item)
    items, sums = np.empty(room, np.int64), np.empty(room)
    count, scale = _merge(lists, weight, bought, share, own, slot, items, sums)
    return items[:count], sums[:count], scale


@compiled
def _merge(
    lists: SeedLists,
    weight: Floats,
    bought: int,
    share: float,
    own: Repeats,
    slot: npt.NDArray[np.int32],
    items: Integers,
    sums: Floats,
) -> tuple[int, float]:
    """Write the distinct items in order of appearance and what each is given; return their number and the scale."""
    count = 0
    total = 0.0
    for seed in range(len(weight)):
        for entry in range(lists.length[seed]):
            item = lists.item[seed, entry]
            if item >= bought:
                continue
            if slot[item] == 0:
                items[count] = item
                sums[count] = 0.0
                count += 1
                slot[item] = count
            product = weight[seed] * lists.score[seed, entry]
            sums[slot[item] - 1] += product
            total += product
    scale = share / total if total > 0.0 else 0.0
    for at in range(count):
        sums[at] *= scale
    for at in range(len(own.item)):
        item = own.item[at]
        if slot[item] == 0:
            items[count] = item
            sums[count] = 0.0
            count += 1
            slot[item] = count
        sums[slot[item] - 1] += own.share[at]
    return count, scale


def contributions(lists: SeedLists, factor: Floats, known: int, chosen: Integers) -> Parts:
    """What each seed contributes to the chosen items; `factor` (s,) multiplies the scores of each seed's list."""
    slot = np.zeros(known, np.int32)
    slot[chosen] = np.arange(1, len(chosen) + 1)
    room = len(factor) * len(chosen)
    parts = Parts(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room))
    count = _contribute(lists, factor, slot, parts)
    order = np.lexsort((-parts.share[:count], parts.chosen[:count]))
    return Parts(parts.chosen[order], parts.seed[order], parts.entry[order], parts.share[order])


@compiled
def _contribute(lists: SeedLists, factor: Floats, slot: npt.NDArray[np.int32], parts: Parts) -> int:
    """Write the contributions above 0; return their number."""
    count = 0
    for seed in range(len(factor)):
        for entry in range(lists.length[seed]):
            item = lists.item[seed, entry]
            share = factor[seed] * lists.score[seed, entry]
            if item < len(slot) and slot[item] > 0 and share > 0.0:
                parts.chosen[count] = slot[item] - 1
                parts.seed[count] = seed
                parts.entry[count] = entry
                parts.share[count] = share
                count += 1
    return count
