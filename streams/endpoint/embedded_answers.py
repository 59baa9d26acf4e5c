"""Answers from an embedded state: one process that has every partition open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from producers.orders import ERASE
from producers.partitioning import item_partition
from producers.wire import encode_order
from streams.catalogue.catalogue import Catalogue
from streams.endpoint.answer_documents import history_entries, titled
from streams.endpoint.answers import LONGEST_LIST, READS_ONLY, NotKnown, NotWritable, PartitionStatus, Status
from streams.endpoint.changes import Change, Changes
from streams.endpoint.customer_answers import held_items, not_known
from streams.endpoint.item_answers import ItemAnswers
from streams.endpoint.published import FreshLists, PublishedLists
from streams.engine.scores import Scoring
from streams.quality.rates import united
from streams.recommendations.recommend import NOTHING_HELD

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from state.count_store import CountStore
    from state.related_store import StoredList
    from streams.endpoint.answers import RelatedListAnswer, Wishes
    from streams.engine.embedded import Embedded
    from streams.recommendations.recommend import Held

SCORING = Scoring()
_SIZES_HOLD_S = 10.0


class EmbeddedAnswers:
    """Answers from an `Embedded` state.

    There is one purchases partition, so items have the same number in the histories and in every count store.

    Args:
        embedded: the state; whoever counts into it calls `counted` afterwards, on the event loop.
        catalogue: what the shop says of its items; it may change at any time.
        worker: this process's name.
        produce: puts an order or an erasure into the log and says where it stands there; None: this process only reads.

    Attributes:
        worker: this process's name, which is in every answer.
        writable: whether orders and erasures can be put into a log.
        changes: what changes, for those who watch.
    """

    def __init__(
        self,
        embedded: Embedded,
        catalogue: Catalogue | None = None,
        worker: str = "embedded",
        produce: Callable[[bytes], Awaitable[dict[str, Any]]] | None = None,
    ) -> None:
        self.worker = worker
        self.writable = produce is not None
        self.changes = Changes()
        self._embedded = embedded
        self._names = embedded.counts[0].names
        self._catalogue = catalogue or Catalogue()
        self._items = ItemAnswers(embedded.counts[0], self._catalogue, worker, SCORING.score)
        self._produce = produce
        self._published = PublishedLists(self._read_list)
        self._fresh = FreshLists(embedded.counts, SCORING)
        self._told: dict[str, str] = {}
        self._sizes: tuple[float, list[int]] = (-_SIZES_HOLD_S, [])

    async def item(self, item_id: str) -> dict[str, Any]:
        """An item: what the catalogue says, who bought it, and its purchases of the last sixty days."""
        return self._items.item(item_id, self._items.popularity(item_id))

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> RelatedListAnswer:
        """An item's related list as published, or computed now."""
        number = self._items.known(item_id)
        if number is None:
            return self._items.unlisted(item_id)
        if fresh:
            return self._items.computed(item_id, number, self._fresh.list_of(number), limit)
        return self._listed(item_id, number, limit, exact=self._swept(self._counts_of(item_id)))

    async def customer(self, customer_id: str, limit: int) -> dict[str, Any]:
        """A customer and the items bought last."""
        histories = self._embedded.histories
        if customer_id not in histories.customers:
            raise not_known(customer_id)
        entries = history_entries(histories, histories.customers[customer_id], self._catalogue, limit)
        return {"customer_id": customer_id, **entries, **self._items.stamp()}

    async def recommendations(self, customer_id: str | None, wishes: Wishes) -> dict[str, Any]:
        """Recommendations for a customer, known or not, or for a basket alone."""
        visitor = self._items.visitor(customer_id, self._held(customer_id), wishes.basket)
        return self._items.recommended(visitor, self._published.of_seeds(visitor.seeds.item.tolist()), wishes)

    async def bestsellers(self, days: int, category: str | None, limit: int) -> dict[str, Any]:
        """What was bought most in the last days."""
        document = self._items.bestsellers(days, category, limit)
        assert document is not None  # noqa: S101 - nobody else counts here
        return document

    async def search(self, text: str, limit: int) -> dict[str, Any]:
        """Items whose id or title has every word of `text` in it, and the customer of that id."""
        items = await self._items.found(text, limit)
        customers = [text.strip()] if text.strip() in self._embedded.histories.customers else []
        return {"items": items, "customers": customers, **self._items.stamp()}

    async def partitions(self) -> dict[str, Any]:
        """How every partition stands."""
        partitions = [partition._asdict() for partition in self.status().partitions]
        return {"partitions": partitions, **self._items.stamp()}

    async def erase(self, customer_id: str) -> dict[str, Any]:
        """Put an erasure into the log."""
        if self._produce is None:
            raise NotWritable(READS_ONLY)
        if customer_id not in self._embedded.histories.customers:
            raise NotKnown(f"no order of customer {customer_id!r} was counted: there is nothing to erase")
        record = encode_order(customer_id, time.time_ns() // 1_000_000, [], kind=ERASE)
        return {"customer_id": customer_id, **await self._produce(record), "worker": self.worker}

    async def order(self, record: bytes) -> dict[str, Any]:
        """Put an order into the log."""
        if self._produce is None:
            raise NotWritable(READS_ONLY)
        return {**await self._produce(record), "worker": self.worker}

    def status(self) -> Status:
        """How this process stands."""
        embedded = self._embedded
        now = time.monotonic()
        if now - self._sizes[0] >= _SIZES_HOLD_S:
            stores = zip(embedded.counts, embedded.related, strict=True)
            sizes = [counts.size_bytes() + related.size_bytes() for counts, related in stores]
            self._sizes = (now, [embedded.histories.size_bytes(), *sizes])
        partitions = [PartitionStatus("purchases", 0, self.worker, embedded.purchases_offset, 0, self._sizes[1][0], 0)]
        for number, counts in enumerate(embedded.counts):
            offset, size = sum(counts.purchases_offsets.values()), self._sizes[1][1 + number]
            partitions.append(PartitionStatus("items", number, self.worker, offset, 0, size, 0))
        first = embedded.counts[0]
        return Status(
            lines=first.lines,
            duplicates=first.duplicates,
            rejected=first.rejected,
            commits=embedded.histories.journal.commit,
            customers=first.holding,
            items=len(self._names),
            lists=len(self._names),
            partitions=partitions,
            newest_ms=first.newest,
            hit_counts=united([embedded.histories.hit_counts]),
        )

    def ready(self) -> str | None:
        """None: an open state can be asked."""
        return None

    def counted(self, bought: Iterable[str] = ()) -> None:
        """Take note of a commit, and of what was published since: lists of what was bought or is watched are made anew.

        Args:
            bought: ids of the items just bought.
        """
        bought = list(bought)
        self._published.forget()
        self._items.entries.forget_all()
        if bought:
            items = [titled(item_id, self._catalogue) for item_id in bought]
            self.changes.tell(Change("orders", None, {"items": items, **self._items.stamp()}))
        watched = self.changes.watched
        for item_id in sorted(watched | set(bought)):
            if item_id not in self._names:
                continue
            number = self._names[item_id]
            self._published.put(number, self._fresh.list_of(number))
            if item_id in watched:
                listed = self._listed(item_id, number, LONGEST_LIST, exact=True)
                if self._told.get(item_id) != listed.version:
                    self._told[item_id] = listed.version
                    self.changes.tell(Change("related", item_id, listed.document))

    def _held(self, customer_id: str | None) -> Held:
        histories = self._embedded.histories
        if customer_id is None or customer_id not in histories.customers:
            return NOTHING_HELD
        return held_items(histories, histories.customers[customer_id])

    def _counts_of(self, item_id: str) -> CountStore:
        return self._embedded.counts[item_partition(item_id, len(self._embedded.counts))]

    def _swept(self, counts: CountStore) -> bool:
        """Whether every published list of a partition is that of the counts."""
        return self._embedded.related[counts.partition].exact_as_of == counts.purchases_offset_sum

    def _read_list(self, number: int) -> StoredList | None:
        """A list as it was published; computed where none was, as after a run that was cut short."""
        partition = self._counts_of(self._names.text(number)).partition
        stored = self._embedded.related[partition].get(number)
        return self._fresh.list_of(number) if stored is None else stored

    def _listed(self, item_id: str, number: int, limit: int, *, exact: bool) -> RelatedListAnswer:
        entries = self._items.entries.kept(number, limit) or self._items.entries.make(
            number, self._published.get(number), limit
        )
        return self._items.listed(item_id, entries, exact=exact)
