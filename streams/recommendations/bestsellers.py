"""Bestsellers: what was bought most in the last days of event time, and how popular it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.popularity_table import DAYS
from streams.recommendations.leaders import leaders

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.popularity_table import PopularityTable
    from streams.recommendations.assortment import Assortment

BESTSELLER_DAYS = 14


class Bestseller(NamedTuple):
    """An item that sells."""

    item: int
    purchases: int
    """Purchases in the days asked for."""
    popularity: float
    """Mean of the shares of purchases decayed with half-lives of 1 and 7 days."""


def recent_purchases(table: PopularityTable, items: int, days: int) -> npt.NDArray[np.int64]:
    """(items,) purchases in the last `days` UTC days of event time, the newest purchase's day being one of them.

    Args:
        table: the daily counters.
        items: how many items there are.
        days: 1 to 60, as many as are kept.

    Raises:
        ValueError: so many days are not kept.
    """
    if not 1 <= days <= DAYS:
        raise ValueError(f"days is {days}, not from 1 to {DAYS}, the days of which purchases are kept")
    if table.newest_day < 0:
        return np.zeros(items, np.int64)
    rows = np.arange(max(table.newest_day - days + 1, 0), table.newest_day + 1) % DAYS
    recent: npt.NDArray[np.int64] = table.days[rows, :items].sum(axis=0)
    return recent


def bestsellers(
    purchases: npt.NDArray[np.int64], assortment: Assortment, admitted: npt.NDArray[np.bool_], limit: int
) -> list[Bestseller]:
    """The items bought most, ties by purchases in all, then by id; items not bought at all are none.

    Args:
        purchases: (b,) of the days in question, for items from number 0.
        assortment: all items.
        admitted: (n,) which of them may be shown.
        limit: how many to name at most.
    """
    items = np.flatnonzero(admitted[: len(purchases)] & (purchases > 0))
    best = items[leaders(items, purchases[items], assortment.purchases[items], assortment.ids, limit)]
    return [Bestseller(item, int(purchases[item]), float(assortment.popularity[item])) for item in best.tolist()]
