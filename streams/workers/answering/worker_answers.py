"""Answers of a worker: its own partitions from memory, other partitions from the workers that own them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

from producers.orders import ERASE
from producers.wire import decode_orders, encode_order
from streams.endpoint.answer_documents import titled
from streams.endpoint.answers import NotKnown, NotReady, RelatedListAnswer, forwarded
from streams.endpoint.changes import Change, Changes
from streams.endpoint.client import path_of
from streams.endpoint.schemas import RecommendationRequest
from streams.workers.answering.seed_lists import SeedListReader
from streams.workers.cluster.peers import (
    ANSWERING_S,
    COMPUTING_S,
    MSGPACK,
    RECOMMENDATIONS_PATH,
    HeldIds,
    PeerUnavailable,
    RecommendationsQuestion,
    encode,
)
from streams.workers.cluster.routing import PartitionNotLocal
from streams.workers.kafka.errors import AppendFailed
from streams.workers.status import WorkerStatus, partition_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.answers import Document, Status, Wishes
    from streams.workers.answering.local_customers import LocalCustomers
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.cluster.owners import PartitionOwners
    from streams.workers.cluster.peers import PeerClient
    from streams.workers.cluster.routing import Router
    from streams.workers.kafka.producers import PurchaseLog

_UNSTAMPED = {"timestamp": None, "lines": 0}


class WorkerAnswers:
    """The `Answers` of a worker.

    Args:
        worker: its address, by which others reach it.
        catalogue: what the shop says of its items.
        customers, items: of the partitions open here.
        owners, peers, router: who has the others, and how they are asked.
        log: takes orders and erasures.
        status: how this worker stands.

    Attributes:
        worker: its name, which is in every answer.
        writable: orders and erasures can be put into the log here.
        changes: what changes, for those who watch.
    """

    def __init__(
        self,
        worker: str,
        catalogue: Catalogue,
        customers: LocalCustomers,
        items: LocalItems,
        owners: PartitionOwners,
        peers: PeerClient,
        router: Router,
        log: PurchaseLog,
        status: WorkerStatus,
    ) -> None:
        self.worker = worker
        self.writable = True
        self.changes = Changes()
        self._catalogue = catalogue
        self._customers = customers
        self._items = items
        self._owners = owners
        self._peers = peers
        self._router = router
        self._log = log
        self._status = status
        self._lists = SeedListReader(items, router, owners, peers)

    async def item(self, item_id: str) -> Document:
        """An item: what the catalogue says, who bought it, and its purchases of the last sixty days."""
        place = self._items.place(item_id)

        async def here() -> Document:
            return self._items.view(place.partition).answers.item(item_id, self._items.popularity(item_id))

        async def there(owner: str) -> Document:
            return (await self._peers.get(owner, path_of("items", item_id))).document

        return await self._router.ask(place, here, there)

    async def related(self, item_id: str, limit: int, *, fresh: bool) -> RelatedListAnswer:
        """An item's related list as published, or computed now."""
        place = self._items.place(item_id)

        async def here() -> RelatedListAnswer:
            return await self._items.related(item_id, limit, fresh=fresh)

        async def there(owner: str) -> RelatedListAnswer:
            query = {"limit": str(limit), "fresh": "true" if fresh else "false"}
            path = path_of("items", item_id, "related")
            reply = await self._peers.get(owner, path, query, timeout_s=COMPUTING_S if fresh else ANSWERING_S)
            return RelatedListAnswer(reply.document, reply.version)

        return await self._router.ask(place, here, there)

    async def customer(self, customer_id: str, limit: int) -> Document:
        """A customer and the items bought last."""

        async def here() -> Document:
            return {**await self._customers.document(customer_id, limit), **self._stamp()}

        async def there(owner: str) -> Document:
            return (await self._peers.get(owner, path_of("customers", customer_id), {"limit": str(limit)})).document

        return await self._router.ask(self._customers.place(customer_id), here, there)

    async def recommendations(self, customer_id: str | None, wishes: Wishes) -> Document:
        """Recommendations for a customer, known or not, or for a basket alone; who has the history makes them."""
        if customer_id is None:
            return await self.recommend(None, HeldIds(), wishes)

        async def here() -> HeldIds | Document:
            return await self._customers.held(customer_id)

        async def there(owner: str) -> HeldIds | Document:
            return (await self._peers.post(owner, "/recommendations", _request(customer_id, wishes))).document

        found = await self._router.ask(self._customers.place(customer_id), here, there)
        return await self.recommend(customer_id, found, wishes) if isinstance(found, HeldIds) else found

    async def recommend(self, customer_id: str | None, held: HeldIds, wishes: Wishes) -> Document:
        """Recommendations for someone whose history is known.

        A worker without items has another make them, which is a question of its own.
        """
        try:
            home = self._items.home()
        except PartitionNotLocal:
            question = encode(RecommendationsQuestion(customer_id, held, wishes))

            async def there(owner: str) -> Document:
                return (await self._peers.post(owner, RECOMMENDATIONS_PATH, question, MSGPACK)).document

            return await self._router.ask_any("tally", there, own=True)
        visitor = home.answers.visitor(customer_id, home.held(held), wishes.basket)
        lists = await self._lists.read(home, visitor.seeds.item.tolist())
        return home.answers.recommended(visitor, lists, wishes)

    async def bestsellers(self, days: int, category: str | None, limit: int) -> Document:
        """What was bought most in the last days."""
        try:
            home = self._items.home()
            while True:
                document = home.answers.bestsellers(days, category, limit)
                if document is not None:
                    return document
                await self._items.count_recent(home, days)
        except PartitionNotLocal:
            query = {"days": str(days), "limit": str(limit)} | ({} if category is None else {"category": category})

            async def there(owner: str) -> Document:
                return (await self._peers.get(owner, "/bestsellers", query)).document

            return await self._router.ask_any("tally", there)

    async def search(self, text: str, limit: int) -> Document:
        """Items whose id or title has every word of `text` in it, and the customer of that id."""
        try:
            home = self._items.home()
        except PartitionNotLocal:

            async def there(owner: str) -> Document:
                return (await self._peers.get(owner, "/search", {"q": text, "limit": str(limit)})).document

            return await self._router.ask_any("tally", there)
        items = await home.answers.found(text, limit)
        customer_id = text.strip()
        try:
            customers = [customer_id] if customer_id and await self._knows(customer_id) else []
        except NotReady:  # items can be found all the same
            customers = []
        return {"items": items, "customers": customers, **self._stamp()}

    async def partitions(self) -> Document:
        """How every partition stands; what is asked by another worker is told of those here."""
        rows = [row._asdict() for row in self.status().partitions]
        if not forwarded.get():
            owners = await self._owners.of_all()
            others = []
            for worker in sorted(set(owners.values()) - {self.worker}):
                try:
                    reply = await self._peers.get(worker, "/partitions")
                    others += msgspec.json.decode(reply.body)["partitions"]
                except PeerUnavailable:
                    self._owners.forget()
            rows = partition_rows([*rows, *others], owners, self._customers.partitions, self._items.partitions)
        return {"partitions": rows, **self._stamp()}

    async def erase(self, customer_id: str) -> Document:
        """Put an erasure into the log."""
        if not await self._knows(customer_id):
            raise NotKnown(f"no order of customer {customer_id[:200]!r} was counted: there is nothing to erase")
        record = encode_order(customer_id, time.time_ns() // 1_000_000, [], kind=ERASE)
        return {"customer_id": customer_id, **await self._append(customer_id, record)}

    async def order(self, record: bytes) -> Document:
        """Put an order into the log."""
        (customer_id,) = decode_orders([record], [0])[0].customers
        return await self._append(customer_id, record)

    def status(self) -> Status:
        """How this worker stands."""
        return self._status.now()

    def ready(self) -> str | None:
        """None once every partition that is ours can be asked."""
        if not self._status.joined:
            return "no partition was assigned to this worker yet"
        missing = [*self._customers.missing(), *self._items.missing()]
        return f"{', '.join(missing)}: not open yet" if missing else None

    def counted(self, item_ids: Sequence[str]) -> None:
        """Take note of what was just bought, for those who watch."""
        if len(self.changes):
            items = [titled(item_id, self._catalogue) for item_id in item_ids]
            self.changes.tell(Change("orders", None, {"items": items, **self._stamp()}))

    async def watched_elsewhere(self, versions: dict[str, str]) -> None:
        """Ask the owners for watched lists that are not here, and tell of those that changed.

        Args:
            versions: what was told last of each item; kept up to date.
        """
        for item_id in self.changes.watched:
            try:
                self._items.view(self._items.place(item_id).partition)
            except PartitionNotLocal:
                owner = await self._owners.of(self._items.place(item_id))
                if owner is None or owner == self.worker:
                    continue
                try:
                    path = path_of("items", item_id, "related")
                    reply = await self._peers.get(owner, path, unless=versions.get(item_id))
                except (PeerUnavailable, NotKnown):
                    self._owners.forget()
                    continue
                if reply.version:
                    versions[item_id] = reply.version
                    self.changes.tell(Change("related", item_id, reply.document))
        for item_id in versions.keys() - self.changes.watched:
            del versions[item_id]

    async def _knows(self, customer_id: str) -> bool:
        async def here() -> bool:
            return await self._customers.knows(customer_id)

        async def there(owner: str) -> bool:
            try:
                await self._peers.get(owner, path_of("customers", customer_id), {"limit": "1"})
            except NotKnown:
                return False
            return True

        return await self._router.ask(self._customers.place(customer_id), here, there, own=True)

    async def _append(self, customer_id: str, record: bytes) -> dict[str, Any]:
        partition = self._customers.place(customer_id).partition
        try:
            written = await self._log.append(customer_id, partition, record)
        except AppendFailed as error:
            raise NotReady(str(error)) from error
        return {**written, "worker": self.worker}

    def _stamp(self) -> dict[str, Any]:
        """Of which log prefix an answer is, as far as this worker knows, and whose answer it is."""
        try:
            return self._items.home().answers.stamp()
        except PartitionNotLocal:
            return {"as_of": _UNSTAMPED, "worker": self.worker}


def _request(customer_id: str, wishes: Wishes) -> bytes:
    """The body with which anyone asks for recommendations."""
    return msgspec.json.encode(
        RecommendationRequest(
            basket=list(wishes.basket),
            customer_id=customer_id,
            limit=wishes.limit,
            exclude=list(wishes.exclude),
            category=wishes.category,
            keep_held=wishes.keep_held,
            popularity_share=wishes.blend.popularity,
            repeats_share=wishes.blend.repeats,
            reasons=wishes.reasons,
        )
    )
