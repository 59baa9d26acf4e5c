"""What can be recommended: all items by number, how popular each is and whether it may be shown; as of one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.popularity_table import DAYS
from streams.leaders import leaders
from streams.popularity import decayed_share

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from state.popularity_table import PopularityTable
    from streams.catalogue import Catalogue

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

HALF_LIVES_DAYS = (1, 7)
RECENT_DAYS = 14
_FRONT = 1024
"""Most popular items kept in order, from which almost every answer is filled up."""


class Assortment:
    """All items by number: those of a count store, then those that only the catalogue knows.

    Args:
        table: popularity of the items bought.
        bought: ids of those items, by number.
        catalogue: what is known of items besides their purchases.

    Attributes:
        ids: item ids by number.
        bought: how many of them were ever in an order; the others come from the catalogue.
        popularity: (n,) mean of the shares of purchases decayed with half-lives of 1 and 7 days.
        purchases: (n,) purchases in all.
        available: (n,) whether an item may be shown.
    """

    def __init__(self, table: PopularityTable, bought: Sequence[str], catalogue: Catalogue) -> None:
        known = len(bought)
        numbers = catalogue.numbers_beyond(bought)
        self.bought = known
        self.ids = [*bought, *numbers]
        self._catalogue = catalogue
        self._table = table
        self._numbers: dict[str, int] | None = None
        shares = [decayed_share(table, known, half_life) for half_life in HALF_LIVES_DAYS]
        self.popularity = _widened(np.mean(shares, axis=0), len(self.ids))
        everything = sum((column[:known] for column in table.purchases.values()), np.zeros(known, np.int64))
        self.purchases = _widened(everything, len(self.ids))
        self._days: dict[int, Integers] = {}
