"""The items whose partitions are open in this worker: facts, published lists, and what can be recommended."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from producers.partitioning import item_partition
from state.names import Translation
from streams.endpoint.answers import PartitionNotLocal
from streams.endpoint.item_partitions import ItemPartitionView
from streams.endpoint.published import LISTS_IN_MEMORY, PublishedLists
from streams.recommendations.recommend import NOTHING_HELD
from streams.recommendations.request import MOST_SEEDS, RecommendationRequest
from streams.recommendations.search import ItemSearch
from streams.workers.cluster.owners import StagePartition
from streams.workers.cluster.peers import PublishedList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.live_assortment import AssortmentSnapshot
    from streams.engine.scores import Scoring
    from streams.workers.kafka.stage_service import Membership
    from streams.workers.tally import ItemPartition, Tally

T = TypeVar("T")


class LocalItems:
    """The open item partitions. One is `home`: recommendations use its popularity and item numbers.

    Args:
        tally: stage B; None if it runs elsewhere.
        membership: the partitions of stage B that this worker owns.
        partitions: how many item partitions there are.
        catalogue: what the shop says about its items.
        worker: name of this worker.
        scoring: what lists are ranked by.
    """

    def __init__(
        self,
        tally: Tally | None,
        membership: Membership,
        partitions: int,
        catalogue: Catalogue,
        worker: str,
        scoring: Scoring,
    ) -> None:
        self.partitions = partitions
        self._tally = tally
        self._membership = membership
        self._catalogue = catalogue
        self._worker = worker
        self._scoring = scoring
        self._views: dict[int, ItemPartitionView] = {}
        self._translations: dict[ItemPartitionView, Translation] = {}
        self._home: ItemPartitionView | None = None
        self._room = max(LISTS_IN_MEMORY // partitions, 2 * MOST_SEEDS)

    def partition_of(self, item_id: str) -> StagePartition:
        """The partition with an item's counts and list."""
        return StagePartition("tally", item_partition(item_id, self.partitions))

    def missing(self) -> list[str]:
        """Partitions assigned to this worker that cannot answer yet; all of them while there is no home."""
        ready = self._ready() if self._home is not None else {}
        return [str(StagePartition("tally", number)) for number in sorted(self._membership.assigned - ready.keys())]

    def view_of(self, item_id: str) -> ItemPartitionView:
        """The partition of an item; raises PartitionNotLocal."""
        return self.view(self.partition_of(item_id).number)

    def view(self, partition: int) -> ItemPartitionView:
        """A partition.

        Raises:
            PartitionNotLocal: it is not open, or has not read what previous owners published.
        """
        part = self._open(partition)
        if part is None or partition not in self._membership.serving or not part.caught_up:
            raise PartitionNotLocal(f"{StagePartition('tally', partition)} is not open")
        view = self._views.get(partition)
        if view is None or view.counts is not part.counts:
            view = self._views[partition] = self._new_view(partition, part)
        return view

    def known_view(self, partition: int) -> ItemPartitionView | None:
        """The view of a partition if it has one, as it has once a question was answered from it; else None."""
        view, part = self._views.get(partition), self._open(partition)
        return view if view is not None and part is not None and view.counts is part.counts else None

    def home(self) -> ItemPartitionView:
        """The partition whose popularity and item numbers recommendations use; raises PartitionNotLocal."""
        home = self._home
        part = None if home is None else self._open(home.counts.partition)
        if home is None or part is None or part.counts is not home.counts:
            raise PartitionNotLocal("no item partition is open")
        return home

    def popularity(self, item_id: str) -> float:
        """Popularity of an item; 0 until a partition is ready for the first time."""
        return self._home.answers.popularity(item_id) if self._home is not None else 0.0

    def translation(self, view: ItemPartitionView, home: ItemPartitionView) -> Translation | None:
        """Translates item numbers of a partition to those of `home`; None until `refresh` has compared the two."""
        translation = self._translations.get(view)
        return None if translation is None or translation.target is not home.answers.names else translation

    def published_lists(self, item_ids: Sequence[str]) -> list[PublishedList]:
        """The published lists of items of open partitions; empty for items that have none.

        Raises:
            PartitionNotLocal: a partition is not open.
        """
        lists = []
        for item_id in item_ids:
            view = self.view_of(item_id)
            names = view.answers.names
            if item_id in names:
                stored = view.published.get(names[item_id])
                lists.append(PublishedList.of(names.texts(stored.item.tolist()), stored))
            else:
                lists.append(PublishedList([], b""))
        return lists

    async def refresh(self) -> None:
        """Take a snapshot of the assortment if one is due, and choose a new home if the last one was closed.

        Call it several times a second.
        """
        self._views = self._ready()
        views = list(self._views.values())
        self._translations = {view: self._translations[view] for view in views if view in self._translations}
        if not views:
            self._home = None
            return
        home = self._home if self._home in views else views[0]
        assert home is not None  # noqa: S101 - for the type checker
        new = {
            view: Translation(view.answers.names, home.answers.names)
            for view in views
            if view is not home and self.translation(view, home) is None
        }
        if home is self._home and not new and not home.answers.live.due():
            return
        translations = {view: known for view in views if (known := self.translation(view, home)) is not None} | new

        def prepare() -> AssortmentSnapshot:
            snapshot = home.answers.live.take_snapshot()
            for translation in translations.values():
                translation.extend()
            return snapshot

        try:
            snapshot = await home.exclusively(prepare)
            self._translations.update(new)
            home.answers.live.show(snapshot)
            if home is not self._home:
                await home.exclusively(lambda: _warm_up(home))
                gc.freeze()  # ids and titles are permanent: a collection that scans them pauses answers for 50 ms
                self._home = home
        except PartitionNotLocal:
            return  # just closed: the next call chooses another home

    def _ready(self) -> dict[int, ItemPartitionView]:
        """All partitions that can answer."""
        views = {}
        for partition in sorted(self._membership.serving):
            try:
                views[partition] = self.view(partition)
            except PartitionNotLocal:
                continue
        return views

    def _open(self, partition: int) -> ItemPartition | None:
        return None if self._tally is None else self._tally.partitions.get(partition)

    def _new_view(self, partition: int, part: ItemPartition) -> ItemPartitionView:
        async def exclusive(work: Callable[[], T]) -> T:
            async with part.lock:
                if self._open(partition) is not part:
                    raise PartitionNotLocal(f"{StagePartition('tally', partition)} was just closed")
                return await asyncio.to_thread(work)

        stores = [(part.counts, part.related)]
        return ItemPartitionView(
            stores, self._catalogue, self._worker, self._scoring, exclusive=exclusive, room=self._room
        )


def _warm_up(view: ItemPartitionView) -> None:
    """Answer a first question, so that no request waits for compilation."""
    assortment = view.answers.live.assortment()
    request = RecommendationRequest(basket=tuple(assortment.ids[: min(assortment.bought, 1)]))
    visitor = view.answers.visitor(request, NOTHING_HELD)
    lists = PublishedLists(lambda _: None, 2).of_seeds(visitor.seeds.item.tolist())
    view.answers.recommended(visitor, lists, request)
    ItemSearch(["a"], [None], np.zeros(1, np.int64)).find("a", 1)
