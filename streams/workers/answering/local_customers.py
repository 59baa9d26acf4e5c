"""The customers whose purchases partitions are open here."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from producers.partitioning import customer_partition
from streams.endpoint.answers import PartitionNotLocal
from streams.workers.cluster.owners import StagePartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from state.history_store import HistoryStore
    from streams.workers.ingest import Ingest
    from streams.workers.kafka.stage_service import Membership


class LocalCustomers:
    """The open histories, each as of a commit.

    Args:
        ingest: stage A; None if it runs elsewhere.
        membership: which of its partitions are this worker's.
        partitions: how many purchases partitions there are.
    """

    def __init__(self, ingest: Ingest | None, membership: Membership, partitions: int) -> None:
        self._ingest = ingest
        self._membership = membership
        self.partitions = partitions

    def partition_of(self, customer_id: str) -> StagePartition:
        """The partition with a customer's history."""
        return StagePartition("ingest", customer_partition(customer_id.encode(), self.partitions))

    def missing(self) -> list[str]:
        """Partitions that are assigned to this worker but cannot answer yet."""
        assigned = sorted(self._membership.assigned)
        return [str(StagePartition("ingest", number)) for number in assigned if not self._is_ready(number)]

    def _is_ready(self, partition: int) -> bool:
        """Whether a partition is open, this worker's, and has counted what previous owners had delivered."""
        source = None if self._ingest is None else self._ingest.partitions.get(partition)
        return (
            source is not None
            and partition in self._membership.serving
            and source.store.purchases_offset >= source.delivered_offset
        )

    @asynccontextmanager
    async def histories(self, customer_id: str) -> AsyncIterator[HistoryStore]:
        """The store with a customer's history, as of a commit of that customer's orders.

        What is read must be copied before the next await. Rows of customers whose orders are not being counted stay in
        place and unchanged while others change, so only questions about the others wait for the commit.
        """
        place = self.partition_of(customer_id)
        if self._ingest is None or not self._is_ready(place.partition):
            raise PartitionNotLocal(f"{place} is not open")
        source = self._ingest.partitions[place.partition]
        if customer_id.encode() not in source.touched:
            yield source.store
            return
        async with source.lock:
            if self._ingest.partitions.get(place.partition) is not source:
                raise PartitionNotLocal(f"{place} was just closed")
            yield source.store
