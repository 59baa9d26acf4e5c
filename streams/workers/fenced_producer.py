"""A producer that shuts out whoever wrote in its name before.

A worker that stood still past its session may wake with records in flight, while another has taken its partition over.
Both write in transactions under the partition's name, and Kafka lets only the newest holder of a name write: once
`open` has returned, nothing of an earlier holder can be appended any more.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from streams.workers.topics import LARGEST_DELTAS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH_BYTES = 512 << 10
TRANSACTION_TIMEOUT_MS = 30_000  # of a producer that died and is not replaced: readers wait this long for its records


class ProducingFailed(Exception):
    """Records could not be written. The worker ends; what was not acknowledged is sent again by the next."""


class Outgoing(NamedTuple):
    """A record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class FencedProducer:
    """Writes records, all or none of them, in the name of one partition.

    Args:
        broker: host:port.
        name: who writes; among all that `open` under it, the last one shuts the others out.
    """

    def __init__(self, broker: str, name: str) -> None:
        self.name = name
        self._producer = AIOKafkaProducer(
            bootstrap_servers=broker,
            transactional_id=name,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_batch_size=BATCH_BYTES,
            max_request_size=LARGEST_DELTAS_BYTES,
        )

    async def open(self) -> None:
        """Shut earlier holders of the name out; their unfinished transaction is undone.

        Raises:
            ProducingFailed: the broker would not.
        """
        try:
            await self._producer.start()
        except KafkaError as error:
            await self.close()
            raise ProducingFailed(f"{self.name}: cannot begin to write: {error!r}") from error

    async def write(self, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
        """Write `records` in one transaction.

        Returns:
            For each partition written, the offset behind the last record.

        Raises:
            ProducingFailed: none of them will be read.
        """
        try:
            await self._producer.begin_transaction()
            ends = await send_in_batches(self._producer, records)
            await self._producer.commit_transaction()
        except ProducerFenced as error:
            raise ProducingFailed(
                f"{self.name}: another worker has taken this partition over, or the broker gave the transaction up "
                f"after {TRANSACTION_TIMEOUT_MS} ms; start this worker again"
            ) from error
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error
        return ends

    async def close(self) -> None:
        """Stop; a transaction that was not finished is undone."""
        try:
            await self._producer.stop()
        except KafkaError:
            return  # whoever opens under the name next puts things in order


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
