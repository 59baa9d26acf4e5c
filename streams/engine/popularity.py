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
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from state.popularity_table import Column, PopularityChange, PopularityTable

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


class WeightedShare:
    """Each item's share of the weighted sum of some columns, kept up to date with what changes in them.

    Args:
        columns: epoch or day -> (items or more,) counts.
        weights: weight of each column, by rising epoch or day.
        items: how many items there are.

    >>> columns = {3: np.array([1, 0]), 4: np.array([0, 2])}
    >>> share = WeightedShare(columns, np.array([0.5, 1.0]), 2)
    >>> share.of_items().tolist()
    [0.2, 0.8]
    >>> columns[4][0] = 3
    >>> share.update(columns, [4], np.array([0]), 2)
    >>> (11 * share.of_items()).tolist()
    [7.0, 4.0]
    """

    def __init__(self, columns: Mapping[int, Column], weights: Floats, items: int) -> None:
        self._weights = dict(zip(sorted(columns), weights.tolist(), strict=True))
        self._sums = np.zeros(items)
        self._totals = {
            when: _add_weighted(self._sums, columns[when], weight) for when, weight in self._weights.items()
        }

    def update(
        self, columns: Mapping[int, Column], changed: Iterable[int], items: npt.NDArray[np.int64], known: int
    ) -> None:
        """Sum again, in the same order, what changed.

        Args:
            columns: the same epochs or days as before.
            changed: those of which a count changed.
            items: (k,) those of which a count changed.
            known: how many items there are.
        """
        if known > len(self._sums):
            self._sums = np.pad(self._sums, (0, known - len(self._sums)))
        sums = np.zeros(len(items))
        for when, weight in self._weights.items():
            sums += weight * columns[when][items]
        self._sums[items] = sums
        for when in changed:
            self._totals[when] = int(columns[when].sum(dtype=np.int64))

    def of_items(self) -> Floats:
        """(items,) the shares."""
        total = 0.0
        for when, weight in self._weights.items():
            total += weight * self._totals[when]
        return self._sums / total if total > 0 else self._sums.copy()


def weighted_share(columns: dict[int, Column], weights: Floats, items: int) -> Floats:
    """(items,) each item's share of the weighted sum of `columns`; the arguments are those of `WeightedShare`."""
    return WeightedShare(columns, weights, items).of_items()


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
    days = _days(table)
    return weighted_share(days, _day_weights(days, half_life_days), items)


def _days(table: PopularityTable) -> dict[int, Column]:
    """The purchases of each of the last DAYS days."""
    first = max(table.newest_day - DAYS + 1, 0)
    return {day: table.days[day % DAYS] for day in range(first, table.newest_day + 1)}


def _day_weights(days: dict[int, Column], half_life_days: float) -> Floats:
    weights: Floats = 0.5 ** ((max(days, default=0) - np.array(list(days), np.float64)) / half_life_days)
    return weights


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
    share = None if recent is None else weighted_share(table.purchases, weights, items)
    return Popularity(chance, _trend(items, recent, share))


def _trend(items: int, recent: Floats | None, share: Floats | None) -> Floats:
    """(items,) trends; both shares, or none if every trend is 1."""
    if recent is None or share is None:
        return np.ones(items)
    return (recent + _RECENT_SMOOTHING) / (share + _SHARE_SMOOTHING)


class LivePopularity:
    """Popularity of all items under some half-lives, kept up to date with a table by what commits change in it.

    It is the same to the bit as that of a new one.

    Args:
        table: the counts.
        items: how many items there are.
        half_lives_days: of the epochs' weights; None: every weight is 1.
        trend: whether trends are not all 1.
    """

    def __init__(self, table: PopularityTable, items: int, half_lives_days: list[float | None], *, trend: bool) -> None:
        self._half_lives_days = half_lives_days
        self._trend = trend
        self._sum_all(table, items)

    def _sum_all(self, table: PopularityTable, items: int) -> None:
        self._newest_day, self._epochs = table.newest_day, sorted(table.holders)
        weights = [epoch_weights(self._epochs, table.newest_day, half_life) for half_life in self._half_lives_days]
        self._holders = [WeightedShare(table.holders, of_epochs, items) for of_epochs in weights]
        if self._trend:
            self._purchases = [WeightedShare(table.purchases, of_epochs, items) for of_epochs in weights]
            days = _days(table)
            self._recent = WeightedShare(days, _day_weights(days, TREND_HALF_LIFE_DAYS), items)

    def update(self, table: PopularityTable, change: PopularityChange, items: int) -> None:
        """Sum again what changed: a few items, or all when another day or epoch has begun."""
        if table.newest_day != self._newest_day or sorted(table.holders) != self._epochs:
            self._sum_all(table, items)
            return
        for share in self._holders:
            share.update(table.holders, change.epochs, change.items, items)
        if self._trend:
            for share in self._purchases:
                share.update(table.purchases, change.epochs, change.items, items)
            self._recent.update(_days(table), change.days, change.items, items)

    def chance_and_trend(self) -> Floats:
        """(items, 2 half-lives) P and trend under each half-life, adjacent."""
        recent = self._recent.of_items() if self._trend else None
        columns = []
        for number, holders in enumerate(self._holders):
            chance = holders.of_items()
            share = None if recent is None else self._purchases[number].of_items()
            columns += [chance, _trend(len(chance), recent, share)]
        return np.stack(columns, axis=1)
