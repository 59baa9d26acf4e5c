"""The current assortment: a snapshot at most a second old, with availability that is always current."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.names import NOWHERE
from streams.catalogue.conditions import Condition, boosts_of
from streams.engine.epochs import EPOCH_DAYS
from streams.recommendations.assortment import current_assortment, recent_purchases
from streams.recommendations.request import BESTSELLER_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment
    from streams.recommendations.leaders import GroupOf
    from streams.recommendations.request import ListRequest

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

SNAPSHOT_VALID_S = 1.0
VALUES_IN_MEMORY = 1024
"""Categories and other values of which the item numbers are kept: eight bytes for each of an item's."""
_NO_ITEMS = np.zeros(0, np.int64)
_IN_STOCK = Condition("in_stock", "true")


class Chosen(NamedTuple):
    """What a request chooses of n items."""

    admitted: Mask
    """(n,)"""
    boost: Floats | None
    """(n,) what multiplies the score of each; None: nothing does."""

    @property
    def weight(self) -> Floats:
        """(n,) what multiplies the score of each, 0 for those not admitted."""
        return self.admitted.astype(np.float64) if self.boost is None else self.admitted * self.boost


class _Priced(NamedTuple):
    """Prices, by item number."""

    version: tuple[int, ...]
    looked_up_at: float = -np.inf
    numbers: Integers = _NO_ITEMS
    amounts: Floats = np.zeros(0)


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


class _Unbought(NamedTuple):
    """Items that only the catalogue knows."""

    version: tuple[int, int]
    """Of the catalogue's ids, and the number of items that were bought."""
    ids: list[str]
    numbers: dict[str, int]
    """In the assortment, by id."""


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
        self._unbought: _Unbought | None = None
        self._version = -1
        self._valued: OrderedDict[tuple[str, str], Integers] = OrderedDict()
        self._priced = _Priced(())

    def due(self) -> bool:
        """Whether a new snapshot is due: something has changed, and the last one is older than a second."""
        if self._snapshot is None:
            return True
        return self._current_version() != self._snapshot.version and self._clock() - self._taken_at >= SNAPSHOT_VALID_S

    def take_snapshot(self) -> AssortmentSnapshot:
        """Take a snapshot, for `show`; may run in a thread while nothing is counted."""
        version = self._current_version()
        bought = self._counts.names.every
        unbought = self._find_unbought(bought)
        assortment = current_assortment(self._counts.popularity, bought, unbought.ids)
        for column in ("popularity", "recent"):
            assortment.front(column)  # so that no request computes it
        for number in np.flatnonzero(assortment.purchases[: assortment.bought] == 0).tolist():
            assortment.available[number] = assortment.ids[number] in self._catalogue.items
        recent = {BESTSELLER_DAYS: assortment.recent[: assortment.bought]}
        return AssortmentSnapshot(assortment, unbought.numbers, version, recent)

    def _find_unbought(self, bought: Sequence[str]) -> _Unbought:
        """The items that only the catalogue knows, looked for when there are others: of 100,000 it takes 40 ms."""
        version = (self._catalogue.ids_version, len(bought))
        if self._unbought is None or self._unbought.version != version:
            ids = list(self._catalogue.items)
            ids = sorted(ids[index] for index in np.flatnonzero(self._counts.names.find(ids) == NOWHERE).tolist())
            numbers = {item_id: number for number, item_id in enumerate(ids, len(bought))}
            self._unbought = _Unbought(version, ids, numbers)
        return self._unbought

    def show(self, snapshot: AssortmentSnapshot) -> None:
        """Use this snapshot from now on."""
        self._snapshot, self._taken_at, self._version = snapshot, self._clock(), -1

    def assortment(self) -> Assortment:
        """The assortment, at most a second old; its availability is current."""
        if self._snapshot is None or (not self._refreshed and self.due()):
            self.show(self.take_snapshot())
        assert self._snapshot is not None  # noqa: S101 - for the type checker
        if self._assortment is None or self._version != self._catalogue.version:
            self._valued.clear()
            snapshot = self._snapshot.assortment
            available = snapshot.available.copy()
            for hidden in (self._catalogue.unavailable, self._catalogue.sold_out):
                available[self._numbers(hidden)] = False
            self._assortment = replace(snapshot, available=available, groups=self._groups(snapshot.ids))
            self._version = self._catalogue.version
        return self._assortment

    def _groups(self, ids: Sequence[str]) -> GroupOf | None:
        """The group of each item by its number; None if no item has one."""
        group_of = self._catalogue.group_of
        return (lambda number: group_of(ids[number])) if self._catalogue.grouped else None

    def variants_of(self, item_ids: Iterable[str]) -> Integers:
        """Numbers of the items that share a group with any of these, themselves included."""
        groups = {group for item_id in item_ids if (group := self._catalogue.group_of(item_id))}
        members = self._catalogue.having.get("group_id", {})
        return self._numbers(item_id for group in groups for item_id in members[group])

    def recent(self, days: int) -> npt.NDArray[np.int64] | None:
        """(b,) purchases of the last days; None if the background task must count them first with `count_recent`."""
        self.assortment()
        assert self._snapshot is not None  # noqa: S101 - for the type checker
        if days not in self._snapshot.recent and not self._refreshed:
            self.count_recent(days)
        return self._snapshot.recent.get(days)

    def days_counted(self) -> int:
        """Days since the first epoch in which something was bought, the last of them that of the newest purchase."""
        table = self._counts.popularity
        return table.newest_day - EPOCH_DAYS * min(table.purchases, default=0) + 1

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

    def chosen(self, request: ListRequest) -> Chosen:
        """Which of the n items of the assortment a request asks for, and what multiplies their scores; new arrays."""
        admitted = self.assortment().available.copy()
        if not request.in_stock:
            admitted[self._numbers(self._catalogue.sold_out)] = True
        return self._chosen(request, admitted)

    def chosen_bought(self, request: ListRequest) -> Chosen:
        """The same for the items in the count store, also where there is no snapshot."""
        admitted = np.ones(len(self._counts.names), np.bool_)
        admitted[self._numbers_below(len(admitted), self._catalogue.unavailable)] = False
        if request.in_stock:
            admitted[self._numbers_below(len(admitted), self._catalogue.sold_out)] = False
        return self._chosen(request, admitted)

    def _chosen(self, request: ListRequest, admitted: Mask) -> Chosen:
        def test(condition: Condition) -> Mask:
            holds: Mask = np.zeros(len(admitted), np.bool_)
            numbers = self._numbers_of(condition)
            holds[numbers[numbers < len(holds)]] = True
            return ~holds if condition == _IN_STOCK else holds

        return Chosen(request.admitted(admitted, test), boosts_of(request.boost, test, len(admitted)))

    def _numbers_of(self, condition: Condition) -> Integers:
        """Numbers of the items for which a condition holds; for `in_stock:true`, of those for which it does not."""
        if condition.field == "price":
            numbers, amounts = self._prices()
            within: Integers = numbers[(amounts >= condition.low) & (amounts <= condition.high)]
            return within
        catalogue = self._catalogue
        if condition.field == "in_stock":
            return np.concatenate([self._numbers(catalogue.sold_out), self._numbers(catalogue.unavailable)])
        values = catalogue.having.get(condition.field, {})
        if condition.value not in values:
            return _NO_ITEMS  # nothing is kept of what a visitor makes up
        self.assortment()  # forgets what is no longer current
        key = condition.field, condition.value
        if key in self._valued:
            self._valued.move_to_end(key)
            return self._valued[key]
        numbers = self._valued[key] = self._numbers(values[condition.value])
        if len(self._valued) > VALUES_IN_MEMORY:
            self._valued.popitem(last=False)
        return numbers

    def _prices(self) -> tuple[Integers, Floats]:
        """Numbers and prices of the items that have one; looked up again at most once a second."""
        version = self._catalogue.prices_version, self._catalogue.ids_version, len(self._counts.names)
        stale = version != self._priced.version and self._clock() - self._priced.looked_up_at >= SNAPSHOT_VALID_S
        if stale or self._priced.version[:1] != version[:1]:
            prices = self._catalogue.prices
            numbers = self._every_number(list(prices))
            known = numbers != NOWHERE
            amounts = np.fromiter(prices.values(), np.float64, len(prices))
            self._priced = _Priced(version, self._clock(), numbers[known], amounts[known])
        return self._priced.numbers, self._priced.amounts

    def _current_version(self) -> tuple[int, int]:
        return self._counts.journal.commit, self._catalogue.version

    def _numbers(self, item_ids: Iterable[str]) -> Integers:
        """Numbers of the items of the assortment that are among `item_ids`."""
        numbers = self._every_number(list(item_ids))
        found: Integers = numbers[numbers != NOWHERE]
        return found

    def _numbers_below(self, size: int, item_ids: Iterable[str]) -> Integers:
        numbers = self._numbers(item_ids)
        return numbers[numbers < size]

    def _every_number(self, ids: Sequence[str]) -> Integers:
        """(k,) the number of each id in the assortment, NOWHERE if it has none."""
        numbers: Integers = self._counts.names.find(ids).astype(np.int64)
        if self._snapshot is not None:
            for index in np.flatnonzero(numbers >= self._snapshot.assortment.bought).tolist():
                numbers[index] = self._snapshot.catalogue_only.get(ids[index], NOWHERE)
        return numbers
