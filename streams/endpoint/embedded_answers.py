"""Answers from an embedded state: one process that has every partition open."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import xxhash

from state.popularity_table import DAYS
from streams.documents import as_of
from streams.endpoint.answer_documents import (
    bestseller_entries,
    day_text,
    history_entries,
    item_facts,
    recommendation_entries,
    related_entries,
    titled,
)
from streams.endpoint.answers import LONGEST_LIST, READS_ONLY, Listed, NotKnown, NotWritable, PartitionStatus, Status
from streams.endpoint.changes import Change, Changes
from streams.endpoint.published import FreshLists, PublishedLists
from streams.endpoint.shelf import Shelf
from streams.lists import Scoring
from streams.quality import united
from streams.recommendations.bestsellers import bestsellers, recent_purchases
from streams.recommendations.catalogue import Catalogue
from streams.recommendations.recommend import NOTHING_HELD, Held, choose_seeds, recommend
from streams.recommendations.search import LiveSearch
from streams.stages import item_partition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from state.count_store import CountStore
    from state.related_store import StoredList
    from streams.embedded import Embedded
    from streams.endpoint.answers import Wishes

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
        self._produce = produce
        self._published = PublishedLists(self._read_list)
        self._fresh = FreshLists(embedded.counts, SCORING)
        self._shelf = Shelf(embedded.counts[0], self._catalogue)
        self._told: dict[str, str] = {}
        self._recent: tuple[int, dict[int, Any]] = (-1, {})
        self._search = LiveSearch(self._shelf.stock, self._catalogue)
        self._sizes: tuple[float, list[int]] = (-_SIZES_HOLD_S, [])

    async def item(self, item_id: str) -> dict[str, Any]:
        """An item: what the catalogue says, who bought it, and its purchases of the last sixty days."""
        number = self._known(item_id)
        table = self._embedded.counts[0].popularity
        days = range(max(table.newest_day - DAYS + 1, 0), table.newest_day + 1)
        stock = self._shelf.stock()
        return {
            **item_facts(item_id, self._catalogue),
            **self._volume(number),
            "popularity": 0.0 if number is None or number >= stock.bought else float(stock.popularity[number]),
            "daily_purchases": [
                {"day": day_text(day), "purchases": 0 if number is None else int(table.days[day % DAYS, number])}
                for day in days
            ],
            **self._stamp(),
        }

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> Listed:
        """An item's related list as published, or computed now."""
        number = self._known(item_id)
        if number is None:
            return self._listed(item_id, None, limit, exact=True)
        if fresh:
            return self._listed(item_id, self._fresh.list_of(number), limit, exact=True)
        stored = self._published.get(number)
        counts = self._counts_of(item_id)
        return self._listed(item_id, stored, limit, exact=self._swept(counts))

    async def customer(self, customer_id: str, limit: int) -> dict[str, Any]:
        """A customer and the items bought last."""
        histories = self._embedded.histories
        if customer_id not in histories.customers:
            raise NotKnown(
                f"no order of customer {customer_id!r} was counted, or the customer was erased; "
                "ids are compared exactly, capitals included"
            )
        entries = history_entries(histories, histories.customers[customer_id], self._catalogue, limit)
        return {"customer_id": customer_id, **entries, **self._stamp()}

    async def recommendations(self, customer_id: str | None, wishes: Wishes) -> dict[str, Any]:
        """Recommendations for a customer, known or not, or for a basket alone."""
        stock = self._shelf.stock()
        held = self._held(customer_id)
        basket = {item_id: self._names[item_id] for item_id in wishes.basket if item_id in self._names}
        seeds = choose_seeds(held, list(basket.values()))
        lists = self._published.of_seeds(seeds.item.tolist())
        admitted = self._shelf.admitted(wishes.category)
        excluded = [self._shelf.number(item_id) for item_id in wishes.exclude]
        admitted[[number for number in excluded if number is not None]] = False
        if not (wishes.keep_held or wishes.blend.repeats > 0):
            mine = np.concatenate([held.item, np.fromiter(basket.values(), np.int64, len(basket))])
            admitted[mine[mine < stock.bought]] = False
        chosen = recommend(held, seeds, lists, stock, admitted, wishes.limit, wishes.blend, wishes.reasons)
        document: dict[str, Any] = {} if customer_id is None else {"customer_id": customer_id}
        document["known"] = len(seeds.item) > 0
        unknown = [item_id for item_id in wishes.basket if item_id not in basket]
        if unknown:
            document["ignored"] = unknown
        document["recommendations"] = recommendation_entries(chosen, stock, self._catalogue)
        return {**document, **self._stamp()}

    async def bestsellers(self, days: int, category: str | None, limit: int) -> dict[str, Any]:
        """What was bought most in the last days."""
        stock = self._shelf.stock()
        commit = self._embedded.counts[0].journal.commit
        if self._recent[0] != commit:
            self._recent = (commit, {})
        if days not in self._recent[1]:
            table = self._embedded.counts[0].popularity
            self._recent[1][days] = recent_purchases(table, stock.bought, days)
        best = bestsellers(self._recent[1][days], stock, self._shelf.admitted(category), limit)
        entries = bestseller_entries(best, stock, self._catalogue)
        return {"days": days, "category": category, "bestsellers": entries, **self._stamp()}

    async def search(self, text: str, limit: int) -> dict[str, Any]:
        """Items whose id or title has every word of `text` in it, and the customer of that id."""
        items = [
            {**item_facts(item_id, self._catalogue), "purchases": purchases}
            for item_id, purchases in await self._search.find(text, limit)
        ]
        customers = [text.strip()] if text.strip() in self._embedded.histories.customers else []
        return {"items": items, "customers": customers, **self._stamp()}

    async def partitions(self) -> dict[str, Any]:
        """How every partition stands."""
        partitions = [partition._asdict() for partition in self.status().partitions]
        return {"partitions": partitions, **self._stamp()}

    async def erase(self, customer_id: str) -> dict[str, Any]:
        """Put an erasure into the log."""
        if self._produce is None:
            raise NotWritable(READS_ONLY)
        if customer_id not in self._embedded.histories.customers:
            raise NotKnown(f"no order of customer {customer_id!r} was counted: there is nothing to erase")
        record = {"customer_id": customer_id, "type": "erase", "timestamp": time.time_ns() // 1_000_000}
        return {"customer_id": customer_id, **await self._produce(msgspec.json.encode(record)), "worker": self.worker}

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
        partitions = [PartitionStatus("purchases", 0, self.worker, embedded.position, 0, self._sizes[1][0], 0)]
        for number, counts in enumerate(embedded.counts):
            offset, size = sum(counts.offsets.values()), self._sizes[1][1 + number]
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
            tallies=united([embedded.histories.tallies]),
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
        if bought:
            items = [titled(item_id, self._catalogue) for item_id in bought]
            self.changes.tell(Change("orders", None, {"items": items, **self._stamp()}))
        watched = self.changes.watched
        for item_id in sorted(watched | set(bought)):
            if item_id not in self._names:
                continue
            number = self._names[item_id]
            self._published.put(number, self._fresh.list_of(number))
            if item_id in watched:
                listed = self._listed(item_id, self._published.get(number), LONGEST_LIST, exact=True)
                if self._told.get(item_id) != listed.version:
                    self._told[item_id] = listed.version
                    self.changes.tell(Change("related", item_id, listed.document))

    def _known(self, item_id: str) -> int | None:
        """An item's number; None if only the catalogue knows it."""
        if item_id in self._names and self._embedded.counts[0].bought(self._names[item_id]):
            return self._names[item_id]
        if item_id in self._catalogue.items:
            return None
        raise NotKnown(
            f"no item {item_id[:200]!r} was ever bought; ids are compared exactly, capitals included: "
            "/search?q=TEXT finds items by id or title"
        )

    def _held(self, customer_id: str | None) -> Held:
        histories = self._embedded.histories
        if customer_id is None or customer_id not in histories.customers:
            return NOTHING_HELD
        items, entries = histories.table.history.row(histories.customers[customer_id])
        return Held(
            items.astype(np.int64),
            entries["last"].astype(np.int64),
            entries["seq"].astype(np.int64),
            entries["purchases"].astype(np.int64),
        )

    def _number(self, item_id: str) -> int | None:
        return self._names[item_id] if item_id in self._names else None  # noqa: SIM401 - it has no get

    def _counts_of(self, item_id: str) -> CountStore:
        return self._embedded.counts[item_partition(item_id, len(self._embedded.counts))]

    def _swept(self, counts: CountStore) -> bool:
        """Whether every published list of a partition is that of the counts."""
        return self._embedded.related[counts.partition].current == counts.position

    def _read_list(self, number: int) -> StoredList | None:
        """A list as it was published; computed where none was, as after a run that was cut short."""
        partition = self._counts_of(self._names.text(number)).partition
        stored = self._embedded.related[partition].get(number)
        return self._fresh.list_of(number) if stored is None else stored

    def _listed(self, item_id: str, stored: StoredList | None, limit: int, *, exact: bool) -> Listed:
        entries = [] if stored is None else related_entries(stored, self._names, self._catalogue, limit)
        document = {
            **titled(item_id, self._catalogue),
            **self._volume(self._number(item_id)),
            "score": SCORING.score,
            "exact": exact,
            "related": entries,
            **self._stamp(),
        }
        return Listed(document, xxhash.xxh3_64_hexdigest(msgspec.json.encode([item_id, entries])))

    def _volume(self, number: int | None) -> dict[str, int]:
        """How many customers hold an item, and how often it was bought."""
        table = self._embedded.counts[0].popularity
        return {
            name: 0 if number is None else sum(int(column[number]) for column in columns.values())
            for name, columns in (("buyers", table.holders), ("purchases", table.purchases))
        }

    def _stamp(self) -> dict[str, Any]:
        """Of which log prefix an answer is, and whose answer it is."""
        return {"as_of": as_of(self._embedded.counts[0]), "worker": self.worker}
