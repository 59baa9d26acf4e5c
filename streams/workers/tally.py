"""Stage B at work: deltas from Kafka into counts, and the related lists that they change onto Kafka.

The offset read to is stored with the counts, so each record of deltas counts once. What readers were told is on the
topic `related-items`: whoever takes a partition over shuts the owner before it out and reads up what it published, but
publishes nothing itself until it has counted what that owner had, so that lists never go back in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from aiokafka import TopicPartition

from state.columns import pack
from state.directory import COUNTS, RELATED, StateDirectory
from state.related_store import RelatedStore, StoredList
from state.snapshots import restore_store
from streams.documents import related_document
from streams.lists import Ranker, Scoring
from streams.stages import count_deltas, open_counts
from streams.workers.allowance import Allowance
from streams.workers.fenced_producer import Outgoing
from streams.workers.refresh import Refresh
from streams.workers.stage_service import LogLost, Turn
from streams.workers.topic_reader import TopicReader
from streams.workers.unfenced_producer import producer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.settings import CountingSettings
    from streams.ranking import RelatedLists
    from streams.workers.settings import WorkerSettings
    from streams.workers.unfenced_producer import Producer

logger = logging.getLogger(__name__)

SLICE_EVERY_S = 0.2  # at least, however much was bought: all 64 have their turn within 13 s
MOST_BOUGHT = 256  # items whose lists are made at once: 30 ms, so that deltas do not wait long
_MOST_RECORDS = 32
_COMMIT_BYTES = 128 << 10  # some 3,000 order lines: within a commit every record is merged into those before it


@dataclass(slots=True)
class Part:
    """An item partition that is ours."""

    counts: CountStore
    related: RelatedStore
    refresh: Refresh
    producer: Producer | None = None
    learned: bool = False
    """Whether `related` holds what they published last."""
    ranker: Ranker | None = None
    """As of the last commit; None: none was needed since."""
    owed_s: float = 0.0
    """Time for lists earned while deltas wait."""
    counted_at: float = 0.0
    swept_at: float = 0.0
    """When a slice last had its turn."""


class Tally:
    """Stage B of one worker.

    Args:
        settings: the worker's.
        directory: where the stores are.
        counting: what is counted.
    """

    name = "tally"

    def __init__(self, settings: WorkerSettings, directory: StateDirectory, counting: CountingSettings) -> None:
        self.topic = settings.topics.co_purchases
        self.published = 0
        self._settings = settings
        self._directory = directory
        self._counting = counting
        self._scoring = Scoring(settings.score)
        self._allowance = Allowance(settings.lists_per_second)
        self._parts: dict[int, Part] = {}

    @property
    def most_records(self) -> int:
        """Some megabytes of deltas."""
        return _MOST_RECORDS

    @property
    def stores(self) -> list[CountStore | RelatedStore]:
        """The open stores."""
        return [store for part in self._parts.values() for store in (part.counts, part.related)]

    @property
    def parts(self) -> Mapping[int, Part]:
        """The partitions that are open."""
        return self._parts

    def offsets(self) -> dict[int, int]:
        """Offset of the deltas up to which each open partition is counted."""
        return {partition: part.counts.read_to for partition, part in self._parts.items()}

    def age_s(self) -> float:
        """How long the oldest change of any list has waited to be looked at."""
        now = time.monotonic()
        return max((part.refresh.age_s(now) for part in self._parts.values()), default=0.0)

    async def open(self, partition: int) -> int:
        """Open a partition's counts and lists, and shut earlier owners out."""
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = await asyncio.to_thread(self._open_stores, partition)
        if part.producer is not None:
            await part.producer.close()
        part.producer = producer_of(self._settings, f"{self._settings.topics.group(self.name)}-{partition}")
        await part.producer.open()
        part.learned = False
        return part.counts.read_to

    def _open_stores(self, partition: int) -> Part:
        for kind in (COUNTS, RELATED):
            path = self._directory.store(kind, partition)
            if restore_store(path, self._settings.restore_from):
                logger.info("tally: %s was restored from %s", path, self._settings.restore_from)
        counts = open_counts(self._directory.store(COUNTS, partition), partition, self._counting)
        related = RelatedStore(self._directory.store(RELATED, partition))
        refresh = Refresh(time.monotonic())
        if related.current == counts.position or counts.journal.commit == 0:
            refresh.is_current(counts.journal.commit)
        return Part(counts, related, refresh)

    async def work(self, records: Mapping[int, list[Any]], behind: set[int]) -> Turn:
        """Count deltas, then make and publish some lists."""
        for partition, batch in records.items():
            await self._count(self._parts[partition], batch)
        more = False
        for partition, part in self._parts.items():
            if partition in behind:
                if part.learned and part.owed_s > 0:
                    await self._refresh(partition, part, busy=True)
            else:
                if not part.learned:
                    await self._learn(partition, part)
                more |= await self._refresh(partition, part, busy=False)
        return Turn(wait=0.0) if more or behind else Turn()

    async def _count(self, part: Part, batch: list[Any]) -> None:
        begun = time.monotonic()
        bought = await asyncio.to_thread(_count, part.counts, batch)
        now = time.monotonic()
        part.refresh.changed(bought, part.counts.journal.commit, now)
        part.ranker = None
        part.counted_at = now
        part.owed_s += (now - begun) * self._settings.refresh_share

    async def _learn(self, partition: int, part: Part) -> None:
        """Read up what earlier owners published since this store knew."""
        topic = self._settings.topics.related_items
        lists = 0
        async with TopicReader(self._settings.broker, committed=False) as reader:
            begin, end = await reader.bounds(topic, partition)
            if part.related.read_to > end:
                raise LogLost(
                    f"topic {topic} partition {partition} ends at offset {end}, lists were published up to "
                    f"{part.related.read_to}: the topic is not the one they were published to. "
                    f"Delete {self._directory.store(RELATED, partition)}, and all of them are published again"
                )
            async for records in reader.records(topic, partition, max(begin, part.related.read_to), end):
                if not records:
                    continue
                told = [
                    (part.counts.names[record.key.decode()], _told(record.value, part.counts)) for record in records
                ]
                part.related.read_to = records[-1].offset + 1
                part.related.write(told)
                lists += len(told)
        part.learned = True
        if lists:
            part.refresh = Refresh(time.monotonic())
            part.refresh.changed(np.zeros(0, np.uint32), part.counts.journal.commit, time.monotonic())
            logger.info("tally: partition %d: read up %d lists published by others", partition, lists)

    async def _refresh(self, partition: int, part: Part, *, busy: bool) -> bool:
        """Make the lists that are next, and publish those that changed; tell whether others wait."""
        begun = time.monotonic()
        idle = not busy and begun - part.counted_at > self._settings.idle_ms / 1000
        most = MOST_BOUGHT if idle else int(min(MOST_BOUGHT, self._allowance.left(begun)))
        if most < 1:
            return False
        items = part.refresh.bought(most)
        number = part.refresh.oldest()
        if not len(items) and number is None:
            if not idle:
                return False
            number = part.refresh.inexact()
            if number is None:
                self._declare_current(partition, part)
                return False
        if len(items) and (busy or begun - part.swept_at < SLICE_EVERY_S):
            number = None
        # what was bought has other buyers and purchases too, so it is published whatever its list; unless time is short
        always = bool(len(items)) and not busy
        tolerance = -1.0 if always else 0.0 if idle else self._settings.list_change
        changed, records = await asyncio.to_thread(self._made, partition, part, items, None, tolerance)
        if number is not None:
            part.swept_at = begun
            tolerance = 0.0 if idle else self._settings.list_change
            known = {item for item, _ in changed}
            more, further = await asyncio.to_thread(self._made, partition, part, items, number, tolerance)
            changed += [entry for entry in more if entry[0] not in known]
            records += [record for entry, record in zip(more, further, strict=True) if entry[0] not in known]
        if records and part.producer is not None:
            ends = await part.producer.write(records)
            part.related.read_to = ends[TopicPartition(self._settings.topics.related_items, partition)]
            part.related.write(changed)
            self.published += len(changed)
            self._allowance.spend(len(changed))
        if number is not None:
            part.refresh.looked_at(number, exactly=idle)
        part.owed_s -= time.monotonic() - begun
        part.owed_s = max(part.owed_s, -1.0) if busy else 0.0
        return True

    def _declare_current(self, partition: int, part: Part) -> None:
        if part.counts.journal.commit and part.related.current != part.counts.position:
            part.related.write([], current=part.counts.position)
            logger.info(
                "tally: partition %d: every list is exactly current, as of %d order lines", partition, part.counts.lines
            )

    def _made(
        self, partition: int, part: Part, items: npt.NDArray[np.uint32], number: int | None, tolerance: float
    ) -> tuple[list[tuple[int, StoredList]], list[Outgoing]]:
        """Make the lists of items bought, or of a slice; return those to publish, and their records."""
        if number is None and not len(items):
            return [], []
        if part.ranker is None:
            part.ranker = Ranker(part.counts, self._scoring)
        made, lists = part.ranker.lists(items) if number is None else part.ranker.slice_lists(number)
        topic = self._settings.topics.related_items
        changed, records = [], []
        for row, item in enumerate(made.tolist()):
            stored = StoredList(*lists.cut(row, int(lists.length[row])))
            if _differs(part.related.get(item), stored, tolerance):
                changed.append((item, stored))
                records.append(
                    Outgoing(
                        topic,
                        partition,
                        part.counts.names.text(item).encode(),
                        msgspec.json.encode(self._document(part.counts, item, lists, row)),
                    )
                )
        return changed, records

    def _document(self, counts: CountStore, item: int, lists: RelatedLists, row: int) -> dict[str, Any]:
        return related_document(counts, item, self._scoring.score, lists.entries(row, counts.names))

    async def settle(self) -> None:
        """Nothing is in flight between turns."""

    async def close(self, partition: int) -> None:
        """Release a partition."""
        part = self._parts.pop(partition, None)
        if part is not None:
            if part.producer is not None:
                await part.producer.close()
            part.counts.close()
            part.related.close()


def _count(counts: CountStore, batch: list[Any]) -> npt.NDArray[np.uint32]:
    """Count records of deltas, a few at a time; return the partition's own items that were bought."""
    bought = np.zeros(0, np.uint32)
    first = size = 0
    for last, record in enumerate(batch, 1):
        size += len(record.value)
        if size >= _COMMIT_BYTES or last == len(batch):
            counts.read_to = record.offset + 1
            bought = np.union1d(bought, count_deltas(counts, [each.value for each in batch[first:last]]))
            first, size = last, 0
    own: npt.NDArray[np.uint32] = bought[counts.owned[bought]]
    return own


def _differs(published: StoredList | None, now: StoredList, tolerance: float) -> bool:
    """Whether a list is to be published again: its items or their order changed, or a score moved by more than that.

    With tolerance 0 any change will do, and below 0 none is needed.

    >>> one = StoredList(np.array([7], np.uint32), *[np.array([1.0])] * 4)
    >>> other = one._replace(score=np.array([1.04]))
    >>> _differs(None, one, 0.05), _differs(one, other, 0.05), _differs(one, other, 0.0), _differs(one, one, 0.0)
    (True, False, True, False)
    """
    if published is None or tolerance < 0 or not np.array_equal(published.item, now.item):
        return True
    if tolerance == 0:
        return pack(published) != pack(now)
    return bool((np.abs(now.score - published.score) > tolerance * np.abs(published.score)).any())


def _told(document: bytes, counts: CountStore) -> StoredList:
    """A list as it was published, in the store's numbers."""
    rows = [tuple(entry.values()) for entry in msgspec.json.decode(document)["related"]]
    ids, *columns = list(zip(*rows, strict=True)) or [()] * 5
    numbers = np.array([counts.names[item_id] for item_id in ids], np.uint32)
    return StoredList(numbers, *[np.array(column, np.float64) for column in columns])
