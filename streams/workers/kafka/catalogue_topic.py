"""The catalogue on the topic `items`: a worker follows it in memory; commands write to it.

A record's key is the item id, its value what the catalogue says of the item; a tombstone removes the item.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from aiokafka.errors import ConsumerStoppedError
from mode import Service

from producers.connection import quieten_client
from producers.kafka_config import consumer_options
from producers.publish import Publisher
from streams.catalogue.catalogue import Catalogue, CatalogueError, CatalogueItem, check_item_id, decode_item
from streams.catalogue.files import begun, filled, shown_records
from streams.workers.kafka.consumers import BoundedConsumer
from streams.workers.kafka.inflation import cut_of
from streams.workers.kafka.reading import TopicReader, read_now
from streams.workers.kafka.skipped import SkippedRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from streams.catalogue.files import CatalogueRow, Filled
    from streams.workers.kafka.topics import Topics

logger = logging.getLogger(__name__)

FETCH_WAIT_MS = 100
_RECORDS_AT_ONCE = 500  # a millisecond of work, then other tasks run


class CatalogueFeed(Service):
    """Keeps a catalogue up to date with the topic `items`.

    It reads every partition outside any consumer group, so each worker has the whole catalogue. An invalid record is
    logged and skipped: the item keeps its earlier entry until a worker starts that finds only the invalid record.

    Args:
        broker: host:port.
        topic: name of the topic.
        catalogue: is kept up to date; a new one if not given.
        skipped: counts invalid records.

    Attributes:
        catalogue: what the topic says.
        complete: set once everything was read that the topic held at the start.
        skipped: counts invalid records.
    """

    def __init__(
        self,
        broker: str,
        topic: str,
        catalogue: Catalogue | None = None,
        skipped: SkippedRecords | None = None,
    ) -> None:
        super().__init__()
        self.catalogue = Catalogue() if catalogue is None else catalogue
        self.complete = asyncio.Event()
        self.skipped = SkippedRecords() if skipped is None else skipped
        self._broker = broker
        self._topic = topic
        self._consumer: Any = None
        self._again = False
        self._stale: set[str] = set()  # items of the topic's predecessor, not found in it yet

    async def on_start(self) -> None:
        """Connect.

        Raises:
            KafkaError: the broker or the topic cannot be reached.
        """
        self._consumer = BoundedConsumer(
            self._topic,
            **consumer_options(self._broker),
            group_id=None,  # read all partitions
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await self._consumer.start()

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            if self._again:
                self._again = False
                await self._consumer.stop()  # it may have lost its partitions for ever when they were deleted
                await self.on_start()
            try:
                fetched = await self._consumer.getmany(timeout_ms=FETCH_WAIT_MS, max_records=_RECORDS_AT_ONCE)
            except ConsumerStoppedError:
                return
            for records in fetched.values():
                self._take(records)
            if not self.complete.is_set() and await self._has_everything():
                self.complete.set()
                for item_id in self._stale:
                    self.catalogue.put(item_id, None)
                self._stale.clear()
                logger.info("catalogue: %d items, from topic %s", len(self.catalogue.items), self._topic)
            if fetched:
                await asyncio.sleep(0)  # a prefetched batch comes without a pause in which other tasks could run

    async def on_stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    def read_again(self) -> None:
        """Read the topic from its start, since it is another one; what it does not have is removed once it is read."""
        self._stale = set(self.catalogue.items)
        self._again = True
        self.complete.clear()

    async def _has_everything(self) -> bool:
        assignment = self._consumer.assignment()
        for topic_partition in assignment:
            end = self._consumer.last_stable_offset(topic_partition)
            # the end is unknown until the first fetch
            if end is None or await self._consumer.position(topic_partition) < end:
                return False
        return bool(assignment)

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            if (cut := cut_of(record)) is not None:
                self.skipped.add(record, cut.reason)
                continue
            try:
                item_id, item = read_record(record.key, record.value)
            except CatalogueError as error:
                self.skipped.add(record, error)
            else:
                self.catalogue.put(item_id, item)
                self._stale.discard(item_id)


def read_record(key: bytes | None, value: bytes | None) -> tuple[str, CatalogueItem | None]:
    """Decode a record: the item id, and what the catalogue says of the item; None removes it.

    Raises:
        CatalogueError: what is wrong with the key or the value.

    >>> read_record(b"7", b'{"title": "Tea"}') == ("7", CatalogueItem(title="Tea")), read_record(b"7", None)
    (True, ('7', None))
    >>> read_record(None, b"{}")
    Traceback (most recent call last):
    streams.catalogue.catalogue.CatalogueError: item_id, the record's key, is missing
    """
    try:
        item_id = (key or b"").decode()
    except UnicodeDecodeError:
        raise CatalogueError(f"item_id, the record's key, is {(key or b'')[:60]!r}, not UTF-8") from None
    if not item_id:
        raise CatalogueError("item_id, the record's key, is missing")
    check_item_id(item_id)
    if value is None:
        return item_id, None
    try:
        return item_id, decode_item(value)
    except CatalogueError as error:
        raise CatalogueError(f"item {item_id[:60]!r}: {error}") from None


def fill_topic(
    broker: str,
    topics: Topics,
    rows: Iterator[CatalogueRow],
    on_row: Callable[[CatalogueRow], None] = lambda _: None,
    *,
    timeout_s: float = 30,
    complete: bool = False,
) -> Filled:
    """Send rows, and if they are complete, hide the items that they lack; return when the broker has them.

    Raises:
        CatalogueError: the rows cannot be read.
        TopicMissing: there is no topic.
        PublishingFailed: the broker did not take a record.
        BrokerUnavailable: no broker answers.
    """
    rows = begun(rows)  # a file that cannot be read sends nothing
    with Publisher(broker, topics.items, timeout_s) as publisher:
        known = partial(_every_record, broker, publisher) if complete else None
        return filled(rows, lambda records: send_items(publisher, records), on_row, known)


def send_items(publisher: Publisher, records: Sequence[tuple[str, bytes | None]]) -> None:
    """Send catalogue records, by item id; None removes an item."""
    for item_id, record in records:
        key = item_id.encode()
        publisher.send(key, record, partition=publisher.partition_of(key))


def set_available(broker: str, topics: Topics, available: Mapping[str, bool], *, timeout_s: float = 30) -> None:
    """Show or hide items; everything else that the topic says of them stays.

    Args:
        broker: host:port.
        topics: their names.
        available: by item id.
        timeout_s: how long to wait for the broker.

    Raises:
        TopicMissing, PublishingFailed, BrokerUnavailable: as in `fill_topic`.
    """
    with Publisher(broker, topics.items, timeout_s) as publisher:
        quieten_client()
        known = read_now(_records(broker, publisher, available))
        send_items(publisher, shown_records(known, available))


def remove(broker: str, topics: Topics, item_ids: Iterable[str], *, timeout_s: float = 30) -> None:
    """Remove items from the catalogue.

    Raises:
        TopicMissing, PublishingFailed, BrokerUnavailable: as in `fill_topic`.
    """
    with Publisher(broker, topics.items, timeout_s) as publisher:
        send_items(publisher, [(item_id, None) for item_id in item_ids])


def _every_record(broker: str, publisher: Publisher) -> dict[str, bytes | None]:
    """The last record of every item."""

    async def read() -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        async with TopicReader(broker) as reader:
            for partition in range(publisher.partitions):
                begin, end = await reader.bounds(publisher.topic, partition)
                async for records in reader.records(publisher.topic, partition, begin, end):
                    found |= {record.key.decode("utf-8", "replace"): record.value for record in records if record.key}
        return found

    quieten_client()
    return read_now(read())


async def _records(broker: str, publisher: Publisher, item_ids: Iterable[str]) -> dict[str, bytes | None]:
    """The last record of each of some items; items without a record are left out."""
    wanted = {item_id.encode(): item_id for item_id in item_ids}
    found: dict[str, bytes | None] = {}
    async with TopicReader(broker) as reader:
        for partition in sorted({publisher.partition_of(key) for key in wanted}):
            begin, end = await reader.bounds(publisher.topic, partition)
            async for records in reader.records(publisher.topic, partition, begin, end):
                found |= {wanted[record.key]: record.value for record in records if record.key in wanted}
    return found
