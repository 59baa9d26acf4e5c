"""The customers whose purchases partitions are open in this worker."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from state.errors import StateDamaged
from streams.endpoint.answers import PartitionNotLocal
from streams.workers.cluster.owners import StagePartition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from state.history_store import HistoryStore
    from streams.workers.ingest import Ingest
    from streams.workers.kafka.placement import Placement
    from streams.workers.kafka.stage_service import Membership


class LocalCustomers:
    """The open histories, each as of a commit.

    Args:
        ingest: stage A; None if it runs elsewhere.
        membership: the partitions of stage A that this worker owns.
        placement: in which partition each customer is.
    """

    def __init__(self, ingest: Ingest | None, membership: Membership, placement: Placement) -> None:
        self._ingest = ingest
        self._membership = membership
        self.placement = placement
        self.partitions = placement.partitions

    def partition_of(self, customer_id: str) -> StagePartition:
        """The partition with a customer's history."""
        return StagePartition("ingest", self.placement.partition_of(customer_id))

    def missing(self) -> list[str]:
        """Partitions assigned to this worker that cannot answer yet."""
        assigned = sorted(self._membership.assigned)
        return [str(StagePartition("ingest", number)) for number in assigned if not self._is_ready(number)]

    def _is_ready(self, partition: int) -> bool:
        """Whether a partition is open, owned by this worker, and has counted what previous owners delivered."""
        source = None if self._ingest is None else self._ingest.partitions.get(partition)
        return (
            source is not None
            and partition in self._membership.serving
            and source.store.purchases_offset >= source.delivered_offset
        )

    @asynccontextmanager
    async def histories(self, customer_id: str) -> AsyncIterator[HistoryStore]:
        """The store with a customer's history, as of a commit of that customer's orders.

        Copy what you read before the next await. Only customers whose orders are being counted wait for the commit:
        the rows of all others stay in place, unchanged.
        """
        partition = self.partition_of(customer_id)
        if self._ingest is None or not self._is_ready(partition.number):
            raise PartitionNotLocal(f"{partition} is not open")
        source = self._ingest.partitions[partition.number]
        try:
            if customer_id.encode() not in source.touched:
                yield source.store
                return
            async with source.lock:
                if self._ingest.partitions.get(partition.number) is not source:
                    raise PartitionNotLocal(f"{partition} was just closed")
                yield source.store
        except StateDamaged as error:
            source.damage = error
            raise
