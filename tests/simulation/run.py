"""One run: a seed decides everything that happens; at its end all must be as the log says."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

from tests.simulation.checks import check, until_exact
from tests.simulation.clients import SimulatedConsumer, SimulatedProducer, committed_offset
from tests.simulation.disk import Batch, SimulatedRocks
from tests.simulation.loop import SimulatedLoop
from tests.simulation.process import current, to_thread
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections import Counter

QUIET = ("streams", "mode", "asyncio")
"""Loggers that a run silences."""


class Outcome(NamedTuple):
    """What a run was.

    Attributes:
        faults: how many of each kind.
        seconds: simulated.
        offsets: how many each partition of the log has.
    """

    faults: Counter[str]
    seconds: float
    offsets: dict[tuple[str, int], int]


def run(seed: int) -> Outcome:
    """Run a seed to its end.

    Raises:
        Wrong: what is there at the end is not what the log says.
        Hung: there is no end.
    """
    loop = SimulatedLoop()
    with TemporaryDirectory(prefix="simulation-", dir=_fast_directory()) as directory, ExitStack() as patches:
        for target, replacement in _replacements(loop).items():
            patches.enter_context(patch(target, replacement))
        world = World(Random(seed), Path(directory))
        try:
            loop.run_until_complete(_whole(world))
            offsets = {place: len(entries) for place, entries in world.broker.partitions.items()}
            return Outcome(world.faults.counted, loop.time(), offsets)
        finally:
            world.faults.over = True
            while left := asyncio.all_tasks(loop):
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(left))
            loop.close()


async def _whole(world: World) -> None:
    await world.happen()
    await until_exact(world)
    check(world)


def _fast_directory() -> Path | None:
    memory = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
    return memory if memory.is_dir() else None


def _replacements(loop: SimulatedLoop) -> dict[str, Any]:
    """The edges of the stages: clock, threads, Kafka's clients, disk. All between them is what workers run."""
    return {
        "time.monotonic": loop.time,
        "asyncio.to_thread": to_thread,
        "streams.workers.kafka.producers.AIOKafkaProducer": SimulatedProducer,
        "streams.workers.kafka.reading.BoundedConsumer": SimulatedConsumer,
        "streams.workers.kafka.stage_service.BoundedConsumer": SimulatedConsumer,
        "streams.workers.copier.committed_offset": committed_offset,
        "streams.workers.publishing.refresh.SHARDS": 64,  # the fewest: sweeping takes most of a quiet run's time
        "streams.workers.publishing.list_publisher.SHARDS": 64,
        "state.store.Rocks": lambda path, **_: SimulatedRocks(path, current().computer),
        "state.store.WriteBatch": Batch,
        "state.history_store.WriteBatch": Batch,
        "state.count_store.WriteBatch": Batch,
        "state.related_store.WriteBatch": Batch,
    }


def be_quiet() -> None:
    """Keep failing workers from saying so: here that is what they are for."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
