"""What both stages share: membership in a consumer group, partitions that come and go, and the loop that does the work.

A rebalance waits for the batch in flight. Stores are opened in the loop, not in the rebalance callback, so that
heartbeats continue meanwhile. Reading starts from the offset that the store gives; recovery ignores the offsets that
Kafka has for the group.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    InconsistentGroupProtocolError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from mode import Service

from producers.errors import BrokerRefuses
from producers.kafka_config import consumer_options
from producers.rights import grant
from streams.workers.kafka.assignment import assignor
from streams.workers.kafka.consumers import FETCH_BYTES, BoundedConsumer
from streams.workers.kafka.errors import LogLost, TopicsUnfit
from streams.workers.kafka.reading import TopicReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

logger = logging.getLogger(__name__)

COMMIT_FOR_DISPLAY_S = 5.0
REBALANCE_TIMEOUT_MS = 60_000
FETCH_WAIT_MS = 200
HEARTBEATS = 40
"""In a session. A member learns with its next one that another has died, and partitions wait for that."""


class Turn(NamedTuple):
    """What a stage asks for after a turn of work, in seconds."""

    pause: float = 0.0
    """How long to wait before records are fetched again."""
    wait: float = FETCH_WAIT_MS / 1000
    """How long that fetch may wait for records."""


class Stage(Protocol):
    """One of the two stages: what it does with the records of its topic."""

    name: str
    topic: str

    @property
    def most_records(self) -> int:
        """How many records a turn may bring."""

    async def open(self, number: int) -> int | None:
        """Make a partition ready, whoever owned it in between.

        Returns:
            The offset from which to read; None if other partitions, here or elsewhere, must be ready first: try again.
        """

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Process records, by partition.

        Args:
            records: by partition, in the order of their offsets.
            waiting: how many more records wait, for each partition that is ours. During a rebalance other partitions
                may still be open: they belong to nobody, and must be left alone.
        """

    async def flush(self) -> None:
        """Finish what is in flight: partitions may move to other workers now."""

    async def close(self, number: int) -> None:
        """Release a partition's stores."""

    def offsets(self) -> dict[int, int]:
        """Offset up to which each open partition is processed."""


@dataclass(slots=True)
class Membership:
    """A stage's membership in its consumer group, for those who answer questions.

    Attributes:
        joined: whether the group has ever assigned partitions to it, or none.
        assigned: its partitions, open or not.
        open: partitions whose stores the stage has open, or is opening or closing.
        serving: its open partitions; during a rebalance those from before it.
        lag: waiting records, by open partition.
    """

    joined: bool = False
    assigned: set[int] = field(default_factory=set)
    open: set[int] = field(default_factory=set)
    serving: set[int] = field(default_factory=set)
    lag: dict[int, int] = field(default_factory=dict)


class StageService(Service):
    """Runs a stage in its consumer group.

    Args:
        stage: what to do with the records.
        membership: kept up to date.
        broker: host:port.
        group: the consumer group.
        client_id: names this worker to the group's other members.
        session_timeout_ms: a worker that is silent for this long loses its partitions.
        shared: what all members must have alike, and the value that this one has.
        standby: returns the lag of each partition that this worker keeps on standby.
    """

    def __init__(
        self,
        stage: Stage,
        membership: Membership,
        *,
        broker: str,
        group: str,
        client_id: str,
        session_timeout_ms: int,
        shared: Mapping[str, object] = MappingProxyType({}),
        standby: Callable[[], Mapping[int, int]] = dict,
    ) -> None:
        super().__init__()
        self._shared = shared
        self._standby = standby
        self.stage = stage
        self._membership = membership
        self._broker = broker
        self._group = group
        self._client_id = client_id
        self._session_timeout_ms = session_timeout_ms
        self._lock = asyncio.Lock()
        self._assigned: set[int] | None = None  # None during a rebalance
        self._ready: set[int] = set()
        self._assignment = 0
        self._newly_assigned = asyncio.Event()
        self._displayed = 0.0
        self._consumer: Any = None

    async def on_start(self) -> None:
        """Join the group."""
        self._consumer = BoundedConsumer(
            **consumer_options(self._broker) | {"client_id": self._client_id},  # by which workers find each other
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            partition_assignment_strategy=[assignor(self.stage.topic, self._shared, self._standby)],
            session_timeout_ms=self._session_timeout_ms,
            heartbeat_interval_ms=max(self._session_timeout_ms // HEARTBEATS, 100),
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
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
            if not self._ready:  # there is nothing to fetch: be there when partitions are assigned
                await self._assignment_within(turn.wait)
                turn = turn._replace(wait=0.0)
            turn = await self._turn(turn)
            # also for 0 s: a turn that waits for nothing suspends nowhere, and would let no heartbeat and no fetch run
            await asyncio.sleep(turn.pause)

    async def _assignment_within(self, seconds: float) -> None:
        """Return once partitions are assigned, or after some time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._newly_assigned.wait()
        self._newly_assigned.clear()

    async def on_stop(self) -> None:
        """Finish the batch in flight, and leave the group."""
        async with self._lock:
            self._assigned = None
            self._membership.serving.clear()
            if self.crash_reason is None:
                await self.stage.flush()
                await self._display()
            for partition in sorted(self._membership.open):
                await self.stage.close(partition)
            self._membership.open.clear()
        if self._consumer is not None:
            await self._consumer.stop()
        logger.info("%s: stopped", self.stage.name)

    async def _turn(self, last: Turn) -> Turn:
        assignment = self._assignment
        records = await self._fetch(last.wait)
        async with self._lock:
            # after a rebalance in between, partitions are read again from the offsets that their stores give
            if assignment != self._assignment or self.should_stop:
                return Turn()
            ready = {
                topic_partition.partition: batch
                for topic_partition, batch in records.items()
                if topic_partition.partition in self._ready
            }
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
            return {}  # a partition is not ready yet
        except ConsumerStoppedError:
            return {}
        except InconsistentGroupProtocolError:
            others = " or ".join(f"other {what} than {value}" for what, value in self._shared.items())
            raise TopicsUnfit(
                f"consumer group {self._group} has workers with {others}, which this one has, or only one of them has "
                "--rekey or --pairs order: all workers of a generation need the same. Give this one theirs, or start a "
                "new --generation"
            ) from None
        except TopicAuthorizationFailedError:
            raise BrokerRefuses(_withdrawn("topic", self.stage.topic)) from None
        except GroupAuthorizationFailedError:
            raise BrokerRefuses(_withdrawn("group", self._group)) from None
        except OffsetOutOfRangeError as error:
            async with TopicReader(self._broker) as reader:
                for topic_partition, offset in error.args[0].items():
                    bounds = await reader.bounds(topic_partition.topic, topic_partition.partition)
                    check_offset(self.stage.name, topic_partition, offset, bounds)
            raise LogLost(
                f"topic {self.stage.topic} has other records than a moment ago: {error}. If it was made again, start a "
                "new --generation; else start this worker again"
            ) from error
        return records

    async def _waiting(self) -> dict[int, int]:
        waiting = {}
        for partition in self._ready:
            topic_partition = TopicPartition(self.stage.topic, partition)
            end = self._consumer.last_stable_offset(topic_partition)
            lag = None if end is None else max(end - await self._consumer.position(topic_partition), 0)
            self._membership.lag[partition] = lag or 0
            # the lag is unknown until the first fetch, which does not mean that nothing waits
            waiting[partition] = 1 if lag is None else lag
        return waiting

    async def _open_next(self) -> bool:
        """Close partitions that moved to other workers, and make one more ready if possible; return whether one was."""
        async with self._lock:
            if self._assigned is None or self.should_stop:
                return False
            for partition in sorted(self._membership.open - self._assigned):
                await self.stage.close(partition)
                self._membership.open.discard(partition)
            for partition in sorted(self._assigned - self._ready):
                begun = time.monotonic()
                self._membership.open.add(partition)
                offset = await self.stage.open(partition)
                if offset is not None:
                    await self._read_from(partition, offset, begun)
                    return True
            return False

    async def _read_from(self, partition: int, offset: int, begun: float) -> None:
        topic_partition = TopicPartition(self.stage.topic, partition)
        await self._check_log(topic_partition, offset)
        try:
            self._consumer.seek(topic_partition, offset)
            self._consumer.resume(topic_partition)
        except IllegalStateError:
            return  # another rebalance has begun
        self._ready.add(partition)
        self._membership.serving.add(partition)
        seconds = time.monotonic() - begun
        logger.info("%s: partition %d is ready, from offset %d (%.1f s)", self.stage.name, partition, offset, seconds)

    async def _check_log(self, topic_partition: TopicPartition, offset: int) -> None:
        begin = (await self._consumer.beginning_offsets([topic_partition]))[topic_partition]
        end = (await self._consumer.end_offsets([topic_partition]))[topic_partition]
        if offset > end:  # the embedded broker may report an end that is too low
            async with TopicReader(self._broker) as reader:
                begin, end = await reader.bounds(topic_partition.topic, topic_partition.partition)
        check_offset(self.stage.name, topic_partition, offset, (begin, end))

    async def _display(self) -> None:
        """Commit the group's offsets so that tools can show its lag; recovery ignores them."""
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
        """Handle the start of a rebalance: partitions may move, so finish the batch in flight."""
        async with self._lock:
            self._assignment += 1
            self._assigned = None
            self._ready = set()
            if self.should_stop:
                return
            try:
                await self.stage.flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, aiokafka would only log it
                await self.crash(error)

    def assigned(self, topic_partitions: Iterable[TopicPartition]) -> None:
        """Handle the end of a rebalance: these partitions are ours; each is read once its store is open."""
        topic_partitions = set(topic_partitions)
        self._consumer.pause(*topic_partitions)
        self._assignment += 1
        self._assigned = {topic_partition.partition for topic_partition in topic_partitions}
        self._ready = set()
        self._newly_assigned.set()
        self._membership.joined = True
        self._membership.assigned = set(self._assigned)
        self._membership.serving &= self._assigned
        self._membership.lag = {partition: self._membership.lag.get(partition, 0) for partition in self._assigned}
        numbers = ", ".join(map(str, sorted(self._assigned))) or "none"
        logger.info("%s: partitions of %s assigned: %s", self.stage.name, self.stage.topic, numbers)


def check_offset(stage: str, topic_partition: TopicPartition, offset: int, bounds: tuple[int, int]) -> None:
    """Check that a partition has what follows the state of a stage.

    Args:
        stage: its name.
        topic_partition: that it reads.
        offset: up to which it has counted.
        bounds: offset of the first record that is kept, and the one after the last.

    Raises:
        LogLost: it has not.
    """
    begin, end = bounds
    where = f"topic {topic_partition.topic} partition {topic_partition.partition}"
    if offset < begin:
        raise LogLost(
            f"{where} begins at offset {begin}, the state of {stage} ends at {offset}: the records "
            "between were deleted before they were counted. "
            "Restore a later snapshot (--restore-from), and keep the topic's records for ever: retention.ms=-1"
        )
    if offset > end:
        raise LogLost(
            f"{where} ends at offset {end}, the state of {stage} ends at {offset}: this is not the "
            "topic that was counted. Start a new --generation"
        )


def _withdrawn(what: str, name: str) -> str:
    return f"a right of this user was withdrawn at the broker. Grant it: {grant(['READ'], what, name)}"


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes rebalances on to a service."""

    def __init__(self, service: StageService) -> None:
        self._service = service

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """See `StageService.revoked`."""
        if revoked:
            logger.info("%s: the group is rebalancing", self._service.stage.name)
        await self._service.revoked()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """See `StageService.assigned`."""
        self._service.assigned(assigned)
