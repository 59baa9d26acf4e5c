"""The shelf: the assortment of now, taken stock of at most once a second, while availability is always up to date."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from streams.recommendations.assortment import take_stock
from streams.recommendations.bestsellers import BESTSELLER_DAYS, recent_purchases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment

    Mask = npt.NDArray[np.bool_]

STOCK_HOLDS_S = 1.0


@dataclass(slots=True)
class Stocktaking:
    """What taking stock found.

    Attributes:
        stock: every item; available are those bought or in the catalogue, since a return alone makes none of an id.
        beyond: number of each item that only the catalogue knows.
        seen: the commit of the counts and the version of the catalogue that were seen.
        recent: days -> (b,) purchases of so many last days, as far as anyone asked.
    """

    stock: Assortment
    beyond: dict[str, int]
    seen: tuple[int, int]
    recent: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)


class Shelf:
    """What can be recommended now.

    Popularity of all items is a pass over sixty days of counters, some 10 ms for 70,000 items: too much for a request,
    little once a second. Availability follows the catalogue at once.

    Args:
        counts: any item partition; each knows the popularity of all items.
        catalogue: what the shop says of its items.
        attended: someone calls `take` while nothing is counted, and `place`, whenever it is `due`; otherwise stock is
            taken when it is asked for.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        counts: CountStore,
        catalogue: Catalogue,
        *,
        attended: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._catalogue = catalogue
        self._attended = attended
        self._clock = clock
        self._taken_at = -np.inf
        self._taking: Stocktaking | None = None
        self._stock: Assortment | None = None
        self._version = -1
        self._categories: dict[str, Mask] = {}

    @property
    def empty(self) -> bool:
        """Whether stock was never taken."""
        return self._taking is None

    def due(self) -> bool:
        """Whether stock is to be taken: something has changed, and it was not just now that it was taken."""
        if self._taking is None:
            return True
        seen = (self._counts.journal.commit, self._catalogue.version)
        return seen != self._taking.seen and self._clock() - self._taken_at >= STOCK_HOLDS_S

    def take(self) -> Stocktaking:
        """Take stock; may run in a thread, as long as nothing is counted meanwhile."""
        seen = (self._counts.journal.commit, self._catalogue.version)
        bought = self._counts.names.every
        unbought = self._catalogue.beyond(bought)
        stock = take_stock(self._counts.popularity, bought, unbought)
        for column in ("popularity", "recent"):
            stock.front(column)  # so that no request has to
        for number in np.flatnonzero(stock.purchases == 0).tolist():
            stock.available[number] = stock.ids[number] in self._catalogue.items
        beyond = {item_id: stock.bought + place for place, item_id in enumerate(unbought)}
        return Stocktaking(stock, beyond, seen, {BESTSELLER_DAYS: stock.recent[: stock.bought]})

    def place(self, taking: Stocktaking) -> None:
        """Show what was found from now on."""
        self._taking, self._taken_at, self._version = taking, self._clock(), -1

    def stock(self) -> Assortment:
        """The assortment, at most a second old; its availability is that of now."""
        if self._taking is None or (not self._attended and self.due()):
            self.place(self.take())
        assert self._taking is not None  # noqa: S101 - for the type checker
        if self._stock is None or self._version != self._catalogue.version:
            self._categories = {}
            stock = self._taking.stock
            hidden = self._mask(self._catalogue.unavailable, len(stock.ids))
            self._stock = replace(stock, available=stock.available & ~hidden)
            self._version = self._catalogue.version
        return self._stock

    def recent(self, days: int) -> npt.NDArray[np.int64] | None:
        """(b,) purchases of the last days; None if they must be counted first, by someone who attends to it."""
        self.stock()
        assert self._taking is not None  # noqa: S101 - for the type checker
        if days not in self._taking.recent and not self._attended:
            self.count_recent(days)
        return self._taking.recent.get(days)

    def count_recent(self, days: int) -> None:
        """Count purchases of the last days; may run in a thread, as long as nothing is counted meanwhile."""
        taking = self._taking
        if taking is not None:
            taking.recent[days] = recent_purchases(self._counts.popularity, taking.stock.bought, days)

    def number(self, item_id: str) -> int | None:
        """An item's number in the assortment; None if it has none."""
        number = self._counts.names.get(item_id, -1)
        if self._taking is None or 0 <= number < self._taking.stock.bought:
            return None if number < 0 else number
        return self._taking.beyond.get(item_id)

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
