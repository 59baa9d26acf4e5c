"""aiokafka's clients, as far as workers use them, over the simulated broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, NoOffsetForPartitionError

from streams.workers.kafka.producers import OutgoingRecord
from tests.simulation.process import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka.structs import OffsetAndMetadata

    from tests.simulation.broker import LogRecord, Transaction

HEARTBEAT_S = 0.5


class _Written(NamedTuple):
    topic: str
    partition: int
    offset: int


class _Batch:
    """Records that are sent together."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, *, timestamp: None, **record: Any) -> bool:  # noqa: ANN401
        del timestamp
        self.records.append(record)
        return True

    def close(self) -> None:
        """It is complete."""

    def record_count(self) -> int:
        return len(self.records)


class SimulatedProducer:
    """`AIOKafkaProducer`."""

    def __init__(self, *, transactional_id: str | None = None, **_: object) -> None:
        self._process = current()
        self._name = transactional_id
        self._epoch = 0
        self._transaction: Transaction | None = None

    async def start(self) -> None:
        await self._process.step()
        if self._name is not None:
            self._epoch = self._process.broker.fence(self._name)
            await self._process.step()

    async def stop(self) -> None:
        await self._process.gate()

    async def begin_transaction(self) -> None:
        assert self._name is not None
        await self._process.step()
        self._transaction = self._process.broker.begin(self._name, self._epoch)

    async def commit_transaction(self) -> None:
        process, transaction = self._process, self._transaction
        assert transaction is not None
        await process.step()
        if process.faults.happens("a transaction is refused"):
            raise KafkaConnectionError
        process.broker.commit(transaction)
        self._transaction = None
        await process.step()
        if process.faults.happens("the answer to a commit is lost"):
            raise KafkaConnectionError

    async def send_offsets_to_transaction(self, offsets: dict[TopicPartition, OffsetAndMetadata], group: str) -> None:
        process, transaction = self._process, self._transaction
        assert transaction is not None
        await process.step()
        process.broker.check(transaction.name, transaction.epoch)
        if process.faults.happens("offsets are not committed"):
            raise KafkaConnectionError
        transaction.offsets |= {(group, place): offset for place, offset in offsets.items()}

    def create_batch(self) -> _Batch:
        return _Batch()

    async def send_batch(self, batch: _Batch, topic: str, *, partition: int) -> asyncio.Future[_Written]:
        process, transaction = self._process, self._transaction
        await process.step()
        if transaction is not None:
            process.broker.check(transaction.name, transaction.epoch)
        sent = [
            OutgoingRecord(topic, partition, record["key"], record["value"], tuple(record["headers"]))
            for record in batch.records
        ]
        half = len(sent) // 2 if process.faults.happens("a batch is written in part") else None
        offsets = [process.broker.append(record, transaction) for record in sent[:half]]
        if half is not None:
            raise KafkaConnectionError
        return asyncio.ensure_future(self._acknowledged(_Written(topic, partition, offsets[0])))

    async def _acknowledged(self, written: _Written) -> _Written:
        await self._process.step()
        return written


def committed_offset(_broker: str, group: str, topic: str, partition: int) -> OffsetAndMetadata | None:
    """`streams.workers.kafka.copies.committed_offset`."""
    return current().broker.offsets.get((group, TopicPartition(topic, partition)))


class SimulatedConsumer:
    """`AIOKafkaConsumer`, with a group or without."""

    def __init__(self, *, group_id: str | None = None, isolation_level: str = "read_uncommitted", **_: object) -> None:
        self.process = current()
        self.seen = 0.0
        """When the coordinator last heard of it."""
        self._group = None if group_id is None else self.process.groups[group_id]
        self._committed = isolation_level == "read_committed"
        self._topic = ""
        self._listener: Any = None
        self._assigned: set[TopicPartition] = set()
        self._paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._stopped = False

    async def start(self) -> None:
        await self.process.step()

    async def stop(self) -> None:
        await self.process.gate()
        self._stopped = True
        if self._group is not None:
            self._group.leave(self)

    # membership in a group

    def subscribe(self, topics: list[str], *, listener: Any) -> None:  # noqa: ANN401
        assert self._group is not None
        (self._topic,) = topics
        self._listener = listener
        self._group.join(self)
        self.process.spawn(self._send_heartbeats())

    async def _send_heartbeats(self) -> None:
        assert self._group is not None
        while not self._stopped:
            await self.process.gate()
            self.seen = asyncio.get_running_loop().time()
            if self not in self._group.members and not self._stopped:  # it was silent for too long, and learns it now
                await self.revoke()
                self._group.join(self)
            await asyncio.sleep(HEARTBEAT_S)

    async def revoke(self) -> None:
        """A rebalance begins."""
        await self.process.gate()
        await self._listener.on_partitions_revoked(set(self._assigned))

    async def assign_partitions(self, numbers: Iterable[int], generation: int) -> None:
        """A rebalance ends."""
        await self.process.gate()
        if self._group is None or self._stopped or generation != self._group.generation:
            return
        self.assign([TopicPartition(self._topic, number) for number in numbers])
        self._positions = {
            place: self._group.committed[place.partition]
            for place in self._assigned
            if place.partition in self._group.committed
        }
        await self._listener.on_partitions_assigned(set(self._assigned))

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        assert self._group is not None
        await self.process.step()
        if self.process.faults.happens("offsets are not committed"):
            raise KafkaConnectionError
        self._group.committed |= {place.partition: offset for place, offset in offsets.items()}

    # positions

    def assign(self, places: list[TopicPartition]) -> None:
        self._assigned = set(places)
        self._paused, self._positions, self._ends = set(), {}, {}

    def assignment(self) -> set[TopicPartition]:
        return set(self._assigned)

    def seek(self, place: TopicPartition, offset: int) -> None:
        self._check(place)
        self._positions[place] = offset

    def pause(self, *places: TopicPartition) -> None:
        self._paused |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        for place in places:
            self._check(place)
        self._paused -= set(places)

    async def position(self, place: TopicPartition) -> int:
        self._check(place)
        return self._positions[place]

    def _check(self, place: TopicPartition) -> None:
        if place not in self._assigned:
            raise IllegalStateError(f"{place} is not assigned")

    # reading

    async def beginning_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self.process.step()
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        await self.process.step()
        return {place: self._end(place) for place in places}

    def last_stable_offset(self, place: TopicPartition) -> int | None:
        return self._ends.get(place)

    highwater = last_stable_offset

    async def getmany(
        self, *, timeout_ms: int, max_records: int | None = None
    ) -> dict[TopicPartition, list[LogRecord]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        await self.process.step()
        while True:
            await self.process.gate()
            if found := self._fetched(max_records or 500):
                return found
            left = deadline - loop.time()
            if left <= 0:
                return {}
            await self.process.broker.news(left)

    def _fetched(self, most: int) -> dict[TopicPartition, list[LogRecord]]:
        found = {}
        for place in sorted(self._assigned - self._paused):
            if place not in self._positions:
                raise NoOffsetForPartitionError(place)
            begin, end = self._positions[place], self._end(place)
            if self.process.faults.happens("a fetch returns less"):
                end = begin + self.process.faults.random.randint(0, max(end - begin, 0))
            self._ends[place] = max(end, self._ends.get(place, 0))
            records = self.process.broker.read(place.topic, place.partition, begin, end, committed=self._committed)
            if len(records) > most:
                records = records[:most]
                end = records[-1].offset + 1 if records else begin
            most -= len(records)
            self._positions[place] = max(begin, end)
            if records:
                found[place] = records
        return found

    def _end(self, place: TopicPartition) -> int:
        return self.process.broker.end(place.topic, place.partition, committed=self._committed)
