"""The shelf: the assortment of now, taken stock of at most once a second, while availability is always up to date."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from streams.recommendations.assortment import take_stock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.recommendations.assortment import Assortment
    from streams.recommendations.catalogue import Catalogue

    Mask = npt.NDArray[np.bool_]

STOCK_HOLDS_S = 1.0


class Shelf:
    """What can be recommended now.

    Popularity of all items is a pass over sixty days of counters, some 10 ms for 70,000 items: too much for a request,
    little once a second. Availability follows the catalogue at once.

    Args:
        counts: any item partition; each knows the popularity of all items.
        catalogue: what the shop says of its items.
        clock: monotonic seconds.
    """

    def __init__(self, counts: CountStore, catalogue: Catalogue, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._catalogue = catalogue
        self._clock = clock
        self._taken_at = -np.inf
        self._seen: tuple[int, int] = (-1, -1)
        self._version = -1
        self._beyond: dict[str, int] = {}
        self._categories: dict[str, Mask] = {}
        self._stock: Assortment | None = None

    def stock(self) -> Assortment:
        """The assortment, at most a second old; its availability is that of now."""
        seen = (self._counts.journal.commit, self._catalogue.version)
        if self._stock is None or (seen != self._seen and self._clock() - self._taken_at >= STOCK_HOLDS_S):
            bought = self._counts.names.every
            unbought = self._catalogue.beyond(bought)
            self._stock = take_stock(self._counts.popularity, bought, unbought)
            self._beyond = {item_id: len(bought) + place for place, item_id in enumerate(unbought)}
            self._taken_at, self._seen, self._version = self._clock(), seen, -1
        if self._version != self._catalogue.version:
            self._categories = {}
            size = len(self._stock.ids)
            self._stock = replace(
                self._stock, available=self._offered(self._stock) & ~self._mask(self._catalogue.unavailable, size)
            )
            self._version = self._catalogue.version
        return self._stock

    def number(self, item_id: str) -> int | None:
        """An item's number in the assortment; None if it has none."""
        if item_id in self._counts.names:
            number = self._counts.names[item_id]
            return number if self._stock is None or number < self._stock.bought else None
        return self._beyond.get(item_id)

    def _offered(self, stock: Assortment) -> Mask:
        """(n,) which items were bought or are in the catalogue: a return alone makes none of an id."""
        offered = stock.purchases > 0
        for number in np.flatnonzero(~offered).tolist():
            offered[number] = stock.ids[number] in self._catalogue.items
        return offered

    def _mask(self, item_ids: Iterable[str], size: int) -> Mask:
        """(size,) which items of the assortment are among `item_ids`."""
        mask = np.zeros(size, np.bool_)
        mask[[number for number in map(self.number, item_ids) if number is not None]] = True
        return mask

    def admitted(self, category: str | None) -> Mask:
        """(n,) which items are available and, if one is given, of the category; a new array."""
        available = self.stock().available
        if category is None:
            return available.copy()
        if category not in self._categories:
            self._categories[category] = self._mask(self._catalogue.categories.get(category, ()), len(available))
        here: Mask = available & self._categories[category]
        return here
