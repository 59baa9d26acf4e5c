"""Ranking an item's neighbours: the best 50 of thousands, exactly, by evaluating about ninety of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from state.compiled import compiled, compiled_nogil, is_cached
from streams.engine.neighbourhood import Neighbourhood, add_rows, read_exposures
from streams.engine.relatedness import LANES, expect, score_of, shown_expected
from streams.engine.scores import DIFFERENCE

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.count_rows import Addends, Keys
    from state.names import Names
    from streams.engine.relatedness import Floats

    Indices = npt.NDArray[np.int64]

LIST_LENGTH = 50
NO_WEIGHT = np.zeros(0)
_GROUPS = 128
_JUST_BELOW = 1.0 - 1e-9  # factor of a lower bound of E, so that rounding never lifts it above E


class Components(NamedTuple):
    """The c components of a score: one, or the two halves of a blend."""

    kind: npt.NDArray[np.int64]
    """(c,) branch of `score_of`."""
    needs_expected: bool
    """Whether that branch uses E."""
    weight: Floats
    """(c, epochs) weight of each epoch's counts, in (0, 1]."""
    chance_and_trend: Floats
    """(items, 2 c) P and trend under each component, adjacent, so that a neighbour takes one cache line."""


class ItemFacts(NamedTuple):
    """Facts of all items that a partition's store numbers, whichever partition owns them."""

    holders: npt.NDArray[np.int64]
    """(items,) customers who hold each item."""
    purchases: npt.NDArray[np.int64]
    """(items,) purchases of each item, which break ties of scores."""
    id_bytes: npt.NDArray[np.uint8]
    """(bytes,) the items' ids in UTF-8, concatenated, which break ties of purchases."""
    id_ends: npt.NDArray[np.int64]
    """(items + 1,) boundaries of the ids in `id_bytes`."""
    customers: int
    """Customers who hold anything."""


class RelatedLists(NamedTuple):
    """Related lists of n items, best first; row i has `length[i]` entries, then zeros."""

    item: npt.NDArray[np.uint32]
    """(n, LIST_LENGTH) store numbers of the items listed."""
    score: Floats
    """(n, LIST_LENGTH) above 0, descending; multiplied by the trend unless that is switched off."""
    together: Floats
    """(n, LIST_LENGTH) N, customers who hold both; weighted if the score has a half-life, of all time for a blend."""
    expected: Floats
    """(n, LIST_LENGTH) E, likewise; n n' / customers for the naive metric."""
    trend: Floats
    """(n, LIST_LENGTH) ratio of recent to long-term share of purchases; 1 if switched off; of all time for a blend."""
    length: npt.NDArray[np.int64]
    """(n,) number of entries, 0 to LIST_LENGTH."""

    def cut(self, row: int, length: int) -> list[npt.NDArray[Any]]:
        """The first `length` entries of one list, as columns item to trend, (length,) each."""
        return [column[row, :length] for column in self[:5]]

    def entries(self, row: int, names: Names) -> list[RelatedItem]:
        """The entries of one list, with the items' ids."""
        return related_items(names, *self.cut(row, int(self.length[row])))


class RelatedItem(msgspec.Struct, frozen=True, gc=False):
    """An entry of a related list.

    Every score but `blend` can be recomputed from the entry. With N = bought_together, E = expected, n the list's
    `buyers`, and n' the buyers of the item listed, the scores are:

        difference      (N - E) trend
        significance    (N - E) / sqrt(E + 2) trend
        lift            (N - E) / (E + 20) trend
        naive           (N - E) trend, where E = n n' / customers
        raw             N trend
        cosine          N / sqrt(n n') trend

    Under a half-life, N, E and trend are weighted by it.

    A blend adds halves of two lists, each divided by the square root of the sum of its scores. An entry shows N, E and
    trend of the first half, that of all time. Those of recent purchases are not shown, so its score cannot be
    recomputed.
    """

    item_id: str
    score: float
    bought_together: float
    expected: float
    trend: float


def related_items(
    names: Names, item: npt.NDArray[np.uint32], score: Floats, together: Floats, expected: Floats, trend: Floats
) -> list[RelatedItem]:
    """A list's (k,) columns as entries; co-purchases are ints if all of them are whole numbers."""
    rounded = together.astype(np.int64)
    columns = [score, rounded if (rounded == together).all() else together, expected, trend]
    return list(map(RelatedItem, names.texts(item.tolist()), *[column.tolist() for column in columns]))


def rank(
    items: npt.NDArray[np.uint32],
    row_keys: Keys,
    addends: Addends,
    bucket_exposures: npt.NDArray[np.int64],
    components: Components,
    facts: ItemFacts,
    weight: Floats = NO_WEIGHT,
) -> RelatedLists:
    """The related list of each of n items.

    Args:
        items: (n,) the items, in the order of their row keys.
        row_keys: (n,) their row keys, rising.
        addends: their rows.
        bucket_exposures: (b,) exposure that represents each histogram bucket.
        components: one score, or the two halves of a blend.
        facts: of all items.
        weight: (items,) what multiplies the score of each item that is listed, 0 for those that may not be; empty: no
            item's. The halves of a blend are weighted as without it.
    """
    size = len(items), LIST_LENGTH
    lists = RelatedLists(
        item=np.zeros(size, np.uint32),
        score=np.zeros(size),
        together=np.zeros(size),
        expected=np.zeros(size),
        trend=np.zeros(size),
        length=np.zeros(len(items), np.int64),
    )
    if len(items):  # without purchases, there is no greatest chance to compute bounds from
        _rank(items, row_keys, addends, bucket_exposures, components, facts, weight, lists)
    return lists


@compiled_nogil
def _rank(
    items: npt.NDArray[np.uint32],
    row_keys: Keys,
    addends: Addends,
    bucket_exposures: npt.NDArray[np.int64],
    components: Components,
    facts: ItemFacts,
    weight: Floats,
    lists: RelatedLists,
) -> None:
    """Fill `lists`.

    Every neighbour's score has an upper bound. The 50 neighbours with the greatest bounds are evaluated first, then all
    whose bounds reach the lowest score of those. The list is exact, and of thousands of neighbours about ninety are
    evaluated.
    """
    width = len(components.kind)
    known = len(facts.holders)
    scratch = Neighbourhood(
        sums=np.zeros((known, 2)),
        neighbours=np.empty(known + 1, np.uint64),
        together=np.empty((width, known)),
        bounds=np.empty((width, known)),
        evaluated=np.empty((width, known), np.bool_),
        leaders=np.empty(2 * _GROUPS, np.int64),
        scale=np.empty(width),
        exposures=np.empty(len(bucket_exposures), np.int64),
        buyers=np.empty(len(bucket_exposures)),
        lanes=np.zeros((4, LANES)),
    )
    cursor = addends.start[:-1].copy()
    greatest = np.zeros(width)
    for component in range(width):
        greatest[component] = components.chance_and_trend[:, 2 * component].max()
    chords = np.empty(width)
    factors = np.zeros(width)
    totals = np.empty(known)
    scores = np.empty(LIST_LENGTH)
    best = np.empty(LIST_LENGTH, np.int64)
    candidates = np.empty(known, np.int64)
    for row in range(len(items)):
        holders = np.float64(facts.holders[items[row]])
        filled = read_exposures(scratch, row, row_keys[row], addends, cursor, bucket_exposures)
        count = add_rows(scratch, row, row_keys[row], addends, cursor, components.weight)
        size = max(count // _GROUPS, 1)
        slope, bend = _slope_and_bend(scratch, filled)
        _set_chords(scratch, filled, greatest, chords)
        listed = 0
        for component in range(width):
            bounds = scratch.bounds[component]
            _bound(scratch, component, count, holders, slope, bend, chords[component], components, facts)
            groups = _lead(bounds, count, size, scratch.leaders)
            first = _choose(bounds, scratch.leaders, groups, scores, candidates)
            threshold = _evaluate(scratch, component, filled, holders, candidates, 0, first, components, facts)
            # the 50th best of some neighbours scores at most as much as that of all: skip those that cannot reach it
            threshold = threshold if first == LIST_LENGTH else 0.0
            end = _add_reaching(scratch, component, count, threshold, candidates, first)
            _evaluate(scratch, component, filled, holders, candidates, first, end, components, facts)
            listed = _sort(facts, scratch.neighbours, bounds, candidates, end, scores, best)
            factors[component] = _blend_factor(scores, listed) if width == 2 else 1.0
        _clear_sums(scratch, count)
        if width == 2 or len(weight) > 0:
            for index in range(count):
                totals[index] = _total(scratch, factors, index, weight)
            groups = _lead(totals, count, size, scratch.leaders)
            first = _choose(totals, scratch.leaders, groups, scores, candidates)
            threshold = _blend(scratch, filled, holders, factors, weight, candidates, first, totals, components, facts)
            if first < LIST_LENGTH:
                threshold = 0.0
            end = 0
            for index in range(count):
                if totals[index] >= threshold:
                    candidates[end] = index
                    end += 1
            _blend(scratch, filled, holders, factors, weight, candidates, end, totals, components, facts)
            listed = _sort(facts, scratch.neighbours, totals, candidates, end, scores, best)
        _fill(lists, row, listed, scores, best, scratch, filled, holders, components, facts)


def is_compiled() -> bool:
    """Whether the loops that rank are compiled on this machine."""
    return is_cached(_rank)


# A lower bound of E gives an upper bound of a score. It takes a few operations for a neighbour, instead of a power for
# each bucket. With b_e buyers of exposure e,
#     E(P) = sum_e b_e (1 - (1 - P)^e)
# is concave and rises in P. So it is at least
#     slope P - bend P^2, with slope = sum_e b_e e and bend = sum_e b_e e (e - 1) / 2. This bound is close while e P is
#         small. It rises up to P = turn = slope / (2 bend); beyond, its value at `turn` is the bound; and
#     chord P, with chord = E(G) / G, where G is the greatest chance of any item.


@compiled
def _slope_and_bend(scratch: Neighbourhood, filled: int) -> tuple[float, float]:
    """The coefficients of the parabola below E: slope and bend."""
    slope = 0.0
    bend = 0.0
    for bucket in range(filled):
        slope += scratch.buyers[bucket] * scratch.exposures[bucket]
        bend += scratch.buyers[bucket] * scratch.exposures[bucket] * (scratch.exposures[bucket] - 1) / 2
    return slope, bend


@compiled
def _set_chords(scratch: Neighbourhood, filled: int, greatest: Floats, chords: Floats) -> None:
    """Set `chords`, (c,), to the slope of the chord below E from 0 to the `greatest` chance, (c,)."""
    scratch.lanes[0, : len(greatest)] = greatest
    expect(scratch.exposures, scratch.buyers, filled, scratch.lanes)
    for component in range(len(greatest)):
        above = scratch.lanes[0, component]
        chords[component] = above / greatest[component] if greatest[component] > 0.0 else 0.0


@compiled
def _bound(
    scratch: Neighbourhood,
    component: int,
    count: int,
    holders: float,
    slope: float,
    bend: float,
    chord: float,
    components: Components,
    facts: ItemFacts,
) -> None:
    """Set N and the bounds of an item's `count` neighbours under one component."""
    neighbours, sums, chance_and_trend = scratch.neighbours, scratch.sums, components.chance_and_trend
    together, bounds = scratch.together[component], scratch.bounds[component]
    kind, chance_column, trend_column = components.kind[component], 2 * component, 2 * component + 1
    turn = slope / (2 * bend) if bend > 0.0 else 1.0
    scale = scratch.scale[component] * _JUST_BELOW
    scratch.evaluated[component, :count] = False
    for index in range(count):
        other = neighbours[index]
        chance = chance_and_trend[other, chance_column]
        near = min(chance, turn)
        least_expected = scale * max(near * (slope - near * bend), chance * chord)
        together[index] = sums[other, component]
        bounds[index] = chance_and_trend[other, trend_column] * (together[index] - least_expected)
    if kind == DIFFERENCE:  # done: the loop of the default score has no branch on the kind
        return
    for index in range(count):
        other = neighbours[index]
        chance = chance_and_trend[other, chance_column]
        near = min(chance, turn)
        least_expected = scale * max(near * (slope - near * bend), chance * chord)
        other_holders = np.float64(facts.holders[other])
        score = score_of(kind, together[index], least_expected, holders, other_holders, facts.customers)
        bounds[index] = chance_and_trend[other, trend_column] * score


@compiled
def _clear_sums(scratch: Neighbourhood, count: int) -> None:
    """Zero the sums of an item's neighbours for the next item."""
    for index in range(count):
        other = scratch.neighbours[index]
        scratch.sums[other, 0] = 0.0
        scratch.sums[other, 1] = 0.0


@compiled
def _lead(bounds: Floats, count: int, size: int, leaders: Indices) -> int:
    """Find the index of the greatest bound in each group of `size`; return how many groups there are."""
    groups = 0
    for begin in range(0, count, size):
        leader, most = begin, bounds[begin]
        for index in range(begin + 1, min(begin + size, count)):
            # selects instead of a branch, which would be mispredicted every other time
            better = bounds[index] > most
            leader = index if better else leader
            most = bounds[index] if better else most
        leaders[groups] = leader
        groups += 1
    return groups


@compiled
def _choose(bounds: Floats, leaders: Indices, groups: int, scores: Floats, candidates: Indices) -> int:
    """Set `candidates` to the LIST_LENGTH leaders with the greatest positive bounds, or fewer; return their number.

    `scores` is scratch.
    """
    chosen = 0
    least = 0.0
    for group in range(groups):
        index = leaders[group]
        bound = bounds[index]
        if bound <= least:
            continue
        at = chosen if chosen < LIST_LENGTH else LIST_LENGTH - 1
        while at > 0 and scores[at - 1] < bound:
            scores[at] = scores[at - 1]
            candidates[at] = candidates[at - 1]
            at -= 1
        scores[at] = bound
        candidates[at] = index
        chosen = min(chosen + 1, LIST_LENGTH)
        if chosen == LIST_LENGTH:
            least = scores[LIST_LENGTH - 1]
    return chosen


@compiled
def _add_reaching(
    scratch: Neighbourhood, component: int, count: int, threshold: float, candidates: Indices, end: int
) -> int:
    """Append all other neighbours whose bounds reach the threshold to `candidates[:end]`; return the new end."""
    bounds, evaluated = scratch.bounds[component], scratch.evaluated[component]
    for index in range(count):
        if bounds[index] >= threshold and not evaluated[index]:
            candidates[end] = index
            end += 1
    return end


@compiled
def _evaluate(
    scratch: Neighbourhood,
    component: int,
    filled: int,
    holders: float,
    candidates: Indices,
    begin: int,
    end: int,
    components: Components,
    facts: ItemFacts,
) -> float:
    """Replace the bounds of `candidates[begin:end]` by their scores; return the lowest score, at least 0."""
    lanes = scratch.lanes
    lowest = np.inf
    for first in range(begin, end, LANES):
        last = min(first + LANES, end)
        if components.needs_expected:
            for at in range(first, last):
                other = scratch.neighbours[candidates[at]]
                lanes[0, at - first] = components.chance_and_trend[other, 2 * component]
            expect(scratch.exposures, scratch.buyers, filled, lanes)
        for at in range(first, last):
            index = candidates[at]
            other = scratch.neighbours[index]
            scratch.evaluated[component, index] = True
            scratch.bounds[component, index] = components.chance_and_trend[other, 2 * component + 1] * score_of(
                components.kind[component],
                scratch.together[component, index],
                scratch.scale[component] * lanes[0, at - first],
                holders,
                np.float64(facts.holders[other]),
                facts.customers,
            )
            lowest = min(lowest, scratch.bounds[component, index])
    return max(lowest, 0.0)


# The blend of a neighbour, where d is its difference N - E times trend, d' the same under the half-life, and the sums
# are over the 50 best of each:
#     blend = 0.5 d / sqrt(sum d) + 0.5 d' / sqrt(sum d')
# Divided by the square root rather than by the sum, lists with more evidence have more weight when lists are added up.


@compiled
def _blend_factor(scores: Floats, listed: int) -> float:
    """The factor of one half of a blend: 0.5 divided by the square root of the sum of its list; 0 if that is empty."""
    mass = 0.0
    for at in range(listed):
        mass += scores[at]
    return 0.5 / np.sqrt(mass) if mass > 0.0 else 0.0


@compiled
def _total(scratch: Neighbourhood, factors: Floats, index: int, weight: Floats) -> float:
    """The blend of a neighbour, or its one score, times its weight; below 0 if it may not be listed."""
    total = 0.0
    for component in range(len(factors)):
        total += factors[component] * scratch.bounds[component, index]
    if len(weight) > 0:
        of_item = weight[scratch.neighbours[index]]
        total = total * of_item if of_item > 0.0 else -1.0
    return total


@compiled
def _blend(
    scratch: Neighbourhood,
    filled: int,
    holders: float,
    factors: Floats,
    weight: Floats,
    candidates: Indices,
    count: int,
    totals: Floats,
    components: Components,
    facts: ItemFacts,
) -> float:
    """Replace the bounds in `totals` of `candidates[:count]` by their blends; return the lowest, at least 0."""
    missing = np.empty(count, np.int64)
    for component in range(len(factors)):
        end = 0
        for at in range(count):
            if not scratch.evaluated[component, candidates[at]]:
                missing[end] = candidates[at]
                end += 1
        _evaluate(scratch, component, filled, holders, missing, 0, end, components, facts)
    lowest = np.inf
    for at in range(count):
        index = candidates[at]
        totals[index] = _total(scratch, factors, index, weight)
        lowest = min(lowest, totals[index])
    return max(lowest, 0.0)


@compiled
def _fill(
    lists: RelatedLists,
    row: int,
    listed: int,
    scores: Floats,
    best: Indices,
    scratch: Neighbourhood,
    filled: int,
    holders: float,
    components: Components,
    facts: ItemFacts,
) -> None:
    """Write one list, with N, E and trend of the first component."""
    lists.length[row] = listed
    lanes = scratch.lanes
    for first in range(0, listed, LANES):
        last = min(first + LANES, listed)
        for at in range(first, last):
            lanes[0, at - first] = components.chance_and_trend[scratch.neighbours[best[at]], 0]
        expect(scratch.exposures, scratch.buyers, filled, lanes)
        for at in range(first, last):
            other = scratch.neighbours[best[at]]
            lists.item[row, at] = other
            lists.score[row, at] = scores[at]
            lists.together[row, at] = scratch.together[0, best[at]]
            lists.trend[row, at] = components.chance_and_trend[other, 1]
            lists.expected[row, at] = shown_expected(
                components.kind[0],
                scratch.scale[0] * lanes[0, at - first],
                holders,
                np.float64(facts.holders[other]),
                facts.customers,
            )


@compiled
def _wins_tie(facts: ItemFacts, item: int, other: int) -> bool:
    """Whether `item` is listed before an item of equal score: by more purchases, then by id."""
    if facts.purchases[item] != facts.purchases[other]:
        return facts.purchases[item] > facts.purchases[other]
    at, end = facts.id_ends[item], facts.id_ends[item + 1]
    other_at, other_end = facts.id_ends[other], facts.id_ends[other + 1]
    while at < end and other_at < other_end:
        if facts.id_bytes[at] != facts.id_bytes[other_at]:
            return facts.id_bytes[at] < facts.id_bytes[other_at]
        at += 1
        other_at += 1
    return end - at < other_end - other_at


@compiled
def _sort(
    facts: ItemFacts,
    neighbours: npt.NDArray[np.uint64],
    values: Floats,
    candidates: Indices,
    count: int,
    scores: Floats,
    best: Indices,
) -> int:
    """List the best of `candidates[:count]` with scores above 0; return how many are listed.

    Args:
        facts: purchases and ids, which decide ties.
        neighbours: (items + 1,) item numbers by index.
        values: (items,) scores by index.
        candidates: (items,) indices of neighbours.
        count: number of candidates.
        scores: (LIST_LENGTH,) set to the scores of the list.
        best: (LIST_LENGTH,) set to its indices.
    """
    listed = 0
    for candidate in range(count):
        index = candidates[candidate]
        score = values[index]
        if score <= 0.0 or (listed == LIST_LENGTH and score < scores[LIST_LENGTH - 1]):
            continue
        at = listed
        while at > 0 and (
            scores[at - 1] < score
            or (scores[at - 1] == score and _wins_tie(facts, neighbours[index], neighbours[best[at - 1]]))
        ):
            if at < LIST_LENGTH:
                scores[at] = scores[at - 1]
                best[at] = best[at - 1]
            at -= 1
        if at < LIST_LENGTH:
            scores[at] = score
            best[at] = index
            listed = min(listed + 1, LIST_LENGTH)
    return listed
