"""Stage A: counts orders from Kafka into histories, and delivers the deltas they make to stage B, each exactly once.

A commit, step by step:

    1  read records of `purchases`, from the offset in the store
    2  decode them into orders; the invalid ones become rejections
    3  apply the orders to the histories, which gives the deltas
    4  write histories, offset and deltas (the outbox) in one RocksDB batch: this is the commit
    5  send deltas and rejections in one Kafka transaction, for all commits that wait
    6  once it is committed, drop those deltas from the outbox

Steps 5 and 6 run in the background while the next orders are counted. After a crash before step 4 the same records are
read again; after a crash behind it the outbox is sent again, except for what `co-purchases` has already.

Whoever opens a partition fences previous owners, and then finds on `co-purchases` the offset up to which deltas were
delivered. A store that is behind that (it was restored or rebuilt, or another worker owned the partition) counts up to
it without delivering anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from aiokafka import TopicPartition

from producers.log_format import LogFormat
from producers.orders import PURCHASE
from state.log_identity import check_same
from state.recovery import marking_damage
from streams.engine.events import events_read
from streams.engine.stages import count_orders
from streams.workers.commit_records import CommitRecords, OutboxEntry, outbox_of, undelivered
from streams.workers.history_stores import HistoryStores
from streams.workers.kafka.co_purchases import check_source, read_headers
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.placement import UNCHECKED, Placement, decide_placement, read_partitioner, votes
from streams.workers.kafka.producers import OutboxSender, make_producer
from streams.workers.kafka.purchases import ReadOrders, read_orders
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.sources import original
from streams.workers.kafka.stage_service import Turn, check_offset
from streams.workers.standby import Step, in_parts, no_standby

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    import numpy.typing as npt

    from producers.orders import Orders
    from state.directory import StateDirectory
    from state.errors import StateDamaged
    from state.history_store import HistoryStore
    from state.log_identity import LogIdentity
    from state.memory import Memory
    from state.settings import CountingSettings
    from streams.engine.deltas import DeltasRecord
    from streams.engine.stages import OrderScorer
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

MOST_NOTIFIED = 50  # items bought in a commit of which watchers are notified
_USUAL_LINES = 10.0  # of an order, until we have seen some


@dataclass(slots=True)
class PurchasesPartition:
    """An open purchases partition."""

    store: HistoryStore
    outbox_sender: OutboxSender | None = None
    delivered_offset: int = 0
    """Offset of `purchases` up to which stage B has deltas."""
    sent_to: int | None = None
    """While it is being opened: offset of `co-purchases` up to which previous owners may have written."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while orders are counted: its holder reads the histories as of a commit."""
    touched: frozenset[bytes | None] = frozenset()
    """Keys of the orders that are being counted; the histories of other customers can be read meanwhile."""
    damage: StateDamaged | None = None
    """What a question found: counting ends with it, so that the store is set aside and replaced at the next start."""

    @property
    def stores(self) -> list[HistoryStore]:
        """Its store."""
        return [self.store]


class Ingest:
    """Stage A of one worker.

    Args:
        settings: the worker's.
        directory: where the stores are.
        counting: what is counted.
        logs: the topics by role; those left out are not compared with those that were counted before.
        placement: where customers are; by default their orders are not checked.
        memory: what the stores may take together; None: the default.

    Attributes:
        on_counted: (item ids) called on the event loop with what was just bought; of many items only with some.
        scorer: makes the function that scores a partition's orders before they are counted; None: none are scored.
        skipped: how many records were skipped since the start, by their type, which is not counted.
        take_standby: (partition) called when one is opened; returns it if it is on standby here.
    """

    name = "ingest"

    def __init__(
        self,
        settings: WorkerSettings,
        directory: StateDirectory,
        counting: CountingSettings,
        logs: Mapping[str, LogIdentity] = MappingProxyType({}),
        placement: Placement | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.topic = settings.topics.log
        self.lines = 0
        self.rejected = 0
        self.skipped: Counter[str] = Counter()
        self.on_counted: Callable[[list[str]], None] = lambda _: None
        self.scorer: Callable[[HistoryStore], OrderScorer] | None = None
        self.take_standby: Callable[[int], Awaitable[PurchasesPartition | None]] = no_standby
        self._settings = settings
        self._stores = HistoryStores(directory, counting, logs, settings.restores_from, memory)
        self._counting = counting
        self._log_format = LogFormat(container="jsonl", **events_read(counting))
        self._logs = logs
        self._placement = placement or Placement(1)
        self._commit_records = CommitRecords(
            settings.topics, counting, self._logs.get("purchases"), self._placement, settings.record_bytes
        )
        self._partitions: dict[int, PurchasesPartition] = {}
        self._lines_per_record = _USUAL_LINES
        self._delivered: dict[int, int] = {}
        """Offset of `purchases` up to which owners have delivered deltas, by partition, as far as we looked."""
        self._looked_to: int | None = None

    @property
    def most_records(self) -> int:
        """As many as hold the lines of one commit."""
        return max(1, int(self._settings.commit_lines / self._lines_per_record))

    @property
    def partitions(self) -> Mapping[int, PurchasesPartition]:
        """The open partitions."""
        return self._partitions

    @property
    def stores(self) -> list[HistoryStore]:
        """The open stores."""
        return [partition.store for partition in self._partitions.values()]

    def offsets(self) -> dict[int, int]:
        """Offset of `purchases` up to which each open partition is counted."""
        return {number: partition.store.purchases_offset for number, partition in self._partitions.items()}

    # Opening a partition

    async def open(self, number: int) -> int | None:
        """Open a partition's histories, fence previous owners, and deliver what is left in the outbox.

        Returns:
            The offset from which to read; None if it must be tried again: what previous owners wrote may stand behind
            an open transaction of another partition, and can't be read yet. A worker that died leaves such a
            transaction. It ends when that partition is opened, here or by another worker.
        """
        opened = self._partitions.get(number)
        self._check_number(number)
        if opened is None:
            opened = self._partitions[number] = await self.take_standby(number) or await self.open_standby(number)
        if opened.sent_to is None:
            opened.sent_to = await self._fence(number, opened)
        with marking_damage(lambda: self.stores):
            return await self._opened(number, opened, opened.sent_to)

    async def _opened(self, number: int, opened: PurchasesPartition, sent_to: int) -> int | None:
        async with TopicReader(self._settings.broker) as reader:
            bounds = await reader.bounds(self._settings.topics.co_purchases, 0)
            if bounds[1] < sent_to:
                return None
            opened.sent_to = None
            await self._check_source(reader, bounds)
            opened.delivered_offset = await self._find_delivered_offset(reader, number, opened.store.purchases_offset)
            announce = partial(self._announce, number, opened, opened.delivered_offset)
            await decide_placement(self._placement, reader, self._settings.topics, announce)
            await self._resume_outbox(reader, number, opened)
        if opened.store.purchases_offset < opened.delivered_offset:
            logger.info(
                "ingest: partition %d: histories end at offset %d, deltas at %d: catching up",
                number,
                opened.store.purchases_offset,
                opened.delivered_offset,
            )
        return opened.store.purchases_offset

    def _check_number(self, number: int) -> None:
        """Refuse a partition that was added since the start, before it is counted."""
        known = self._logs.get("purchases")
        if known is not None and number >= known.partitions:
            check_same("this worker has read", "purchases", known, known._replace(partitions=number + 1))

    async def _restore_if_behind(self, number: int, partition: PurchasesPartition) -> None:
        """Take the store of a snapshot if records were deleted that ours has not counted, and the snapshot's has."""
        if self._settings.restores_from is None:
            return
        async with TopicReader(self._settings.broker) as reader:
            begin = (await reader.bounds(self.topic, number))[0]
        if partition.store.purchases_offset < begin:
            partition.store = await asyncio.to_thread(self._stores.restored, number, partition.store, begin)

    async def _fence(self, number: int, partition: PurchasesPartition) -> int:
        """Fence previous owners; return the offset of `co-purchases` up to which they may have written."""
        if partition.outbox_sender is not None:
            await partition.outbox_sender.close()
        topics = self._settings.topics
        name = f"{topics.group(self.name)}-{number}"
        producer = make_producer(self._settings.broker, name, fencing=self._settings.fencing)
        await producer.open()

        def acknowledge(commits: Sequence[int]) -> None:
            partition.store.acknowledge(commits)  # not bound to today's store, which may be rebuilt

        partition.outbox_sender = OutboxSender(producer, acknowledge)
        async with TopicReader(self._settings.broker, committed=False) as reader:
            return (await reader.bounds(topics.co_purchases, 0))[1]

    async def _announce(self, number: int, partition: PurchasesPartition, at: int, partitioner: str) -> None:
        """Write deltas of no orders after those up to offset `at`; their header names the generation's partitioner."""
        if partition.outbox_sender is None:
            return
        await partition.outbox_sender.put(self._commit_records.announcement(number, at, partitioner))
        await partition.outbox_sender.flush()

    def _misplaced(self, number: int, store: HistoryStore) -> Callable[[list[str]], Mapping[str, str]]:
        """Finds customers who do not belong to a partition; those with a history there do."""
        placement = self._placement
        if placement.partitioner == UNCHECKED:
            return lambda _: {}
        known = store.customers

        def misplaced(ids: list[str]) -> Mapping[str, str]:
            strangers = [each for each, known_as in zip(ids, known.find(ids), strict=True) if known_as is None]
            return placement.misplaced(strangers, number)

        return misplaced

    async def _check_source(self, reader: TopicReader, bounds: tuple[int, int] | None = None) -> None:
        """Check that the deltas that were delivered last, whoever did, are of the topic that is read here."""
        topic = self._settings.topics.co_purchases
        last = await reader.last(topic, 0, lambda record: read_headers(record) is not None, bounds)
        headers = read_headers(last)
        if headers is not None:
            check_source(last, headers, self._logs.get("purchases"), self._counting)

    async def _find_delivered_offset(self, reader: TopicReader, number: int, purchases_offset: int) -> int:
        """Offset of `purchases` up to which stage B has deltas in all its partitions.

        A transaction writes to all partitions or none, so looking at one is enough.
        """
        topic = self._settings.topics.co_purchases

        def is_ours(record: Any) -> bool:  # noqa: ANN401
            headers = read_headers(record)
            return headers is not None and headers.source == number and headers.is_last_part

        ends, kept_from = [], 0
        for item_partition in range(1 if self._settings.fencing else self._counting.item_partitions):
            bounds = await reader.bounds(topic, item_partition)
            headers = read_headers(await reader.last(topic, item_partition, is_ours, bounds))
            ends.append(0 if headers is None else headers.end)
            kept_from = kept_from or bounds[0]
        if not min(ends) and kept_from > 0 and purchases_offset > 0:
            raise LogLost(
                f"topic {topic} no longer has a record of purchases partition {number}, whose state ends "
                f"at {purchases_offset}: it is unknown which deltas stage B has. Records of this topic must be kept "
                "for ever: start a new --generation"
            )
        return min(ends)

    async def _resume_outbox(self, reader: TopicReader, number: int, partition: PurchasesPartition) -> None:
        """Send what stage B lacks of the outbox, acknowledge what it has; rebuild a store that does not fit."""
        if partition.outbox_sender is None:
            return
        entries = outbox_of(partition.store)
        delivered = partition.delivered_offset
        begins = {deltas.begin for entry in entries for deltas in entry.deltas}
        if partition.store.purchases_offset > delivered and delivered not in begins:
            await self._rebuild(number, partition)
            entries = []
        for entry in undelivered(entries, delivered):
            refused = {offset for offset in partition.store.refused(entry.commit).tolist() if offset >= entry.begin}
            records = []
            if any(deltas.rejected for deltas in entry.deltas):
                async for some in reader.records(self.topic, number, entry.begin, entry.end):
                    records += self._originals(some)
            misplaced = self._misplaced(number, partition.store)
            rejections = read_orders(records, misplaced, self._log_format).rejected
            await partition.outbox_sender.put(
                self._commit_records.delivery(number, entry, records, rejections, refused)
            )
        await partition.outbox_sender.flush()
        left = sorted({commit for commit, _ in partition.store.outbox()})
        if left:
            partition.store.acknowledge(left)

    async def _rebuild(self, number: int, partition: PurchasesPartition) -> None:
        """Start from the beginning of the topic: another owner has divided the same records into other commits."""
        logger.warning(
            "ingest: partition %d: another worker delivered the deltas from offset %d on; "
            "the histories here are rebuilt from the start of the topic",
            number,
            partition.delivered_offset,
        )
        emptied = partial(self._stores.emptied, number, partition.store, partition.delivered_offset)
        partition.store = await asyncio.to_thread(emptied)

    # Counting orders, and delivering their deltas

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Count the orders of each partition; unless more orders wait already, give the next ones time to arrive."""
        with marking_damage(lambda: self.stores):
            return await self._work(records, waiting)

    async def _work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        begun = time.monotonic()
        lines = 0
        for partition in self._partitions.values():
            if partition.damage is not None:
                raise partition.damage
            if partition.outbox_sender is not None:
                partition.outbox_sender.check()
        for number, batch in records.items():
            partition = self._partitions[number]
            fresh = [record for record in self._originals(batch) if record.offset >= partition.store.purchases_offset]
            delivered = [record for record in fresh if record.offset < partition.delivered_offset]
            for stretch in (delivered, fresh[len(delivered) :]):
                if stretch:
                    lines += await self._count(number, partition, stretch)
        got = sum(map(len, records.values()))
        if got and lines:
            self._lines_per_record = max(1.0, 0.8 * self._lines_per_record + 0.2 * lines / got)
        if any(waiting.values()) or not got:
            return Turn()
        return Turn(pause=max(0.0, begun + self._settings.commit_interval_ms / 1000 - time.monotonic()))

    def _originals(self, records: list[Any]) -> list[Any]:
        """The records of `purchases`, also if their copies are read."""
        return list(map(original, records)) if self._settings.topics.rekey else records

    async def _count(self, number: int, partition: PurchasesPartition, records: list[Any]) -> int:
        """Count records that follow the store's offset, and deliver the deltas unless stage B has them."""
        if self._placement.partitioner is None:
            await self._decide_placement(number, partition, records)
        begin, end = partition.store.purchases_offset, records[-1].offset + 1
        misplaced = self._misplaced(number, partition.store)
        # the lists already know orders that were delivered before: scoring them would flatter
        scored = self.scorer is not None and begin >= partition.delivered_offset
        scorer = self.scorer(partition.store) if self.scorer is not None and scored else _no_score
        async with partition.lock:
            partition.touched = frozenset(record.key for record in records)
            (commit, deltas, refused), (orders, rejections, types) = await asyncio.to_thread(
                _count, partition.store, number, records, end, scorer, misplaced, self._log_format
            )
            partition.touched = frozenset()
        lines = len(orders.item) + len(rejections)
        self.lines += lines
        if end <= partition.delivered_offset:
            partition.store.acknowledge([commit])
            return lines
        self.rejected += len(rejections) + len(refused)
        self.skipped += types
        if bought := _bought(orders):
            self.on_counted(bought)
        if partition.outbox_sender is not None:
            entry = OutboxEntry(commit, deltas)
            delivery = self._commit_records.delivery(number, entry, records, rejections, set(refused.tolist()))
            await partition.outbox_sender.put(delivery)
        return lines

    async def _decide_placement(self, number: int, partition: PurchasesPartition, records: list[Any]) -> None:
        """Decide where customers are if the customers of these records tell."""
        read = partial(read_orders, records, log_format=self._log_format)
        ids = (await asyncio.to_thread(read)).orders.customers
        counts = votes(ids, number, self._placement.partitions)
        if any(counts.values()):
            if partition.outbox_sender is not None:
                await partition.outbox_sender.flush()  # what is announced stands behind all deltas until now
            at = max(partition.delivered_offset, partition.store.purchases_offset)
            async with TopicReader(self._settings.broker) as reader:
                announce = partial(self._announce, number, partition, at)
                await decide_placement(self._placement, reader, self._settings.topics, announce, counts)

    # Following the owners of partitions that are on standby here

    async def open_standby(self, number: int) -> PurchasesPartition:
        """Open the histories of a partition, whoever owns it."""
        opened = PurchasesPartition(await asyncio.to_thread(self._stores.open, number))
        with opened.store.closed_on_error():
            await self._restore_if_behind(number, opened)
        return opened

    async def look(self, reader: TopicReader) -> None:
        """See up to where owners have delivered deltas since the last look."""
        topic = self._settings.topics.co_purchases
        end = await reader.end(topic, 0)
        if self._looked_to is not None:
            async for records in reader.records(topic, 0, self._looked_to, end):
                for record in records:
                    headers = read_headers(record)
                    if headers is not None and headers.is_last_part and headers.source in self._delivered:
                        check_source(record, headers, self._logs.get("purchases"), self._counting)
                        self._delivered[headers.source] = max(self._delivered[headers.source], headers.end)
        self._looked_to = end

    async def steps(self, reader: TopicReader, number: int, partition: PurchasesPartition) -> AsyncGenerator[Step]:
        """Orders to count whose deltas are delivered; so nothing of them is to be sent by whoever takes over."""
        store = partition.store
        if number not in self._delivered:
            await self._check_source(reader)
            self._delivered[number] = await self._find_delivered_offset(reader, number, store.purchases_offset)
        end = self._delivered[number]
        if store.purchases_offset >= end:
            return
        bounds = await reader.bounds(self.topic, number)
        for offset in (store.purchases_offset, end):
            check_offset(self.name, TopicPartition(self.topic, number), offset, bounds)
        if self._placement.partitioner is None:
            found = await read_partitioner(reader, self._settings.topics.co_purchases)
            if found is not None:
                self._placement.decide(found, self._settings.topics.co_purchases)
        async for records in reader.records(self.topic, number, store.purchases_offset, end):
            for some in in_parts(self._originals(records), self.most_records):
                yield Step(partial(self._count_delivered, number, store, some), end - some[-1].offset - 1)

    def _count_delivered(self, number: int, store: HistoryStore, records: list[Any]) -> None:
        misplaced = self._misplaced(number, store)
        (commit, _, _), _ = _count(
            store, number, records, records[-1].offset + 1, _no_score, misplaced, self._log_format
        )
        store.acknowledge([commit])

    # Releasing partitions

    async def flush(self) -> None:
        """Return once stage B has all deltas."""
        for partition in self._partitions.values():
            partition.sent_to = None  # the next owners may write from now on
            if partition.outbox_sender is not None:
                await partition.outbox_sender.flush()

    async def close(self, number: int) -> None:
        """Release a partition."""
        closed = self._partitions.pop(number, None)
        if closed is not None:
            async with closed.lock:  # somebody may be reading
                pass
            if closed.outbox_sender is not None:
                await closed.outbox_sender.close()
            closed.store.close()


def _count(
    store: HistoryStore,
    number: int,
    records: list[Any],
    end: int,
    scorer: OrderScorer,
    misplaced: Callable[[list[str]], Mapping[str, str]],
    log_format: LogFormat,
) -> tuple[tuple[int, list[DeltasRecord], npt.NDArray[np.int64]], ReadOrders]:
    """Decode and count in a thread, so that heartbeats continue."""
    read = read_orders(records, misplaced, log_format)
    rejected_at = [rejection.position for rejection in read.rejected]
    counted = count_orders(store, number, read.orders, end, len(read.rejected), scorer=scorer, rejected_at=rejected_at)
    return counted, read


def _no_score(*_: object) -> dict[int, Sequence[int]]:
    return {}


def _bought(orders: Orders) -> list[str]:
    """Ids of the items bought, the last ones if there are many."""
    bought = np.repeat(orders.kind == PURCHASE, np.diff(orders.start))
    return [orders.items[number] for number in dict.fromkeys(orders.item[bought][-MOST_NOTIFIED:].tolist())]
