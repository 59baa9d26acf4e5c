"""Reads ranges of a topic outside any consumer group: the bounds of a partition, its records, the last that matches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiokafka import TopicPartition

from producers.kafka_config import consumer_options
from streams.workers.kafka.consumers import FETCH_BYTES, BoundedConsumer
from streams.workers.kafka.inflation import bound_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

T = TypeVar("T")

# the records exist already; a fetch that waits for more, half a second by default, delays the next range
_FETCH_WAIT_MS = 10
_FIRST_RANGE = 64  # records searched first, from the end of a partition


def read_now(reading: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that a command waits for.

    `asyncio.run` formats the result of its task when it gives Ctrl-C back, only to drop the text: of records of some
    megabytes that takes seconds.
    """
    found: list[T] = []

    async def read() -> None:
        found.append(await reading)

    asyncio.run(read())
    return found[0]


class TopicReader:
    """Reads ranges of partitions; `async with` starts and stops it.

    Args:
        broker: host:port.
        committed: leave out the records of transactions that were aborted or are still open.
        bound: (bytes of a compressed batch) to how many it may inflate.
    """

    def __init__(self, broker: str, *, committed: bool = True, bound: Callable[[int], int] = bound_of) -> None:
        self._committed = committed
        self._consumer = BoundedConsumer(
            **consumer_options(broker),
            bound=bound,
            auto_offset_reset="none",
            enable_auto_commit=False,
            isolation_level="read_committed" if committed else "read_uncommitted",
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            retry_backoff_ms=_FETCH_WAIT_MS,  # each new assignment waits once for the topic's leaders
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    def rest(self) -> None:
        """Fetch nothing until something is read again; else the client asks for what follows, over and over."""
        self._consumer.pause(*self._consumer.assignment())

    async def end(self, topic: str, partition: int) -> int:
        """The offset after the last record that can be read, as Kafka says; the embedded broker's may be too low."""
        topic_partition = TopicPartition(topic, partition)
        return int((await self._consumer.end_offsets([topic_partition]))[topic_partition])

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """Offset of the first record that is kept, and the offset after the last that can be read."""
        topic_partition = TopicPartition(topic, partition)
        begin = int((await self._consumer.beginning_offsets([topic_partition]))[topic_partition])
        end = await self.end(topic, partition)
        if begin == end:
            return begin, end
        # the embedded broker answers with the offset at which the last batch begins; a fetch returns the true end
        self._consumer.assign([topic_partition])
        self._consumer.seek(topic_partition, end - 1)
        fetched_end = self._consumer.last_stable_offset if self._committed else self._consumer.highwater
        while (found := fetched_end(topic_partition)) is None:
            await self._consumer.getmany(timeout_ms=20)
        return begin, max(end, int(found))

    async def records(self, topic: str, partition: int, begin: int, end: int) -> AsyncIterator[list[Any]]:
        """The records from offset `begin` up to, but not including, `end`, in batches."""
        if begin >= end:
            return  # a consumer that has a position and never fetches may not stop
        topic_partition = TopicPartition(topic, partition)
        self._consumer.assign([topic_partition])
        self._consumer.seek(topic_partition, begin)
        while await self._consumer.position(topic_partition) < end:
            for records in (await self._consumer.getmany(timeout_ms=200, max_records=2000)).values():
                yield [record for record in records if record.offset < end]

    async def last(
        self, topic: str, partition: int, wanted: Callable[[Any], bool], bounds: tuple[int, int] | None = None
    ) -> Any | None:  # noqa: ANN401
        """The last record for which `wanted` holds, or None; searches ever longer ranges from the end.

        Args:
            topic: where.
            partition: of it.
            wanted: called with records.
            bounds: those of the partition if they are known; asking for them takes a while.
        """
        begin, upper = bounds or await self.bounds(topic, partition)
        length = _FIRST_RANGE
        while upper > begin:
            lower = max(begin, upper - length)
            found = None
            async for records in self.records(topic, partition, lower, upper):
                for record in records:
                    if wanted(record):
                        found = record
            if found is not None:
                return found
            upper, length = lower, 4 * length
        return None
