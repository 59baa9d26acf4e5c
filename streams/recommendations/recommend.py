"""Recommendations for a visitor, with the reasons for each: a pure function of history, lists and popularity.

docs/definition.md defines the terms. The last items held are the seeds; the items in their related lists are the
candidates. Popularity is blended in, and so are the customer's own repeats where customers buy the same items again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.orders import DAY_MS
from streams.recommendations.merge import Parts, Repeats, contributions, merged
from streams.recommendations.request import MOST_SEEDS, POPULARITY_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from streams.recommendations.assortment import Assortment
    from streams.recommendations.merge import SeedLists

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

SEED_HALF_LIFE_DAYS = 90
_NO_ITEMS = np.zeros(0, np.int64)


class Events(NamedTuple):
    """The e events of a visitor that are kept as seeds, by the id of the item, which need not be known."""

    item_id: Sequence[str] = ()
    type: Sequence[str] = ()
    time: Sequence[int] = ()
    """Milliseconds since 1970 UTC."""
    weight: Sequence[float] = ()
    """Of the type; a purchase weighs 1."""


NO_EVENTS = Events()


class Held(NamedTuple):
    """The k items that a visitor holds, by number, and the events that are kept."""

    item: Integers
    """(k,)"""
    last: Integers
    """(k,) event time of the last purchase, milliseconds."""
    seq: Integers
    """(k,) ordinal of the first purchase in the history."""
    purchases: Integers
    """(k,)"""
    events: Events = NO_EVENTS

    def among(self, wanted: Mask) -> Held:
        """Some of the items, and all events."""
        item, last, seq, purchases = (column[wanted] for column in (self.item, self.last, self.seq, self.purchases))
        return Held(item, last, seq, purchases, self.events)

    @classmethod
    def of_row(cls, items: npt.NDArray[Any], entries: npt.NDArray[Any]) -> Held:
        """A copy of a customer's row of a history table, in the table's item numbers."""
        last, seq, purchases = (entries[name].astype(np.int64) for name in ("last", "seq", "purchases"))
        return cls(items.astype(np.int64), last, seq, purchases)


class Seeds(NamedTuple):
    """The s items whose related lists are merged, latest first."""

    item: Integers
    """(s,)"""
    weight: Floats
    """(s,) above 0, unless it is immeasurably small; 1 of the newest item held, or in the basket"""
    event: Sequence[str] = ()
    """(s,) the event type of each, "" of items held and in the basket; perhaps none, if there are no others."""


@dataclass(frozen=True, slots=True)
class Blend:
    """What a score consists of; the rest comes from the related lists.

    Attributes:
        popularity: share of popularity beside the related lists, 0 to 1.
        repeats: share of the visitor's own repeats beside these two, 0 to 1.
    """

    popularity: float = POPULARITY_SHARE
    repeats: float = 0.0


class Reason(NamedTuple):
    """A part of a recommendation's score."""

    kind: str
    """`seed`, `repeats`, `popularity`, `others`: all the rest, or `filler`: none, the list is filled up with it."""
    share: float
    seed: int = -1
    """Number of the seed; -1 for other kinds."""
    together: float = 0.0
    """N of seed and item; for repeats, the visitor's purchases of the item; for others, their number; for fillers,
    all purchases of the item."""
    expected: float = 0.0
    """E of seed and item."""
    event: str = ""
    """Type of the event by which the item is a seed; "" of one that is held or in the basket."""


class Recommendation(NamedTuple):
    """An item and why it is recommended; the shares of the reasons add up to the score."""

    item: int
    score: float
    because: list[Reason]
    """Largest share first, `others` last."""


NOTHING_HELD = Held(_NO_ITEMS, _NO_ITEMS, _NO_ITEMS, _NO_ITEMS)


def choose_seeds(held: Held, basket: Sequence[int] = (), number: Callable[[str], int] = lambda _: -1) -> Seeds:
    """The basket, then the items that weigh most, a hundred in all.

    An item's weight is 0.5 ** (age / 90 days), its age relative to the newest item held; items in the basket weigh 1.
    That of an item that is neither is the weight of its event's type, times the same; then age is relative to the
    newest item or event.

    Args:
        held: items that the visitor holds, and the events that are kept.
        basket: numbers of the items in the basket.
        number: returns the number of an item of an event, -1 if it is not known.

    >>> held = Held(np.array([7, 8]), np.array([0, 90 * DAY_MS]), np.array([0, 1]), np.array([1, 1]))
    >>> seeds = choose_seeds(held, basket=[9])
    >>> seeds.item.tolist(), seeds.weight.tolist()
    ([9, 8, 7], [1.0, 1.0, 0.5])
    """
    first = np.array(list(dict.fromkeys(basket)), np.int64)[:MOST_SEEDS]
    if held.events.item_id:
        return _with_events(held, first, np.array([*map(number, held.events.item_id)], np.int64))
    latest = np.lexsort((-held.seq, -held.last))
    if len(first):
        latest = latest[~np.isin(held.item[latest], first)]
    latest = latest[: MOST_SEEDS - len(first)]
    return Seeds(
        np.concatenate([first, held.item[latest].astype(np.int64)]),
        np.concatenate([np.ones(len(first)), _recency(held)[latest]]),
    )


def _with_events(held: Held, first: Integers, numbers: Integers) -> Seeds:
    """The seeds of a visitor with events, whose items have these numbers; `first` are those in the basket."""
    weights = np.array(held.events.weight, np.float64)
    new = np.flatnonzero((numbers >= 0) & (weights > 0) & ~np.isin(numbers, held.item) & ~np.isin(numbers, first))
    own = np.flatnonzero(~np.isin(held.item, first))
    item = np.concatenate([held.item[own], numbers[new]])
    last = np.concatenate([held.last[own], np.array(held.events.time, np.int64)[new]])
    seq = np.concatenate([held.seq[own], np.full(len(new), -1)])
    newest = max(int(held.last.max(initial=0)), int(last.max(initial=0)))
    weight = _halved(newest - last) * np.concatenate([np.ones(len(own)), weights[new]])
    event = ["" for _ in own] + [held.events.type[place] for place in new.tolist()]
    best = np.lexsort((item, -seq, -last, -weight))[: MOST_SEEDS - len(first)]
    return Seeds(
        np.concatenate([first, item[best]]),
        np.concatenate([np.ones(len(first)), weight[best]]),
        ("",) * len(first) + tuple(event[place] for place in best.tolist()),
    )


def _recency(held: Held) -> Floats:
    """(k,) 1 for the item bought last, halved with every 90 days of age."""
    return _halved(held.last.max(initial=0) - held.last)


def _halved(age_ms: Integers) -> Floats:
    weights: Floats = 0.5 ** (age_ms / DAY_MS / SEED_HALF_LIFE_DAYS)
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
    *,
    boost: Floats | None = None,
    offset: int = 0,
) -> list[Recommendation]:
    """The best `limit` items for a visitor; fewer only if fewer are admitted.

    Of each group it is the best item. Ties go to the item with more purchases, then to the smaller id. Without seeds
    these are the bestsellers of the last two weeks, each with its share of all purchases in them.

    Args:
        held: items that the visitor holds, the source of repeats.
        seeds: seeds from `choose_seeds`.
        lists: related lists of the seeds.
        assortment: all items.
        admitted: (n,) which of them may be recommended.
        limit: number of recommendations at most.
        blend: shares of popularity and repeats.
        most_reasons: number of reasons to name; the rest is one more.
        boost: (n,) what multiplies the score of each item and the shares of its reasons; None: nothing does.
        offset: how many to leave out of the best `limit`, from the first.
    """
    if not len(seeds.item):
        return _bestselling(assortment, admitted, limit, boost)[offset:]
    known = len(assortment.ids)
    own = _repeats(held, assortment.bought, blend.repeats)
    listed = (1.0 - blend.repeats) * (1.0 - blend.popularity)
    candidates, shares, scale = merged(lists, seeds.weight, assortment.bought, known, listed, own)
    popular = (1.0 - blend.repeats) * blend.popularity
    score = shares + popular * assortment.popularity[candidates]
    others = admitted.copy()
    others[candidates] = False
    fillers = assortment.fillers("popularity" if popular > 0 else "purchases", others, limit, boost)
    admissible = np.flatnonzero(admitted[candidates])
    items = np.concatenate([candidates[admissible], fillers])
    scores = np.concatenate([score[admissible], popular * assortment.popularity[fillers]])
    if boost is not None:
        scores = scores * boost[items]
    best = assortment.best(items, scores, limit)[offset:]
    chosen = items[best]
    parts = contributions(lists, seeds.weight * scale, known, chosen)
    reasons = _reasons(chosen, parts, lists, seeds, own, popular * assortment.popularity[chosen], most_reasons)
    if boost is not None:
        reasons = [
            [reason._replace(share=reason.share * factor) for reason in because]
            for because, factor in zip(reasons, boost[chosen].tolist(), strict=True)
        ]
    return [
        Recommendation(item, value, because or [_filler(assortment, item)])
        for item, value, because in zip(chosen.tolist(), scores[best].tolist(), reasons, strict=True)
    ]


def _bestselling(assortment: Assortment, admitted: Mask, limit: int, boost: Floats | None) -> list[Recommendation]:
    everything = max(int(assortment.recent.sum()), 1)
    chosen = []
    for item in assortment.fillers("recent", admitted, limit, boost).tolist():
        score = int(assortment.recent[item]) / everything * (1.0 if boost is None else float(boost[item]))
        reason = Reason("popularity", score) if score > 0 else _filler(assortment, item)
        chosen.append(Recommendation(item, score, [reason]))
    return chosen


def _filler(assortment: Assortment, item: int) -> Reason:
    """The reason of an item that nothing speaks for: it fills the list up, by its purchases in all."""
    return Reason("filler", 0.0, together=int(assortment.purchases[item]))


def _repeats(held: Held, bought: int, share: float) -> Repeats:
    """The visitor's own repeats, weighted by recency; their shares add up to `share`."""
    if share <= 0 or not len(held.item):
        return Repeats(_NO_ITEMS, np.zeros(0), _NO_ITEMS)
    counted = held.item < bought
    weight = (held.purchases * _recency(held))[counted]
    return Repeats(held.item[counted], weight * (share / max(weight.sum(), 1e-300)), held.purchases[counted])


def _reasons(
    chosen: Integers, parts: Parts, lists: SeedLists, seeds: Seeds, own: Repeats, popularity: Floats, most: int
) -> list[list[Reason]]:
    """The reasons for each chosen item, the largest share first: `most` of them, and the rest as one."""
    ends = np.searchsorted(parts.chosen, np.arange(len(chosen) + 1)).tolist()
    repeats = dict(zip(own.item.tolist(), zip(own.share.tolist(), own.purchases.tolist(), strict=True), strict=True))
    every = []
    for index, item in enumerate(chosen.tolist()):
        first, last = ends[index], ends[index + 1]
        named = slice(first, min(first + most, last))
        cells = parts.seed[named], parts.entry[named]
        shares, numbers = parts.share[named].tolist(), seeds.item[cells[0]].tolist()
        facts = lists.together[cells].tolist(), lists.expected[cells].tolist()
        events = [seeds.event[seed] for seed in cells[0].tolist()] if seeds.event else [""] * len(shares)
        reasons = [Reason("seed", *fact) for fact in zip(shares, numbers, *facts, events, strict=True)]
        if item in repeats and repeats[item][0] > 0:
            reasons.append(Reason("repeats", repeats[item][0], together=repeats[item][1]))
        if popularity[index] > 0:
            reasons.append(Reason("popularity", float(popularity[index])))
        reasons.sort(key=lambda reason: -reason.share)
        left = last - named.stop + len(reasons[most:])
        if left:
            rest = float(parts.share[named.stop : last].sum()) + sum(reason.share for reason in reasons[most:])
            reasons[most:] = [Reason("others", rest, together=left)]
        every.append(reasons)
    return every
