"""Stage B at work: deltas from Kafka into counts, and the related lists that they change onto Kafka.

The offset read to is stored with the counts, so each record of deltas counts once. What readers were told is on the
topic `related-items`: whoever takes a partition over shuts the owner before it out and reads up what it published, but
publishes nothing itself until it has counted what that owner had, so that lists never go back in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from aiokafka import TopicPartition

from state.directory import COUNTS, RELATED, StateDirectory
from state.related_store import RelatedStore, StoredList
from state.snapshots import restore_store
from streams.engine.documents import RelatedList, as_of
from streams.engine.ranker import Ranker, Scoring
from streams.engine.ranking import related_items
from streams.engine.stages import count_deltas, open_counts
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.producers import OutgoingRecord, make_producer
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import Turn
from streams.workers.publishing.published_digest import PublishedDigests
from streams.workers.publishing.refresh import SHARDS, RateLimit, RefreshQueue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.settings import CountingSettings
    from streams.workers.kafka.producers import Producer
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

SHARD_EVERY_S = 0.06  # while deltas come in: all 256 have their turn within 16 s, if there is time
MOST_BOUGHT = 128  # items whose lists are made at once: 50 ms, so that deltas do not wait long
_MOST_RECORDS = 32
_FAR_BEHIND = 4 * _MOST_RECORDS  # offsets, of which transactions take some too: counting goes before lists
_COMMIT_BYTES = 128 << 10  # some 3,000 order lines: within a commit every record is merged into those before it


@dataclass(slots=True)
class ItemPartition:
    """An item partition that is ours."""

    counts: CountStore
    related: RelatedStore
    refresh: RefreshQueue
    published_digests: PublishedDigests
    producer: Producer | None = None
    caught_up: bool = False
    """Whether `related` holds what they published last."""
    ranker: Ranker | None = None
    """As of the last commit; None: none was needed since."""
    list_time_credit_s: float = 0.0
    """Time for lists earned while deltas wait."""
    counted_at: float = 0.0
    shard_at: float = 0.0
    """When a shard of all items is due."""
    publishing: asyncio.Task[None] | None = None
    """Lists on their way, while others are made."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while deltas are counted or lists made: who holds it has the counts alone, as of a commit."""

    async def published(self) -> None:
        """Return once the lists on their way have arrived."""
        if self.publishing is not None:
            await self.publishing
            self.publishing = None


class Tally:
    """Stage B of one worker.

    Args:
        settings: the worker's.
        directory: where the stores are.
        counting: what is counted.

    Attributes:
        on_published: (partition, item numbers) told, on the event loop, of which lists readers were just told.
    """

    name = "tally"

    def __init__(self, settings: WorkerSettings, directory: StateDirectory, counting: CountingSettings) -> None:
        self.topic = settings.topics.co_purchases
        self.published = 0
        self.on_published: Callable[[int, Iterable[int]], None] = lambda _, __: None
        self._settings = settings
        self._directory = directory
        self._counting = counting
        self._scoring = Scoring(settings.score)
        self._rate_limit = RateLimit(settings.lists_per_second)
        self._partitions: dict[int, ItemPartition] = {}

    @property
    def most_records(self) -> int:
        """Some megabytes of deltas."""
        return _MOST_RECORDS

    @property
    def stores(self) -> list[CountStore | RelatedStore]:
        """The open stores."""
        return [store for part in self._partitions.values() for store in (part.counts, part.related)]

    @property
    def partitions(self) -> Mapping[int, ItemPartition]:
        """The partitions that are open."""
        return self._partitions

    def offsets(self) -> dict[int, int]:
        """Offset of the deltas up to which each open partition is counted."""
        return {partition: part.counts.co_purchases_offset for partition, part in self._partitions.items()}

    def age_s(self) -> float:
        """How long the oldest change of any list has waited to be looked at."""
        now = time.monotonic()
        return max((part.refresh.age_s(now) for part in self._partitions.values()), default=0.0)

    async def open(self, partition: int) -> int:
        """Open a partition's counts and lists, and shut earlier owners out."""
        part = self._partitions.get(partition)
        if part is None:
            part = self._partitions[partition] = await asyncio.to_thread(self._open_stores, partition)
        if part.producer is not None:
            await part.producer.close()
        name = f"{self._settings.topics.group(self.name)}-{partition}"
        part.producer = make_producer(self._settings.broker, name, fencing=self._settings.fencing)
        await part.producer.open()
        part.caught_up = False
        return part.counts.co_purchases_offset

    def _open_stores(self, partition: int) -> ItemPartition:
        for kind in (COUNTS, RELATED):
            path = self._directory.store(kind, partition)
            if restore_store(path, self._settings.restore_from):
                logger.info("tally: %s was restored from %s", path, self._settings.restore_from)
        counts = open_counts(self._directory.store(COUNTS, partition), partition, self._counting)
        related = RelatedStore(self._directory.store(RELATED, partition))
        refresh = RefreshQueue(time.monotonic())
        if related.exact_as_of == counts.purchases_offset_sum or counts.journal.commit == 0:
            refresh.is_current(counts.journal.commit)
        return ItemPartition(counts, related, refresh, PublishedDigests(related.get_many))

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Count deltas, then make some lists, while those made before are on their way."""
        for partition, batch in records.items():
            async with self._partitions[partition].turn:
                await self._count(self._partitions[partition], batch)
        wait = Turn().wait
        for partition, more in waiting.items():
            part = self._partitions[partition]
            async with part.turn:
                if not part.caught_up:
                    if more:
                        continue
                    await self._learn(partition, part)
                busy = more > _FAR_BEHIND
                if not busy or part.list_time_credit_s > 0:
                    wait = min(wait, await self._refresh(partition, part, busy=busy))
        return Turn(wait=0.0 if any(waiting.values()) else wait)

    async def _count(self, part: ItemPartition, batch: list[Any]) -> None:
        begun = time.monotonic()
        bought = await asyncio.to_thread(_count, part.counts, batch)
        now = time.monotonic()
        part.refresh.changed(bought, part.counts.journal.commit, now)
        part.ranker = None
        part.counted_at = now
        part.list_time_credit_s += (now - begun) * self._settings.refresh_time_fraction

    async def _learn(self, partition: int, part: ItemPartition) -> None:
        """Read up what earlier owners published since this store knew."""
        topic = self._settings.topics.related_items
        lists = 0
        broker = self._settings.broker
        async with TopicReader(broker, committed=False) as reader, TopicReader(broker) as strict:
            begin, end = await reader.bounds(topic, partition)
            if part.related.related_items_offset > end:
                raise LogLost(
                    f"topic {topic} partition {partition} ends at offset {end}, lists were published up to "
                    f"{part.related.related_items_offset}: the topic is not the one they were published to. "
                    f"Delete {self._directory.store(RELATED, partition)}, and all of them are published again"
                )
            first = max(begin, part.related.related_items_offset)
            # of a transaction that was undone some readers saw lists and others did not, and compaction removes them
            decided = min(end, (await strict.bounds(topic, partition))[1])
            lasting = {
                record.offset
                async for records in strict.records(topic, partition, first, decided)
                for record in records
            }
            async for records in reader.records(topic, partition, first, end):
                if not records:
                    continue
                try:
                    told = [_learned(part.counts, record, lasting=record.offset in lasting) for record in records]
                except KeyError as error:
                    # we stood still: what we took for the end of the deltas is long past, and another has the partition
                    logger.info("tally: partition %d: lists name item %s, which is not counted yet", partition, error)
                    return
                part.related.related_items_offset = records[-1].offset + 1
                part.related.write(told)
                self.on_published(partition, [number for number, _ in told])
                lists += len(told)
        part.caught_up = True
        if lists:
            part.published_digests = PublishedDigests(part.related.get_many)
            part.refresh = RefreshQueue(time.monotonic())
            part.refresh.changed(np.zeros(0, np.uint32), part.counts.journal.commit, time.monotonic())
            logger.info("tally: partition %d: read up %d lists published by others", partition, lists)

    async def _refresh(self, partition: int, part: ItemPartition, *, busy: bool) -> float:
        """Make the lists that are next, and publish those that changed; return how long the next can wait."""
        begun = time.monotonic()
        idle = not busy and begun - part.counted_at > self._settings.idle_ms / 1000
        if not idle and self._rate_limit.left(begun) < 1:
            return Turn().wait
        items, shard = _next(part, begun, busy=busy, idle=idle)
        if shard is None and not len(items):
            await part.published()
            if idle:
                self._declare_current(partition, part)
            due = part.refresh.oldest() is not None
            return max(0.0, part.shard_at - begun) if due else Turn().wait
        # what was bought has other buyers and purchases too, so it is published whatever its list; unless time is short
        always = shard is None and not busy
        tolerance = -1.0 if always else 0.0 if idle else self._settings.list_change
        changed, records = await asyncio.to_thread(self._made, partition, part, items, shard, tolerance)
        await part.published()
        if records:
            self._rate_limit.spend(len(records))
            part.publishing = asyncio.create_task(self._publish(partition, part, changed, records))
        took = time.monotonic() - begun
        if shard is not None:
            part.refresh.looked_at(shard, exactly=idle)
            # between two of them what is bought has its turn
            part.shard_at = begun + max(SHARD_EVERY_S, took * (1.5 if len(part.refresh) else 1))
        part.list_time_credit_s = max(part.list_time_credit_s - took, -1.0) if busy else 0.0
        return 0.0

    async def _publish(
        self, partition: int, part: ItemPartition, changed: list[tuple[int, StoredList]], records: list[OutgoingRecord]
    ) -> None:
        if part.producer is None:
            return
        ends = await part.producer.write(records)
        part.related.related_items_offset = ends[TopicPartition(self._settings.topics.related_items, partition)]
        await asyncio.to_thread(part.related.write, changed)
        self.on_published(partition, [number for number, _ in changed])
        self.published += len(changed)

    def _made(
        self, partition: int, part: ItemPartition, items: npt.NDArray[np.uint32], shard: int | None, tolerance: float
    ) -> tuple[list[tuple[int, StoredList]], list[OutgoingRecord]]:
        """Make the lists of items bought, or of a shard of all; return those to publish, and their records."""
        if part.ranker is None:
            part.ranker = Ranker(part.counts, self._scoring)
        made, lists = part.ranker.lists(items if shard is None else part.ranker.shard(shard, SHARDS))
        rows = np.arange(len(made)) if tolerance < 0 else part.published_digests.differing(made, lists, tolerance)
        part.published_digests.record(made, lists, rows)
        topic, names, log = self._settings.topics.related_items, part.counts.names, as_of(part.counts)
        changed, records = [], []
        totals = (column.tolist() for column in part.ranker.totals(made[rows]))
        for row, buyers, purchases in zip(rows.tolist(), *totals, strict=True):
            item = int(made[row])
            stored = StoredList(*lists.cut(row, int(lists.length[row])))
            changed.append((item, stored))
            entries = related_items(names, *stored)
            document = RelatedList(names.text(item), buyers, purchases, log, self._scoring.score, entries)
            records.append(OutgoingRecord(topic, partition, document.item_id.encode(), msgspec.json.encode(document)))
        return changed, records

    def _declare_current(self, partition: int, part: ItemPartition) -> None:
        if part.counts.journal.commit and part.related.exact_as_of != part.counts.purchases_offset_sum:
            part.related.write([], exact_as_of=part.counts.purchases_offset_sum)
            logger.info(
                "tally: partition %d: every list is exactly current, as of %d order lines", partition, part.counts.lines
            )

    async def flush(self) -> None:
        """Return once the lists on their way have arrived."""
        for part in self._partitions.values():
            await part.published()

    async def close(self, partition: int) -> None:
        """Release a partition."""
        part = self._partitions.pop(partition, None)
        if part is not None:
            async with part.turn:  # a reader may be at it
                if part.publishing is not None:
                    await asyncio.wait([part.publishing])  # it may have failed, which is why the partition is closed
            if part.producer is not None:
                await part.producer.close()
            part.counts.close()
            part.related.close()


def _next(part: ItemPartition, now: float, *, busy: bool, idle: bool) -> tuple[npt.NDArray[np.uint32], int | None]:
    """The items bought, or else the shard of all items, whose lists are to be made now."""
    nothing = np.zeros(0, np.uint32)
    shard = part.refresh.oldest()
    if shard is not None and not busy and now >= part.shard_at:
        return nothing, shard
    items = part.refresh.bought(MOST_BOUGHT)
    if not len(items) and busy:
        return nothing, shard
    if not len(items) and idle:
        return nothing, part.refresh.inexact() if shard is None else shard
    return items, None


def _count(counts: CountStore, batch: list[Any]) -> npt.NDArray[np.uint32]:
    """Count records of deltas, a few at a time; return the partition's own items that were bought."""
    bought = np.zeros(0, np.uint32)
    first = size = 0
    for last, record in enumerate(batch, 1):
        size += len(record.value)
        if size >= _COMMIT_BYTES or last == len(batch):
            counts.co_purchases_offset = record.offset + 1
            bought = np.union1d(bought, count_deltas(counts, [each.value for each in batch[first:last]]))
            first, size = last, 0
    own: npt.NDArray[np.uint32] = bought[counts.owned[bought]]
    return own


def _learned(counts: CountStore, record: Any, *, lasting: bool) -> tuple[int, StoredList | None]:  # noqa: ANN401 - a client's
    """What a record tells of a list; None: not all readers know it."""
    return counts.names[record.key.decode()], _told(record.value, counts) if lasting else None


def _told(document: bytes, counts: CountStore) -> StoredList:
    """A list as it was published, in the store's numbers."""
    rows = [tuple(entry.values()) for entry in msgspec.json.decode(document)["related"]]
    ids, *columns = list(zip(*rows, strict=True)) or [()] * 5
    numbers = np.array([counts.names[item_id] for item_id in ids], np.uint32)
    return StoredList(numbers, *[np.array(column, np.float64) for column in columns])
