"""The merge of related lists: what they name together, and which list gives how much. Compiled loops over arrays."""

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
    """(s,) entries of each; 0: no list."""


class Repeats(NamedTuple):
    """The visitor's own repeats: r items held."""

    item: Integers
    share: Floats
    purchases: Integers


class Parts(NamedTuple):
    """What seeds give to the items chosen: m contributions, by chosen item, the largest first."""

    chosen: Integers
    """(m,) rising place among the chosen."""
    seed: Integers
    """(m,) place among the seeds."""
    entry: Integers
    """(m,) place in the seed's list."""
    share: Floats
    """(m,)"""


def merged(
    lists: SeedLists, weight: Floats, bought: int, known: int, share: float, own: Repeats
) -> tuple[Integers, Floats, float]:
    """The distinct items that lists or repeats name, what each is given, and what a list score is multiplied by.

    Args:
        lists: of the seeds.
        weight: (s,) of each seed.
        bought: lists may name items that came after stock was taken; numbers from here on are left out.
        known: how many items there are.
        share: what the lists give in all.
        own: repeats.
    """
    place = np.zeros(known, np.int32)
    room = lists.item.size + len(own.item)
    items, sums = np.empty(room, np.int64), np.empty(room)
    count, scale = _merge(lists, weight, bought, share, own, place, items, sums)
    return items[:count], sums[:count], scale


@compiled
def _merge(
    lists: SeedLists,
    weight: Floats,
    bought: int,
    share: float,
    own: Repeats,
    place: npt.NDArray[np.int32],
    items: Integers,
    sums: Floats,
) -> tuple[int, float]:
    """Write the distinct items in order of appearance and what each is given; return how many, and the scale."""
    count = 0
    whole = 0.0
    for seed in range(len(weight)):
        for entry in range(lists.length[seed]):
            item = lists.item[seed, entry]
            if item >= bought:
                continue
            if place[item] == 0:
                items[count] = item
                sums[count] = 0.0
                count += 1
                place[item] = count
            product = weight[seed] * lists.score[seed, entry]
            sums[place[item] - 1] += product
            whole += product
    scale = share / whole if whole > 0.0 else 0.0
    for at in range(count):
        sums[at] *= scale
    for at in range(len(own.item)):
        item = own.item[at]
        if place[item] == 0:
            items[count] = item
            sums[count] = 0.0
            count += 1
            place[item] = count
        sums[place[item] - 1] += own.share[at]
    return count, scale


def contributions(lists: SeedLists, factor: Floats, known: int, chosen: Integers) -> Parts:
    """What each seed gives to the items chosen; `factor` is what the scores of a seed's list are multiplied by."""
    place = np.zeros(known, np.int32)
    place[chosen] = np.arange(1, len(chosen) + 1)
    room = len(factor) * len(chosen)
    parts = Parts(np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room))
    count = _contribute(lists, factor, place, parts)
    order = np.lexsort((-parts.share[:count], parts.chosen[:count]))
    return Parts(parts.chosen[order], parts.seed[order], parts.entry[order], parts.share[order])


@compiled
def _contribute(lists: SeedLists, factor: Floats, place: npt.NDArray[np.int32], parts: Parts) -> int:
    """Write the contributions above 0; return how many there are."""
    count = 0
    for seed in range(len(factor)):
        for entry in range(lists.length[seed]):
            item = lists.item[seed, entry]
            share = factor[seed] * lists.score[seed, entry]
            if item < len(place) and place[item] > 0 and share > 0.0:
                parts.chosen[count] = place[item] - 1
                parts.seed[count] = seed
                parts.entry[count] = entry
                parts.share[count] = share
                count += 1
    return count
