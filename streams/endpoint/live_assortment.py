"""The current assortment: a snapshot at most a second old, with availability that is always current."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from streams.recommendations.assortment import current_assortment, recent_purchases
from streams.recommendations.request import BESTSELLER_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment

    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

SNAPSHOT_VALID_S = 1.0
CATEGORIES_IN_MEMORY = 1024
"""Categories of which the item numbers are kept. An item has one category, so all of them have eight bytes an item."""
_NO_ITEMS = np.zeros(0, np.int64)


@dataclass(slots=True)
class AssortmentSnapshot:
    """The assortment as of one commit and one version of the catalogue.

    Attributes:
        assortment: every item. Items that were bought or are in the catalogue are available; an id that appears only
            in a return is not.
        catalogue_only: numbers of the items that only the catalogue knows, by item id.
        version: the commit of the counts and the version of the catalogue.
        recent: (b,) purchases of the last days, by the number of days, for those asked for so far. At most sixty, the
            days that are kept: together as large as the daily counters themselves.
    """

    assortment: Assortment
    catalogue_only: dict[str, int]
    version: tuple[int, int]
    recent: dict[int, npt.NDArray[np.int64]] = field(default_factory=dict)


class LiveAssortment:
    """The items that can be recommended now.

    Computing the popularity of all items takes a pass over sixty days of counters, some 10 ms for 70,000 items: too
    much per request, little once a second. Availability follows the catalogue at once.

    Args:
        counts: any item partition; each has the popularity of all items.
        catalogue: categories and availability.
        refreshed: whether a background task calls `take_snapshot`, while nothing is counted, and then `show`, whenever
            a snapshot is `due`. If not, snapshots are taken when the assortment is asked for.
        clock: returns monotonic seconds.
    """

    def __init__(
        self,
        counts: CountStore,
        catalogue: Catalogue,
        *,
        refreshed: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counts = counts
        self._catalogue = catalogue
        self._refreshed = refreshed
        self._clock = clock
        self._taken_at = -np.inf
        self._snapshot: AssortmentSnapshot | None = None
        self._assortment: Assortment | None = None
        self._version = -1
        self._categories: OrderedDict[str, Integers] = OrderedDict()

    def due(self) -> bool:
        """Whether a new snapshot is due: something has changed, and the last one is older than a second."""
        if self._snapshot is None:
            return True
        return self._current_version() != self._snapshot.version and self._clock() - self._taken_at >= SNAPSHOT_VALID_S

    def take_snapshot(self) -> AssortmentSnapshot:
        """Take a snapshot, for `show`; may run in a thread while nothing is counted."""
        version = self._current_version()
        bought = self._counts.names.every
        catalogue_only = self._catalogue.beyond(bought)
        assortment = current_assortment(self._counts.popularity, bought, catalogue_only)
        for column in ("popularity", "recent"):
            assortment.front(column)  # so that no request computes it
        for number in np.flatnonzero(assortment.purchases == 0).tolist():
            assortment.available[number] = assortment.ids[number] in self._catalogue.items
        numbers = {item_id: number for number, item_id in enumerate(catalogue_only, assortment.bought)}
        recent = {BESTSELLER_DAYS: assortment.recent[: assortment.bought]}
        return AssortmentSnapshot(assortment, numbers, version, recent)

    def show(self, snapshot: AssortmentSnapshot) -> None:
        """Use this snapshot from now on."""
        self._snapshot, self._taken_at, self._version = snapshot, self._clock(), -1

    def assortment(self) -> Assortment:
        """The assortment, at most a second old; its availability is current."""
        if self._snapshot is None or (not self._refreshed and self.due()):
            self.show(self.take_snapshot())
        assert self._snapshot is not None  # noqa: S101 - for the type checker
        if self._assortment is None or self._version != self._catalogue.version:
            self._categories.clear()
            snapshot = self._snapshot.assortment
            available = snapshot.available.copy()
            available[self._numbers(self._catalogue.unavailable)] = False
            self._assortment = replace(snapshot, available=available)
            self._version = self._catalogue.version
        return self._assortment

    def recent(self, days: int) -> npt.NDArray[np.int64] | None:
        """(b,) purchases of the last days; None if the background task must count them first with `count_recent`."""
        self.assortment()
        assert self._snapshot is not None  # noqa: S101 - for the type checker
        if days not in self._snapshot.recent and not self._refreshed:
            self.count_recent(days)
        return self._snapshot.recent.get(days)

    def count_recent(self, days: int) -> None:
        """Count the purchases of the last days; may run in a thread while nothing is counted."""
        snapshot = self._snapshot
        if snapshot is not None:
            snapshot.recent[days] = recent_purchases(self._counts.popularity, snapshot.assortment.bought, days)

    def number(self, item_id: str) -> int | None:
        """An item's number in the assortment; None if it has none."""
        number = self._counts.names.get(item_id, -1)
        if self._snapshot is None or 0 <= number < self._snapshot.assortment.bought:
            return None if number < 0 else number
        return self._snapshot.catalogue_only.get(item_id)

    def admitted(self, category: str | None) -> Mask:
        """(n,) whether each item is available and, if one is given, of the category; a new array."""
        available = self.assortment().available
        if category is None:
            return available.copy()
        admitted: Mask = np.zeros_like(available)
        numbers = self._numbers_of(category)
        admitted[numbers] = available[numbers]
        return admitted

    def _numbers_of(self, category: str) -> Integers:
        """Numbers of the items of a category, none if the catalogue does not have it; kept for a while."""
        if category not in self._catalogue.categories:
            return _NO_ITEMS  # nothing is kept of what a visitor makes up
        if category in self._categories:
            self._categories.move_to_end(category)
            return self._categories[category]
        numbers = self._categories[category] = self._numbers(self._catalogue.categories[category])
        if len(self._categories) > CATEGORIES_IN_MEMORY:
            self._categories.popitem(last=False)
        return numbers

    def _current_version(self) -> tuple[int, int]:
        return self._counts.journal.commit, self._catalogue.version

    def _numbers(self, item_ids: Iterable[str]) -> Integers:
        """Numbers of the items of the assortment that are among `item_ids`."""
        return np.array([number for number in map(self.number, item_ids) if number is not None], np.int64)
