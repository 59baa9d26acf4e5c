"""Imports a topic of orders to `purchases`: each of its records once, in the partition of its customer.

The topic is a shop's own. It may expire, and its records may have any key and the times of their producers. Offsets of
a consumer group say up to where it is imported; they are part of the transactions that write the records. Several
imports of one group share the topic's partitions, and whoever gets one fences who had it before.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from producers.errors import LogError, OrderError, UnknownSchema
from producers.orders import Rejection
from producers.partitioning import PARTITIONERS
from producers.wire import decode_orders
from streams.workers.copier import Advice, Copier
from streams.workers.kafka.copies import PARTITIONER, Copies
from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.placement import AUTO, elect
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.stage_service import Membership, StageService
from streams.workers.kafka.topic_sample import sampled
from streams.workers.kafka.topic_watch import IMPORT_ADVICE, TopicWatch
from streams.workers.kafka.topics import check_import

if TYPE_CHECKING:
    from collections.abc import Mapping

    from producers.records.mapping import RecordReader
    from state.log_identity import LogIdentity
    from streams.workers.kafka.topics import Topics

logger = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.1
REPORT_EVERY_S = 10.0
SAMPLE_RECORDS = 200


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """Settings of an import.

    Attributes:
        broker: host:port of the broker, several separated by commas.
        source: the topic to import.
        topics: names of our topics; orders are written to `purchases`.
        group: the consumer group; another one imports the topic once more.
        partitioner: by which customers are placed in `purchases`, a key of `PARTITIONERS`, or AUTO: as they are there.
        reader: what reads records as orders; None: they are orders as on `purchases`.
        until_end: whether to stop at the end that the topic has at the start.
        commit_interval_ms: records wait at most this long for others to be written with.
        session_timeout_ms: an import that is silent for this long loses its partitions.
        broker_timeout_s: how long to wait for a broker at the start.
    """

    broker: str
    source: str
    topics: Topics
    group: str
    partitioner: str = AUTO
    reader: RecordReader | None = None
    until_end: bool = False
    commit_interval_ms: int = 100
    session_timeout_ms: int = 6_000
    broker_timeout_s: float = 30.0


class ImportSummary(NamedTuple):
    """What an import has done."""

    topic: str
    group: str
    records: int
    """That it has written, invalid ones included."""
    skipped: int
    """That it has passed over: events that are no purchases, changes of rows."""
    offsets: Mapping[int, int]
    """Up to which each partition that it had at the end is imported."""
    complete: bool
    """Whether these have nothing else, or nothing else of what they had at the start."""


def run_import(settings: ImportSettings) -> ImportSummary:
    """Import until SIGTERM, SIGINT or, if the settings say so, the end.

    Raises:
        BrokerUnavailable, BrokerRefuses, WorkerError: it cannot start, or go on.
    """
    source, purchases = check_import(
        settings.broker, settings.topics, settings.source, group=settings.group, timeout_s=settings.broker_timeout_s
    )
    return asyncio.run(_Import(settings, source, purchases).run())


class _ImportTopics(NamedTuple):
    """The topics of an import."""

    source: str
    purchases: str

    def names(self) -> dict[str, str]:
        """Each one's name by its role."""
        return {"imported": self.source, "purchases": self.purchases}


class _Import:
    """An import, from its start to its end."""

    def __init__(self, settings: ImportSettings, source: LogIdentity, purchases: LogIdentity) -> None:
        self._settings = settings
        self._source = source
        self._purchases = purchases
        self._membership = Membership()
        self._stopping = asyncio.Event()

    async def run(self) -> ImportSummary:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        settings = self._settings
        async with TopicReader(settings.broker) as reader:
            partitioner = await self._partitioner(reader)
            await self._check_sample(reader)
            ends = {
                number: (await reader.bounds(settings.source, number))[1] for number in range(self._source.partitions)
            }
        copier = self._copier(partitioner)
        service = StageService(
            copier,
            self._membership,
            broker=settings.broker,
            group=settings.group,
            client_id="alsobought-import",
            session_timeout_ms=settings.session_timeout_ms,
        )
        logs = {"imported": self._source, "purchases": self._purchases}
        watch = TopicWatch(settings.broker, _ImportTopics(settings.source, settings.topics.purchases), logs)
        logger.info(
            "import: topic %s, from where group %s stands, to topic %s, by %s",
            settings.source,
            settings.group,
            settings.topics.purchases,
            partitioner,
        )
        try:
            await service.start()
            await watch.start()
            summary = await self._follow(service, watch, copier, ends)
        finally:
            await watch.stop()
            await service.stop()
        for crash in (service.crash_reason, watch.crash_reason):
            if crash is not None:
                raise crash
        return summary

    async def _partitioner(self, reader: TopicReader) -> str:
        """By which customers are placed.

        Raises:
            TopicsUnfit: the orders that are there are placed by another than we are told.
        """
        chosen, topic = self._settings.partitioner, self._settings.topics.purchases
        found = await elect(reader, topic, self._purchases.partitions)
        if chosen == AUTO:
            return found if found in PARTITIONERS else PARTITIONER
        if found is not None and found != chosen:
            raise TopicsUnfit(
                f"most orders in topic {topic} are placed by {found}: workers would reject those that are placed by "
                f"{chosen}. Give --partitioner {found}, or leave it out"
            )
        return chosen

    async def _check_sample(self, reader: TopicReader) -> None:
        """Check that records can be read as we are told: else all would be rejected, or skipped, one by one.

        Raises:
            LogError: none of some is an order.
            RegistryError: a schema is not to be had.
        """
        settings = self._settings
        if settings.reader is None:
            return
        records = await sampled(reader, settings.source, self._source.partitions, SAMPLE_RECORDS)
        try:
            made = await asyncio.to_thread(settings.reader.read, [record.value for record in records])
        except UnknownSchema:
            return  # of a record that may be imported already: the import stops at it if it is not
        orders = [order for each in made if not isinstance(each, OrderError) for order in each]
        counted, rejected = decode_orders(orders, range(len(orders)))
        if len(counted) or not records:
            return
        rejected += [Rejection(0, str(each), "") for each in made if isinstance(each, OrderError)]
        if not rejected:
            logger.warning("import: none of %d records of topic %s is a purchase", len(records), settings.source)
            return
        reasons = Counter(rejection.reason for rejection in rejected).most_common(3)
        raise LogError(
            f"none of {len(records)} records of topic {settings.source} is an order, read so: "
            f"{'; '.join(f'{reason} ({count})' for reason, count in reasons)}. What they are is printed by: alsobought "
            f"inspect --topic {settings.source}"
        )

    def _copier(self, partitioner: str) -> Copier:
        settings = self._settings
        return Copier(
            "import",
            Copies(
                settings.source,
                self._source.log_id,
                settings.topics.purchases,
                self._purchases.partitions,
                partitioner,
                settings.group,
                settings.reader,
            ),
            self._purchases.log_id,
            group=settings.group,
            broker=settings.broker,
            pause_s=settings.commit_interval_ms / 1000,
            advice=Advice(
                "imports",
                "Copy what is missing to another topic, and import that",
                IMPORT_ADVICE,
            ),
        )

    async def _follow(
        self, service: StageService, watch: TopicWatch, copier: Copier, ends: Mapping[int, int]
    ) -> ImportSummary:
        """Return once the import is to stop, or has crashed."""
        reported, records, complete = time.monotonic(), 0, False
        while not (self._stopping.is_set() or service.crash_reason or watch.crash_reason):
            if complete and self._settings.until_end:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _LOOK_EVERY_S)
            complete = self._is_complete(copier, ends)
            now = time.monotonic()
            if now > reported + REPORT_EVERY_S and copier.records > records:
                rate = (copier.records - records) / (now - reported)
                waiting = sum(copier.waiting.values())
                logger.info("import: %d records, %.0f a second, %d wait", copier.records, rate, waiting)
                reported, records = now, copier.records
        return ImportSummary(
            self._settings.source,
            self._settings.group,
            copier.records,
            copier.skipped,
            dict(sorted(copier.copied.items())),
            complete,
        )

    def _is_complete(self, copier: Copier, ends: Mapping[int, int]) -> bool:
        """Whether every partition that we have is imported up to its end, or to where it ended at the start."""
        if not self._membership.joined:
            return False
        copied, waiting = copier.copied, copier.waiting
        return all(
            number in waiting and (waiting[number] == 0 or copied.get(number, 0) >= ends.get(number, 0))
            for number in self._membership.assigned
        )
