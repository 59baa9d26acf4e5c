"""A stage in its consumer group: what it may touch, and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiokafka import TopicPartition

from streams.workers.settings import WorkerSettings
from streams.workers.stage_service import StageService, Standing, Turn
from tests.workers import PATIENCE_S, made_topics

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.brokers import Broker


class Noting:
    """A stage that notes which partitions it is told are its own."""

    name = "tally"
    most_records = 1

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.turns: list[set[int]] = []
        self._turned = asyncio.Event()

    async def open(self, partition: int) -> int:
        """From the start of the topic."""
        return 0 * partition

    async def work(self, records: Mapping[int, list[Any]], waiting: Mapping[int, int]) -> Turn:
        """Note."""
        assert set(records) <= set(waiting)
        self.turns.append(set(waiting))
        self._turned.set()
        return Turn()

    async def settle(self) -> None:
        """Nothing is in flight."""

    async def close(self, partition: int) -> None:
        """Nothing is open."""

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


async def divide_anew(kafka: Broker, directory: Path) -> list[set[int]]:
    """Let a worker lose its partitions, and get them again later; return the turns that it had meanwhile."""
    topics = made_topics(kafka.bootstrap, "divided", purchases=2, items=2)
    stage = Noting(topics.co_purchases)
    settings = WorkerSettings(kafka.bootstrap, directory, topics)
    service = StageService(stage, settings, topics.group(stage.name), Standing())
    await service.start()
    try:
        await stage.turns_with({0, 1})
        await service.revoked()
        begin = len(stage.turns)
        await stage.turns_with(set(), 3)
        meanwhile = stage.turns[begin:]
        service.assigned([TopicPartition(stage.topic, partition) for partition in (0, 1)])
        await stage.turns_with({0, 1})
    finally:
        await service.stop()
    return meanwhile


def test_while_partitions_are_divided_anew_they_are_left_alone(kafka: Broker, tmp_path: Path) -> None:
    """A worker that went on would be shut out in the middle by whoever gets them, and once wait for it for ever."""
    meanwhile = asyncio.run(divide_anew(kafka, tmp_path))
    assert meanwhile == [set()] * len(meanwhile)
