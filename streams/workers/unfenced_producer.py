"""A producer for brokers without transactions: it shuts nobody out, so there must be one worker only.

What transactions do for several workers, the order of things does for one. Nothing is written in its name by anyone
else, and nothing more by itself once it has died. A write that was cut short left a part of its records, in order; the
next start writes all of them again, and stage B drops what it has (see streams/workers/ingest.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.workers.fenced_producer import BATCH_BYTES, FencedProducer, Outgoing, ProducingFailed, send_in_batches
from streams.workers.topics import LARGEST_DELTAS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.workers.settings import WorkerSettings


# Of two records written to a partition at once, the embedded broker may show readers the later one first, who then go
# on behind it: 2 of 9,548 with two writers, none with one. So a worker's partitions write one after the other.
_WRITING = asyncio.Lock()


class UnfencedProducer:
    """Writes records in order, one write after the other; a write that fails may leave some of its records.

    Args:
        broker: host:port.
        name: who writes, for messages.
    """

    def __init__(self, broker: str, name: str) -> None:
        self.name = name
        # no idempotence: it needs what these brokers lack. The client has one batch of a partition on its way at a
        # time, so that a batch sent twice, after an acknowledgement was lost, stands before all that follow
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker,
            acks="all",
            enable_idempotence=False,
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGEST_DELTAS_BYTES,
        )

    async def open(self) -> None:
        """Reach the broker.

        Raises:
            ProducingFailed: it does not answer.
        """
        try:
            await self._producer.start()
        except KafkaError as error:
            await self.close()
            raise ProducingFailed(f"{self.name}: cannot begin to write: {error!r}") from error

    async def write(self, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
        """Write `records`, and wait until the broker has them.

        Returns:
            For each partition written, the offset behind the last record.

        Raises:
            ProducingFailed: some or all of them were not accepted.
        """
        try:
            async with _WRITING:
                return await send_in_batches(self._producer, records)
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error

    async def close(self) -> None:
        """Stop."""
        try:
            await self._producer.stop()
        except KafkaError:
            return  # what was not acknowledged is written again


Producer = FencedProducer | UnfencedProducer


def producer_of(settings: WorkerSettings, name: str) -> Producer:
    """The producer that a worker with these settings writes with."""
    return (FencedProducer if settings.fencing else UnfencedProducer)(settings.broker, name)
