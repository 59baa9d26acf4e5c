"""What recommendations must equal: docs/definition.md in plain Python, on top of the batch definition.

>>> log = [
...     Order("ann", 0, (Line("tea"), Line("milk"))),
...     Order("bob", 0, (Line("tea"), Line("milk"))),
...     Order("cat", 0, (Line("tea"),)),
... ]
>>> best = recommendations(batch(log, 100), "cat", popularity_share=0.4)
>>> [entry.item_id for entry in best], {kind: round(share, 2) for kind, share in best[0].because.items()}
(['milk'], {'tea': 0.6, 'popularity': 0.16})
"""

from __future__ import annotations

import math
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from tests.batch_definition import DAY_MS, Line, Order, batch, day_of, decayed_share, related

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.batch_definition import Entry, Event, State

__all__ = ["Line", "Order", "Recommended", "batch", "recommendations"]


class Recommended(NamedTuple):
    item_id: str
    score: float
    because: dict[str, float]
    """Shares of the score by seed, `popularity` or `repeats`."""


def popularity(state: State, item_id: str) -> float:
    """The mean of p_1 and p_7."""
    return (decayed_share(state, item_id, 1) + decayed_share(state, item_id, 7)) / 2


def recency(history: Mapping[str, Entry]) -> dict[str, float]:
    """By item: 0.5^(age / 90 days), relative to the newest item held."""
    newest = max((entry.last for entry in history.values()), default=0)
    return {item: 0.5 ** ((newest - entry.last) / DAY_MS / 90) for item, entry in history.items()}


def seeds_of(
    history: Mapping[str, Entry],
    basket: Sequence[str],
    events: Sequence[Event] = (),
    weight_of: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, float]:
    """Weights by item, a hundred in all: of the basket, and of what is held or of an event, those that weigh most."""
    times = {item: entry.last for item, entry in history.items()}
    types = dict.fromkeys(history, 1.0)
    for event in events:
        if event.item_id not in (*history, *basket) and weight_of[event.type] > 0:
            times[event.item_id], types[event.item_id] = event.time, weight_of[event.type]
    newest = max(times.values(), default=0)
    weights = {item: types[item] * 0.5 ** ((newest - time) / DAY_MS / 90) for item, time in times.items()}
    seeds = dict.fromkeys(basket, 1.0)
    for item in sorted(weights, key=lambda item: -weights[item]):
        seeds.setdefault(item, weights[item])
    return dict(list(seeds.items())[:100])


def recommendations(
    state: State,
    customer_id: str,
    limit: int = 10,
    *,
    basket: Sequence[str] = (),
    hidden: Collection[str] = (),
    only: Collection[str] | None = None,
    unbought: Collection[str] = (),
    keep_held: bool = False,
    popularity_share: float = 0.4,
    repeats_share: float = 0.0,
    groups: Mapping[str, str] = MappingProxyType({}),
    weight_of: Mapping[str, float] = MappingProxyType({}),
) -> list[Recommended]:
    """The best `limit` items, without `hidden`; with `only`, of these; `unbought` ones come last; one of each group."""
    history = state.histories.get(customer_id, {})
    events = [event for event in state.kept.get(customer_id, []) if event.item_id in state.purchases]
    seeds = seeds_of(history, basket, events, weight_of)
    universe = set(state.purchases) | set(unbought)
    if only is not None:
        universe &= set(only)
    universe -= set(hidden)
    if not keep_held and repeats_share == 0:
        owned = set(history) | set(basket)
        universe -= owned
        universe -= {item for item in groups if groups[item] in {groups.get(other) for other in owned}}
    because: dict[str, dict[str, float]] = defaultdict(dict)
    if not seeds:
        for item, share in recent_shares(state).items():
            because[item]["popularity"] = share
    else:
        for (seed, item), share in list_shares(state, seeds).items():
            because[item][seed] = (1 - repeats_share) * (1 - popularity_share) * share
        for item in state.purchases:
            because[item]["popularity"] = (1 - repeats_share) * popularity_share * popularity(state, item)
        for item, share in own_shares(history).items():
            because[item]["repeats"] = repeats_share * share
    entries = [
        Recommended(
            item, math.fsum(because[item].values()), {kind: share for kind, share in because[item].items() if share > 0}
        )
        for item in universe
    ]
    entries.sort(key=lambda entry: (-entry.score, -state.purchases[entry.item_id], entry.item_id))
    return distinct(entries, groups)[:limit]


def distinct(entries: Sequence[Recommended], groups: Mapping[str, str]) -> list[Recommended]:
    """Entries without those of whose group there is an earlier one."""
    best = {groups[entry.item_id]: entry for entry in reversed(entries) if entry.item_id in groups}
    return [entry for entry in entries if entry.item_id not in groups or best[groups[entry.item_id]] is entry]


def list_shares(state: State, seeds: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """By (seed, item): weight * list score, scaled to sum 1."""
    products = {
        (seed, entry.item_id): weight * entry.score for seed, weight in seeds.items() for entry in related(state, seed)
    }
    whole = math.fsum(products.values())
    return {pair: product / whole for pair, product in products.items()}


def own_shares(history: Mapping[str, Entry]) -> dict[str, float]:
    """By item: the customer's own purchases, weighted by recency and scaled to sum 1."""
    weights = recency(history)
    products = {item: entry.purchases * weights[item] for item, entry in history.items()}
    whole = math.fsum(products.values())
    return {item: product / whole for item, product in products.items()}


def recent_shares(state: State) -> dict[str, float]:
    """By item: its share of the purchases of the newest fourteen days."""
    if state.newest is None:
        return {}
    oldest = day_of(state.newest) - 13
    recent: dict[str, int] = defaultdict(int)
    for (item, day), n in state.purchases_by_day.items():
        if day >= oldest:
            recent[item] += n
    whole = sum(recent.values())
    return {item: n / whole for item, n in recent.items()}
