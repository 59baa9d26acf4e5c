"""The customers whose purchases partitions are open here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from producers.partitioning import customer_partition
from streams.endpoint.answer_documents import history_entries
from streams.endpoint.customer_answers import held_items, not_known
from streams.workers.cluster.owners import StagePartition
from streams.workers.cluster.peers import HeldIds
from streams.workers.cluster.routing import PartitionNotLocal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from state.history_store import HistoryStore
    from streams.catalogue.catalogue import Catalogue
    from streams.workers.ingest import Ingest
    from streams.workers.kafka.stage_service import Membership


class LocalCustomers:
    """Histories, each as of a commit.

    Args:
        ingest: stage A; None if it runs elsewhere.
        membership: which of its partitions are ours.
        partitions: how many purchases partitions there are.
        catalogue: has the titles.
    """

    def __init__(self, ingest: Ingest | None, membership: Membership, partitions: int, catalogue: Catalogue) -> None:
        self._ingest = ingest
        self._membership = membership
        self.partitions = partitions
        self._catalogue = catalogue

    def place(self, customer_id: str) -> StagePartition:
        """Where a customer's history is."""
        return StagePartition("ingest", customer_partition(customer_id.encode(), self.partitions))

    def missing(self) -> list[str]:
        """Partitions that are ours but cannot be asked yet."""
        return [
            str(StagePartition("ingest", number))
            for number in sorted(self._membership.assigned)
            if not self._told(number)
        ]

    def _told(self, partition: int) -> bool:
        """Whether a partition is open, ours, and has caught up with what its owners before told others."""
        source = None if self._ingest is None else self._ingest.partitions.get(partition)
        return (
            source is not None
            and partition in self._membership.serving
            and source.store.purchases_offset >= source.delivered_offset
        )

    @asynccontextmanager
    async def _histories(self, customer_id: str) -> AsyncIterator[HistoryStore]:
        """The store in which a customer is, as of a commit of that customer's orders.

        What is read must be copied at once. Rows of customers whose orders are not being counted stay where they are
        and as they are while others change, so that nobody waits for a commit but those it is about.
        """
        place = self.place(customer_id)
        if self._ingest is None or not self._told(place.partition):
            raise PartitionNotLocal(f"{place} is not open")
        source = self._ingest.partitions[place.partition]
        if customer_id.encode() not in source.touched:
            yield source.store
            return
        async with source.lock:
            if self._ingest.partitions.get(place.partition) is not source:
                raise PartitionNotLocal(f"{place} was just closed")
            yield source.store

    async def document(self, customer_id: str, limit: int) -> dict[str, Any]:
        """A customer and the items bought last.

        Raises:
            PartitionNotLocal: the partition is not.
            NotKnown: there is no such customer.
        """
        async with self._histories(customer_id) as store:
            if customer_id not in store.customers:
                raise not_known(customer_id)
            entries = history_entries(store, store.customers[customer_id], self._catalogue, limit)
        return {"customer_id": customer_id, **entries}

    async def knows(self, customer_id: str) -> bool:
        """Whether there is such a customer. Raises PartitionNotLocal."""
        async with self._histories(customer_id) as store:
            return customer_id in store.customers

    async def held(self, customer_id: str) -> HeldIds:
        """What a customer holds, perhaps nothing. Raises PartitionNotLocal."""
        async with self._histories(customer_id) as store:
            if customer_id not in store.customers:
                return HeldIds()
            held = held_items(store, store.customers[customer_id])
            ids = store.items.texts(held.item.tolist())
        return HeldIds(ids, held.last.tolist(), held.seq.tolist(), held.purchases.tolist())
