"""What prequential scoring must equal: its definition in plain Python, on top of counts and recommendations.

>>> log = [
...     Order("ann", 0, (Line("tea"), Line("milk"))),
...     Order("bob", 0, (Line("tea"),)),
...     Order("bob", DAY_MS, (Line("milk"),)),
... ]
>>> scores(log, commits=[0, 2], scored=range(3))
{1: Score(orders=1, hits={1}, bestseller_hits={1})}
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from tests.batch_definition import DAY_MS, Line, Order, batch, day_of
from tests.recommendation_definition import list_shares, popularity, seeds_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tests.batch_definition import Entry, State

__all__ = ["DAY_MS", "Line", "Order", "Score", "in_sample", "scores"]

AT, SEEDS, POPULARITY_SHARE, RECENT_DAYS = 6, 4, 0.4, 14


@dataclass
class Score:
    """The possible hit counts of a day; several if scores differ by rounding alone, which leaves the order open."""

    orders: int = 0
    hits: set[int] = field(default_factory=lambda: {0})
    bestseller_hits: set[int] = field(default_factory=lambda: {0})


def in_sample(customer_id: str, row: int, one_in: int) -> bool:
    """Whether an order is in the sample: by XXH3 of the customer's id, with the order's first row as seed."""
    return xxhash.xxh3_64(customer_id.encode(), seed=row).intdigest() % one_in == 0


def scores(log: Sequence[Order], commits: Sequence[int], scored: Collection[int]) -> dict[int, Score]:
    """The scores of orders by UTC day.

    Args:
        log: in log order.
        commits: indices of the orders with which commits begin.
        scored: indices of the orders in the sample.
    """
    states: dict[int, State] = {}
    days: dict[int, Score] = defaultdict(Score)
    for index in sorted(scored):
        order = log[index]
        if order.type != "purchase" or order.continued:
            continue  # the rest of an order is none of its own
        known = max(begin for begin in commits if begin <= index)
        if known not in states:
            states[known] = batch(log[:known], 100)
        history, new = arrival(log, index)
        if not history or not new or not states[known].purchases:
            continue
        score = days[day_of(order.time)]
        score.orders += 1
        score.hits = plus(score.hits, outcomes(recommended(states[known], history), states[known], new))
        score.bestseller_hits = plus(
            score.bestseller_hits, outcomes(bestsellers(states[known], history), states[known], new)
        )
    return dict(days)


def arrival(log: Sequence[Order], index: int) -> tuple[Mapping[str, Entry], set[str]]:
    """The customer's history right before an order, and the items of the order that are new."""
    customer = log[index].customer_id
    mine = [order for order in log[:index] if order.customer_id == customer]
    before = batch(mine, 100).histories.get(customer, {})
    after = batch([*mine, log[index]], 100).histories.get(customer, {})
    return before, set(after) - set(before)


def recommended(state: State, history: Mapping[str, Entry]) -> dict[str, float]:
    """By item: the score of every item not held."""
    newest = dict(list(seeds_of(history, ()).items())[:SEEDS])
    seeds = {item: weight for item, weight in newest.items() if item in state.purchases}
    shares: dict[str, float] = defaultdict(float)
    for (_, item), share in list_shares(state, seeds).items():
        shares[item] += share
    listed = 1 - POPULARITY_SHARE
    if not seeds:  # only popularity is known
        return bestsellers(state, history)
    return {
        item: listed * shares[item] + POPULARITY_SHARE * popularity(state, item)
        for item in state.purchases
        if item not in history
    }


def bestsellers(state: State, history: Mapping[str, Entry]) -> dict[str, float]:
    """By item: purchases in the newest fourteen days, of every item not held."""
    assert state.newest is not None
    recent: dict[str, float] = {item: 0.0 for item in state.purchases if item not in history}
    for (item, day), n in state.purchases_by_day.items():
        if item in recent and day > day_of(state.newest) - RECENT_DAYS:
            recent[item] += n
    return recent


def outcomes(values: Mapping[str, float], state: State, new: set[str]) -> set[int]:
    """Whether one of the six best is new, as 1 or 0; both if rounding decides."""
    ranked = sorted(values, key=lambda item: (-values[item], -state.purchases[item], item))
    if len(ranked) <= AT or not math.isclose(values[ranked[AT - 1]], values[ranked[AT]], rel_tol=1e-9, abs_tol=1e-12):
        return {int(not new.isdisjoint(ranked[:AT]))}
    last = values[ranked[AT]]
    level = [item for item in ranked if math.isclose(values[item], last, rel_tol=1e-9, abs_tol=1e-12)]
    if len({values[item] for item in level}) == 1 and float(last).is_integer():
        return {int(not new.isdisjoint(ranked[:AT]))}  # whole numbers: an exact tie, which is ordered
    sure = [item for item in ranked[:AT] if item not in level]
    if not new.isdisjoint(sure):
        return {1}
    return {0} if new.isdisjoint(level) else {0, 1}


def plus(sums: set[int], more: set[int]) -> set[int]:
    """Every possible sum."""
    return {one + other for one in sums for other in more}
