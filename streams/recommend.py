"""Recommendations for a visitor, with the reasons for each: a pure function of history, lists and popularity.

The terms are the design's: the last items held are seeds; what their related lists name repeatedly is a candidate;
popularity, and for shops whose customers buy the same again their own repeats, are blended in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.leaders import leaders

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from state.related_store import StoredList
    from streams.assortment import Assortment

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

MOST_SEEDS = 100
SEED_HALF_LIFE_DAYS = 90
POPULARITY_SHARE = 0.4
REPEATS_SHARE = 0.6
"""What suits a shop whose customers buy the same again; off unless asked for."""
_DAY_MS = 86_400_000
_NOBODY = np.zeros(0, np.int64)


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


NOTHING_HELD = Held(_NOBODY, _NOBODY, _NOBODY, _NOBODY)


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
    age_days = (held.last.max(initial=0) - held.last) / _DAY_MS
    weights: Floats = 0.5 ** (age_days / SEED_HALF_LIFE_DAYS)
    return weights


def recommend(
    held: Held,
    seeds: Seeds,
    lists: Sequence[StoredList | None],
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
        lists: the related list of each seed, None where there is none.
        assortment: all items.
        admitted: (n,) which of them may be recommended.
        limit: how many are wanted.
        blend: shares of popularity and repeats.
        most_reasons: how many reasons to name; what remains is one more.
    """
    if not len(seeds.item):
        return _for_a_stranger(assortment, admitted, limit)
    merged = _Merged.of(held, seeds, lists, assortment.bought, blend)
    candidates, place = _distinct(merged.item, len(assortment.ids))
    popular = (1.0 - blend.repeats) * blend.popularity
    score = np.bincount(place, merged.share, len(candidates)) + popular * assortment.popularity[candidates]
    others = admitted.copy()
    others[candidates] = False
    fillers = assortment.fillers("popularity" if popular > 0 else "purchases", others, limit)
    admissible = np.flatnonzero(admitted[candidates])
    items = np.concatenate([candidates[admissible], fillers])
    scores = np.concatenate([score[admissible], popular * assortment.popularity[fillers]])
    chosen = []
    for best in leaders(items, scores, assortment.purchases[items], assortment.ids, limit).tolist():
        contributions = np.flatnonzero(place == admissible[best]) if best < len(admissible) else _NOBODY
        reasons = merged.reasons(contributions, float(popular * assortment.popularity[items[best]]), most_reasons)
        chosen.append(Recommendation(int(items[best]), float(scores[best]), reasons))
    return chosen


def _distinct(items: Integers, known: int) -> tuple[Integers, Integers]:
    """Distinct item numbers, rising, and the place of each item among them; for few items a sort would cost more."""
    there = np.zeros(known, np.bool_)
    there[items] = True
    distinct = np.flatnonzero(there)
    places = np.empty(known, np.int64)
    places[distinct] = np.arange(len(distinct))
    return distinct, places[items]


def _for_a_stranger(assortment: Assortment, admitted: Mask, limit: int) -> list[Recommendation]:
    everything = max(int(assortment.recent.sum()), 1)
    chosen = []
    for item in assortment.fillers("recent", admitted, limit).tolist():
        score = int(assortment.recent[item]) / everything
        chosen.append(Recommendation(item, score, [Reason("popularity", score)] if score > 0 else []))
    return chosen


class _Merged(NamedTuple):
    """What lists and repeats give to items: m contributions, those of the lists first."""

    item: Integers
    share: Floats
    source: Integers
    """(m,) which seed it comes from; -1: own repeats."""
    entry: Integers
    """(m,) where in the seed's list; of repeats, the purchases."""
    seeds: Seeds
    lists: Sequence[StoredList | None]

    @classmethod
    def of(cls, held: Held, seeds: Seeds, lists: Sequence[StoredList | None], bought: int, blend: Blend) -> _Merged:
        """All contributions, scaled so that each source has its share of the whole."""
        found = [(at, stored) for at, stored in enumerate(lists) if stored is not None]
        lengths = np.array([len(stored.item) for _, stored in found], np.int64)
        item = np.concatenate([np.zeros(0, np.uint32), *[stored.item for _, stored in found]]).astype(np.int64)
        source = np.repeat(np.array([at for at, _ in found], np.int64), lengths)
        entry = np.arange(len(item)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        share = np.concatenate([np.zeros(0), *[stored.score for _, stored in found]]) * seeds.weight[source]
        known = item < bought  # lists may name items that came after the assortment was taken stock of
        if not known.all():
            item, source, entry, share = item[known], source[known], entry[known], share[known]
        share = _scaled(share, (1.0 - blend.repeats) * (1.0 - blend.popularity))
        if blend.repeats > 0 and len(held.item):
            own = held.item < bought
            item = np.concatenate([item, held.item[own]])
            source = np.concatenate([source, np.full(int(own.sum()), -1)])
            entry = np.concatenate([entry, held.purchases[own]])
            share = np.concatenate([share, _scaled((held.purchases * _recency(held))[own], blend.repeats)])
        return cls(item, share, source, entry, seeds, lists)

    def reasons(self, contributions: Integers, popularity: float, most: int) -> list[Reason]:
        """The reasons of one item, largest first.

        Args:
            contributions: which of the contributions are to this item.
            popularity: share of its popularity.
            most: how many to name.
        """
        shares = [*self.share[contributions].tolist(), popularity]
        places = [*contributions.tolist(), -1]
        order = sorted((at for at, share in enumerate(shares) if share > 0), key=lambda at: -shares[at])
        named = [self._reason(places[at], shares[at]) for at in order[:most]]
        rest = [shares[at] for at in order[most:]]
        return [*named, Reason("others", sum(rest), together=len(rest))] if rest else named

    def _reason(self, at: int, share: float) -> Reason:
        if at < 0:
            return Reason("popularity", share)
        seed, entry = int(self.source[at]), int(self.entry[at])
        stored = self.lists[seed] if seed >= 0 else None
        if stored is None:
            return Reason("repeats", share, together=entry)
        together, expected = float(stored.together[entry]), float(stored.expected[entry])
        return Reason("seed", share, int(self.seeds.item[seed]), together, expected)


def _scaled(shares: Floats, total: float) -> Floats:
    """`shares`, at least 0, in proportion, adding up to `total`; all 0 if they are."""
    whole = float(shares.sum())
    return shares * (total / whole) if whole > 0 else shares
