"""The answers of a worker: from its own partitions, and from the workers that own the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from state.compiling import compiling
from streams.endpoint.answers import NotKnown, NotReady, PartitionNotLocal, RelatedListAnswer, forwarded
from streams.endpoint.bodies import LARGEST_BODY_BYTES
from streams.endpoint.changes import Change
from streams.endpoint.client import path_of
from streams.endpoint.customers import HeldIds, held_items
from streams.endpoint.local_answers import LocalAnswers
from streams.endpoint.requests import API, query_of
from streams.endpoint.results import LISTED, RECOMMENDED
from streams.workers.answering.batches import BatchRouter
from streams.workers.answering.seed_lists import SeedListReader
from streams.workers.cluster.peers import (
    ANSWERING_S,
    COMPUTING_S,
    MSGPACK,
    RECOMMENDATIONS_PATH,
    PeerUnavailable,
    RecommendationsQuestion,
    Visit,
    decode_recommendations,
    encode,
)
from streams.workers.kafka.errors import AppendFailed, WorkerError
from streams.workers.kafka.purchases import is_erasure
from streams.workers.status import WorkerStatus, partition_rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answer_documents import Document, Result
    from streams.endpoint.item_partitions import ItemPartitionView
    from streams.endpoint.requests import (
        BestsellersRequest,
        CatalogueRequest,
        RelatedListsRequest,
        RelatedRequest,
    )
    from streams.recommendations.merge import SeedLists
    from streams.recommendations.request import RecommendationRequest, RecommendationsRequest
    from streams.workers.answering.local_customers import LocalCustomers
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.cluster.owners import PartitionOwners, StagePartition
    from streams.workers.cluster.peers import PeerClient
    from streams.workers.cluster.routing import Router
    from streams.workers.kafka.placement import PlacementReader
    from streams.workers.kafka.producers import PurchaseLog


class WorkerAnswers(LocalAnswers):
    """The `Answers` of a worker, which asks the owners of partitions that are not local.

    Args:
        worker: its advertised address, which is in every answer.
        catalogue: what the shop says about its items.
        customers, items: the partitions open in this worker.
        placing: finds out in which partition customers are.
        owners, peers, router: reach the partitions open elsewhere.
        log: appends orders and erasures.
        status: the status of this worker.
    """

    def __init__(
        self,
        worker: str,
        catalogue: Catalogue,
        customers: LocalCustomers,
        placing: PlacementReader,
        items: LocalItems,
        owners: PartitionOwners,
        peers: PeerClient,
        router: Router,
        log: PurchaseLog,
        status: WorkerStatus,
    ) -> None:
        super().__init__(worker, catalogue, items, customers, status.now, self._append_to_log)
        self._customers = customers
        self._placing = placing
        self._items = items
        self._owners = owners
        self._peers = peers
        self._router = router
        self._log = log
        self._worker_status = status
        self._lists = SeedListReader(items, router, owners, peers)
        self._batches = BatchRouter(worker, owners, peers)

    async def item(self, item_id: str) -> Document:
        """An item: what the catalogue says, who bought it, and its purchases of the last sixty days."""
        ask_owner = partial(self._get, path_of(API, "items", item_id))
        return await self._router.ask(self._items.partition_of(item_id), partial(super().item, item_id), ask_owner)

    async def related(self, item_id: str, request: RelatedRequest) -> RelatedListAnswer:
        """An item's related list as published, or computed now."""

        async def ask_owner(owner: str) -> RelatedListAnswer:
            path = path_of(API, "items", item_id, "related")
            timeout_s = COMPUTING_S if request.fresh or request.filtered or request.score else ANSWERING_S
            reply = await self._peers.get(owner, path, query_of(request), timeout_s=timeout_s)
            return RelatedListAnswer(reply.document, reply.version)

        answer_locally = partial(super().related, item_id, request)
        return await self._router.ask(self._items.partition_of(item_id), answer_locally, ask_owner)

    async def related_lists(self, request: RelatedListsRequest) -> list[Result]:
        """The related lists of several items, in their order; each worker is asked once."""
        here = partial(super().lists_here, request, elsewhere=(PartitionNotLocal,))
        return await self._batches.ask(
            LISTED,
            request.items,
            self._items.partition_of,
            here,
            path_of(API, "related"),
            lambda items: msgspec.json.encode(msgspec.structs.replace(request, items=tuple(items))),
        )

    async def pair(self, item_id: str, other_id: str) -> Document:
        """How an item and another came to be related, epoch by epoch."""
        ask_owner = partial(self._compute, path_of(API, "items", item_id, "related", other_id))
        answer_locally = partial(super().pair, item_id, other_id)
        return await self._router.ask(self._items.partition_of(item_id), answer_locally, ask_owner)

    async def customer(self, customer_id: str, limit: int) -> Document:
        """A customer and the items bought last."""
        ask_owner = partial(self._get, path_of(API, "customers", customer_id), query={"limit": limit})
        answer_locally = partial(super().customer, customer_id, limit)
        return await self._router.ask(await self._home_of(customer_id), answer_locally, ask_owner)

    async def recommendations(self, request: RecommendationRequest) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone; computed by the history's owner."""
        customer_id = request.customer_id
        if customer_id is None:
            (document,) = await self.recommend_by_ids([Visit(HeldIds(), request)])
            return document

        async def read_held() -> HeldIds | Document:
            async with self._customers.histories(customer_id) as store:
                return HeldIds.of(held_items(store, customer_id), store.items)

        async def ask_owner(owner: str) -> HeldIds | Document:
            return (
                await self._peers.post(owner, path_of(API, "recommendations"), msgspec.json.encode(request))
            ).document

        answer = await self._router.ask(await self._home_of(customer_id), read_held, ask_owner)
        if isinstance(answer, HeldIds):
            (document,) = await self.recommend_by_ids([Visit(answer, request)])
            return document
        return answer

    async def recommendations_of(self, request: RecommendationsRequest) -> list[Result]:
        """Recommendations for several customers, in their order; each worker is asked once."""
        await self._known(self._placing.refresh())

        async def recommend_here(customers: Sequence[str]) -> dict[str, Result]:
            visits = {}
            for customer_id in customers:
                try:
                    async with self._customers.histories(customer_id) as store:
                        held = HeldIds.of(held_items(store, customer_id), store.items)
                except PartitionNotLocal:
                    continue
                visits[customer_id] = Visit(held, request.of_customer(customer_id))
            if not visits:
                return {}
            try:
                documents = await self.recommend_by_ids(list(visits.values()))
            except NotReady as error:
                return {customer_id: RECOMMENDED.failed(customer_id, error) for customer_id in visits}
            answered = zip(visits, documents, strict=True)
            return {customer_id: RECOMMENDED.answered(customer_id, document) for customer_id, document in answered}

        return await self._batches.ask(
            RECOMMENDED,
            request.customers,
            self._customers.partition_of,
            recommend_here,
            path_of(API, "recommendations"),
            lambda customers: msgspec.json.encode(msgspec.structs.replace(request, customers=tuple(customers))),
        )

    async def recommend_by_ids(self, visits: Sequence[Visit]) -> list[Document]:
        """Recommendations for visitors; a worker without item partitions asks one with some."""

        async def recommend_locally() -> list[Document]:
            home = self._items.home()
            names = home.answers.names
            return await self.recommend(home, [(visit.held.numbered(names), visit.request) for visit in visits])

        async def ask_other(owner: str, visits: Sequence[Visit] = visits) -> list[Document]:
            question = encode(RecommendationsQuestion(list(visits)))
            if len(question) > LARGEST_BODY_BYTES and len(visits) > 1:  # long histories
                middle = len(visits) // 2
                return [*await ask_other(owner, visits[:middle]), *await ask_other(owner, visits[middle:])]
            reply = await self._peers.post(owner, RECOMMENDATIONS_PATH, question, MSGPACK, timeout_s=COMPUTING_S)
            try:
                documents = decode_recommendations(reply.body)
            except (ValueError, RecursionError) as error:
                raise PeerUnavailable(f"worker {owner} answers with something else: {error}") from None
            if len(documents) != len(visits):
                raise PeerUnavailable(f"worker {owner} answers {len(documents)} of {len(visits)} questions")
            return list(documents)

        return await self._router.ask_any("tally", recommend_locally, ask_other, own=True)

    async def bestsellers(self, request: BestsellersRequest) -> Document:
        """What was bought most in the last days."""
        ask_other = partial(self._get, path_of(API, "bestsellers"), query=query_of(request))
        return await self._router.ask_any("tally", partial(super().bestsellers, request), ask_other)

    async def catalogue(self, request: CatalogueRequest) -> Document:
        """The items that are asked for, the most bought first."""
        ask_other = partial(self._get, path_of(API, "catalogue"), query=query_of(request))
        return await self._router.ask_any("tally", partial(super().catalogue, request), ask_other)

    async def search(self, text: str, limit: int) -> Document:
        """Items whose id or title contains every word of `text`, and the customer of that id."""
        ask_other = partial(self._get, path_of(API, "search"), query={"q": text, "limit": limit})
        return await self._router.ask_any("tally", partial(super().search, text, limit), ask_other)

    async def partitions(self) -> Document:
        """The status of every partition; to another worker, only of those open in this one."""
        rows = [row._asdict() for row in self.status().partitions]
        if not forwarded.get():
            owners = await self._owners.of_all()
            for worker in sorted(set(owners.values()) - {self.worker}):
                try:
                    reply = await self._peers.get(worker, path_of(API, "partitions"))
                    rows += msgspec.json.decode(reply.body)["partitions"]
                except PeerUnavailable:
                    self._owners.forget()
            rows = partition_rows(rows, owners, self._customers.partitions, self._items.partitions)
        return {"partitions": rows, **self.stamp()}

    def ready(self) -> str | None:
        """None once every partition assigned to this worker can answer; else what is missing."""
        if not self._worker_status.joined:
            return f"starting, {compiling.words or 'no partition has been assigned to this worker yet'}"
        if topics := self._worker_status.missing_topics():
            return f"there is no topic {', '.join(topics)} any more"
        missing = [*self._customers.missing(), *self._items.missing()]
        return f"{', '.join(missing)}: not open yet" if missing else None

    async def knows(self, customer_id: str) -> bool:
        """Whether this customer is known."""

        async def ask_owner(owner: str) -> bool:
            try:
                await self._peers.get(owner, path_of(API, "customers", customer_id), {"limit": 1})
            except NotKnown:
                return False
            return True

        answer_locally = partial(super().knows, customer_id)
        return await self._router.ask(await self._home_of(customer_id), answer_locally, ask_owner, own=True)

    async def read_lists(self, home: ItemPartitionView, seeds: Sequence[int]) -> SeedLists:
        """The lists of seeds, from this worker and others."""
        return await self._lists.read(home, seeds)

    def on_published(self, partition: int, numbers: Iterable[int]) -> None:
        """Serve lists that this worker has just published. Call it on the event loop."""
        view = self._items.known_view(partition)
        if view is not None:
            self.lists_published(view, numbers)

    async def poll_watched(self, versions: dict[str, str]) -> None:
        """Ask the owners of watched lists that are not local, and notify watchers of those that changed.

        Args:
            versions: the last version delivered of each list, by item id; updated.
        """
        for item_id in self.changes.watched:
            partition = self._items.partition_of(item_id)
            try:
                self._items.view(partition.number)
            except PartitionNotLocal:
                owner = await self._owners.of(partition)
                if owner is None or owner == self.worker:
                    continue
                try:
                    path = path_of(API, "items", item_id, "related")
                    reply = await self._peers.get(owner, path, unless=versions.get(item_id))
                except (PeerUnavailable, NotKnown):
                    self._owners.forget()
                    continue
                if reply.version:
                    versions[item_id] = reply.version
                    self.changes.notify(Change("related", item_id, reply.document))
        for item_id in versions.keys() - self.changes.watched:
            del versions[item_id]

    async def _get(self, path: str, owner: str, query: Mapping[str, object] | None = None) -> Document:
        return (await self._peers.get(owner, path, query)).document

    async def _compute(self, path: str, owner: str) -> Document:
        return (await self._peers.get(owner, path, timeout_s=COMPUTING_S)).document

    async def _home_of(self, customer_id: str) -> StagePartition:
        """The partition with a customer's history."""
        await self._known(self._placing.refresh())
        return self._customers.partition_of(customer_id)

    async def _known(self, finding: Awaitable[None]) -> None:
        """Wait until it is found out where customers are: orders in another partition would be rejected."""
        try:
            await finding
        except WorkerError as error:
            raise NotReady(str(error)) from error

    async def may_know(self, customer_id: str) -> bool:
        """Whether this customer is known, or may be, in whatever partition."""
        await self._known(self._placing.wait_for_decision())
        return not self._customers.placement.checked or await self.knows(customer_id)

    async def _append_to_log(self, customer_id: str, record: bytes) -> dict[str, Any]:
        await self._known(self._placing.wait_for_decision())
        partition = self._customers.partition_of(customer_id).number
        others = []
        if not self._customers.placement.checked and is_erasure(record):
            others = [number for number in range(self._customers.partitions) if number != partition]
        try:
            for other in others:
                await self._log.append(customer_id, other, record)
            return await self._log.append(customer_id, partition, record)
        except AppendFailed as error:
            raise NotReady(str(error)) from error
