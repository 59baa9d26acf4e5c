"""What both stages share: membership in a consumer group, partitions that come and go, and the loop that does the work.

A rebalance waits for the batch in flight. Stores are opened in the loop, not while the group waits, so that heartbeats
go on meanwhile; reading starts from the offset that the store gives, whatever Kafka remembers of the group.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    ConsumerStoppedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from mode import Service

from streams.workers.cluster.owners import client_id_of
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.topics import LARGEST_DELTAS_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streams.workers.settings import WorkerSettings

logger = logging.getLogger(__name__)

COMMIT_FOR_DISPLAY_S = 5.0
REBALANCE_TIMEOUT_MS = 60_000
FETCH_WAIT_MS = 200


class LogLost(Exception):
    """The topic no longer holds the records from which the state would go on."""


class Turn(NamedTuple):
    """What a stage wants after a turn of work, in seconds."""

    pause: float = 0.0
    """Before records are fetched again."""
    wait: float = FETCH_WAIT_MS / 1000
    """How long the fetch may wait for records."""


class Stage(Protocol):
    """One of the two stages: what becomes of the records of its topic."""

    name: str
    topic: str

    @property
    def most_records(self) -> int:
        """How many records a turn may bring."""

    async def open(self, partition: int) -> int | None:
        """Make a partition ready, whoever had it in between.

        Returns:
            The offset from which to read; None if it can't be ready before others are, here or elsewhere: try again.
        """

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Take in records by partition; `waiting` tells how many more wait in each that is ours, and of no other.

        Others may be open still: while the group divides its partitions anew they are nobody's.
        """

    async def flush(self) -> None:
        """Finish what is in flight: partitions may go to others now."""

    async def close(self, partition: int) -> None:
        """Release a partition's stores."""

    def offsets(self) -> dict[int, int]:
        """Offset up to which each open partition is in."""


@dataclass(slots=True)
class Membership:
    """How a stage stands in its group, for those who answer questions.

    Attributes:
        joined: whether the group ever gave it partitions, if only none.
        assigned: partitions that are its own, open or not.
        serving: partitions that are open and nobody else's: during a rebalance still those from before it.
        lag: records that wait, by open partition.
    """

    joined: bool = False
    assigned: set[int] = field(default_factory=set)
    serving: set[int] = field(default_factory=set)
    lag: dict[int, int] = field(default_factory=dict)


class StageService(Service):
    """A stage at work in its consumer group.

    Args:
        stage: what to do with the records.
        settings: the worker's.
        group: the consumer group.
        membership: kept up to date.
    """

    def __init__(self, stage: Stage, settings: WorkerSettings, group: str, membership: Membership) -> None:
        super().__init__()
        self.stage = stage
        self._group = group
        self._settings = settings
        self._membership = membership
        self._lock = asyncio.Lock()
        self._wanted: set[int] | None = None  # None: the group divides its partitions just now
        self._ready: set[int] = set()
        self._open: set[int] = set()
        self._assignment = 0
        self._displayed = 0.0
        self._consumer: Any = None

    async def on_start(self) -> None:
        """Join the group."""
        timeout = self._settings.session_timeout_ms
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.broker,
            group_id=self._group,
            client_id=client_id_of(self._settings.advertised),
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=[StickyPartitionAssignor],
            session_timeout_ms=timeout,
            heartbeat_interval_ms=max(timeout // 4, 100),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_partition_fetch_bytes=LARGEST_DELTAS_BYTES // 8,
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )
        await self._consumer.start()
        self._consumer.subscribe([self.stage.topic], listener=_Rebalances(self))

    @Service.task
    async def _run(self) -> None:
        turn = Turn()
        while not self.should_stop:
            if await self._open_next():
                continue
            turn = await self._turn(turn)
            if turn.pause > 0:
                await asyncio.sleep(turn.pause)

    async def on_stop(self) -> None:
        """Finish the batch in flight, and leave the group."""
        async with self._lock:
            self._wanted = None
            self._membership.serving.clear()
            if self.crash_reason is None:
                await self.stage.flush()
                await self._display()
            for partition in sorted(self._open):
                await self.stage.close(partition)
            self._open = set()
        if self._consumer is not None:
            await self._consumer.stop()
        logger.info("%s: stopped", self.stage.name)

    async def _turn(self, last: Turn) -> Turn:
        assignment = self._assignment
        records = await self._fetch(last.wait)
        async with self._lock:
            # a rebalance may have come meanwhile: its partitions are read again from where their stores stand
            if assignment != self._assignment or self.should_stop:
                return Turn()
            ready = {place.partition: batch for place, batch in records.items() if place.partition in self._ready}
            turn = await self.stage.work(ready, await self._waiting())
            if time.monotonic() > self._displayed + COMMIT_FOR_DISPLAY_S:
                await self._display()
            return turn

    async def _fetch(self, wait_s: float) -> dict[Any, list[Any]]:
        try:
            records: dict[Any, list[Any]] = await self._consumer.getmany(
                timeout_ms=int(wait_s * 1000), max_records=self.stage.most_records
            )
        except NoOffsetForPartitionError:
            return {}  # of a partition that is not ready yet
        except ConsumerStoppedError:
            return {}
        except OffsetOutOfRangeError as error:
            raise LogLost(
                f"topic {self.stage.topic} was cut off while it was read: {error}; see retention.ms"
            ) from error
        return records

    async def _waiting(self) -> dict[int, int]:
        waiting = {}
        for partition in self._ready:
            place = TopicPartition(self.stage.topic, partition)
            end = self._consumer.last_stable_offset(place)
            lag = None if end is None else max(end - await self._consumer.position(place), 0)
            self._membership.lag[partition] = lag or 0
            # before the first fetch nobody knows, which is not the same as having everything
            waiting[partition] = 1 if lag is None else lag
        return waiting

    async def _open_next(self) -> bool:
        """Release what is others' now, and make one more partition ready, if one can be; tell whether one was."""
        async with self._lock:
            if self._wanted is None or self.should_stop:
                return False
            for partition in sorted(self._open - self._wanted):
                await self.stage.close(partition)
                self._open.discard(partition)
            for partition in sorted(self._wanted - self._ready):
                begun = time.monotonic()
                self._open.add(partition)
                offset = await self.stage.open(partition)
                if offset is not None:
                    await self._read_from(partition, offset, begun)
                    return True
            return False

    async def _read_from(self, partition: int, offset: int, begun: float) -> None:
        place = TopicPartition(self.stage.topic, partition)
        await self._check_log(place, offset)
        try:
            self._consumer.seek(place, offset)
            self._consumer.resume(place)
        except IllegalStateError:
            return  # the next assignment is on its way
        self._ready.add(partition)
        self._membership.serving.add(partition)
        seconds = time.monotonic() - begun
        logger.info("%s: partition %d is ready, from offset %d (%.1f s)", self.stage.name, partition, offset, seconds)

    async def _check_log(self, place: TopicPartition, offset: int) -> None:
        begin = (await self._consumer.beginning_offsets([place]))[place]
        end = (await self._consumer.end_offsets([place]))[place]
        if offset > end:  # according to a broker whose word on this is not always good
            async with TopicReader(self._settings.broker) as reader:
                begin, end = await reader.bounds(place.topic, place.partition)
        if offset < begin:
            raise LogLost(
                f"topic {place.topic} partition {place.partition} begins at offset {begin}, the state of "
                f"{self.stage.name} stands at {offset}: records between were deleted before they were counted. "
                "Restore a snapshot that reaches further (--restore-from), and keep the topic for ever: retention.ms=-1"
            )
        if offset > end:
            raise LogLost(
                f"topic {place.topic} partition {place.partition} ends at offset {end}, the state of {self.stage.name} "
                f"stands at {offset}: the topic is not the one that was counted. Start a new --generation"
            )

    async def _display(self) -> None:
        """Tell the group's offsets, for those who watch its lag; nobody reads them to go on."""
        self._displayed = time.monotonic()
        offsets = {
            TopicPartition(self.stage.topic, partition): offset
            for partition, offset in self.stage.offsets().items()
            if partition in self._ready
        }
        if offsets:
            try:
                await asyncio.wait_for(self._consumer.commit(offsets), FETCH_WAIT_MS / 1000)
            except (KafkaError, TimeoutError) as error:
                logger.debug("%s: the group's offsets were not updated: %r", self.stage.name, error)

    async def revoked(self) -> None:
        """Partitions may go to others: finish the batch in flight."""
        async with self._lock:
            self._assignment += 1
            self._wanted = None
            self._ready = set()
            if self.should_stop:
                return
            try:
                await self.stage.flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, the group would only log it
                await self.crash(error)

    def assigned(self, places: Iterable[TopicPartition]) -> None:
        """These partitions are ours now; nothing is read before their stores are open."""
        places = set(places)
        self._consumer.pause(*places)
        self._assignment += 1
        self._wanted = {place.partition for place in places}
        self._ready = set()
        self._membership.joined = True
        self._membership.assigned = set(self._wanted)
        self._membership.serving &= self._wanted
        self._membership.lag = {partition: self._membership.lag.get(partition, 0) for partition in self._wanted}
        numbers = ", ".join(map(str, sorted(self._wanted))) or "none"
        logger.info("%s: partitions of %s assigned: %s", self.stage.name, self.stage.topic, numbers)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells a service of its partitions."""

    def __init__(self, service: StageService) -> None:
        self._service = service

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """See `StageService.revoked`."""
        if revoked:
            logger.info("%s: the group's partitions are divided anew", self._service.stage.name)
        await self._service.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """See `StageService.assigned`."""
        self._service.assigned(assigned)
