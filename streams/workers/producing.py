"""What both producers do alike: records out in batches of our own, and errors that say who could not write."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from streams.workers.topics import LARGEST_DELTAS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

_BATCH_BYTES = 512 << 10


class ProducingFailed(Exception):
    """Records could not be written. The worker ends; what was not acknowledged is sent again by the next."""


class Outgoing(NamedTuple):
    """A record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Producer(ABC):
    """Writes records in the name of one partition.

    Args:
        broker: host:port.
        name: who writes.
        options: of the client, which of the two it is.
    """

    def __init__(self, broker: str, name: str, **options: Any) -> None:  # noqa: ANN401 - the client's
        self.name = name
        self._client = AIOKafkaProducer(
            bootstrap_servers=broker,
            acks="all",
            max_batch_size=_BATCH_BYTES,
            max_request_size=LARGEST_DELTAS_BYTES,
            **options,
        )

    async def open(self) -> None:
        """Reach the broker; whoever shuts others out has done so afterwards.

        Raises:
            ProducingFailed: the broker would not.
        """
        try:
            await self._client.start()
        except KafkaError as error:
            await self.close()
            raise ProducingFailed(f"{self.name}: cannot begin to write: {error!r}") from error

    @abstractmethod
    async def write(self, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
        """Write `records`, and wait until the broker has them. Nothing else may be on its way when it is closed.

        Returns:
            For each partition written, the offset behind the last record.

        Raises:
            ProducingFailed: they were not accepted.
        """

    async def close(self) -> None:
        """Stop; what was not acknowledged is not written, or written again by whoever opens under the name next."""
        try:
            await self._client.stop()
        except KafkaError:
            return


async def send_in_batches(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
    """Send records in batches of our own, several times faster than a future for each record; wait for all of them.

    Returns:
        For each partition written, the offset behind the last record.
    """
    sent = []
    by_partition = sorted(records, key=lambda record: record[:2])
    for (topic, partition), group in itertools.groupby(by_partition, key=lambda record: record[:2]):
        batch = producer.create_batch()
        for record in group:
            parts = {"key": record.key, "value": record.value, "headers": list(record.headers)}
            if batch.append(timestamp=None, **parts) is None:
                sent.append((batch, await producer.send_batch(batch, topic, partition=partition)))
                batch = producer.create_batch()
                batch.append(timestamp=None, **parts)
        batch.close()
        sent.append((batch, await producer.send_batch(batch, topic, partition=partition)))
    ends: dict[TopicPartition, int] = {}
    for (batch, _), metadata in zip(sent, await asyncio.gather(*[future for _, future in sent]), strict=True):
        place = TopicPartition(metadata.topic, metadata.partition)
        ends[place] = max(ends.get(place, 0), metadata.offset + batch.record_count())
    return ends
