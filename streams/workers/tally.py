"""Stage B: counts the deltas that arrive from Kafka, each exactly once, and leaves the rest to its list publishers.

The offset read to is stored with the counts in one batch, so a record of deltas that is delivered again changes
nothing. Deltas are counted before lists are refreshed; far behind, nearly all time goes to counting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from state.directory import COUNTS, RELATED, StateDirectory
from state.errors import OtherLog
from state.recovery import marking_damage, open_or_recover
from state.related_store import RelatedStore
from streams.engine.deltas import DeltasInvalid
from streams.engine.stages import DeltasOutOfOrder, count_deltas, open_counts
from streams.workers.kafka.co_purchases import PartedDeltas, check_source, read_headers
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.skipped import SkippedRecords
from streams.workers.kafka.stage_service import Turn, check_offset
from streams.workers.publishing.list_publisher import ListPublisher, NotCountedYet, PublishingSettings
from streams.workers.publishing.refresh import RateLimit
from streams.workers.standby import Step, in_parts, no_standby

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from state.count_store import CountStore
    from state.log_identity import LogIdentity
    from state.memory import Memory
    from state.settings import CountingSettings
    from streams.workers.kafka.co_purchases import WholeDeltas
    from streams.workers.kafka.reading import TopicReader
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

_MOST_RECORDS = 32
_FAR_BEHIND = 4 * _MOST_RECORDS  # offsets, of which transaction markers take some
LISTS_EVERY_S = 5.0  # reading lists of a partition on standby takes two connections
_COMMIT_BYTES = 128 << 10  # some 3,000 order lines: within a commit every record is merged into those before it


@dataclass(slots=True)
class ItemPartition:
    """An open item partition."""

    counts: CountStore
    related: RelatedStore
    publisher: ListPublisher
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while deltas are counted or lists are refreshed: its holder sees the counts as of a commit."""
    parts: PartedDeltas = field(default_factory=PartedDeltas)
    """Of deltas that are read in part."""
    co_purchases_offset: int = 0
    """On standby: offset of `co-purchases` up to which there was nothing else to count."""
    related_items_offset: int = 0
    """On standby: offset of `related-items` up to which its owner's lists are kept."""
    lists_due_at: float = 0.0
    """On standby: when to look for more of them."""

    @property
    def stores(self) -> list[CountStore | RelatedStore]:
        """Its stores."""
        return [self.counts, self.related]

    @property
    def caught_up(self) -> bool:
        """Whether `related` holds what previous owners published."""
        return self.publisher.caught_up

    def is_exact(self) -> bool:
        """Whether every published list is exact."""
        return self.related.exact_as_of == self.counts.purchases_offset_sum

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self.counts.size_bytes() + self.related.size_bytes()


class Tally:
    """Stage B of one worker.

    Args:
        settings: the worker's.
        directory: where the stores are.
        counting: what is counted.
        logs: the topics by role; those left out are not compared with those that were counted before.
        skipped: counts foreign records.
        memory: what the stores may take together; None: the default.

    Attributes:
        on_published: (partition, item numbers) called on the event loop when readers have new lists of these items.
        take_standby: (partition) called when one is opened; returns it if it is on standby here.
    """

    name = "tally"

    def __init__(
        self,
        settings: WorkerSettings,
        directory: StateDirectory,
        counting: CountingSettings,
        logs: Mapping[str, LogIdentity] = MappingProxyType({}),
        skipped: SkippedRecords | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.topic = settings.topics.co_purchases
        self.on_published: Callable[[int, Iterable[int]], None] = lambda _, __: None
        self.take_standby: Callable[[int], Awaitable[ItemPartition | None]] = no_standby
        self._memory = memory
        self._restore_from = settings.restores_from
        self._directory = directory
        self._counting = counting
        self._logs = logs
        self._skipped = SkippedRecords() if skipped is None else skipped
        self._publishing = PublishingSettings(
            broker=settings.broker,
            topic=settings.topics.related_items,
            deltas_topic=settings.topics.co_purchases,
            group=settings.topics.group(self.name),
            fencing=settings.fencing,
            score=settings.score,
            list_change=settings.list_change,
            time_fraction=settings.refresh_time_fraction,
            idle_ms=settings.idle_ms,
        )
        self._rate_limit = RateLimit(settings.lists_per_second)
        self._partitions: dict[int, ItemPartition] = {}
        self._published_before = 0  # by partitions that were closed since

    @property
    def most_records(self) -> int:
        """Some megabytes of deltas."""
        return _MOST_RECORDS

    @property
    def stores(self) -> list[CountStore | RelatedStore]:
        """The open stores."""
        return [store for partition in self._partitions.values() for store in partition.stores]

    @property
    def partitions(self) -> Mapping[int, ItemPartition]:
        """The open partitions."""
        return self._partitions

    @property
    def published(self) -> int:
        """How many lists were published since the start."""
        return self._published_before + sum(partition.publisher.published for partition in self._partitions.values())

    def offsets(self) -> dict[int, int]:
        """Offset of `co-purchases` up to which each open partition is counted."""
        return {number: partition.counts.co_purchases_offset for number, partition in self._partitions.items()}

    def age_s(self) -> float:
        """How long the oldest change of any list has waited to be looked at, in seconds."""
        now = time.monotonic()
        return max((partition.publisher.age_s(now) for partition in self._partitions.values()), default=0.0)

    async def open(self, number: int) -> int:
        """Open a partition's counts and lists, and fence previous owners."""
        opened = self._partitions.get(number)
        if opened is None:
            standby = await self.take_standby(number)
            if standby is None:
                opened = await asyncio.to_thread(self._open_stores, number)
            else:  # a publisher looks at stores as they are when it is made
                opened = self._partition(number, standby.counts, standby.related)
            self._partitions[number] = opened
        await opened.publisher.open()
        return opened.counts.co_purchases_offset

    def _open_stores(self, number: int) -> ItemPartition:
        def counts_at(path: Path) -> CountStore:
            counts = open_counts(path, number, self._counting, memory=self._memory)
            with counts.closed_on_error():
                logs = self._some("purchases", "co-purchases")
                counts.bind(number, logs, empty=counts.journal.commit == 0)
            return counts

        def related_at(path: Path) -> RelatedStore:
            related = RelatedStore(path, memory=self._memory)
            with related.closed_on_error():
                self._bind(number, related)
            return related

        counts = open_or_recover(self._directory.store(COUNTS, number), self._restore_from, counts_at)
        with counts.closed_on_error():
            related = open_or_recover(self._directory.store(RELATED, number), self._restore_from, related_at)
        return self._partition(number, counts, related)

    def _partition(self, number: int, counts: CountStore, related: RelatedStore) -> ItemPartition:
        publisher = ListPublisher(
            number,
            counts,
            related,
            self._publishing,
            self._rate_limit,
            lambda items: self.on_published(number, items),
            self._skipped,
        )
        return ItemPartition(counts, related, publisher)

    def _bind(self, number: int, related: RelatedStore) -> None:
        """Bind the lists to the topics; those that were published to another topic are forgotten."""
        logs = self._some("co-purchases", "related-items")  # lists name items by the numbers that the deltas give them
        try:
            related.bind(number, logs, empty=False)
        except OtherLog:
            logger.warning("tally: %s is of another topic, all of its lists are published again", related.path)
            related.restart(self._publishing.score, logs)

    def _some(self, *roles: str) -> dict[str, LogIdentity]:
        return {role: self._logs[role] for role in roles if role in self._logs}

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Count deltas, then refresh some lists. A store found damaged is set aside when it is opened next."""
        with marking_damage(lambda: self.stores):
            return await self._work(records, waiting)

    async def _work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        for number, batch in records.items():
            partition = self._partitions[number]
            for deltas in _commits(self._deltas(partition, batch)):
                async with partition.lock:  # for one commit, so that a question waits for no more
                    begun = time.monotonic()
                    bought = await asyncio.to_thread(_count, partition.counts, deltas)
                    partition.publisher.counted(bought, time.monotonic() - begun)
        wait = Turn().wait
        for number, more in waiting.items():
            partition = self._partitions[number]
            async with partition.lock:
                if not partition.caught_up and not more:
                    await partition.publisher.catch_up()
                if partition.caught_up:
                    wait = min(wait, await partition.publisher.refresh(busy=more > _FAR_BEHIND))
        return Turn(wait=0.0 if any(waiting.values()) else wait)

    def _deltas(self, partition: ItemPartition, batch: list[Any]) -> list[WholeDeltas]:
        """The deltas that the next records of the topic hold or complete.

        Skipping what stage A did not write loses nothing: were it one of its records, the next would not follow the
        last that was counted.
        """
        deltas = []
        for record in batch:
            headers = read_headers(record)
            if headers is None:
                self._skipped.add(record, "it has not the headers of deltas")
                continue
            check_source(record, headers, self._logs.get("purchases"), self._counting)
            whole = partition.parts.whole(record, headers, partition.counts.purchases_offsets)
            if whole is not None:
                deltas.append(whole)
        return deltas

    # Following the owners of partitions that are on standby here

    async def open_standby(self, number: int) -> ItemPartition:
        """Open the stores of a partition that another worker owns."""
        return await asyncio.to_thread(self._open_stores, number)

    async def look(self, reader: TopicReader) -> None:
        """Nothing is needed but the deltas of each partition."""

    async def steps(self, reader: TopicReader, number: int, partition: ItemPartition) -> AsyncGenerator[Step]:
        """Deltas to count, and every few seconds lists to keep."""
        counts, publisher = partition.counts, partition.publisher
        lists_due = time.monotonic() >= partition.lists_due_at
        lists_end = await reader.end(self._publishing.topic, number) if lists_due else 0
        lists_left = max(lists_end - partition.related.related_items_offset, 0)
        end = await reader.end(self.topic, number)
        if end > partition.co_purchases_offset:
            first = counts.co_purchases_offset
            check_offset(self.name, TopicPartition(self.topic, number), first, await reader.bounds(self.topic, number))
            async for records in reader.records(self.topic, number, first, end):
                for some in in_parts(records, _MOST_RECORDS):
                    lag = lists_left + end - some[-1].offset - 1
                    yield Step(partial(_count_all, counts, self._deltas(partition, some)), lag)
            partition.co_purchases_offset = end
        if not lists_due:
            return
        if lists_left and lists_end > partition.related_items_offset:
            try:
                async with aclosing(publisher.published_since(decided=True)) as batches:
                    async for published in batches:
                        yield Step(partial(publisher.keep, published), published.left)
            except NotCountedYet:
                return  # deltas have come meanwhile
            partition.related_items_offset = lists_end
        partition.lists_due_at = time.monotonic() + LISTS_EVERY_S

    async def flush(self) -> None:
        """Return once the lists that are being sent have arrived."""
        for partition in self._partitions.values():
            await partition.publisher.flush()

    async def close(self, number: int) -> None:
        """Release a partition."""
        closed = self._partitions.pop(number, None)
        if closed is not None:
            async with closed.lock:  # somebody may be reading
                await closed.publisher.close()
            self._published_before += closed.publisher.published
            closed.counts.close()
            closed.related.close()


def _commits(batch: list[WholeDeltas]) -> Iterator[list[WholeDeltas]]:
    """Deltas in small commits."""
    first = size = 0
    for last, deltas in enumerate(batch, 1):
        size += len(deltas.value)
        if size >= _COMMIT_BYTES or last == len(batch):
            yield batch[first:last]
            first, size = last, 0


def _count_all(counts: CountStore, batch: list[WholeDeltas]) -> None:
    """Count deltas in small commits."""
    for deltas in _commits(batch):
        _count(counts, deltas)


def _count(counts: CountStore, records: list[WholeDeltas]) -> npt.NDArray[np.uint32]:
    """Count deltas in one commit; return the partition's own items that were bought."""
    counts.co_purchases_offset = records[-1].resume
    bought = _committed(counts, records)
    own: npt.NDArray[np.uint32] = bought[counts.owned[bought]]
    return own


def _committed(counts: CountStore, records: list[WholeDeltas]) -> npt.NDArray[np.uint32]:
    """Count deltas in one commit; see `count_deltas`.

    Raises:
        LogLost: they are no deltas, or do not follow those before them.
    """
    first, last = records[0], records[-1]
    where = f"topic {first.topic} partition {first.partition}, between offsets {first.offset} and {last.offset}"
    try:
        return count_deltas(counts, [deltas.value for deltas in records])
    except DeltasOutOfOrder as error:
        raise LogLost(
            f"{where}: {error}. Records of the topic were lost, or written by something else. Start a new --generation"
        ) from error
    except DeltasInvalid as error:
        raise LogLost(
            f"{where}: {error}. Stage A wrote no such record: it was damaged, or written by something else, and "
            "nothing after it can be counted. Start a new --generation"
        ) from error
