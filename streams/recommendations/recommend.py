"""Recommendations for a visitor, with the reasons for each: a pure function of history, lists and popularity.

docs/definition.md defines the terms: the last items held are seeds; what their related lists name repeatedly is a
candidate; popularity, and for shops whose customers buy the same again their own repeats, are blended in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.orders import DAY_MS
from streams.recommendations.leaders import leaders
from streams.recommendations.merge import Parts, Repeats, contributions, merged
from streams.recommendations.request import MOST_SEEDS, POPULARITY_SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from streams.recommendations.assortment import Assortment
    from streams.recommendations.merge import SeedLists

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

SEED_HALF_LIFE_DAYS = 90
_NO_ITEMS = np.zeros(0, np.int64)


class Held(NamedTuple):
    """What a visitor holds: k items by number."""

    item: Integers
    """(k,)"""
    last: Integers
    """(k,) event time of the last purchase, milliseconds."""
    seq: Integers
    """(k,) which first purchase it was."""
    purchases: Integers
    """(k,)"""

    @classmethod
    def of_row(cls, items: npt.NDArray[Any], entries: npt.NDArray[Any]) -> Held:
        """A customer's row of a history table, as copies, in the table's item numbers."""
        columns = (entries[name].astype(np.int64) for name in ("last", "seq", "purchases"))
        return cls(items.astype(np.int64), *columns)


class Seeds(NamedTuple):
    """The items whose related lists are asked, latest first."""

    item: Integers
    """(s,)"""
    weight: Floats
    """(s,) in (0, 1]"""


@dataclass(frozen=True, slots=True)
class Blend:
    """How much of a score comes from where; the rest comes from the related lists.

    Attributes:
        popularity: share of popularity beside the related lists, 0 to 1.
        repeats: share of the visitor's own repeats beside these two, 0 to 1.
    """

    popularity: float = POPULARITY_SHARE
    repeats: float = 0.0


class Reason(NamedTuple):
    """A part of a recommendation's score."""

    kind: str
    """`seed`, `repeats`, `popularity`, or `others`: all those not named."""
    share: float
    seed: int = -1
    """The item bought, of a seed."""
    together: float = 0.0
    """N of seed and item; of repeats, how often the visitor bought the item; of others, how many they are."""
    expected: float = 0.0
    """E of seed and item."""


class Recommendation(NamedTuple):
    """An item and why it is recommended; the shares of the reasons add up to the score."""

    item: int
    score: float
    because: list[Reason]
    """Largest share first; the others last."""


NOTHING_HELD = Held(_NO_ITEMS, _NO_ITEMS, _NO_ITEMS, _NO_ITEMS)


def choose_seeds(held: Held, basket: Sequence[int] = ()) -> Seeds:
    """The basket, then the items bought last, a hundred in all.

    An item's weight halves with every 90 days that its last purchase lies before that of the newest item held; what is
    in the basket weighs 1.

    Args:
        held: what the visitor holds.
        basket: numbers of items in the visitor's hands.

    >>> day = 86_400_000
    >>> held = Held(np.array([7, 8]), np.array([0, 90 * day]), np.array([0, 1]), np.array([1, 1]))
    >>> seeds = choose_seeds(held, basket=[9])
    >>> seeds.item.tolist(), seeds.weight.tolist()
    ([9, 8, 7], [1.0, 1.0, 0.5])
    """
    first = np.array(list(dict.fromkeys(basket)), np.int64)[:MOST_SEEDS]
    latest = np.lexsort((-held.seq, -held.last))
    if len(first):
        latest = latest[~np.isin(held.item[latest], first)]
    latest = latest[: MOST_SEEDS - len(first)]
    return Seeds(
        np.concatenate([first, held.item[latest].astype(np.int64)]),
        np.concatenate([np.ones(len(first)), _recency(held)[latest]]),
    )


def _recency(held: Held) -> Floats:
    """(k,) 1 for what was bought last, half for every 90 days before."""
    age_days = (held.last.max(initial=0) - held.last) / DAY_MS
    weights: Floats = 0.5 ** (age_days / SEED_HALF_LIFE_DAYS)
    return weights


def recommend(
    held: Held,
    seeds: Seeds,
    lists: SeedLists,
    assortment: Assortment,
    admitted: Mask,
    limit: int,
    blend: Blend = Blend(),
    most_reasons: int = MOST_SEEDS + 2,
) -> list[Recommendation]:
    """The best `limit` items for a visitor; fewer only if fewer are admitted.

    Ties go to the item with more purchases, then to the smaller id. Without seeds these are the bestsellers of the last
    two weeks, each with its share of those purchases.

    Args:
        held: what the visitor holds, of which repeats are made.
        seeds: of `choose_seeds`.
        lists: the related lists of the seeds.
        assortment: all items.
        admitted: (n,) which of them may be recommended.
        limit: how many are wanted.
        blend: shares of popularity and repeats.
        most_reasons: how many reasons to name; what remains is one more.
    """
    if not len(seeds.item):
        return _for_a_stranger(assortment, admitted, limit)
    known = len(assortment.ids)
    own = _repeats(held, assortment.bought, blend.repeats)
    listed = (1.0 - blend.repeats) * (1.0 - blend.popularity)
    candidates, shares, scale = merged(lists, seeds.weight, assortment.bought, known, listed, own)
    popular = (1.0 - blend.repeats) * blend.popularity
    score = shares + popular * assortment.popularity[candidates]
    others = admitted.copy()
    others[candidates] = False
    fillers = assortment.fillers("popularity" if popular > 0 else "purchases", others, limit)
    admissible = np.flatnonzero(admitted[candidates])
    items = np.concatenate([candidates[admissible], fillers])
    scores = np.concatenate([score[admissible], popular * assortment.popularity[fillers]])
    best = leaders(items, scores, assortment.purchases[items], assortment.ids, limit)
    chosen = items[best]
    parts = contributions(lists, seeds.weight * scale, known, chosen)
    reasons = _reasons(chosen, parts, lists, seeds, own, popular * assortment.popularity[chosen], most_reasons)
    return [
        Recommendation(item, value, because)
        for item, value, because in zip(chosen.tolist(), scores[best].tolist(), reasons, strict=True)
    ]


def _for_a_stranger(assortment: Assortment, admitted: Mask, limit: int) -> list[Recommendation]:
    everything = max(int(assortment.recent.sum()), 1)
    chosen = []
    for item in assortment.fillers("recent", admitted, limit).tolist():
        score = int(assortment.recent[item]) / everything
        chosen.append(Recommendation(item, score, [Reason("popularity", score)] if score > 0 else []))
    return chosen


def _repeats(held: Held, bought: int, share: float) -> Repeats:
    """The visitor's own purchases by recency, adding up to `share`."""
    if share <= 0 or not len(held.item):
        return Repeats(_NO_ITEMS, np.zeros(0), _NO_ITEMS)
    here = held.item < bought
    weighed = (held.purchases * _recency(held))[here]
    return Repeats(held.item[here], weighed * (share / max(weighed.sum(), 1e-300)), held.purchases[here])


def _reasons(
    chosen: Integers, parts: Parts, lists: SeedLists, seeds: Seeds, own: Repeats, popularity: Floats, most: int
) -> list[list[Reason]]:
    """The reasons of each item chosen, the largest share first, at most so many and the others as one."""
    ends = np.searchsorted(parts.chosen, np.arange(len(chosen) + 1)).tolist()
    repeats = dict(zip(own.item.tolist(), zip(own.share.tolist(), own.purchases.tolist(), strict=True), strict=True))
    every = []
    for at, item in enumerate(chosen.tolist()):
        first, last = ends[at], ends[at + 1]
        named = slice(first, min(first + most, last))
        places = parts.seed[named], parts.entry[named]
        shares, numbers = parts.share[named].tolist(), seeds.item[places[0]].tolist()
        facts = lists.together[places].tolist(), lists.expected[places].tolist()
        reasons = [Reason("seed", *fact) for fact in zip(shares, numbers, *facts, strict=True)]
        if item in repeats and repeats[item][0] > 0:
            reasons.append(Reason("repeats", repeats[item][0], together=repeats[item][1]))
        if popularity[at] > 0:
            reasons.append(Reason("popularity", float(popularity[at])))
        reasons.sort(key=lambda reason: -reason.share)
        left = last - named.stop + len(reasons[most:])
        if left:
            rest = float(parts.share[named.stop : last].sum()) + sum(reason.share for reason in reasons[most:])
            reasons[most:] = [Reason("others", rest, together=left)]
        every.append(reasons)
    return every
