"""How related lists are refreshed and published: from a change of the counts to a record on Kafka.

A commit of the counts calls `ListPublisher.counted`, which queues the items bought. The worker then calls
`ListPublisher.refresh` again and again; each call is one step of some tens of milliseconds:

    choose     which lists are next: a shard of all items that is due, the items just bought, or an inexact shard
    rank       compute them as of the last commit
    compare    keep those that differ from what readers have; under load by more than a tolerance
    encode     as JSON documents, keyed by item id
    send       in the background, while the next step ranks; then keep them in the related store

Once no deltas have arrived for a while, the worker is idle and compares exactly, until no list differs. The related
store then records that every list is exact, and as of which offsets.

Whoever takes over a partition fences previous owners (`open`), then reads what they published (`catch_up`), and
publishes nothing before that, so that no list goes back in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Protocol

import msgspec
import numpy as np
from aiokafka import TopicPartition

from state.related_store import StoredList
from streams.engine.documents import RelatedList, as_of
from streams.engine.ranker import Ranker
from streams.engine.ranking import LIST_LENGTH, related_items
from streams.engine.scores import Scoring
from streams.workers.kafka.co_purchases import read_headers
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.producers import OutgoingRecord, make_producer
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import FETCH_WAIT_MS
from streams.workers.publishing.published_digest import PublishedDigests
from streams.workers.publishing.refresh import SHARDS, RefreshQueue

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.related_store import RelatedStore
    from streams.workers.kafka.producers import Producer
    from streams.workers.kafka.skipped import SkippedRecords
    from streams.workers.publishing.refresh import RateLimit

logger = logging.getLogger(__name__)

SHARD_EVERY_S = 0.06  # while deltas arrive: each of the 256 is refreshed every 16 s, if there is time
MOST_BOUGHT = 128  # items whose lists one step computes: 50 ms, so that deltas do not wait long
LARGEST_DEBT_S = 1.0
NOTHING_DUE_S = FETCH_WAIT_MS / 1000
_WHATEVER = -1.0  # a tolerance: publish a list even if it is the same
_NO_ITEMS = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True)
class PublishingSettings:
    """How a worker publishes related lists.

    Attributes:
        broker: host:port.
        topic: `related-items`.
        deltas_topic: `co-purchases`.
        group: the consumer group of stage B; with the partition it names the producer.
        fencing: whether to write in transactions.
        score: what lists are ranked by.
        list_change: under load, a list is published again when a score moved by more than this fraction of it.
        time_fraction: far behind, the time spent on lists as a fraction of the time spent counting.
        idle_ms: without deltas for this long, lists are compared exactly.
    """

    broker: str
    topic: str
    deltas_topic: str
    group: str
    fencing: bool
    score: str
    list_change: float
    time_fraction: float
    idle_ms: int


class ListPublisher:
    """Publishes the related lists of one item partition.

    Whoever calls it makes sure that no deltas are counted meanwhile.

    Args:
        partition: its number.
        counts: from which lists are computed.
        related: keeps lists as they were published.
        settings: of the worker.
        rate_limit: of lists, for all partitions of the worker; an idle worker has none.
        on_published: (item numbers) called on the event loop when readers have new lists of these.
        skipped: counts foreign records.

    Attributes:
        caught_up: whether `related` holds what previous owners published.
        published: how many lists were sent.
    """

    def __init__(
        self,
        partition: int,
        counts: CountStore,
        related: RelatedStore,
        settings: PublishingSettings,
        rate_limit: RateLimit,
        on_published: Callable[[Sequence[int]], None],
        skipped: SkippedRecords,
    ) -> None:
        self.caught_up = False
        self.published = 0
        self._partition = partition
        self._counts = counts
        self._related = related
        self._settings = settings
        self._rate_limit = rate_limit
        self._on_published = on_published
        self._skipped = skipped
        self._scoring = Scoring(settings.score)
        if related.score != settings.score:
            related.restart(settings.score)
        self._queue = RefreshQueue(time.monotonic())
        if related.exact_as_of == counts.purchases_offset_sum or counts.journal.commit == 0:
            self._queue.is_current(counts.journal.commit)
        self._digests = PublishedDigests(related.get_many)
        self._producer: Producer | None = None
        self._ranker: Ranker | None = None  # None: not needed yet
        self._sending: asyncio.Task[None] | None = None
        self._list_time_credit_s = 0.0  # time for lists that counting has earned
        self._counted_at = 0.0
        self._shard_due_at = 0.0

    # Taking over a partition

    async def open(self) -> None:
        """Fence previous owners."""
        if self._producer is not None:
            await self._producer.close()
        name = f"{self._settings.group}-{self._partition}"
        self._producer = make_producer(self._settings.broker, name, fencing=self._settings.fencing)
        await self._producer.open()
        self.caught_up = False

    async def catch_up(self) -> None:
        """Read what previous owners published after what `related` holds.

        `caught_up` stays false if that names items which are not counted yet while there are more deltas. If there are
        none, something else wrote the record: lists are published after the deltas that they are made from.

        Raises:
            LogLost: the topic is not the one that `related` knows.
        """
        count = 0
        try:
            async with aclosing(self.published_since()) as batches:
                async for published in batches:
                    self.keep(published)
                    self._on_published([number for number, _ in published.lists])
                    count += len(published.lists)
        except NotCountedYet as error:
            logger.info("tally: partition %d: a list names item %s, which is not counted yet", self._partition, error)
            return
        self.caught_up = True
        if count:
            self._digests = PublishedDigests(self._related.get_many)
            self._queue = RefreshQueue(time.monotonic())
            self._queue.changed(_NO_ITEMS, self._counts.journal.commit, time.monotonic())
            logger.info("tally: partition %d: read %d lists that other workers published", self._partition, count)

    async def published_since(self, *, decided: bool = False) -> AsyncGenerator[PublishedLists]:
        """The lists that were published after those that `related` holds, in batches.

        Args:
            decided: end before the first transaction that is still open: whoever began it may commit it.

        Raises:
            LogLost: the topic is not the one that `related` knows.
            NotCountedYet: a list names an item that is not counted yet, and there are more deltas.
        """
        topic, partition, related = self._settings.topic, self._partition, self._related
        broker = self._settings.broker
        async with TopicReader(broker, committed=False) as reader, TopicReader(broker) as committed_reader:
            begin, end = await reader.bounds(topic, partition)
            if related.related_items_offset > end:
                raise LogLost(
                    f"topic {topic} partition {partition} ends at offset {end}, lists were published up to "
                    f"{related.related_items_offset}: this is not the topic to which they were published. "
                    f"Delete {related.path}, and all of them are published again"
                )
            if decided:
                end = (await committed_reader.bounds(topic, partition))[1]
            first = max(begin, related.related_items_offset)
            committed = await self._committed(committed_reader, first, end)
            async for records in reader.records(topic, partition, first, end):
                if not records:
                    continue
                lists = []
                for record in records:
                    try:
                        found = self._as_published(record, committed=record.offset in committed)
                    except KeyError as error:
                        if await self._more_deltas(committed_reader):
                            raise NotCountedYet(str(error)) from None
                        found = self._foreign(record, f"it names item {error}, which nobody bought")
                    if found is not None:
                        lists.append(found)
                last = records[-1].offset + 1
                yield PublishedLists(lists, last, end - last)

    def keep(self, published: PublishedLists) -> None:
        """Keep lists that other workers published."""
        self._related.related_items_offset = published.end
        self._related.write(published.lists)

    async def _committed(self, reader: TopicReader, begin: int, end: int) -> set[int]:
        """Offsets of records that all readers see.

        Some readers saw the lists of an aborted transaction and others did not, and compaction removes them.
        """
        topic, partition = self._settings.topic, self._partition
        end = min(end, (await reader.bounds(topic, partition))[1])
        return {record.offset async for records in reader.records(topic, partition, begin, end) for record in records}

    def _as_published(self, record: Any, *, committed: bool) -> tuple[int, StoredList | None] | None:  # noqa: ANN401
        """Item number and list of a record; None: the record is foreign.

        The list is None where readers have none, or not all the same, that is ranked by our score.

        Raises:
            KeyError: an item is not counted yet.
        """
        names = self._counts.names
        try:
            number = names[(record.key or b"").decode()]
        except UnicodeDecodeError:
            return self._foreign(record, "its key is no item id")
        if not self._counts.owned[number]:
            return self._foreign(record, "its item belongs to another partition")
        if not committed:
            return number, None
        try:
            return number, read_list(record.value, self._settings.score, names)
        except ListInvalid as error:
            self._skipped.add(record, f"it is no list, which is published again: {error}")
            return number, None

    async def _more_deltas(self, reader: TopicReader) -> bool:
        """Whether stage A has written deltas that are not counted yet."""
        topic, begin = self._settings.deltas_topic, self._counts.co_purchases_offset
        end = (await reader.bounds(topic, self._partition))[1]
        async for records in reader.records(topic, self._partition, begin, end):
            if any(read_headers(record) is not None for record in records):
                return True
        return False

    def _foreign(self, record: Any, reason: str) -> tuple[int, StoredList | None] | None:  # noqa: ANN401
        """Skip a record that no worker wrote; the list of its item, if it is one of ours, is published again."""
        self._skipped.add(record, reason)
        number = self._counts.names.get((record.key or b"").decode(errors="replace"), -1)
        return (number, None) if number >= 0 and self._counts.owned[number] else None

    # Refreshing and publishing

    def counted(self, bought: npt.NDArray[np.uint32], took_s: float) -> None:
        """Record a commit of the counts.

        Args:
            bought: (n,) items of the partition that were bought in it.
            took_s: how long counting took.
        """
        self._counted_at = time.monotonic()
        self._queue.changed(bought, self._counts.journal.commit, self._counted_at)
        self._list_time_credit_s += took_s * self._settings.time_fraction

    async def refresh(self, *, busy: bool) -> float:
        """Refresh the lists that are next, and publish those that changed.

        Args:
            busy: counting is far behind and comes first; lists get a fraction of its time.

        Returns:
            In how many seconds there may be more to refresh.
        """
        begun = time.monotonic()
        idle = not busy and begun - self._counted_at > self._settings.idle_ms / 1000
        if (busy and self._list_time_credit_s <= 0) or (not idle and self._rate_limit.left(begun) < 1):
            return NOTHING_DUE_S
        items, shard = self._choose(begun, busy=busy, idle=idle)
        if shard is None and not len(items):
            await self.flush()
            if idle:
                self._declare_exact()
            return NOTHING_DUE_S if self._queue.oldest() is None else max(0.0, self._shard_due_at - begun)
        # an item that was bought has other buyers and purchases too: its record is new even if its list is the same
        always = shard is None and not busy
        tolerance = _WHATEVER if always else 0.0 if idle else self._settings.list_change
        lists, records = await asyncio.to_thread(self._changed_lists, items, shard, tolerance)
        await self.flush()
        if records:
            self._rate_limit.spend(len(records))
            self._sending = asyncio.create_task(self._send(lists, records))
        took = time.monotonic() - begun
        if shard is not None:
            self._queue.looked_at(shard, exactly=idle)
            # leave time for the items bought between two shards
            self._shard_due_at = begun + max(SHARD_EVERY_S, took * (1.5 if len(self._queue) else 1))
        self._list_time_credit_s = max(self._list_time_credit_s - took, -LARGEST_DEBT_S) if busy else 0.0
        return 0.0

    def _choose(self, now: float, *, busy: bool, idle: bool) -> tuple[npt.NDArray[np.uint32], int | None]:
        """The items bought, or else the shard of all items, whose lists are next; neither if nothing is due."""
        shard = self._queue.oldest()
        if shard is not None and not busy and now >= self._shard_due_at:
            return _NO_ITEMS, shard
        items = self._queue.bought(MOST_BOUGHT)
        if not len(items) and busy:
            return _NO_ITEMS, shard
        if not len(items) and idle:
            return _NO_ITEMS, self._queue.inexact() if shard is None else shard
        return items, None

    def _changed_lists(
        self, items: npt.NDArray[np.uint32], shard: int | None, tolerance: float
    ) -> tuple[list[tuple[int, StoredList]], list[OutgoingRecord]]:
        """Rank items, or a shard of all of them; return the lists to publish, and their records. Runs in a thread."""
        if self._ranker is None:
            self._ranker = Ranker(self._counts, self._scoring)
        self._ranker.update()
        wanted = items if shard is None else self._ranker.shard(shard, SHARDS)
        if not len(wanted):  # of a small catalogue most shards
            return [], []
        ranked, lists = self._ranker.lists(wanted)
        rows = np.arange(len(ranked)) if tolerance < 0 else self._digests.differing(ranked, lists, tolerance)
        self._digests.record(ranked, lists, rows)
        names, log = self._counts.names, as_of(self._counts)
        changed, records = [], []
        totals = (column.tolist() for column in self._ranker.totals(ranked[rows]))
        for row, buyers, purchases in zip(rows.tolist(), *totals, strict=True):
            number = int(ranked[row])
            stored = StoredList(*lists.cut(row, int(lists.length[row])))
            changed.append((number, stored))
            entries = related_items(names, *stored)
            document = RelatedList(names.text(number), buyers, purchases, log, self._scoring.score, entries)
            key = document.item_id.encode()
            records.append(OutgoingRecord(self._settings.topic, self._partition, key, msgspec.json.encode(document)))
        return changed, records

    async def _send(self, lists: list[tuple[int, StoredList]], records: list[OutgoingRecord]) -> None:
        """Write records, then keep their lists; in between a crash is harmless, as `catch_up` reads them again."""
        if self._producer is None:
            return
        ends = await self._producer.write(records)
        self._related.related_items_offset = ends[TopicPartition(self._settings.topic, self._partition)]
        await asyncio.to_thread(self._related.write, lists)
        self._on_published([number for number, _ in lists])
        self.published += len(lists)

    def _declare_exact(self) -> None:
        counts, related = self._counts, self._related
        if counts.journal.commit and related.exact_as_of != counts.purchases_offset_sum:
            related.write([], exact_as_of=counts.purchases_offset_sum)
            logger.info("tally: partition %d: every list is exact as of %d order lines", self._partition, counts.lines)

    def age_s(self, now: float) -> float:
        """How long the oldest change has waited to be looked at, in seconds."""
        return self._queue.age_s(now)

    # Releasing a partition

    async def flush(self) -> None:
        """Return once the lists that are being sent have arrived.

        Raises:
            ProducingFailed: they could not be written.
        """
        if self._sending is not None:
            await self._sending
            self._sending = None

    async def close(self) -> None:
        """Disconnect, without a word about lists that could not be written: they are why the partition is closed."""
        if self._sending is not None:
            await asyncio.wait([self._sending])
        if self._producer is not None:
            await self._producer.close()


class PublishedLists(NamedTuple):
    """Lists that were published."""

    lists: list[tuple[int, StoredList | None]]
    """Item number and list; None where it is not known which list readers have."""
    end: int
    """Offset of `related-items` after them."""
    left: int
    """How many offsets are left to read."""


class NotCountedYet(Exception):
    """A list names an item of deltas that are still to be counted."""


class ListInvalid(Exception):
    """A record of the topic related-items is no related list."""


class _Entry(msgspec.Struct):
    item_id: str
    score: float
    bought_together: float
    expected: float
    trend: float


class _List(msgspec.Struct):
    score: str
    related: Annotated[list[_Entry], msgspec.Meta(max_length=LIST_LENGTH)]


_decode_list = msgspec.json.Decoder(_List).decode


class _Numbers(Protocol):
    def __getitem__(self, item_id: str, /) -> int: ...


def read_list(document: bytes | None, score: str, numbers: _Numbers) -> StoredList | None:
    """A list as it was published; None: it is ranked by another score.

    Args:
        document: value of the record.
        score: by which lists are ranked.
        numbers: the number of each item id.

    Raises:
        ListInvalid: it is none.
        KeyError: an item has no number.
    """
    try:
        published = _decode_list(document or b"")
    except (ValueError, RecursionError) as error:
        raise ListInvalid(str(error)) from None
    if published.score != score:
        return None
    related = published.related
    columns = [[getattr(entry, field) for entry in related] for field in _Entry.__struct_fields__[1:]]
    items = np.array([numbers[entry.item_id] for entry in related], np.uint32)
    return StoredList(items, *[np.array(column, np.float64) for column in columns])
