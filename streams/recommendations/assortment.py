"""The assortment: every item with its popularity and whether it may be recommended, as of one commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, overload

import numpy as np

from state.popularity_table import DAYS
from streams.engine.popularity import decayed_share
from streams.recommendations.leaders import distinct_leaders, first_of_groups, leaders
from streams.recommendations.request import BESTSELLER_DAYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from state.popularity_table import PopularityTable
    from streams.recommendations.leaders import GroupOf

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

POPULARITY_HALF_LIVES_DAYS = (1, 7)
_FRONT = 1024  # the most popular items, kept in order: almost every answer is filled up from them


class AssortmentIds(Sequence[str]):
    """Item ids by number: those bought, then those only the catalogue knows; neither is copied.

    Args:
        bought: ids of the items in the count store.
        unbought: the others.

    >>> ids = AssortmentIds(["tea"], ["rye"])
    >>> list(ids), ids[-1], ids[0:1]
    (['tea', 'rye'], 'rye', ['tea'])
    """

    def __init__(self, bought: Sequence[str], unbought: Sequence[str]) -> None:
        self._bought = bought
        self._unbought = unbought
        self._first_unbought = len(bought)

    def __len__(self) -> int:
        return self._first_unbought + len(self._unbought)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = index if 0 <= index < self._first_unbought else range(len(self))[index]
        return self._bought[number] if number < self._first_unbought else self._unbought[number - self._first_unbought]

    def __iter__(self) -> Iterator[str]:
        return chain(self._bought, self._unbought)


@dataclass(slots=True)
class Assortment:
    """All n items by number: those bought, numbered as in their count store, then those only the catalogue knows.

    Attributes:
        ids: item ids.
        bought: number of items with a number in the count store.
        popularity: (n,) mean of the shares of purchases decayed with half-lives of 1 and 7 days.
        recent: (n,) purchases of the last two weeks.
        purchases: (n,) purchases in all.
        available: (n,) whether the item may be recommended.
        groups: the group of an item number, of which lists show one item; None: no item has one.
    """

    ids: Sequence[str]
    bought: int
    popularity: Floats
    recent: Integers
    purchases: Integers
    available: Mask
    groups: GroupOf | None = None
    _fronts: dict[str, Integers] = field(default_factory=dict)

    def front(self, column: str) -> Integers:
        """The best items by `popularity`, `recent` or `purchases`, best first; not necessarily all."""
        if column not in self._fronts:
            everything = np.arange(len(self.ids))
            self._fronts[column] = leaders(everything, getattr(self, column), self.purchases, self.ids, _FRONT)
        return self._fronts[column]

    def fillers(self, column: str, admitted: Mask, count: int, boost: Floats | None = None) -> Integers:
        """The best `count` items by `column`, times `boost`, of those for which `admitted` holds, one of each group."""
        if boost is None:
            front = self.front(column)
            best = front[admitted[front]]
            best = best[first_of_groups(best, count, self.groups)]
            if len(best) == count or len(front) == len(self.ids):
                return best
        items = np.flatnonzero(admitted)
        score = getattr(self, column)[items]
        return items[self.best(items, score if boost is None else score * boost[items], count)]

    def best(self, items: Integers, score: Floats | Integers, count: int) -> Integers:
        """Indices into `items` of the best `count` by `score`, one of each group, best first."""
        return distinct_leaders(items, score, self.purchases[items], self.ids, count, self.groups)


def current_assortment(table: PopularityTable, bought: Sequence[str], unbought: Sequence[str]) -> Assortment:
    """The current assortment, with every item available.

    Args:
        table: popularity of the items bought.
        bought: ids of the items in the count store, by number.
        unbought: ids of items that only the catalogue knows.
    """
    known, more = len(bought), len(unbought)
    shares = [decayed_share(table, known, half_life) for half_life in POPULARITY_HALF_LIVES_DAYS]
    recent = recent_purchases(table, known, BESTSELLER_DAYS)
    return Assortment(
        ids=AssortmentIds(bought, unbought),
        bought=known,
        popularity=np.pad(np.mean(shares, axis=0), (0, more)),
        recent=np.pad(recent, (0, more)),
        purchases=np.pad(table.totals()[1][:known], (0, more)),
        available=np.ones(known + more, np.bool_),
    )


def recent_purchases(table: PopularityTable, items: int, days: int) -> npt.NDArray[np.int64]:
    """(items,) purchases in the last `days` UTC days of event time, including the day of the newest purchase.

    Args:
        table: the daily counters.
        items: how many items there are.
        days: 1 to 60, the days kept.

    Raises:
        ValueError: `days` is out of range.
    """
    if not 1 <= days <= DAYS:
        raise ValueError(f"days is {days}, not from 1 to {DAYS}, the days of which purchases are kept")
    recent = np.zeros(items, np.int64)
    for day in range(max(table.newest_day - days + 1, 0), table.newest_day + 1):
        recent += table.days[day % DAYS][:items]
    return recent
