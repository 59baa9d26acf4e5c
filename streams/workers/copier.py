"""Copies orders by customer: `purchases` to the topic that stage A counts, or another topic to `purchases`.

A turn copies what has arrived in each partition of the topic in one transaction, with the offset after it. Whoever
opens a partition fences previous owners, and goes on at the offset of the last transaction that was committed. If the
group's offset is gone or somebody has set it, the copies tell up to where they go: there is one for each record, or
several, and none for one that is passed over, which makes no difference when it is read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.workers.kafka.copies import Copies, committed_offset, last_copied
from streams.workers.kafka.errors import LogLost, TopicsUnfit
from streams.workers.kafka.producers import FencedProducer, Progress
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import Turn
from streams.workers.kafka.topic_watch import SOURCE_ADVICE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from state.log_identity import LogIdentity
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

REKEY = "rekey"
"""Name of the stage that copies `purchases`."""


@dataclass(slots=True)
class Copying:
    """An open partition of the topic that is copied."""

    producer: FencedProducer
    offset: int = 0
    """Up to which it is copied."""
    ends: list[int] | None = None
    """Of the partitions of the copy, up to which previous owners may have written."""


class Advice(NamedTuple):
    """What to do if it is unknown what was copied."""

    members: str
    """Who copies."""
    unknown: str
    """The first copies were deleted."""
    other: str
    """The topic was made again; behind the words that it is another one."""


class Copier:
    """Copies the records of a topic to the partitions of their customers, each once.

    Args:
        name: of what it does.
        copies: what is copied, and how.
        target_id: of the topic of the copies.
        group: of all who copy the topic.
        broker: host:port.
        pause_s: records wait at most this long for others to be copied with.
        advice: what to do if it is unknown what was copied.

    Attributes:
        records: copied since the start.
        skipped: passed over since the start, since they are no orders.
        waiting: how many more records wait, by open partition that was read.
    """

    most_records = 5_000

    def __init__(
        self, name: str, copies: Copies, target_id: str, *, group: str, broker: str, pause_s: float, advice: Advice
    ) -> None:
        self.name = name
        self.topic = copies.source
        self.records = self.skipped = 0
        self._copies = copies
        self._group = group
        self._broker = broker
        self._pause_s = pause_s
        self._advice = advice
        # of the group's offsets those are ours that were committed for these two topics
        self._metadata = f"{copies.log_id} {target_id}"
        self._open: dict[int, Copying] = {}
        self.waiting: dict[int, int] = {}

    @property
    def copied(self) -> dict[int, int]:
        """Offset up to which each open partition is copied."""
        return {number: copying.offset for number, copying in self._open.items()}

    def offsets(self) -> dict[int, int]:
        """None to be displayed: the group's offsets are committed with the copies."""
        return {}

    # Opening a partition

    async def open(self, number: int) -> int | None:
        """Fence previous owners, and find out up to where they have copied.

        Returns:
            The offset from which to read; None if it must be tried again, once the open transaction of another
            partition, behind which their last copies may stand, has ended.
        """
        copying = self._open.get(number)
        if copying is None:
            producer = FencedProducer(self._broker, f"{self._group}-{number}")
            await producer.open()
            copying = self._open[number] = Copying(producer)
        committed = await asyncio.to_thread(committed_offset, self._broker, self._group, self.topic, number)
        offset, metadata = (0, None) if committed is None else (committed.offset, committed.metadata)
        ours = metadata == self._metadata
        async with TopicReader(self._broker) as reader:
            copied = offset if ours else await self._find(number, copying, reader)
            if copied is None:
                return None
            # tools that set offsets give them no metadata
            copying.offset = await self._kept(number, copied, reader, set_by_hand=0 if metadata else offset)
        if not ours:
            await copying.producer.write([], self._progress(number, copying.offset))
        return copying.offset

    async def _find(self, number: int, copying: Copying, reader: TopicReader) -> int | None:
        """Up to where a partition was copied, by its copies; None: it cannot be told yet."""
        target, partitions = self._copies.target, range(self._copies.partitions)
        if copying.ends is None:
            async with TopicReader(self._broker, committed=False) as all_records:
                copying.ends = [(await all_records.bounds(target, each))[1] for each in partitions]
        bounds = [await reader.bounds(target, each) for each in partitions]
        if any(end < written for (_, end), written in zip(bounds, copying.ends, strict=True)):
            return None
        if any(begin for begin, _ in bounds):
            raise LogLost(
                f"consumer group {self._group} has no offset of topic {self.topic} partition {number} that a worker "
                f"committed: it expired, or was set or deleted. Topic {target} no longer has its first records, so "
                f"it is unknown which were copied. {self._advice.unknown}"
            )
        found = await last_copied(reader, self._copies, number)
        if found is None:
            return 0 if self._copies.importer is None else (await reader.bounds(self.topic, number))[0]
        if found.log_id != self._copies.log_id:
            raise TopicsUnfit(
                f"topic {target} has copies of another topic {self.topic}, which was made again: {self._advice.other}"
            )
        logger.info("%s: partition %d was copied up to offset %d, by its copies", self.name, number, found.offset + 1)
        return found.offset + 1

    async def _kept(self, number: int, copied: int, reader: TopicReader, *, set_by_hand: int) -> int:
        """The offset from which to copy: whoever sets the group's offset behind records that are lost accepts that."""
        begin, _ = await reader.bounds(self.topic, number)
        if copied >= begin:
            return copied
        if set_by_hand < begin:
            raise LogLost(
                f"topic {self.topic} partition {number} begins at offset {begin}, and was copied up to {copied}: the "
                "records between were deleted before they were copied. Send these orders again if you have them, and "
                f"go on without: stop all {self._advice.members}, kafka-consumer-groups.sh --group {self._group} "
                f"--topic {self.topic} --reset-offsets --to-earliest --execute"
            )
        logger.warning(
            "%s: partition %d of %s: records %d to %d are lost, as the group's offset says",
            self.name,
            number,
            self.topic,
            copied,
            begin - 1,
        )
        return begin

    # Copying

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Copy the records of each partition; unless more wait already, give the next ones time to arrive."""
        begun = time.monotonic()
        await asyncio.gather(*[self._write(number, batch) for number, batch in records.items()])
        self.waiting = dict(waiting)
        if any(waiting.values()) or not records:
            return Turn()
        return Turn(pause=max(0.0, begun + self._pause_s - time.monotonic()))

    async def _write(self, number: int, records: list[Any]) -> None:
        copying = self._open[number]
        fresh = [record for record in records if record.offset >= copying.offset]
        if not fresh:
            return
        made = await asyncio.to_thread(self._copies.of, fresh)
        end = fresh[-1].offset + 1
        await copying.producer.write(made.records, self._progress(number, end))
        copying.offset = end
        self.records += len(fresh) - made.skipped
        self.skipped += made.skipped

    def _progress(self, number: int, offset: int) -> Progress:
        place = TopicPartition(self.topic, number)
        return Progress(self._group, {place: OffsetAndMetadata(offset, self._metadata)})

    # Releasing partitions

    async def flush(self) -> None:
        """Disconnect; nothing is in flight, and whoever owns a partition next fences its previous owners."""
        self.waiting = {}
        for number in list(self._open):
            await self.close(number)

    async def close(self, number: int) -> None:
        """Release a partition."""
        copying = self._open.pop(number, None)
        if copying is not None:
            await copying.producer.close()


def rekeying(settings: WorkerSettings, logs: Mapping[str, LogIdentity]) -> Copier:
    """What copies `purchases` to the topic that stage A counts.

    Args:
        settings: the worker's.
        logs: the topics by role.
    """
    topics = settings.topics
    return Copier(
        REKEY,
        Copies(topics.purchases, logs["source"].log_id, topics.log, logs["purchases"].partitions),
        logs["purchases"].log_id,
        group=topics.rekey_group,
        broker=settings.broker,
        pause_s=settings.commit_interval_ms / 1000,
        advice=Advice("workers", "Send all orders again to new topics (another --topic-prefix)", SOURCE_ADVICE),
    )
