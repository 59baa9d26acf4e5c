"""Item partitions as questions see them: facts, lists as published and as computed now, and what can be recommended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from producers.partitioning import item_partition
from streams.endpoint.item_answers import ItemAnswers
from streams.endpoint.published import LISTS_IN_MEMORY, FreshLists, PublishedLists

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from state.count_store import CountStore
    from state.related_store import RelatedStore, StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answers import RelatedListAnswer
    from streams.engine.scores import Scoring

T = TypeVar("T")


class ExclusiveAccess(Protocol):
    """Runs work in a thread while nothing else uses the counts."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of the work. Raises PartitionNotLocal if the partition was closed in the meantime."""


class ItemPartitionView:
    """One item partition, or all of a state's, as questions see them.

    Args:
        stores: counts and published lists of each partition. If there are several, they are all of them, in order, and
            an item has the same number in each.
        catalogue: what the shop says about its items; it may change at any time.
        worker: name of this process.
        scoring: what lists are ranked by.
        exclusive: how counts are used that another thread changes. None: nobody changes them but this event loop, so
            that lists which were never published are computed when they are asked for, and assortments too.
        room: published lists to keep in memory.

    Attributes:
        counts: of the first partition; each has the popularity of all items.
        answers: what it says about items.
        published: its lists as published.
    """

    def __init__(
        self,
        stores: Sequence[tuple[CountStore, RelatedStore]],
        catalogue: Catalogue,
        worker: str,
        scoring: Scoring,
        *,
        exclusive: ExclusiveAccess | None = None,
        room: int = LISTS_IN_MEMORY,
    ) -> None:
        self.counts = stores[0][0]
        self.answers = ItemAnswers(self.counts, catalogue, worker, scoring.score, refreshed=exclusive is not None)
        self.published = PublishedLists(self._read_published, room)
        self._stores = [(counts, related, FreshLists(counts, scoring)) for counts, related in stores]
        self._exclusive = exclusive

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> RelatedListAnswer:
        """An item's list as published; computed now if it should be fresh, or if none was published.

        Raises:
            NotKnown: nobody knows the item.
            PartitionNotLocal: the partition was closed in the meantime.
        """
        number = self.answers.known(item_id)
        if number is None:
            return self.answers.unlisted(item_id)
        if not fresh and self._is_published(number):
            return self.published_list(item_id, number, limit)
        _, __, fresh_lists = self._store_of(number)
        stored = await self.exclusively(lambda: fresh_lists.list_of(number))
        return self.answers.computed(item_id, number, stored, limit)

    def published_list(self, item_id: str, number: int, limit: int) -> RelatedListAnswer:
        """The document of a list as published; it is exact if every published list of its partition is."""
        entries = self.answers.entries.cached(number, limit)
        if entries is None:
            entries = self.answers.entries.make(number, self.published.get(number), limit)
        counts, related, _ = self._store_of(number)
        return self.answers.listed(item_id, entries, exact=related.exact_as_of == counts.purchases_offset_sum)

    async def count_recent(self, days: int) -> None:
        """Count the purchases of the last days, for bestsellers."""
        await self.exclusively(lambda: self.answers.live.count_recent(days))

    async def exclusively(self, work: Callable[[], T]) -> T:
        """Run work while nothing is counted.

        Raises:
            PartitionNotLocal: the partition was closed in the meantime.
        """
        return work() if self._exclusive is None else await self._exclusive(work)

    def forget(self, numbers: Iterable[int] | None = None) -> None:
        """Read the lists of these items again when they are next asked for, or of all items."""
        if numbers is None:
            self.published.forget()
            self.answers.entries.forget_all()
            return
        for number in numbers:
            self.published.discard(number)
            self.answers.entries.forget(number)

    def _is_published(self, number: int) -> bool:
        """Whether there is a list to serve; it is in memory then."""
        if number in self.published:
            return True
        stored = self._read_published(number)
        if stored is not None:
            self.published.put(number, stored)
        return stored is not None

    def _read_published(self, number: int) -> StoredList | None:
        _, related, fresh = self._store_of(number)
        stored = related.get(number)
        return fresh.list_of(number) if stored is None and self._exclusive is None else stored

    def _store_of(self, number: int) -> tuple[CountStore, RelatedStore, FreshLists]:
        if len(self._stores) == 1:
            return self._stores[0]
        return self._stores[item_partition(self.answers.names.text(number), len(self._stores))]


class OpenItems(Protocol):
    """The item partitions that are open in this process."""

    def view_of(self, item_id: str) -> ItemPartitionView:
        """The partition of an item.

        Raises:
            PartitionNotLocal: it is not open here.
        """

    def home(self) -> ItemPartitionView:
        """The partition whose popularity and item numbers recommendations are made with.

        Raises:
            PartitionNotLocal: none is ready.
        """

    def popularity(self, item_id: str) -> float:
        """Popularity of an item; 0 while no partition is ready."""
