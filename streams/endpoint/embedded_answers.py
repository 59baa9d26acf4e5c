"""Answers from an embedded state: one process in which every partition is local."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.catalogue.catalogue import Catalogue
from streams.endpoint.answers import PartitionStatus, Status
from streams.endpoint.customers import held_items
from streams.endpoint.item_partitions import ItemPartitionView
from streams.endpoint.local_answers import MOST_COLLECTED, LocalAnswers
from streams.endpoint.results import RECOMMENDED
from streams.engine.scores import Scoring
from streams.quality.rates import united
from streams.recommendations.recommend import NOTHING_HELD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from state.history_store import HistoryStore
    from streams.endpoint.answer_documents import Document, Result
    from streams.endpoint.local_answers import Append
    from streams.engine.embedded import Embedded
    from streams.recommendations.request import RecommendationRequest, RecommendationsRequest

_SIZES_VALID_S = 10.0


class EmbeddedAnswers(LocalAnswers):
    """The `Answers` of an `Embedded` state.

    Args:
        embedded: the state. After each count, call `counted` on the event loop.
        catalogue: titles, categories and availability; it may change at any time.
        worker: name of this process.
        append: appends an order or an erasure to the log; None makes this process read-only.
        refuse: keeps an order that cannot be counted, with the reason.
    """

    def __init__(
        self,
        embedded: Embedded,
        catalogue: Catalogue | None = None,
        worker: str = "embedded",
        append: Append | None = None,
        refuse: Callable[[bytes, str], None] = lambda *_: None,
    ) -> None:
        catalogue = Catalogue() if catalogue is None else catalogue
        self._shown = catalogue
        self._refuse = refuse
        self._partitions = _EveryPartition(embedded, _view(embedded, catalogue, worker))
        self._of_state = _EmbeddedStatus(embedded, worker)
        super().__init__(worker, catalogue, self._partitions, self._partitions, self._of_state.now, append)

    async def recommendations(self, request: RecommendationRequest) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone."""
        held = NOTHING_HELD
        if request.customer_id is not None:
            held = held_items(self._partitions.embedded.histories, request.customer_id)
        (document,) = await self.recommend(self._partitions.view, [(held, request)])  # one numbering of items
        return document

    async def recommendations_of(self, request: RecommendationsRequest) -> list[Result]:
        """Recommendations for several customers, in their order."""
        customers, histories = request.customers, self._partitions.embedded.histories
        visits = [(held_items(histories, one), request.of_customer(one)) for one in customers]
        documents = await self.recommend(self._partitions.view, visits)
        return [RECOMMENDED.answered(one, document) for one, document in zip(customers, documents, strict=True)]

    def some_items(self) -> tuple[str, ...]:
        """An id, if there is any."""
        return tuple(self._partitions.view.answers.names.every[:1])

    def refused(self, record: bytes, reason: str) -> None:
        """Keep an order that cannot be counted."""
        self._refuse(record, reason)

    def counted(self, bought: Iterable[str] = ()) -> None:
        """Serve what was just counted, and notify watchers.

        Args:
            bought: ids of the items just bought.
        """
        view = self._partitions.view
        names = view.answers.names
        view.forget()
        self.orders_counted(bought)
        self.lists_published(view, [names[item_id] for item_id in self.changes.watched if item_id in names])

    def prepared(self, embedded: Embedded) -> Prepared:
        """The same state, opened again, with what the first question would compute; may run in another thread."""
        view = _view(embedded, self._shown, self.worker)
        view.answers.live.show(view.answers.live.take_snapshot())
        before, now = (one.counts.popularity.totals()[1] for one in (self._partitions.view, view))
        more = now.copy()
        more[: len(before)] -= before[: len(more)]
        most = np.argsort(more, kind="stable")[-MOST_COLLECTED:]
        return Prepared(embedded, view, view.answers.names.texts(most[more[most] > 0].tolist()))

    def replace(self, prepared: Prepared) -> None:
        """Answer from the state as it was opened again, and close it as it was before; call it on the event loop.

        A question that waits meanwhile has read from the stores what it needs.
        """
        before = self._partitions.embedded
        self._partitions.embedded = self._of_state.embedded = prepared.embedded
        self._partitions.view = prepared.view
        changed = before.purchases_offset != prepared.embedded.purchases_offset
        before.close()
        if changed:
            self.counted(prepared.bought)

    def close(self) -> None:
        """Close the state."""
        self._partitions.embedded.close()


class Prepared(NamedTuple):
    """A state that was opened again, for `EmbeddedAnswers.replace`."""

    embedded: Embedded
    view: ItemPartitionView
    bought: list[str]
    """Ids of items bought since, the most often bought last."""


def _view(embedded: Embedded, catalogue: Catalogue, worker: str) -> ItemPartitionView:
    return ItemPartitionView(list(zip(embedded.counts, embedded.related, strict=True)), catalogue, worker, Scoring())


class _EveryPartition:
    """The partitions of a state, all of which are open."""

    def __init__(self, embedded: Embedded, view: ItemPartitionView) -> None:
        self.embedded = embedded
        self.view = view

    def view_of(self, _item_id: str) -> ItemPartitionView:
        """The view of all partitions."""
        return self.view

    def home(self) -> ItemPartitionView:
        """The view of all partitions."""
        return self.view

    def popularity(self, item_id: str) -> float:
        """Popularity of an item."""
        return self.view.answers.popularity(item_id)

    @asynccontextmanager
    async def histories(self, _customer_id: str) -> AsyncIterator[HistoryStore]:
        """The one store of histories."""
        yield self.embedded.histories


class _EmbeddedStatus:
    """The status of an embedded state; sizes on disk are looked up every few seconds."""

    def __init__(self, embedded: Embedded, worker: str) -> None:
        self.embedded = embedded
        self._worker = worker
        self._measured_at = -_SIZES_VALID_S
        self._sizes: list[int] = []

    def now(self) -> Status:
        """The current status."""
        embedded = self.embedded
        histories_bytes, *items_bytes = self._size_bytes()
        commits, offset = embedded.histories.journal.commit, embedded.purchases_offset
        partitions = [PartitionStatus("purchases", 0, self._worker, offset, 0, histories_bytes, 0, commits)]
        for number, (counts, size) in enumerate(zip(embedded.counts, items_bytes, strict=True)):
            commits, offset = counts.journal.commit, counts.purchases_offset_sum
            partitions.append(PartitionStatus("items", number, self._worker, offset, 0, size, 0, commits))
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
            embedded = self.embedded
            stores = zip(embedded.counts, embedded.related, strict=True)
            sizes = [counts.size_bytes() + related.size_bytes() for counts, related in stores]
            self._measured_at, self._sizes = now, [embedded.histories.size_bytes(), *sizes]
        return self._sizes
