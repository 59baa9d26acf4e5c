"""Stage A at work: orders from Kafka into histories, and the deltas they make to stage B, each exactly once.

A commit makes the orders' effect, their offset and the deltas durable together; the deltas are sent behind it. Whoever
opens a partition shuts the owner before it out, and learns from the deltas that are there how far the log was told. A
store that is behind (it was rebuilt, restored, or another worker had the partition) catches up without telling.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.orders import PURCHASE
from state.directory import HISTORIES, StateDirectory
from state.snapshots import restore_store
from streams.engine.deltas import unpack_deltas
from streams.engine.stages import count_orders, open_histories
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.producers import Delivery, OutboxSender, OutgoingRecord, make_producer
from streams.workers.kafka.purchases import NOT_HELD_REASON, read_orders, rejection_record
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from producers.orders import Orders, Rejection
    from state.history_store import HistoryStore
    from state.settings import CountingSettings
    from streams.engine.stages import Score
    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

SOURCE, BEGIN, END = "source", "begin", "end"
_USUAL_LINES = 10.0  # of an order, until we know better
_MOST_TOLD = 50  # items bought in a commit of which watchers are told


class _Waiting(NamedTuple):
    """A delivery in a store's outbox."""

    commit: int
    begin: int
    end: int
    rejected: int
    deltas: bytes


@dataclass(slots=True)
class PurchasesPartition:
    """A purchases partition that is ours."""

    store: HistoryStore
    outbox_sender: OutboxSender | None = None
    delivered_offset: int = 0
    """Log position up to which stage B has deltas."""
    sent_to: int | None = None
    """While it is being opened: offset of `co-purchases` up to which earlier owners may have sent."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while orders are counted: who holds it reads the histories as of a commit."""
    touched: frozenset[bytes | None] = frozenset()
    """Keys of the orders that are being counted: the histories of other customers can be read meanwhile."""


class Ingest:
    """Stage A of one worker.

    Args:
        settings: the worker's.
        directory: where the stores are.
        counting: what is counted.

    Attributes:
        on_counted: (item ids) told, on the event loop, what was just bought; of many items only some.
        scorer: makes what scores a partition's orders before they are counted; None: nobody does.
    """

    name = "ingest"

    def __init__(self, settings: WorkerSettings, directory: StateDirectory, counting: CountingSettings) -> None:
        self.topic = settings.topics.purchases
        self.lines = 0
        self.rejected = 0
        self.on_counted: Callable[[list[str]], None] = lambda _: None
        self.scorer: Callable[[HistoryStore], Score] | None = None
        self._settings = settings
        self._directory = directory
        self._counting = counting
        self._partitions: dict[int, PurchasesPartition] = {}
        self._lines_per_record = _USUAL_LINES

    @property
    def most_records(self) -> int:
        """As many as will hold the lines of one commit."""
        return max(1, int(self._settings.commit_lines / self._lines_per_record))

    @property
    def partitions(self) -> Mapping[int, PurchasesPartition]:
        """The partitions that are open."""
        return self._partitions

    @property
    def stores(self) -> list[HistoryStore]:
        """The open stores."""
        return [source.store for source in self._partitions.values()]

    def offsets(self) -> dict[int, int]:
        """Offset up to which each open partition is counted."""
        return {partition: source.store.purchases_offset for partition, source in self._partitions.items()}

    async def open(self, partition: int) -> int | None:
        """Open a partition's histories, shut earlier owners out, and send what a crash may have kept back.

        Returns:
            The offset from which to read; None if it is to be tried again: what earlier owners sent may stand behind
            what others have not finished, and can't be read yet. A worker that died leaves such a transaction. It ends
            when the partition in whose name it was begun is opened, here or by another worker.
        """
        source = self._partitions.get(partition)
        if source is None:
            source = self._partitions[partition] = PurchasesPartition(
                await asyncio.to_thread(self._open_store, partition)
            )
        if source.sent_to is None:
            source.sent_to = await self._shut_out(partition, source)
        async with TopicReader(self._settings.broker) as reader:
            if (await reader.bounds(self._settings.topics.co_purchases, 0))[1] < source.sent_to:
                return None
            source.sent_to = None
            source.delivered_offset = await self._told(reader, partition, source.store.purchases_offset)
            waiting = _outbox(source.store)
            if source.store.purchases_offset > source.delivered_offset and all(
                entry.begin != source.delivered_offset for entry in waiting
            ):
                await self._make_again(partition, source)
                waiting = []
            await self._send_again(reader, partition, source, waiting)
        if source.store.purchases_offset < source.delivered_offset:
            logger.info(
                "ingest: partition %d: histories stand at %d, deltas were made up to %d: catching up",
                partition,
                source.store.purchases_offset,
                source.delivered_offset,
            )
        return source.store.purchases_offset

    async def _shut_out(self, partition: int, source: PurchasesPartition) -> int:
        """Shut earlier owners out; return the offset of `co-purchases` up to which they may have sent."""
        if source.outbox_sender is not None:
            await source.outbox_sender.close()
        topics = self._settings.topics
        name = f"{topics.group(self.name)}-{partition}"
        producer = make_producer(self._settings.broker, name, fencing=self._settings.fencing)
        await producer.open()

        def acknowledge(commits: Sequence[int]) -> None:
            source.store.acknowledge(commits)  # of the store it has then: it may be made again

        source.outbox_sender = OutboxSender(producer, acknowledge)
        async with TopicReader(self._settings.broker, committed=False) as reader:
            return (await reader.bounds(topics.co_purchases, 0))[1]

    async def _make_again(self, partition: int, source: PurchasesPartition) -> None:
        logger.warning(
            "ingest: partition %d: its histories went on from %d another way than the owner since; "
            "they are made again from the topic's start",
            partition,
            source.delivered_offset,
        )
        source.store.close()
        shutil.rmtree(source.store.path)
        source.store = await asyncio.to_thread(self._open_store, partition)

    def _open_store(self, partition: int) -> HistoryStore:
        path = self._directory.store(HISTORIES, partition)
        if restore_store(path, self._settings.restore_from):
            logger.info("ingest: %s was restored from %s", path, self._settings.restore_from)
        return open_histories(path, self._counting)

    async def _told(self, reader: TopicReader, partition: int, position: int) -> int:
        """Log position up to which stage B has deltas in all its partitions.

        In transactions they go to all partitions or to none, so one tells.
        """
        mine = str(partition).encode()
        told = []
        for item_partition in range(1 if self._settings.fencing else self._counting.item_partitions):
            last = await reader.last(
                self._settings.topics.co_purchases, item_partition, lambda record: dict(record.headers)[SOURCE] == mine
            )
            told.append(0 if last is None else int(dict(last.headers)[END]))
        kept_from = (await reader.bounds(self._settings.topics.co_purchases, 0))[0]
        if not min(told) and kept_from > 0 and position > 0:
            raise LogLost(
                f"topic {self._settings.topics.co_purchases} partition 0 has no record of purchases partition "
                f"{partition} any more, which stands at {position}: what stage B was told is not to be known. "
                "Records of this topic must be kept for ever: start a new --generation"
            )
        return min(told)

    async def _send_again(
        self, reader: TopicReader, partition: int, source: PurchasesPartition, waiting: list[_Waiting]
    ) -> None:
        """Send the outbox from where stage B stands; what it has is acknowledged."""
        if source.outbox_sender is None:
            return
        for entry in undelivered(waiting, source.delivered_offset):
            refused = set(source.store.refused(entry.commit).tolist())
            records = []
            if entry.rejected:
                async for some in reader.records(self.topic, partition, entry.begin, entry.end):
                    records += some
            rejections = read_orders(records)[1]
            delivery = self._delivery(partition, entry, records, rejections, refused)
            await source.outbox_sender.put(delivery)
        await source.outbox_sender.flush()
        left = [commit for commit, _ in source.store.outbox()]
        if left:
            source.store.acknowledge(left)

    def _delivery(
        self,
        partition: int,
        entry: _Waiting,
        records: Iterable[Any],
        rejections: list[Rejection],
        refused: set[int],
    ) -> Delivery:
        topics = self._settings.topics
        numbers = {SOURCE: partition, BEGIN: entry.begin, END: entry.end}
        headers = tuple((name, str(number).encode()) for name, number in numbers.items())
        sent = [
            OutgoingRecord(topics.co_purchases, item_partition, None, entry.deltas, headers)
            for item_partition in range(self._counting.item_partitions)
        ]
        if rejections or refused:
            by_offset = {record.offset: record for record in records}
            sent += [
                rejection_record(by_offset[bad.position], bad.reason, topics, bad.record if bad.partial else None)
                for bad in rejections
            ]
            sent += [rejection_record(by_offset[offset], NOT_HELD_REASON, topics) for offset in sorted(refused)]
        return Delivery(entry.commit, entry.end, sent)

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Count the orders of each partition; a commit that has room waits for company."""
        begun = time.monotonic()
        lines = 0
        for source in self._partitions.values():
            if source.outbox_sender is not None:
                source.outbox_sender.check()
        for partition, batch in records.items():
            source = self._partitions[partition]
            fresh = [record for record in batch if record.offset >= source.store.purchases_offset]
            known = [record for record in fresh if record.offset < source.delivered_offset]
            for stretch in (known, fresh[len(known) :]):
                if stretch:
                    lines += await self._count(partition, source, stretch)
        got = sum(map(len, records.values()))
        if got and lines:
            self._lines_per_record = max(1.0, 0.8 * self._lines_per_record + 0.2 * lines / got)
        if any(waiting.values()) or not got:
            return Turn()
        return Turn(pause=max(0.0, begun + self._settings.commit_interval_ms / 1000 - time.monotonic()))

    async def _count(self, partition: int, source: PurchasesPartition, records: list[Any]) -> int:
        """Count records that follow where the store stands, and send the deltas unless stage B has them."""
        begin, end = source.store.purchases_offset, records[-1].offset + 1
        # what stage B was told before would be scored by lists that know it
        score = self.scorer(source.store) if self.scorer is not None and begin >= source.delivered_offset else _no_score
        async with source.lock:
            source.touched = frozenset(record.key for record in records)
            (commit, deltas, refused), rejections, lines, bought = await asyncio.to_thread(
                _count, source.store, partition, records, end, score
            )
            source.touched = frozenset()
        self.lines += lines
        if end <= source.delivered_offset:
            source.store.acknowledge([commit])
            return lines
        self.rejected += len(rejections) + len(refused)
        if bought:
            self.on_counted(bought)
        entry = _Waiting(commit, begin, end, len(rejections), deltas)
        if source.outbox_sender is not None:
            await source.outbox_sender.put(self._delivery(partition, entry, records, rejections, set(refused.tolist())))
        return lines

    async def flush(self) -> None:
        """Return once stage B has all deltas."""
        for source in self._partitions.values():
            source.sent_to = None  # others may send now
            if source.outbox_sender is not None:
                await source.outbox_sender.flush()

    async def close(self, partition: int) -> None:
        """Release a partition."""
        source = self._partitions.pop(partition, None)
        if source is not None:
            async with source.lock:  # a reader may be at it
                pass
            if source.outbox_sender is not None:
                await source.outbox_sender.close()
            source.store.close()


def undelivered(waiting: Iterable[_Waiting], told: int) -> list[_Waiting]:
    """What of an outbox stage B does not have, given the log position up to which it was told."""
    return [entry for entry in waiting if entry.end > told]


def _outbox(store: HistoryStore) -> list[_Waiting]:
    entries = []
    for commit, packed in store.outbox():
        deltas = unpack_deltas(packed)
        entries.append(_Waiting(commit, deltas.begin, deltas.end, deltas.rejected, packed))
    return entries


def _count(
    store: HistoryStore, partition: int, records: list[Any], end: int, score: Score
) -> tuple[tuple[int, bytes, npt.NDArray[np.int64]], list[Rejection], int, list[str]]:
    """Decode and count; in a thread, so that heartbeats go on."""
    orders, rejections = read_orders(records)
    counted = count_orders(store, partition, orders, end, len(rejections), score=score)
    return counted, rejections, len(orders.item) + len(rejections), _bought(orders)


def _no_score(*_: object) -> dict[int, Sequence[int]]:
    return {}


def _bought(orders: Orders) -> list[str]:
    """Ids of items bought, the last ones of many."""
    bought = np.repeat(orders.kind == PURCHASE, np.diff(orders.start))
    return [orders.items[number] for number in dict.fromkeys(orders.item[bought][-_MOST_TOLD:].tolist())]
