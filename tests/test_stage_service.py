"""A stage in its consumer group: which partitions it may work on, and when."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from kafka import KafkaAdminClient

from producers.publish import Publisher
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.stage_service import Membership, StageService, Turn
from tests.workers import PATIENCE_S, made_topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.brokers import Broker


class RecordingStage:
    """A stage that records which partitions are open, and which it may work on in each turn."""

    name = "tally"
    most_records = 1
    hurries_until = 0.0
    """Until then it asks for records again at once."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.turns: list[set[int]] = []
        self.opened: set[int] = set()
        self._turned = asyncio.Event()

    async def open(self, number: int) -> int:
        """Start at the beginning of the topic."""
        self.opened.add(number)
        return 0

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Record the turn."""
        assert set(records) <= set(waiting)
        self.turns.append(set(waiting))
        self._turned.set()
        return Turn(wait=0.0) if time.monotonic() < self.hurries_until else Turn()

    async def flush(self) -> None:
        """Nothing is in flight."""

    async def close(self, number: int) -> None:
        self.opened.remove(number)

    def offsets(self) -> dict[int, int]:
        """None."""
        return {}

    async def turns_with(self, partitions: set[int], count: int = 1) -> None:
        """Return after `count` more turns with these partitions."""
        begin = len(self.turns)
        async with asyncio.timeout(PATIENCE_S):
            while self.turns[begin:].count(partitions) < count:
                self._turned.clear()
                await self._turned.wait()


@asynccontextmanager
async def joined(kafka: Broker, name: str) -> AsyncIterator[tuple[RecordingStage, StageService]]:
    """A stage that is the only member of its group, with two partitions."""
    topics = made_topics(kafka.bootstrap, name, purchases=2, items=2)
    stage = RecordingStage(topics.co_purchases)
    service = StageService(
        stage,
        Membership(),
        broker=kafka.bootstrap,
        group=topics.group(stage.name),
        client_id=name,
        session_timeout_ms=6_000,
    )
    await service.start()
    try:
        await stage.turns_with({0, 1})
        yield stage, service
    finally:
        await service.stop()
    assert not stage.opened


def assign(service: StageService, *partitions: int) -> None:
    service.assigned([TopicPartition(service.stage.topic, partition) for partition in partitions])


def test_during_a_rebalance_partitions_are_left_alone(kafka: Broker) -> None:
    """A worker that kept working would be fenced by the next owner in the middle of a turn."""

    async def rebalance() -> None:
        async with joined(kafka, "rebalanced") as (stage, service):
            await service.revoked()
            begin = len(stage.turns)
            await stage.turns_with(set(), 3)
            assert stage.turns[begin:] == [set()] * len(stage.turns[begin:])
            assert stage.opened == {0, 1}
            assign(service, 0, 1)
            await stage.turns_with({0, 1})

    asyncio.run(rebalance())


def test_partitions_that_moved_to_other_workers_are_closed(kafka: Broker) -> None:
    """Also by a worker that gets no others instead."""

    async def lose() -> None:
        async with joined(kafka, "released") as (stage, service):
            for left in ({1}, set[int]()):
                await service.revoked()
                assign(service, *left)
                await stage.turns_with(left, 2)
                assert stage.opened == left

    asyncio.run(lose())


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (5, "partition 0 begins at offset 10, the state of tally ends at 5: the records between were deleted"),
        (30, "partition 0 ends at offset 20, the state of tally ends at 30: this is not the topic that was counted"),
    ],
)
def test_a_position_outside_the_log_ends_the_stage_with_where_the_log_is(
    kafka: Broker, offset: int, message: str
) -> None:
    """Retention may pass a worker while it is paused, and a topic that was made again be shorter."""

    async def lose() -> None:
        async with joined(kafka, f"outside-{offset}") as (stage, service):
            place = TopicPartition(stage.topic, 0)
            with Publisher(kafka.bootstrap, stage.topic) as publisher:
                for _ in range(20):
                    publisher.send(b"", b"", partition=0)
            with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
                admin.delete_records({place: 10})
            service._consumer.seek(place, offset)
            async with asyncio.timeout(PATIENCE_S):
                while service.crash_reason is None:  # noqa: ASYNC110 - it tells nobody
                    await asyncio.sleep(0.05)
            assert isinstance(service.crash_reason, LogLost)
            assert message in str(service.crash_reason)

    asyncio.run(lose())


def test_a_stage_in_a_hurry_lets_heartbeats_and_fetches_run(kafka: Broker) -> None:
    """Of an empty topic the end is unknown until a fetch returns; who asks again at once would wait for ever."""

    async def hurry() -> None:
        async with joined(kafka, "hurried") as (stage, _):
            begun = time.monotonic()
            stage.hurries_until = begun + 3.0
            await stage.turns_with({0, 1}, 100)
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert time.monotonic() - begun < 2.0

    asyncio.run(hurry())
