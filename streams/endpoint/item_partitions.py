"""Views of item partitions: item facts, lists as published and as computed now, and what can be recommended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from producers.partitioning import item_partition
from streams.endpoint.answers import OtherPairs
from streams.endpoint.item_answers import ItemAnswers
from streams.endpoint.published import LISTS_IN_MEMORY, FreshLists, PublishedLists
from streams.endpoint.requests import LONGEST_LIST, RelatedRequest
from streams.engine.pair_epochs import pair_epochs
from streams.recommendations.leaders import first_of_groups

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.related_store import RelatedStore, StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answer_documents import Document
    from streams.endpoint.answers import RelatedListAnswer
    from streams.endpoint.list_entries import Entries
    from streams.engine.pair_epochs import PairEpoch
    from streams.engine.relatedness import Floats
    from streams.engine.scores import Scoring
    from streams.recommendations.leaders import GroupOf

T = TypeVar("T")


class ExclusiveAccess(Protocol):
    """Runs work while nothing else uses the counts."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]:
        """The result of the work. Raises PartitionNotLocal if the partition was closed in the meantime."""


class ItemPartitionView:
    """One item partition, or all of a state's, as seen by questions.

    Args:
        stores: counts and published lists of each partition. Several are all the partitions of a state, in order, and
            an item has the same number in each.
        catalogue: titles, categories and availability; it may change at any time.
        worker: name of this process.
        scoring: what ranks the lists.
        exclusive: gives access to counts that another thread changes. None if only this event loop changes them:
            assortments, and lists that are not published as of the counts, are then computed when asked for.
        room: published lists to keep in memory.

    Attributes:
        counts: counts of the first partition; each has the popularity of all items.
        answers: answers about items.
        published: the published lists.
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
        self._score = scoring.score
        self._stores = [(counts, related, FreshLists(counts, scoring)) for counts, related in stores]
        self._exclusive = exclusive

    async def related(self, item_id: str, request: RelatedRequest) -> RelatedListAnswer:
        """An item's list as published; computed now if it should be fresh or by another score, or none was published.

        Raises:
            NotKnown: the item is not known.
            OtherPairs: the counts are of other pairs than asked for.
            PartitionNotLocal: the partition was closed in the meantime.
        """
        counted = self.counts.settings.pairs
        if request.pairs not in (None, counted):
            raise OtherPairs(
                f"pairs of {counted}s are counted here, not of {request.pairs}s, which take a state of their own: "
                f"count the log with `alsobought replay LOG... --state-dir DIR --pairs {request.pairs}`, or start "
                f"workers of another --generation with --pairs {request.pairs}, and ask there"
            )
        number = self.answers.known(item_id)
        if number is None:
            return self.answers.unlisted(item_id)
        if request.score not in (None, self._score):
            by_score = await self._computed_entries(number, request, request.score)
            return self.answers.listed(item_id, number, by_score, exact=True, score=request.score)
        if not request.fresh and self._is_published(number):
            entries = self._published_entries(number, request)
            if entries is not None:
                return self._listed_as_published(item_id, number, entries)
        entries = await self._computed_entries(number, request)
        if not request.fresh:
            self.answers.entries.keep(number, request, entries)
        return self.answers.listed(item_id, number, entries, exact=True)

    def published_list(self, item_id: str, number: int) -> RelatedListAnswer:
        """The document of a whole published list, of those of its items that can be had."""
        stored = self.published.get(number)
        entries = self.answers.entries.of_admitted(number, stored, RelatedRequest())
        return self._listed_as_published(item_id, number, entries)

    def _listed_as_published(self, item_id: str, number: int, entries: Entries) -> RelatedListAnswer:
        """The document of published entries; `exact` if every list of its partition is that of the counts."""
        counts, related, _ = self._store_of(number)
        exact = self._exclusive is None or related.exact_as_of == counts.purchases_offset_sum
        return self.answers.listed(item_id, number, entries, exact=exact)

    def _published_entries(self, number: int, request: RelatedRequest) -> Entries | None:
        """The entries of a published list; None if there may be others that were not published."""
        lists = self.answers.entries
        entries = lists.cached(number, request)
        if entries is None:
            entries = lists.of_published(number, self.published.get(number), request)
            if entries is not None:
                lists.keep(number, request, entries)
        return entries

    async def _computed_entries(self, number: int, request: RelatedRequest, score: str | None = None) -> Entries:
        """The entries of the list of all items that are admitted, computed now; by another score, if one is given."""
        weight = self.answers.live.chosen_bought(request).weight
        lists = self.answers.entries
        groups = lists.groups
        _, __, fresh_lists = self._store_of(number)

        def compute() -> StoredList:
            if groups is None:
                return fresh_lists.list_of(number, weight, score)
            return self._list_of_groups(number, fresh_lists, weight, groups, score)

        stored = await self.exclusively(compute)
        return lists.of_chosen(number, stored, request, whole=len(stored.item) < LONGEST_LIST)

    def _list_of_groups(
        self, number: int, fresh_lists: FreshLists, weight: Floats, groups: GroupOf, score: str | None
    ) -> StoredList:
        """A list with the best item of each group, and none of the item's own group.

        Siblings of what is listed leave it until there are none. What takes their places scores less than what stays.

        Args:
            number: of the item.
            fresh_lists: make its list.
            weight: of items, as of `Ranker.lists`; changed.
            groups: the group of an item number.
            score: as of `FreshLists.list_of`.
        """
        siblings = self.answers.entries.siblings
        weight[_below(len(weight), siblings([number]))] = 0.0
        while True:
            stored = fresh_lists.list_of(number, weight, score)
            places = first_of_groups(stored.item, len(stored.item), groups)
            if len(places) == len(stored.item) or len(stored.item) < LONGEST_LIST:
                return stored.taken(np.array(places, np.int64))
            listed = stored.item[places].astype(np.int64)
            stays = weight[listed]
            weight[_below(len(weight), siblings(listed.tolist()))] = 0.0
            weight[listed] = stays

    async def pair(self, item_id: str, other_id: str) -> Document:
        """How an item and another came to be related, epoch by epoch.

        Raises:
            NotKnown: one of them is not known.
            PartitionNotLocal: the partition was closed in the meantime.
        """
        number, other = self.answers.known(item_id), self.answers.known(other_id)
        epochs: list[PairEpoch] = []
        if number is not None and other is not None:
            counts, _, __ = self._store_of(number)
            epochs = await self.exclusively(lambda: pair_epochs(counts, number, other))
        return self.answers.pair(item_id, other_id, epochs)

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
        """Drop the lists of these items, or of all, from memory; they are read again when next asked for."""
        if numbers is None:
            self.published.forget()
            self.answers.entries.forget_all()
            return
        for number in numbers:
            self.published.discard(number)
            self.answers.entries.forget(number)

    def _is_published(self, number: int) -> bool:
        """Whether the item has a list to serve; if so, it is in memory afterwards."""
        if number in self.published:
            return True
        stored = self._read_published(number)
        if stored is not None:
            self.published.put(number, stored)
        return stored is not None

    def _read_published(self, number: int) -> StoredList | None:
        counts, related, fresh = self._store_of(number)
        if self._exclusive is None and related.exact_as_of != counts.purchases_offset_sum:
            return fresh.list_of(number)
        stored = related.get(number)
        return fresh.list_of(number) if stored is None and self._exclusive is None else stored

    def _store_of(self, number: int) -> tuple[CountStore, RelatedStore, FreshLists]:
        if len(self._stores) == 1:
            return self._stores[0]
        return self._stores[item_partition(self.answers.names.text(number), len(self._stores))]


def _below(size: int, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return numbers[numbers < size]


class OpenItems(Protocol):
    """The item partitions that are open in this process."""

    def view_of(self, item_id: str) -> ItemPartitionView:
        """The partition of an item.

        Raises:
            PartitionNotLocal: it is not open in this process.
        """

    def home(self) -> ItemPartitionView:
        """The partition whose popularity and item numbers recommendations use.

        Raises:
            PartitionNotLocal: none is ready.
        """

    def popularity(self, item_id: str) -> float:
        """Popularity of an item; 0 while no partition is ready."""
