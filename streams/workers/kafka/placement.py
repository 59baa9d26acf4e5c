"""In which partition of `purchases` a customer's orders are, and how a generation finds out.

Counts are only right if all orders of a customer are in one partition. Kafka's Java client and most others place a key
by murmur2, librdkafka by crc32 unless configured otherwise. What counts is where a record is, not which key it has.

A generation checks every order by one partitioner: a setting, or the one by which most orders are placed when the first
one arrives that tells them apart. Whoever finds out announces it on partition 0 of `co-purchases`; the first of several
announcements is valid. Every record of deltas repeats it. Records of earlier versions do not: nothing is checked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from aiokafka.errors import KafkaError
from mode import Service

from producers.partitioning import PARTITIONERS
from streams.workers.kafka.co_purchases import UNDECIDED, read_headers
from streams.workers.kafka.errors import PlacementUnknown, ProducingFailed, TopicsUnfit
from streams.workers.kafka.producers import TRANSACTION_TIMEOUT_MS
from streams.workers.kafka.purchases import read_orders
from streams.workers.kafka.reading import TopicReader

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from streams.workers.kafka.topics import Topics

logger = logging.getLogger(__name__)

AUTO, UNCHECKED = "auto", "none"
PARTITIONER_SETTINGS = (AUTO, *PARTITIONERS, UNCHECKED)
READ_EVERY_S = 5.0
READ_AGAIN_S = 0.5
DECIDED_WITHIN_S = 5.0
_PAUSE_S = 0.05
_MOST_MISPLACED = 0.1
_SAMPLE = 1000  # records of each partition that are looked at


class Placement:
    """The partition of every customer.

    Args:
        partitions: of `purchases`.
        setting: one of PARTITIONER_SETTINGS.

    Attributes:
        partitions: of `purchases`.
        setting: what the worker was told.
        partitioner: what the generation goes by, a key of PARTITIONERS or UNCHECKED; None: undecided. It never changes.

    >>> placement = Placement(4)
    >>> placement.partition_of("ann"), placement.misplaced(["ann"], 2), list(placement.misplaced(["ann"], 1))
    (2, {}, ['ann'])
    """

    def __init__(self, partitions: int, setting: str = AUTO) -> None:
        self.partitions = partitions
        self.setting = setting
        # in a single partition nothing can be misplaced
        self.partitioner = None if partitions > 1 else UNCHECKED

    @property
    def checked(self) -> bool:
        """Whether every order is, or will be, checked: each customer is in one partition."""
        return self.partitioner != UNCHECKED or self.partitions == 1

    def partition_of(self, customer_id: str) -> int:
        """The partition of a customer's orders; while it is undecided a guess: see `PlacementReader`."""
        name = self.partitioner or self.setting
        return PARTITIONERS.get(name, PARTITIONERS["murmur2"])(customer_id.encode(), self.partitions)

    def decide(self, partitioner: str, topic: str) -> None:
        """Record what the generation goes by.

        Raises:
            TopicsUnfit: it is not what the worker was told.
        """
        if self.setting not in (AUTO, partitioner):
            raise TopicsUnfit(
                f"the generation of topic {topic} checks where customers are by partitioner '{partitioner}', this "
                f"worker has --partitioner {self.setting}: set it back, or start a new --generation"
            )
        if self.partitioner is None:
            logger.info("orders of a customer belong to the partition by partitioner '%s'", partitioner)
        self.partitioner = partitioner

    def misplaced(self, customer_ids: Iterable[str], partition: int) -> dict[str, str]:
        """Those of some customers whose orders do not belong to a partition, each with the reason."""
        if self.partitioner == UNCHECKED:
            return {}
        places = PARTITIONERS if self.partitioner is None else {self.partitioner: PARTITIONERS[self.partitioner]}
        found = {}
        for customer_id in customer_ids:
            key = customer_id.encode()
            right = {name: place(key, self.partitions) for name, place in places.items()}
            if partition not in right.values():
                of = " or ".join(f"{number} by {name}" for name, number in right.items())
                found[customer_id] = (
                    f"customer_id belongs to partition {of} of purchases, not {partition}: key orders by customer_id, "
                    "so that all of a customer are in one partition"
                )
        return found


def votes(customer_ids: Iterable[str], partition: int, partitions: int) -> dict[str, int]:
    """How many of the customers in a partition each partitioner would place there, and no other partitioner.

    >>> votes(["ann", "bob", "eve"], 2, 4)
    {'murmur2': 2, 'crc32': 1}
    """
    counts = dict.fromkeys(PARTITIONERS, 0)
    for customer_id in customer_ids:
        key = customer_id.encode()
        fit = [name for name, place in PARTITIONERS.items() if place(key, partitions) == partition]
        if len(fit) == 1:
            counts[fit[0]] += 1
    return counts


def winner(counts: Mapping[str, int]) -> str | None:
    """The partitioner with most votes; None: there are none.

    >>> winner({"murmur2": 3, "crc32": 20}), winner({"murmur2": 0, "crc32": 0})
    ('crc32', None)
    """
    return max(counts, key=counts.__getitem__) if any(counts.values()) else None


class _Poll(NamedTuple):
    """How the customers in the first records of each partition are placed."""

    customers: int
    misplaced: int
    """Of them, by every partitioner."""
    counts: dict[str, int]
    """Votes."""


async def _poll(reader: TopicReader, topic: str, partitions: int) -> _Poll:
    counts = dict.fromkeys(PARTITIONERS, 0)
    customers = misplaced = 0
    undecided = Placement(partitions)
    for partition in range(partitions):
        begin, end = await reader.bounds(topic, partition)
        async for records in reader.records(topic, partition, begin, min(end, begin + _SAMPLE)):
            ids = read_orders(records)[0].customers
            customers += len(ids)
            misplaced += len(undecided.misplaced(ids, partition))
            for name, count in votes(ids, partition, partitions).items():
                counts[name] += count
    return _Poll(customers, misplaced, counts)


async def elect(reader: TopicReader, topic: str, partitions: int) -> str | None:
    """The partitioner by which most customers are placed in the first records of each partition; None: cannot tell."""
    customers, misplaced, counts = await _poll(reader, topic, partitions)
    if customers:
        logger.info("of %d customers in topic %s, each partitioner alone places: %s", customers, topic, counts)
    if misplaced > _MOST_MISPLACED * customers:
        logger.error(
            "%d of %d customers in topic %s are where no partitioner that we know places them: their orders are "
            "rejected. Key orders by customer_id, or start a new --generation in which workers do (--rekey) or check "
            "nothing (--partitioner none)",
            misplaced,
            customers,
            topic,
        )
    return winner(counts)


async def read_partitioner(reader: TopicReader, topic: str) -> str | None:
    """The partitioner that a generation goes by, from its topic of deltas; None: it is undecided."""
    begin, end = await reader.bounds(topic, 0)
    # what decides is within the first records, unless orders of the first customers fit any partitioner
    async for records in reader.records(topic, 0, begin, end):
        for record in records:
            headers = read_headers(record)
            if headers is not None and headers.partitioner != UNDECIDED:
                return headers.partitioner or UNCHECKED
    return None


async def decide_placement(
    placement: Placement,
    reader: TopicReader,
    topics: Topics,
    announce: Callable[[str], Awaitable[None]],
    counts: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Find out what a generation goes by, or decide and announce it; nothing if that cannot be told yet.

    Args:
        placement: is decided.
        reader: of committed records.
        topics: their names.
        announce: (partitioner) writes a record of deltas that names it.
        counts: votes of orders at hand, which may not be among those that are looked at.

    Raises:
        TopicsUnfit: the generation goes by another partitioner than the worker was told.
        ProducingFailed: the announcement cannot be read.
    """
    if placement.partitioner is not None:
        return
    found = await read_partitioner(reader, topics.co_purchases)
    if found is None:
        chosen: str | None = placement.setting
        if chosen == AUTO:
            chosen = await elect(reader, topics.purchases, placement.partitions) or winner(counts)
        if chosen is None:
            return
        await announce(chosen)
        found = await _announced(reader, topics.co_purchases)
    placement.decide(found, topics.co_purchases)


async def _announced(reader: TopicReader, topic: str) -> str:
    """The first announcement, ours or that of another worker; it may stand behind a transaction that is still open."""
    deadline = time.monotonic() + 2 * TRANSACTION_TIMEOUT_MS / 1000
    while (found := await read_partitioner(reader, topic)) is None:
        if time.monotonic() > deadline:
            raise ProducingFailed(f"topic {topic} partition 0: a record that was written there cannot be read")
        await asyncio.sleep(_PAUSE_S)
    return found


class PlacementReader(Service):
    """Finds out what a generation goes by, for a worker that counts no orders itself but is asked about customers.

    Args:
        broker: host:port.
        topics: their names.
        placement: is decided.
    """

    def __init__(self, broker: str, topics: Topics, placement: Placement) -> None:
        super().__init__()
        self._broker = broker
        self._topics = topics
        self._placement = placement
        self._reading, self._waiting = asyncio.Lock(), asyncio.Lock()
        self._read_at = -READ_AGAIN_S

    async def on_start(self) -> None:
        """Read what is known."""
        await self.refresh()

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop and self._placement.partitioner is None:
            await self.sleep(READ_EVERY_S)
            await self.refresh()

    async def refresh(self) -> None:
        """Read what is decided, unless it is known or was read just now.

        Raises:
            TopicsUnfit: it is not what the worker was told.
        """
        async with self._reading:
            if self._placement.partitioner is None and time.monotonic() >= self._read_at + READ_AGAIN_S:
                try:
                    async with TopicReader(self._broker) as reader:
                        await self._read(reader)
                except KafkaError as error:
                    logger.debug("where customers are is unknown: %r", error)  # whoever needs the broker reports it
                self._read_at = time.monotonic()

    async def wait_for_decision(self) -> None:
        """Return once it is decided where new orders belong; or at once if no order tells, as theirs will be the first.

        Raises:
            PlacementUnknown: there are orders that tell, and no worker has decided yet.
            TopicsUnfit: what is decided is not what the worker was told.
        """
        if self._placement.partitioner is not None:
            return
        try:
            async with asyncio.timeout(DECIDED_WITHIN_S), self._waiting, TopicReader(self._broker) as reader:
                while self._placement.partitioner is None:
                    await self._read(reader)
                    if self._placement.partitioner is None and not await self._tells(reader):
                        return
                    await asyncio.sleep(_PAUSE_S)
        except (TimeoutError, KafkaError) as error:
            raise PlacementUnknown(
                f"in which partition of topic {self._topics.purchases} this customer's orders belong is not decided "
                f"yet: its orders tell, but no worker has read them within {DECIDED_WITHIN_S:.0f} s; try again"
            ) from error

    async def _tells(self, reader: TopicReader) -> bool:
        """Whether orders that are there will decide."""
        if self._placement.setting != AUTO:
            return False
        poll = await _poll(reader, self._topics.purchases, self._placement.partitions)
        return winner(poll.counts) is not None

    async def _read(self, reader: TopicReader) -> None:
        found = await read_partitioner(reader, self._topics.co_purchases)
        if found is not None:
            self._placement.decide(found, self._topics.co_purchases)
