"""A stage in its consumer group: what it may touch, and when."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from streams.workers.kafka.stage_service import Membership, StageService, Turn
from streams.workers.settings import WorkerSettings
from tests.workers import PATIENCE_S, made_topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.brokers import Broker


class Noting:
    """A stage that notes which partitions are open, and which it is told are its own."""

    name = "tally"
    most_records = 1

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.turns: list[set[int]] = []
        self.opened: set[int] = set()
        self._turned = asyncio.Event()

    async def open(self, partition: int) -> int:
        """From the start of the topic."""
        self.opened.add(partition)
        return 0

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Note."""
        assert set(records) <= set(waiting)
        self.turns.append(set(waiting))
        self._turned.set()
        return Turn()

    async def flush(self) -> None:
        """Nothing is in flight."""

    async def close(self, partition: int) -> None:
        self.opened.remove(partition)

    def offsets(self) -> dict[int, int]:
        """None."""
        return {}

    async def turns_with(self, partitions: set[int], count: int = 1) -> None:
        """Return after so many more turns with these partitions."""
        begin = len(self.turns)
        async with asyncio.timeout(PATIENCE_S):
            while self.turns[begin:].count(partitions) < count:
                self._turned.clear()
                await self._turned.wait()


@asynccontextmanager
async def joined(kafka: Broker, directory: Path, name: str) -> AsyncIterator[tuple[Noting, StageService]]:
    """A stage alone in its group, with two partitions."""
    topics = made_topics(kafka.bootstrap, name, purchases=2, items=2)
    stage = Noting(topics.co_purchases)
    settings = WorkerSettings(kafka.bootstrap, directory, topics)
    service = StageService(stage, settings, topics.group(stage.name), Membership())
    await service.start()
    try:
        await stage.turns_with({0, 1})
        yield stage, service
    finally:
        await service.stop()
    assert not stage.opened


def assign(service: StageService, *partitions: int) -> None:
    service.assigned([TopicPartition(service.stage.topic, partition) for partition in partitions])


def test_while_partitions_are_divided_anew_they_are_left_alone(kafka: Broker, tmp_path: Path) -> None:
    """A worker that went on would be shut out in the middle by whoever gets them, and once waited for it for ever."""

    async def divide_anew() -> None:
        async with joined(kafka, tmp_path, "divided") as (stage, service):
            await service.revoked()
            begin = len(stage.turns)
            await stage.turns_with(set(), 3)
            assert stage.turns[begin:] == [set()] * len(stage.turns[begin:])
            assert stage.opened == {0, 1}
            assign(service, 0, 1)
            await stage.turns_with({0, 1})

    asyncio.run(divide_anew())


def test_what_others_have_now_is_released(kafka: Broker, tmp_path: Path) -> None:
    """By a worker that gets nothing else instead, too."""

    async def lose() -> None:
        async with joined(kafka, tmp_path, "released") as (stage, service):
            for left in ({1}, set[int]()):
                await service.revoked()
                assign(service, *left)
                await stage.turns_with(left, 2)
                assert stage.opened == left

    asyncio.run(lose())
