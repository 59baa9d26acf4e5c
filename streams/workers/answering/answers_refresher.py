"""The background tasks that keep a worker's answers current, a few times a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mode import Service

if TYPE_CHECKING:
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.answering.worker_answers import WorkerAnswers
    from streams.workers.cluster.owners import PartitionOwners
    from streams.workers.cluster.peers import PeerClient
    from streams.workers.kafka.producers import PurchaseLog

SNAPSHOT_EVERY_S = 0.2
POLL_EVERY_S = 0.5


class AnswersRefresher(Service):
    """Refreshes the assortment, and polls watched lists that other workers publish.

    Args:
        answers: of the worker.
        items: the item partitions open in this worker.
        owners, peers, log: connections, closed when the service stops.
    """

    def __init__(
        self, answers: WorkerAnswers, items: LocalItems, owners: PartitionOwners, peers: PeerClient, log: PurchaseLog
    ) -> None:
        super().__init__()
        self._answers = answers
        self._items = items
        self._owners = owners
        self._peers = peers
        self._log = log

    async def on_start(self) -> None:
        """Connect to the log."""
        await self._log.start()

    @Service.task
    async def _refresh_snapshot(self) -> None:
        while not self.should_stop:
            await self._items.refresh()
            await self.sleep(SNAPSHOT_EVERY_S)

    @Service.task
    async def _poll_watched(self) -> None:
        versions: dict[str, str] = {}
        while not self.should_stop:
            await self._answers.poll_watched(versions)
            await self.sleep(POLL_EVERY_S)

    async def on_stop(self) -> None:
        """Close the connections."""
        await asyncio.gather(self._log.stop(), self._owners.close(), self._peers.close())
