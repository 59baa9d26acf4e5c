"""What both producers do alike: records out in batches of our own, and errors that say who could not write."""

from __future__ import annotations

import asyncio
import itertools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced

from streams.endpoint.answers import NotReady
from streams.workers.kafka.topics import LARGEST_DELTAS_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from streams.workers.settings import WorkerSettings

_BATCH_BYTES = 512 << 10


class ProducingFailed(Exception):
    """Records could not be written. The worker ends; what was not acknowledged is sent again by the next."""


class OutgoingRecord(NamedTuple):
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
    async def write(self, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
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


async def send_in_batches(producer: AIOKafkaProducer, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
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


TRANSACTION_TIMEOUT_MS = 30_000  # of a producer that died and is not replaced: readers wait this long for its records


class FencedProducer(Producer):
    """Writes records, all or none of them.

    Args:
        broker: host:port.
        name: who writes; among all that `open` under it, the last one shuts the others out.
    """

    def __init__(self, broker: str, name: str) -> None:
        super().__init__(broker, name, transactional_id=name, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS)

    async def write(self, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
        """Write `records` in one transaction; if it fails, none of them will be read. See `Producer.write`."""
        try:
            await self._client.begin_transaction()
            ends = await send_in_batches(self._client, records)
            await self._client.commit_transaction()
        except ProducerFenced as error:
            raise ProducingFailed(
                f"{self.name}: another worker has taken this partition over, or the broker gave the transaction up "
                f"after {TRANSACTION_TIMEOUT_MS} ms; start this worker again"
            ) from error
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error
        return ends


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

    async def write(self, records: Iterable[OutgoingRecord]) -> dict[TopicPartition, int]:
        """Write `records`; if it fails, some of them may be read. See `Producer.write`."""
        try:
            async with _WRITING:
                return await send_in_batches(self._client, records)
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error


def producer_of(settings: WorkerSettings, name: str) -> Producer:
    """The producer that a worker with these settings writes with."""
    return (FencedProducer if settings.fencing else UnfencedProducer)(settings.broker, name)


MOST_WAITING = 8


class Delivery(NamedTuple):
    """What one commit has to tell others."""

    commit: int
    end: int
    """Log position up to which it counted."""
    records: list[OutgoingRecord]


class OutboxSender:
    """Writes deliveries in the order in which they are put, while the caller goes on with the next commits.

    Args:
        producer: writes them, as many as wait at once.
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
        """Leave a delivery; waits while MOST_WAITING are on their way.

        Raises:
            ProducingFailed: an earlier one could not be written.
        """
        await self._unless_failed(self._waiting.put(delivery))

    async def flush(self) -> None:
        """Return once everything put was acknowledged.

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


_TAKING_MS = 5_000


class PurchaseLog:
    """Appends records, each acknowledged by every replica in sync before it counts as taken.

    Args:
        broker: host:port.
        topic: `purchases`.
        idempotent: whether a record that was sent twice stands there once; not every broker sees to that.
    """

    def __init__(self, broker: str, topic: str, *, idempotent: bool = True) -> None:
        self._broker = broker
        self._topic = topic
        self._idempotent = idempotent
        self._producer: Any = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._broker,
            acks="all",
            enable_idempotence=self._idempotent,
            request_timeout_ms=_TAKING_MS,
        )
        await self._producer.start()

    async def append(self, customer_id: str, partition: int, record: bytes) -> dict[str, int]:
        """Append a record, and say where it stands.

        Raises:
            NotReady: the log did not take it, as far as is known.
        """
        try:
            # no timestamp of ours: the topic's are the broker's
            place = await self._producer.send_and_wait(
                self._topic, record, key=customer_id.encode(), partition=partition
            )
        except KafkaError as error:
            raise NotReady(
                f"the log has not acknowledged the record: {error!r}; perhaps it took it all the same"
            ) from error
        return {"partition": place.partition, "offset": place.offset}

    async def stop(self) -> None:
        """Let go of the broker, once everything is acknowledged."""
        if self._producer is not None:
            await self._producer.stop()
