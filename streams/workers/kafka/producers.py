"""Everything that a worker writes to Kafka, and how.

A stage writes through a `Producer` that acts for one partition: a `FencedProducer` writes in transactions and fences
previous owners of the partition; an `UnfencedProducer` is for brokers without transactions, where there is only one
worker. Stage A hands its commits to an `OutboxSender`, which writes them in the background. `PurchaseLog` appends the
orders and erasures that the HTTP endpoint accepts.
"""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaError,
    ProducerFenced,
    TransactionalIdAuthorizationFailed,
)

from producers.errors import BrokerRefuses
from producers.kafka_config import client_options
from producers.rights import grant
from streams.workers.kafka.errors import AppendFailed, ProducingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aiokafka.structs import OffsetAndMetadata

BATCH_BYTES = 512 << 10
TRANSACTION_TIMEOUT_MS = 30_000  # if a producer dies and is not replaced, readers wait this long behind its records
MOST_WAITING = 8  # commits that may wait to be sent while stage A counts the next ones
APPEND_TIMEOUT_MS = 5_000


class OutgoingRecord(NamedTuple):
    """A record to write."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


class Progress(NamedTuple):
    """Up to where a consumer group has come, to be committed together with what it has written."""

    group: str
    offsets: Mapping[TopicPartition, OffsetAndMetadata]


class Producer(ABC):
    """Writes records on behalf of one partition.

    Args:
        broker: host:port.
        name: identifies the writer, in messages at least.
        options: of the client; they make the difference between the two producers.
    """

    def __init__(self, broker: str, name: str, **options: Any) -> None:  # noqa: ANN401 - the client's
        self.name = name
        self._client = AIOKafkaProducer(
            **client_options(broker, aio=True),
            acks="all",
            max_batch_size=BATCH_BYTES,
            **options,
        )

    async def open(self) -> None:
        """Connect to the broker; a fenced producer has fenced its predecessors when this returns.

        Raises:
            ProducingFailed: the broker refused.
        """
        try:
            await self._client.start()
        except TransactionalIdAuthorizationFailed:
            await self.close()
            command = grant(["WRITE"], "transactional-id", self.name)
            raise BrokerRefuses(f"this user lacks a right at the broker. Grant it: {command}") from None
        except KafkaError as error:
            await self.close()
            raise ProducingFailed(f"{self.name}: cannot start to write: {error!r}") from error

    @abstractmethod
    async def write(self, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
        """Write `records`, and wait until the broker has them.

        Returns:
            For each partition written, the offset after the last record.

        Raises:
            ProducingFailed: they were not accepted.
        """

    async def close(self) -> None:
        """Disconnect. Records that were not acknowledged may be missing; the next owner of the name writes them."""
        try:
            await self._client.stop()
        except KafkaError:
            return


class FencedProducer(Producer):
    """Writes records in transactions: all of a write or none of it.

    Args:
        broker: host:port.
        name: the transactional id; of all that open under it, the last one fences the others.
    """

    def __init__(self, broker: str, name: str) -> None:
        super().__init__(broker, name, transactional_id=name, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS)

    async def write(
        self, records: Iterable[OutgoingRecord], progress: Progress | None = None
    ) -> dict[TopicPartition, int]:
        """Write `records` in one transaction; if it fails, readers see none of them. See `Producer.write`.

        Args:
            records: to write.
            progress: is committed if they are, and only then.
        """
        try:
            await self._client.begin_transaction()
            ends = await send_in_batches(self._client, records)
            if progress is not None:
                await self._client.send_offsets_to_transaction(progress.offsets, progress.group)
            await self._client.commit_transaction()
        except ProducerFenced as error:
            raise ProducingFailed(
                f"{self.name}: another worker has taken over this partition, or the broker aborted the transaction "
                f"after {TRANSACTION_TIMEOUT_MS} ms; restart this worker"
            ) from error
        except KafkaError as error:
            raise not_accepted(self.name, error) from error
        return ends


# When two records are written to a partition at the same time, the embedded broker may show readers the later one
# first, who then continue after it: 2 of 9,548 with two writers, none with one. So all partitions share this lock.
_WRITING = asyncio.Lock()


class UnfencedProducer(Producer):
    """Writes records in order, one write at a time.

    It does without idempotence, which needs what these brokers lack. The client has one batch of a partition in flight
    at a time, so a batch that is sent twice because its acknowledgement was lost precedes all later ones.

    Args:
        broker: host:port.
        name: for messages.
    """

    def __init__(self, broker: str, name: str) -> None:
        super().__init__(broker, name, enable_idempotence=False)

    async def write(self, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
        """Write `records`; if it fails, readers may see some of them. See `Producer.write`."""
        try:
            async with _WRITING:
                return await send_in_batches(self._client, records)
        except KafkaError as error:
            raise not_accepted(self.name, error) from error


def not_accepted(name: str, error: KafkaError) -> ProducingFailed:
    """The error of a producer whose records were not accepted."""
    if isinstance(error, InvalidTimestampError):
        return ProducingFailed(
            f"{name}: the broker refuses the time of our records: the clock of this machine is ahead. Set it, or let "
            "the topics take the broker's time: kafka-configs.sh --alter --topic TOPIC --add-config "
            "message.timestamp.type=LogAppendTime"
        )
    return ProducingFailed(f"{name}: records were not accepted: {error!r}")


def make_producer(broker: str, name: str, *, fencing: bool) -> Producer:
    """A producer that is not open yet."""
    return (FencedProducer if fencing else UnfencedProducer)(broker, name)


async def send_in_batches(client: AIOKafkaProducer, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
    """Send records in batches that we fill, and wait for all of them.

    It is several times faster than the client's own batches, which take a future for each record.

    Returns:
        For each partition written, the offset after the last record.
    """
    sent = []
    by_partition = sorted(records, key=lambda record: record[:2])
    for (topic, partition), group in itertools.groupby(by_partition, key=lambda record: record[:2]):
        batch = client.create_batch()
        for record in group:
            parts = {"key": record.key, "value": record.value, "headers": list(record.headers)}
            if batch.append(timestamp=None, **parts) is None:  # it is full
                sent.append((batch, await client.send_batch(batch, topic, partition=partition)))
                batch = client.create_batch()
                batch.append(timestamp=None, **parts)
        batch.close()
        sent.append((batch, await client.send_batch(batch, topic, partition=partition)))
    ends: dict[TopicPartition, int] = {}
    for (batch, _), metadata in zip(sent, await asyncio.gather(*[future for _, future in sent]), strict=True):
        written = TopicPartition(metadata.topic, metadata.partition)
        ends[written] = max(ends.get(written, 0), metadata.offset + batch.record_count())
    return ends


class Delivery(NamedTuple):
    """The records that one commit of stage A has for others."""

    commit: int
    end: int
    """Log position up to which it counted."""
    records: list[OutgoingRecord]


class OutboxSender:
    """Writes deliveries in the order in which they are put, while the caller makes the next commits.

    Args:
        producer: writes all that wait in one go.
        acknowledge: (commits) called once the broker has them for good.
    """

    def __init__(self, producer: Producer, acknowledge: Callable[[Sequence[int]], None]) -> None:
        self._producer = producer
        self._acknowledge = acknowledge
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue(MOST_WAITING)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            taken = [await self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            await self._producer.write([record for delivery in taken for record in delivery.records])
            self._acknowledge([delivery.commit for delivery in taken])
            for _ in taken:
                self._waiting.task_done()

    async def put(self, delivery: Delivery) -> None:
        """Queue a delivery; waits while MOST_WAITING are queued.

        Raises:
            ProducingFailed: an earlier one could not be written.
        """
        await self._unless_failed(self._waiting.put(delivery))

    async def flush(self) -> None:
        """Return once everything that was put is acknowledged.

        Raises:
            ProducingFailed: it could not be written.
        """
        await self._unless_failed(self._waiting.join())

    def check(self) -> None:
        """Raise what ended the sending, if anything did."""
        if self._task.done():
            self._task.result()

    async def _unless_failed(self, step: object) -> None:
        waiting = asyncio.ensure_future(step)  # type: ignore[call-overload]
        await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self._task.result()

    async def close(self) -> None:
        """Stop sending; what was not acknowledged stays in the store's outbox."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._producer.close()


class PurchaseLog:
    """Appends records to the topic `purchases`; each counts as appended once all in-sync replicas have it.

    Args:
        broker: host:port.
        topic: `purchases`.
        idempotent: whether the broker drops a record that was sent twice; not every broker can.
    """

    def __init__(self, broker: str, topic: str, *, idempotent: bool = True) -> None:
        self._broker = broker
        self._topic = topic
        self._idempotent = idempotent
        self._producer: Any = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            **client_options(self._broker, aio=True),
            acks="all",
            enable_idempotence=self._idempotent,
            request_timeout_ms=APPEND_TIMEOUT_MS,
        )
        await self._producer.start()

    async def append(self, customer_id: str, partition: int, record: bytes) -> dict[str, int]:
        """Append a record; return its `partition` and `offset`.

        Raises:
            AppendFailed: the broker did not acknowledge it.
        """
        try:
            # without a timestamp: the topic takes the broker's
            written = await self._producer.send_and_wait(
                self._topic, record, key=customer_id.encode(), partition=partition
            )
        except KafkaError as error:
            raise AppendFailed(
                f"the broker did not acknowledge the record: {error!r}; it may have been written all the same"
            ) from error
        return {"partition": written.partition, "offset": written.offset}

    async def stop(self) -> None:
        """Disconnect, once everything is acknowledged."""
        if self._producer is not None:
            await self._producer.stop()
