"""Popularity for relatedness: shares of first purchases and of purchases, and the trend; floats from integer counts.

Sums over epochs or days are taken in order, and sums over items are of integers, so equal counts give equal floats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled
from state.popularity_table import DAYS
from streams.engine.epochs import EPOCH_DAYS, epoch_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.popularity_table import Column, PopularityTable

    Floats = npt.NDArray[np.float64]

TREND_HALF_LIFE_DAYS = 7
_RECENT_SMOOTHING = 1e-7
_SHARE_SMOOTHING = 1e-6


class Popularity(NamedTuple):
    """Popularity of n items under one half-life."""

    chance: Floats
    """(n,) P: the chance that a random first purchase is the item."""
    trend: Floats
    """(n,) the item's share of recent purchases divided by its share of all purchases, both smoothed; above 0."""


def epoch_weights(epochs: list[int], newest_day: int, half_life_days: float | None) -> Floats:
    """(epochs,) weight of each epoch, in (0, 1]: halved for every `half_life_days` of age; 1 without half-life.

    >>> epoch_weights([0, 1, 2], 60, 30).tolist(), epoch_weights([0, 1], 60, None).tolist()
    ([0.25, 0.5, 1.0], [1.0, 1.0])
    """
    if half_life_days is None:
        return np.ones(len(epochs))
    age = epoch_of(newest_day) - np.array(epochs, np.float64)
    # never 0: a neighbour's weighted count is 0 only if it has no counts
    weights: Floats = np.maximum(0.5 ** (EPOCH_DAYS * age / half_life_days), 1e-200)
    return weights


def weighted_share(columns: dict[int, Column], weights: Floats, items: int) -> Floats:
    """(items,) each item's share of the weighted sum of `columns`.

    Args:
        columns: epoch or day -> (items or more,) counts.
        weights: weight of each column, by rising epoch or day.
        items: how many items there are.
    """
    share = np.zeros(items)
    total = 0.0
    for weight, (_, column) in zip(weights.tolist(), sorted(columns.items()), strict=True):
        total += weight * _add_weighted(share, column, weight)
    return share / total if total > 0 else share


@compiled
def _add_weighted(share: Floats, column: Column, weight: float) -> int:
    """Add a column times its weight to `share`; return the sum of the column."""
    total = np.int64(0)
    for item in range(len(column)):
        total += column[item]
    for item in range(len(share)):
        share[item] += weight * column[item]
    return total


def decayed_share(table: PopularityTable, items: int, half_life_days: float) -> Floats:
    """(items,) each item's share of the purchases of the last DAYS days, halved for every `half_life_days` of age."""
    first = max(table.newest_day - DAYS + 1, 0)
    days = {day: table.days[day % DAYS] for day in range(first, table.newest_day + 1)}
    weights = 0.5 ** ((table.newest_day - np.array(list(days), np.float64)) / half_life_days)
    return weighted_share(days, weights, items)


def recent_share(table: PopularityTable, items: int) -> Floats:
    """(items,) p_7 of the trend: each item's share of recent purchases."""
    return decayed_share(table, items, TREND_HALF_LIFE_DAYS)


# The trend of an item is (p_7 + 1e-7) / (p + 1e-6).
# p_7 is its share of the purchases of the last 60 days, each halved for every 7 days of age; p is its share of all
# purchases, each weighted by its epoch under the half-life. The constants smooth the ratio: an item with hardly any
# purchases has a trend of 0.1 until it sells.


def popularity(table: PopularityTable, items: int, half_life_days: float | None, recent: Floats | None) -> Popularity:
    """Popularity of the first `items` items.

    Args:
        table: the counts.
        items: how many items there are.
        half_life_days: half-life of the epochs' weights; None: every weight is 1.
        recent: (items,) `recent_share`; None: every trend is 1.
    """
    weights = epoch_weights(sorted(table.holders), table.newest_day, half_life_days)
    chance = weighted_share(table.holders, weights, items)
    if recent is None:
        return Popularity(chance, np.ones(items))
    share = weighted_share(table.purchases, weights, items)
    return Popularity(chance, (recent + _RECENT_SMOOTHING) / (share + _SHARE_SMOOTHING))
