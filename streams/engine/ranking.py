"""Ranking an item's neighbours: the best of thousands, exactly, by evaluating some ninety of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from state.compiled import compiled, compiled_nogil
from streams.engine.neighbourhood import Neighbourhood, add_rows, read_exposures
from streams.engine.relatedness import DIFFERENCE, LANES, LIFT, NAIVE, expect, score_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.count_rows import Addends, Keys
    from state.names import Names
    from streams.engine.relatedness import Floats

LIST_LENGTH = 50
_GROUPS = 128
_JUST_BELOW = 1.0 - 1e-9  # of a lower bound: rounding never lifts it above what it bounds


class Components(NamedTuple):
    """The one score, or the two halves of a blend, by which items are ranked; c components."""

    kind: npt.NDArray[np.int64]
    """(c,) DIFFERENCE to COSINE."""
    weight: Floats
    """(c, epochs) weight of each epoch's counts."""
    chance_and_trend: Floats
    """(items, 2 c) chance and trend under each component, so that one cache line tells all of a neighbour."""


class ItemFacts(NamedTuple):
    """What is known of all items."""

    holders: npt.NDArray[np.int64]
    """(items,) customers who hold each."""
    purchases: npt.NDArray[np.int64]
    """(items,) purchases of each, which break ties."""
    id_bytes: npt.NDArray[np.uint8]
    id_ends: npt.NDArray[np.int64]
    """The items' ids, end to end, and their (items + 1,) boundaries, which break the last ties."""
    customers: int
    """Customers who hold anything."""


class RelatedLists(NamedTuple):
    """Related lists of n items, best first; row i holds `length[i]` entries."""

    item: npt.NDArray[np.uint32]
    """(n, LIST_LENGTH)"""
    score: Floats
    together: Floats
    """N: co-purchases, weighted if the score has a half-life; without half-life for a blend."""
    expected: Floats
    """E, likewise."""
    trend: Floats
    length: npt.NDArray[np.int64]

    def cut(self, row: int, length: int) -> list[npt.NDArray[Any]]:
        """One list's columns, item to trend."""
        return [column[row, :length] for column in self[:5]]

    def entries(self, row: int, names: Names) -> list[RelatedItem]:
        """One list, with the items' ids."""
        return related_items(names, *self.cut(row, int(self.length[row])))


class RelatedItem(msgspec.Struct, frozen=True, gc=False):
    """An entry of a related list; `score` can be checked by hand from the rest."""

    item_id: str
    score: float
    bought_together: float
    expected: float
    trend: float


def related_items(
    names: Names, item: npt.NDArray[np.uint32], score: Floats, together: Floats, expected: Floats, trend: Floats
) -> list[RelatedItem]:
    """A list's (k,) columns as entries; co-purchases that are not weighted are whole numbers."""
    whole = together.astype(np.int64)
    columns = [score, whole if (whole == together).all() else together, expected, trend]
    return list(map(RelatedItem, names.texts(item.tolist()), *[column.tolist() for column in columns]))


def rank(
    items: npt.NDArray[np.uint32],
    row_keys: Keys,
    addends: Addends,
    buckets: npt.NDArray[np.int64],
    components: Components,
    facts: ItemFacts,
) -> RelatedLists:
    """The related list of each of n items.

    Args:
        items: (n,) the items, in the order of their row keys.
        row_keys: (n,) their row keys, rising.
        addends: their rows.
        buckets: (b,) exposure that each histogram bucket stands for.
        components: one score, or the two halves of a blend.
        facts: of all items.
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
    if len(items):  # where nothing was ever bought, there is not even a greatest chance
        _rank(items, row_keys, addends, buckets, components, facts, lists)
    return lists


@compiled_nogil
def _rank(
    items: npt.NDArray[np.uint32],
    row_keys: Keys,
    addends: Addends,
    buckets: npt.NDArray[np.int64],
    components: Components,
    facts: ItemFacts,
    lists: RelatedLists,
) -> None:
    """Fill `lists`.

    Of every neighbour's score an upper bound is taken first. The best by bound are evaluated, then those whose bound
    reaches the last of them: of thousands of neighbours some sixty, and the list is exact all the same.
    """
    parts = len(components.kind)
    known = len(facts.holders)
    item = Neighbourhood(
        np.zeros((known, 2)),
        np.empty(known + 1, np.uint64),
        np.empty((parts, known)),
        np.empty((parts, known)),
        np.empty((parts, known), np.bool_),
        np.empty((parts, 2 * _GROUPS), np.int64),
        np.empty(parts),
        np.empty(len(buckets), np.int64),
        np.empty(len(buckets)),
        np.zeros((4, LANES)),
    )
    cursor = addends.start[:-1].copy()
    greatest = np.zeros(parts)
    for part in range(parts):
        greatest[part] = components.chance_and_trend[:, 2 * part].max()
    total = np.empty(known)
    scores = np.empty(LIST_LENGTH)
    best = np.empty(LIST_LENGTH, np.int64)
    share = np.zeros(parts)
    wanted = np.empty(known, np.int64)
    wanted_1 = np.empty(known, np.int64)
    for row in range(len(items)):
        held = np.float64(facts.holders[items[row]])
        filled = read_exposures(item, row, row_keys[row], addends, cursor, buckets)
        count = add_rows(item, row, row_keys[row], addends, cursor, components.weight)
        groups = _bound(item, count, filled, held, greatest, components, facts)
        # the 50th best of those evaluated is at most the 50th best of all: what can't reach it need not be evaluated
        first, least = _begin(item, 0, groups, filled, held, wanted, scores, best, components, facts)
        first_1, least_1 = 0, 0.0
        if parts == 2:
            first_1, least_1 = _begin(item, 1, groups, filled, held, wanted_1, scores, best, components, facts)
        more, more_1 = first, first_1
        for number in range(count):
            if item.bounds[0, number] >= least and not item.evaluated[0, number]:
                wanted[more] = number
                more += 1
            if parts == 2 and item.bounds[1, number] >= least_1 and not item.evaluated[1, number]:
                wanted_1[more_1] = number
                more_1 += 1
        _evaluate(item, 0, filled, held, wanted, first, more, components, facts)
        listed = _sort(facts, item.neighbours, item.bounds[0], wanted, more, scores, best)
        if parts == 2:
            share[0] = _half(scores, listed)
            _evaluate(item, 1, filled, held, wanted_1, first_1, more_1, components, facts)
            listed = _sort(facts, item.neighbours, item.bounds[1], wanted_1, more_1, scores, best)
            share[1] = _half(scores, listed)
            for number in range(count):
                total[number] = share[0] * item.bounds[0, number] + share[1] * item.bounds[1, number]
            groups = _lead(total, count, max(count // _GROUPS, 1), item.leaders[0])
            first = _top(total, item.leaders[0], groups, scores, wanted)
            least = _blend(item, filled, held, share, wanted, first, total, components, facts)
            if first < LIST_LENGTH:
                least = 0.0
            more = 0
            for number in range(count):
                if total[number] >= least:
                    wanted[more] = number
                    more += 1
            _blend(item, filled, held, share, wanted, more, total, components, facts)
            listed = _sort(facts, item.neighbours, total, wanted, more, scores, best)
        _fill(lists, row, listed, scores, best, item, filled, held, components, facts)


@compiled
def _bound(
    item: Neighbourhood,
    count: int,
    filled: int,
    held: float,
    greatest: Floats,
    components: Components,
    facts: ItemFacts,
) -> int:
    """Set N, the bounds and the leaders of an item's neighbours, and zero the sums; return how many groups there are.

    1 - (1 - P)^e is at least e P - e (e - 1) / 2 P^2, which is close while e P is small; and, being concave in P, at
    least its chord from 0 to the greatest P there is.
    """
    parts = len(components.kind)
    slope = 0.0
    bend = 0.0
    for bucket in range(filled):
        slope += item.buyers[bucket] * item.exposures[bucket]
        bend += item.buyers[bucket] * item.exposures[bucket] * (item.exposures[bucket] - 1) / 2
    turn = slope / (2 * bend) if bend > 0.0 else 1.0
    item.lanes[0, :parts] = greatest
    expect(item.exposures, item.buyers, filled, item.lanes)
    chord = item.lanes[0]
    for part in range(parts):
        chord[part] = chord[part] / greatest[part] if greatest[part] > 0.0 else 0.0
        item.evaluated[part, :count] = False
    size = max(count // _GROUPS, 1)
    groups = 0
    for part in range(parts):
        groups = _bound_part(item, part, count, size, held, slope, bend, turn, chord[part], components, facts)
    for number in range(count):
        other = item.neighbours[number]
        item.sums[other, 0] = 0.0
        item.sums[other, 1] = 0.0
    return groups


@compiled
def _bound_part(
    item: Neighbourhood,
    part: int,
    count: int,
    size: int,
    held: float,
    slope: float,
    bend: float,
    turn: float,
    chord: float,
    components: Components,
    facts: ItemFacts,
) -> int:
    """Set N, the bounds and the leaders under one component; return how many groups there are."""
    neighbours, sums, chance_and_trend = item.neighbours, item.sums, components.chance_and_trend
    together, bounds, leaders = item.together[part], item.bounds[part], item.leaders[part]
    kind, fact = components.kind[part], 2 * part
    scale = item.scale[part] * _JUST_BELOW
    for number in range(count):
        other = neighbours[number]
        chance = chance_and_trend[other, fact]
        near = min(chance, turn)
        least = scale * max(near * (slope - near * bend), chance * chord)
        together[number] = sums[other, part]
        bounds[number] = chance_and_trend[other, fact + 1] * (together[number] - least)
    if kind != DIFFERENCE:
        for number in range(count):
            other = neighbours[number]
            chance = chance_and_trend[other, fact]
            near = min(chance, turn)
            least = scale * max(near * (slope - near * bend), chance * chord)
            also = np.float64(facts.holders[other])
            score = score_of(kind, together[number], least, held, also, facts.customers)
            bounds[number] = chance_and_trend[other, fact + 1] * score
    return _lead(bounds, count, size, leaders)


@compiled
def _lead(bounds: Floats, count: int, size: int, leaders: npt.NDArray[np.int64]) -> int:
    """Find the place of the greatest bound in each group of `size`; return how many groups there are."""
    groups = 0
    for begin in range(0, count, size):
        leader, most = begin, bounds[begin]
        for number in range(begin + 1, min(begin + size, count)):
            # both chosen without a branch, which would be guessed wrong every other time
            better = bounds[number] > most
            leader = number if better else leader
            most = bounds[number] if better else most
        leaders[groups] = leader
        groups += 1
    return groups


@compiled
def _half(scores: Floats, listed: int) -> float:
    """By what half of a blend is multiplied: half, over the square root of the sum of its list."""
    mass = 0.0
    for at in range(listed):
        mass += scores[at]
    return 0.5 / np.sqrt(mass) if mass > 0.0 else 0.0


@compiled
def _begin(
    item: Neighbourhood,
    part: int,
    groups: int,
    filled: int,
    held: float,
    wanted: npt.NDArray[np.int64],
    scores: Floats,
    best: npt.NDArray[np.int64],
    components: Components,
    facts: ItemFacts,
) -> tuple[int, float]:
    """Evaluate the neighbours that promise most; return how many, and what others must reach to be listed."""
    first = _top(item.bounds[part], item.leaders[part], groups, scores, best)
    wanted[:first] = best[:first]
    least = _evaluate(item, part, filled, held, wanted, 0, first, components, facts)
    return first, least if first == LIST_LENGTH else 0.0


@compiled
def _top(
    bounds: Floats, leaders: npt.NDArray[np.int64], groups: int, scores: Floats, best: npt.NDArray[np.int64]
) -> int:
    """The LIST_LENGTH leaders with the greatest positive bounds; return how many there are."""
    listed = 0
    least = 0.0
    for group in range(groups):
        number = leaders[group]
        bound = bounds[number]
        if bound <= least:
            continue
        at = listed if listed < LIST_LENGTH else LIST_LENGTH - 1
        while at > 0 and scores[at - 1] < bound:
            scores[at] = scores[at - 1]
            best[at] = best[at - 1]
            at -= 1
        scores[at] = bound
        best[at] = number
        listed = min(listed + 1, LIST_LENGTH)
        if listed == LIST_LENGTH:
            least = scores[LIST_LENGTH - 1]
    return listed


@compiled
def _evaluate(
    item: Neighbourhood,
    part: int,
    filled: int,
    held: float,
    wanted: npt.NDArray[np.int64],
    begin: int,
    end: int,
    components: Components,
    facts: ItemFacts,
) -> float:
    """Score the neighbours at places `wanted[begin:end]`; return the least score, at least 0."""
    kind = components.kind[part]
    lanes = item.lanes
    lowest = np.inf
    for first in range(begin, end, LANES):
        last = min(first + LANES, end)
        if kind <= LIFT:
            for at in range(first, last):
                lanes[0, at - first] = components.chance_and_trend[item.neighbours[wanted[at]], 2 * part]
            expect(item.exposures, item.buyers, filled, lanes)
        for at in range(first, last):
            number = wanted[at]
            other = item.neighbours[number]
            item.evaluated[part, number] = True
            item.bounds[part, number] = components.chance_and_trend[other, 2 * part + 1] * score_of(
                kind,
                item.together[part, number],
                item.scale[part] * lanes[0, at - first],
                held,
                np.float64(facts.holders[other]),
                facts.customers,
            )
            lowest = min(lowest, item.bounds[part, number])
    return max(lowest, 0.0)


@compiled
def _blend(
    item: Neighbourhood,
    filled: int,
    held: float,
    share: Floats,
    wanted: npt.NDArray[np.int64],
    count: int,
    total: Floats,
    components: Components,
    facts: ItemFacts,
) -> float:
    """Set `total` of the neighbours at places `wanted[:count]` to their score; return the least, at least 0."""
    missing = np.empty(count, np.int64)
    for part in range(len(share)):
        more = 0
        for at in range(count):
            if not item.evaluated[part, wanted[at]]:
                missing[more] = wanted[at]
                more += 1
        _evaluate(item, part, filled, held, missing, 0, more, components, facts)
    lowest = np.inf
    for at in range(count):
        number = wanted[at]
        total[number] = share[0] * item.bounds[0, number] + share[1] * item.bounds[1, number]
        lowest = min(lowest, total[number])
    return max(lowest, 0.0)


@compiled
def _fill(
    lists: RelatedLists,
    row: int,
    listed: int,
    scores: Floats,
    best: npt.NDArray[np.int64],
    item: Neighbourhood,
    filled: int,
    held: float,
    components: Components,
    facts: ItemFacts,
) -> None:
    """Write one list; N, E and trend are those of the first component."""
    lists.length[row] = listed
    lanes = item.lanes
    for first in range(0, listed, LANES):
        last = min(first + LANES, listed)
        for at in range(first, last):
            lanes[0, at - first] = components.chance_and_trend[item.neighbours[best[at]], 0]
        expect(item.exposures, item.buyers, filled, lanes)
        for at in range(first, last):
            other = item.neighbours[best[at]]
            lists.item[row, at] = other
            lists.score[row, at] = scores[at]
            lists.together[row, at] = item.together[0, best[at]]
            lists.trend[row, at] = components.chance_and_trend[other, 1]
            if components.kind[0] == NAIVE:
                lists.expected[row, at] = held * facts.holders[other] / facts.customers
            else:
                lists.expected[row, at] = item.scale[0] * lanes[0, at - first]


@compiled
def _wins_tie(facts: ItemFacts, item: int, than: int) -> bool:
    """Whether of two items of equal score the first is listed first: by purchases, then id."""
    if facts.purchases[item] != facts.purchases[than]:
        return facts.purchases[item] > facts.purchases[than]
    at, end = facts.id_ends[item], facts.id_ends[item + 1]
    other, other_end = facts.id_ends[than], facts.id_ends[than + 1]
    while at < end and other < other_end:
        if facts.id_bytes[at] != facts.id_bytes[other]:
            return facts.id_bytes[at] < facts.id_bytes[other]
        at += 1
        other += 1
    return end - at < other_end - other


@compiled
def _sort(
    facts: ItemFacts,
    neighbours: npt.NDArray[np.uint64],
    values: Floats,
    wanted: npt.NDArray[np.int64],
    count: int,
    scores: Floats,
    best: npt.NDArray[np.int64],
) -> int:
    """List the best of the neighbours at places `wanted[:count]` that score above 0; return how many are listed."""
    listed = 0
    for candidate in range(count):
        number = wanted[candidate]
        score = values[number]
        if score <= 0.0 or (listed == LIST_LENGTH and score < scores[LIST_LENGTH - 1]):
            continue
        at = listed
        while at > 0 and (
            scores[at - 1] < score
            or (scores[at - 1] == score and _wins_tie(facts, neighbours[number], neighbours[best[at - 1]]))
        ):
            if at < LIST_LENGTH:
                scores[at] = scores[at - 1]
                best[at] = best[at - 1]
            at -= 1
        if at < LIST_LENGTH:
            scores[at] = score
            best[at] = number
            listed = min(listed + 1, LIST_LENGTH)
    return listed
