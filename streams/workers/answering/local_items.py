"""The items whose partitions are open here: facts, published lists, and what can be recommended."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

import numpy as np

from producers.partitioning import item_partition
from state.names import Translation
from streams.endpoint.answers import LONGEST_LIST, Wishes
from streams.endpoint.changes import Change
from streams.endpoint.item_answers import ItemAnswers
from streams.endpoint.published import LISTS_IN_MEMORY, FreshLists, PublishedLists
from streams.recommendations.recommend import MOST_SEEDS, NOTHING_HELD, Held
from streams.workers.cluster.owners import StagePartition
from streams.workers.cluster.peers import PublishedList
from streams.workers.cluster.routing import PartitionNotLocal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answers import RelatedListAnswer
    from streams.endpoint.changes import Changes
    from streams.engine.scores import Scoring
    from streams.workers.cluster.peers import HeldIds
    from streams.workers.kafka.stage_service import Membership
    from streams.workers.tally import ItemPartition, Tally


class ItemPartitionView:
    """An open item partition, as questions see it.

    Attributes:
        part: the partition.
        answers: what it says of items.
        published: its lists, as readers were told.
        fresh: its lists, as of the counts; only for who holds the part's turn.
        translation: its numbers in those of the partition from which recommendations are made, once they were compared.
    """

    def __init__(self, part: ItemPartition, catalogue: Catalogue, worker: str, scoring: Scoring, room: int) -> None:
        self.part = part
        self.answers = ItemAnswers(part.counts, catalogue, worker, scoring.score, refreshed=True)
        self.published = PublishedLists(part.related.get, room)
        self.fresh = FreshLists([part.counts], scoring)
        self.translation: Translation | None = None

    def translation_to(self, home: ItemPartitionView) -> Translation:
        """A translation to another's numbers: the one there is, or a new one that knows nothing yet."""
        if self.translation is None or self.translation.target is not home.answers.names:
            return Translation(self.answers.names, home.answers.names)
        return self.translation

    def held(self, held: HeldIds) -> Held:
        """What a customer holds, in this partition's numbers; what it does not know yet is left out."""
        get = self.answers.names.get
        item = np.array([get(item_id, -1) for item_id in held.item_ids], np.int64)
        known = item >= 0
        columns = [np.array(column, np.int64)[known] for column in (held.last, held.seq, held.purchases)]
        return Held(item[known], *columns)

    def listed(self, item_id: str, number: int, limit: int) -> RelatedListAnswer:
        """The document of a list as it was published."""
        entries = self.answers.entries.kept(number, limit) or self.answers.entries.make(
            number, self.published.get(number), limit
        )
        return self.answers.listed(item_id, entries, exact=self.part.is_exact())

    def was_published(self, number: int) -> bool:
        """Whether a list is in memory, or now is."""
        if number in self.published:
            return True
        stored = self.part.related.get(number)
        if stored is not None:
            self.published.put(number, stored)
        return stored is not None


class LocalItems:
    """Item partitions that are open here.

    Args:
        tally: stage B; None if it runs elsewhere.
        membership: which of its partitions are ours.
        partitions: how many item partitions there are.
        catalogue: what the shop says of its items.
        worker: this worker's name.
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
        self._home: ItemPartitionView | None = None
        self._room = max(LISTS_IN_MEMORY // partitions, 2 * MOST_SEEDS)

    def place(self, item_id: str) -> StagePartition:
        """Where an item's counts and list are."""
        return StagePartition("tally", item_partition(item_id, self.partitions))

    def missing(self) -> list[str]:
        """Partitions that are ours but cannot be asked yet."""
        views = self._open()
        return [str(StagePartition("tally", number)) for number in sorted(self._membership.assigned - views.keys())]

    def view(self, partition: int) -> ItemPartitionView:
        """A partition.

        Raises:
            PartitionNotLocal: it is not open here, or has not caught up with what its owners before told others.
        """
        part = self._part(partition)
        if part is None or partition not in self._membership.serving or not part.caught_up:
            raise PartitionNotLocal(f"{StagePartition('tally', partition)} is not open")
        view = self._views.get(partition)
        if view is None or view.part is not part:
            view = self._views[partition] = ItemPartitionView(
                part, self._catalogue, self._worker, self._scoring, self._room
            )
        return view

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> RelatedListAnswer:
        """An item's list as published; as of now if that is wanted, or if none was published yet.

        Raises:
            PartitionNotLocal: its partition is not open.
            NotKnown: nobody knows the item.
        """
        place = self.place(item_id)
        view = self.view(place.partition)
        number = view.answers.known(item_id)
        if number is None:
            return view.answers.unlisted(item_id)
        if not fresh and view.was_published(number):
            return view.listed(item_id, number, limit)
        async with view.part.lock:
            if self._part(place.partition) is not view.part:
                raise PartitionNotLocal(f"{place} was just closed")
            stored = await asyncio.to_thread(view.fresh.list_of, number)
        return view.answers.computed(item_id, number, stored, limit)

    def _open(self) -> dict[int, ItemPartitionView]:
        """All partitions that can be asked."""
        found = {}
        for partition in sorted(self._membership.serving):
            try:
                found[partition] = self.view(partition)
            except PartitionNotLocal:
                continue
        return found

    def home(self) -> ItemPartitionView:
        """The partition whose numbers and popularity recommendations are made of.

        Raises:
            PartitionNotLocal: none is ready.
        """
        home = self._home
        if home is None or home.part is not self._part(home.part.counts.partition):
            raise PartitionNotLocal("no item partition is open")
        return home

    def _part(self, partition: int) -> ItemPartition | None:
        return None if self._tally is None else self._tally.partitions.get(partition)

    def popularity(self, item_id: str) -> float:
        """Popularity of an item; 0 while none is ready that knows."""
        return self._home.answers.popularity(item_id) if self._home is not None else 0.0

    async def refresh(self) -> None:
        """Take a snapshot of the assortment if it is due; to be called several times a second."""
        views = self._open()
        self._views = views
        if not views:
            self._home = None
            return
        home = self._home
        if home is None or home not in views.values():
            home = next(iter(views.values()))
        live = home.answers.live
        translations = [(view, view.translation_to(home)) for view in views.values() if view is not home]
        known = all(view.translation is translation for view, translation in translations)
        if home is self._home and known and not live.due():
            return
        async with home.part.lock:
            if self._part(home.part.counts.partition) is not home.part:
                return  # it was just closed
            snapshot = await asyncio.to_thread(live.take_snapshot)
            for view, translation in translations:
                await asyncio.to_thread(translation.extend)
                view.translation = translation
            live.show(snapshot)
            if home is not self._home:
                await asyncio.to_thread(_rehearse, home)
                gc.freeze()  # ids and titles stay: looking through them again and again would stop answers for 50 ms
                self._home = home

    async def count_recent(self, home: ItemPartitionView, days: int) -> None:
        """Count the purchases of the last days, for bestsellers."""
        async with home.part.lock:
            await asyncio.to_thread(home.answers.live.count_recent, days)

    def told(self, partition: int, numbers: Iterable[int], changes: Changes) -> None:
        """Take note of items of whose lists readers were just told, and tell those who watch."""
        view = self._views.get(partition)
        if view is None or view.part is not self._part(partition):
            return
        names = view.answers.names
        watched = {names[item_id]: item_id for item_id in changes.watched if item_id in names}
        for number in numbers:
            view.published.discard(number)
            view.answers.entries.forget(number)
            if number in watched:
                listed = view.listed(watched[number], number, LONGEST_LIST)
                changes.tell(Change("related", watched[number], listed.document))

    def lists(self, item_ids: Sequence[str]) -> list[PublishedList]:
        """Published lists of items whose partitions are open here; empty for those that have none.

        Raises:
            PartitionNotLocal: one is not.
        """
        found = []
        for item_id in item_ids:
            view = self.view(self.place(item_id).partition)
            names = view.answers.names
            if item_id in names:
                stored = view.published.get(names[item_id])
                found.append(PublishedList.of(names.texts(stored.item.tolist()), stored))
            else:
                found.append(PublishedList([], b""))
        return found


def _rehearse(view: ItemPartitionView) -> None:
    """Answer a first question, so that nobody waits until loops are compiled."""
    stock = view.answers.live.assortment()
    visitor = view.answers.visitor(None, NOTHING_HELD, tuple(stock.ids[: min(stock.bought, 1)]))
    room = PublishedLists(view.part.related.get, 2)
    view.answers.recommended(visitor, room.of_seeds(visitor.seeds.item.tolist()), Wishes())
