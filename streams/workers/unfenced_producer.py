"""A producer for brokers without transactions: it shuts nobody out, so there must be one worker only.

What transactions do for several workers, the order of things does for one. Nothing is written in its name by anyone
else, and nothing more by itself once it has died. A write that was cut short left a part of its records, in order; the
next start writes all of them again, and stage B drops what it has (see streams/workers/ingest.py).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from streams.workers.fenced_producer import FencedProducer
from streams.workers.producing import Producer, ProducingFailed, send_in_batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

    from streams.workers.producing import Outgoing
    from streams.workers.settings import WorkerSettings


# Of two records written to a partition at once, the embedded broker may show readers the later one first, who then go
# on behind it: 2 of 9,548 with two writers, none with one. So a worker's partitions write one after the other.
_WRITING = asyncio.Lock()


class UnfencedProducer(Producer):
    """Writes records in order, one write after the other.

    Without idempotence, which needs what these brokers lack. The client has one batch of a partition on its way at a
    time, so that a batch sent twice, after an acknowledgement was lost, stands before all that follow.

    Args:
        broker: host:port.
        name: who writes, for messages.
    """

    def __init__(self, broker: str, name: str) -> None:
        super().__init__(broker, name, enable_idempotence=False)

    async def write(self, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
        """Write `records`; if it fails, some of them may be read. See `Producer.write`."""
        try:
            async with _WRITING:
                return await send_in_batches(self._client, records)
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error


def producer_of(settings: WorkerSettings, name: str) -> Producer:
    """The producer that a worker with these settings writes with."""
    return (FencedProducer if settings.fencing else UnfencedProducer)(settings.broker, name)
