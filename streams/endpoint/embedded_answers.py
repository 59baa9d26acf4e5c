"""Answers from an embedded state: one process in which every partition is local."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from streams.catalogue.catalogue import Catalogue
from streams.endpoint.answers import PartitionStatus, Status
from streams.endpoint.customers import held_items
from streams.endpoint.item_partitions import ItemPartitionView
from streams.endpoint.local_answers import LocalAnswers
from streams.endpoint.results import RECOMMENDED
from streams.engine.scores import Scoring
from streams.quality.rates import united
from streams.recommendations.recommend import NOTHING_HELD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from state.history_store import HistoryStore
    from streams.endpoint.answer_documents import Document, Result
    from streams.endpoint.local_answers import Append
    from streams.engine.embedded import Embedded
    from streams.recommendations.request import RecommendationRequest, RecommendationsRequest

_SIZES_VALID_S = 10.0


class EmbeddedAnswers(LocalAnswers):
    """The `Answers` of an `Embedded` state.

    Args:
        embedded: the state. After each count and publish, call `counted` on the event loop.
        catalogue: titles, categories and availability; it may change at any time.
        worker: name of this process.
        append: appends an order or an erasure to the log; None makes this process read-only.
    """

    def __init__(
        self,
        embedded: Embedded,
        catalogue: Catalogue | None = None,
        worker: str = "embedded",
        append: Append | None = None,
    ) -> None:
        catalogue = Catalogue() if catalogue is None else catalogue
        stores = list(zip(embedded.counts, embedded.related, strict=True))
        self._view = ItemPartitionView(stores, catalogue, worker, Scoring())
        self._histories = embedded.histories
        partitions = _EveryPartition(self._view, embedded.histories)
        status = _EmbeddedStatus(embedded, worker).now
        super().__init__(worker, catalogue, partitions, partitions, status, append)

    async def recommendations(self, request: RecommendationRequest) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone."""
        held = NOTHING_HELD
        if request.customer_id is not None:
            held = held_items(self._histories, request.customer_id)
        (document,) = await self.recommend(self._view, [(held, request)])  # one state has one numbering of items
        return document

    async def recommendations_of(self, request: RecommendationsRequest) -> list[Result]:
        """Recommendations for several customers, in their order."""
        customers = request.customers
        visits = [(held_items(self._histories, one), request.of_customer(one)) for one in customers]
        documents = await self.recommend(self._view, visits)
        return [RECOMMENDED.answered(one, document) for one, document in zip(customers, documents, strict=True)]

    def counted(self, bought: Iterable[str] = ()) -> None:
        """Serve what was just counted and published, and notify watchers.

        Args:
            bought: ids of the items just bought.
        """
        names = self._view.answers.names
        self._view.forget()
        self.orders_counted(bought)
        self.lists_published(self._view, [names[item_id] for item_id in self.changes.watched if item_id in names])


class _EveryPartition:
    """The partitions of a state, all of which are open."""

    def __init__(self, view: ItemPartitionView, histories: HistoryStore) -> None:
        self._view = view
        self._histories = histories

    def view_of(self, _item_id: str) -> ItemPartitionView:
        """The view of all partitions."""
        return self._view

    def home(self) -> ItemPartitionView:
        """The view of all partitions."""
        return self._view

    def popularity(self, item_id: str) -> float:
        """Popularity of an item."""
        return self._view.answers.popularity(item_id)

    @asynccontextmanager
    async def histories(self, _customer_id: str) -> AsyncIterator[HistoryStore]:
        """The one store of histories."""
        yield self._histories


class _EmbeddedStatus:
    """The status of an embedded state; sizes on disk are looked up every few seconds."""

    def __init__(self, embedded: Embedded, worker: str) -> None:
        self._embedded = embedded
        self._worker = worker
        self._measured_at = -_SIZES_VALID_S
        self._sizes: list[int] = []

    def now(self) -> Status:
        """The current status."""
        embedded = self._embedded
        histories_bytes, *items_bytes = self._size_bytes()
        partitions = [PartitionStatus("purchases", 0, self._worker, embedded.purchases_offset, 0, histories_bytes, 0)]
        for number, (counts, size) in enumerate(zip(embedded.counts, items_bytes, strict=True)):
            partitions.append(PartitionStatus("items", number, self._worker, counts.purchases_offset_sum, 0, size, 0))
        first = embedded.counts[0]
        return Status(
            lines=first.lines,
            duplicates=first.duplicates,
            rejected=first.rejected,
            commits=embedded.histories.journal.commit,
            customers=first.holding,
            items=len(first.names),
            lists=len(first.names),
            partitions=partitions,
            newest_ms=first.newest,
            hit_counts=united([embedded.histories.hit_counts]),
            memory=embedded.histories.memory.parts(),
        )

    def _size_bytes(self) -> list[int]:
        """Bytes on disk of the histories and of each item partition."""
        now = time.monotonic()
        if now - self._measured_at >= _SIZES_VALID_S:
            embedded = self._embedded
            stores = zip(embedded.counts, embedded.related, strict=True)
            sizes = [counts.size_bytes() + related.size_bytes() for counts, related in stores]
            self._measured_at, self._sizes = now, [embedded.histories.size_bytes(), *sizes]
        return self._sizes
