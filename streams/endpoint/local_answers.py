"""Answers from the partitions that are open in this process."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from producers.orders import EARLIEST_MS, ERASE
from producers.wire import encode_order
from streams.endpoint.answer_documents import titled
from streams.endpoint.answers import READS_ONLY, NotKnown, NotReady, NotWritable, PartitionNotLocal
from streams.endpoint.changes import Change, Changes
from streams.endpoint.customers import customer_entries
from streams.endpoint.item_answers import NotCounted
from streams.endpoint.results import LISTED, PAUSE_EVERY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answer_documents import Document, Result
    from streams.endpoint.answers import AnswerError, RelatedListAnswer, Status
    from streams.endpoint.customers import OpenHistories
    from streams.endpoint.item_partitions import ItemPartitionView, OpenItems
    from streams.endpoint.requests import (
        BestsellersRequest,
        CatalogueRequest,
        RelatedListsRequest,
        RelatedRequest,
    )
    from streams.recommendations.merge import SeedLists
    from streams.recommendations.recommend import Held
    from streams.recommendations.request import RecommendationRequest

    Append = Callable[[str, bytes], Awaitable[dict[str, Any]]]
    """(customer id, record) appends the record to the log and returns its partition and offset."""

COLLECTED_S = 0.25
"""For how long items that were bought are collected before watchers are told, at least."""
COLLECTED_S_A_WATCHER = 0.005
"""For how long more watchers have them collected. Each write to a socket lets another thread have the interpreter, for
half a millisecond if one counts or searches, and nobody is answered until all are written to."""
MOST_COLLECTED = 20
"""Items of which watchers are told at a time, the last ones."""
_UNSTAMPED = {"timestamp": None, "lines": 0}


class LocalAnswers:
    """What `Answers` of any process have in common: they answer from the partitions that are open in it.

    A method raises PartitionNotLocal if it needs a partition that is not open in this process. A subclass may override
    `knows` and `read_lists` to ask other workers instead. It adds `recommendations` and `recommendations_of`, which
    pass what customers hold to `recommend`: whether histories number items as `home` does depends on the process.

    Args:
        worker: name of this process.
        catalogue: titles, categories and availability; it may change at any time.
        items: the open item partitions.
        customers: the open purchases partitions.
        status: returns the status of this process.
        append: appends to the log; None makes this process read-only.

    Attributes:
        worker: name of this process; every answer contains it.
        writable: whether orders and erasures can be appended to the log here.
        standing: as `Answers` says.
        changes: delivers live changes to watchers.
    """

    def __init__(
        self,
        worker: str,
        catalogue: Catalogue,
        items: OpenItems,
        customers: OpenHistories,
        status: Callable[[], Status],
        append: Append | None = None,
    ) -> None:
        self.worker = worker
        self.writable = append is not None
        self.standing = "live"
        self.changes = Changes()
        self._catalogue = catalogue
        self._open_items = items
        self._open_histories = customers
        self._status = status
        self._append = append
        self._bought: deque[str] = deque(maxlen=MOST_COLLECTED)

    async def item(self, item_id: str) -> Document:
        """An item: its catalogue entry, buyers, popularity, and purchases of the last sixty days."""
        popularity = self._open_items.popularity(item_id)
        return self._open_items.view_of(item_id).answers.item(item_id, popularity)

    async def related(self, item_id: str, request: RelatedRequest) -> RelatedListAnswer:
        """An item's related list as published, or computed now."""
        return await self._open_items.view_of(item_id).related(item_id, request)

    async def related_lists(self, request: RelatedListsRequest) -> list[Result]:
        """The related lists of several items, in their order."""
        found = await self.lists_here(request, request.items)
        return [found[item_id] for item_id in request.items]

    async def lists_here(
        self, request: RelatedRequest, item_ids: Iterable[str], elsewhere: tuple[type[AnswerError], ...] = ()
    ) -> dict[str, Result]:
        """The related lists of items by id, but for those whose lists raise an error of `elsewhere`."""

        async def ask(item_id: str) -> Document:
            return (await self._open_items.view_of(item_id).related(item_id, request)).document

        return await LISTED.each(item_ids, ask, elsewhere)

    async def pair(self, item_id: str, other_id: str) -> Document:
        """How an item and another came to be related, epoch by epoch."""
        return await self._open_items.view_of(item_id).pair(item_id, other_id)

    async def customer(self, customer_id: str, limit: int) -> Document:
        """A customer and the items bought last."""
        async with self._open_histories.histories(customer_id) as store:
            entries = customer_entries(store, customer_id, self._catalogue, limit)
        return {**entries, **self.stamp()}

    async def recommend(
        self, home: ItemPartitionView, visits: Sequence[tuple[Held, RecommendationRequest]]
    ) -> list[Document]:
        """Recommendations for visitors who hold these items, by their numbers in `home`; lists are read together."""
        visitors = [home.answers.visitor(request, held) for held, request in visits]
        seeds, places = np.unique(np.concatenate([one.seeds.item for one in visitors]), return_inverse=True)
        lists = await self.read_lists(home, seeds.tolist())
        documents: list[Document] = []
        begin = 0
        for visitor, (_, request) in zip(visitors, visits, strict=True):
            own = places[begin : begin + len(visitor.seeds.item)]
            begin += len(own)
            document = home.answers.recommended(visitor, lists.taken(own), request)
            documents.append(msgspec.Raw(msgspec.json.encode(document)))
            if len(documents) % PAUSE_EVERY == 0:
                await asyncio.sleep(0)
        return documents

    async def bestsellers(self, request: BestsellersRequest) -> Document:
        """What was bought most in the last days."""
        home = self._open_items.home()
        while True:
            try:
                return home.answers.bestsellers(request)
            except NotCounted as missing:
                await home.count_recent(missing.days)

    async def catalogue(self, request: CatalogueRequest) -> Document:
        """The items that are asked for, the most bought first."""
        return self._open_items.home().answers.catalogue(request)

    async def categories(self, limit: int) -> Document:
        """The categories of the catalogue that have most items."""
        having = self._catalogue.having.get("category", {})
        most = heapq.nsmallest(limit, ((-len(ids), category) for category, ids in having.items()))
        entries = [{"category": category, "item_count": -fewer} for fewer, category in most]
        return {"categories": entries, "matching": len(having), **self.stamp()}

    async def search(self, text: str, limit: int) -> Document:
        """Items whose id or title contains every word of `text`, and the customer of that id."""
        found = await self._open_items.home().answers.search(text, limit)
        customer_id = text.strip()
        try:
            customers = [customer_id] if customer_id and await self.knows(customer_id) else []
        except NotReady:  # the items are an answer without the customer
            customers = []
        return {**found, "customers": customers, **self.stamp()}

    async def partitions(self) -> Document:
        """The status of every open partition."""
        return {"partitions": [row._asdict() for row in self.status().partitions], **self.stamp()}

    async def erase(self, customer_id: str) -> Document:
        """Append an erasure to the log."""
        if self._append is None:
            raise NotWritable(READS_ONLY)
        if not await self.may_know(customer_id):
            raise NotKnown(f"customer {customer_id[:200]!r} is not known: there is nothing to erase")
        # not our clock's time: ahead of the broker's by a day, it would make the erasure an order of the future
        record = encode_order(customer_id, max(self._newest_ms(), EARLIEST_MS), [], kind=ERASE)
        return {"customer_id": customer_id, **await self.order(customer_id, record)}

    async def order(self, customer_id: str, record: bytes) -> dict[str, Any]:
        """Append an order to the log."""
        if self._append is None:
            raise NotWritable(READS_ONLY)
        return {**await self._append(customer_id, record), "worker": self.worker}

    def refused(self, record: bytes, reason: str) -> None:
        """Nothing is kept here of an order that was refused: who sent it knows."""

    def _newest_ms(self) -> int:
        """Event time of the newest purchase that is known here; -1 if there is none."""
        try:
            return self._open_items.home().counts.newest
        except PartitionNotLocal:
            return -1

    def status(self) -> Status:
        """The status of this process."""
        return self._status()

    def ready(self) -> str | None:
        """None: this process can always answer."""
        return None

    async def knows(self, customer_id: str) -> bool:
        """Whether the customer is known."""
        async with self._open_histories.histories(customer_id) as store:
            return customer_id in store.customers

    async def may_know(self, customer_id: str) -> bool:
        """Whether there may be something to erase of the customer."""
        return await self.knows(customer_id)

    async def read_lists(self, home: ItemPartitionView, seeds: Sequence[int]) -> SeedLists:
        """The lists of seeds; seeds and entries have the item numbers of `home`."""
        return home.published.of_seeds(seeds)

    def orders_counted(self, item_ids: Iterable[str]) -> None:
        """Notify watchers soon of items that were just bought, the last ones. Call it on the event loop."""
        if not len(self.changes):
            return
        collecting = bool(self._bought)
        self._bought.extend(item_ids)
        if self._bought and not collecting:
            collected_s = max(COLLECTED_S, COLLECTED_S_A_WATCHER * len(self.changes))
            asyncio.get_running_loop().call_later(collected_s, self._tell_bought)

    def _tell_bought(self) -> None:
        items = [titled(item_id, self._catalogue) for item_id in dict.fromkeys(self._bought)]
        self._bought.clear()
        self.changes.notify(Change("orders", None, {"items": items, **self.stamp()}))

    def lists_published(self, view: ItemPartitionView, numbers: Iterable[int]) -> None:
        """Serve the lists of these items as they were just published, and notify their watchers."""
        names = view.answers.names
        watched = {names[item_id]: item_id for item_id in self.changes.watched if item_id in names}
        numbers = list(numbers)
        view.forget(numbers)
        for number in numbers:
            if number in watched:
                answer = view.published_list(watched[number], number)
                self.changes.notify(Change("related", watched[number], answer.document))

    def stamp(self) -> dict[str, Any]:
        """The log prefix that an answer reflects, if known, and the worker that answers."""
        try:
            return self._open_items.home().answers.stamp()
        except PartitionNotLocal:
            return {"as_of": _UNSTAMPED, "worker": self.worker}
