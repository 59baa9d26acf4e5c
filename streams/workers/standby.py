"""Standbys: the partitions of other workers, kept up to date here, so that taking one over costs no recount.

A standby is the store that an owner has, in the directory that it would have here, behind by a little; as one is whose
partition moved away and came back. What follows an owner counts the records that the owner has counted, by the same
functions, and sends nothing:

    histories   count `purchases` up to the offset whose deltas are delivered, so that no delivery can be theirs
    counts      count `co-purchases`
    lists       are read from `related-items`, as far as it is decided which of them readers have

Taking a partition over is opening it, but for the time that its store takes to load and what it lacks takes to count.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from aiokafka.errors import KafkaError
from mode import Service

from state.recovery import marking_damage
from streams.workers.kafka.reading import TopicReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from state.store import Store
    from streams.workers.kafka.stage_service import Membership

logger = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.5


class Partition(Protocol):
    """A partition with its stores."""

    @property
    def stores(self) -> Sequence[Store]:
        """Its stores."""


P = TypeVar("P", bound=Partition)


class Step(NamedTuple):
    """Some of what a standby lacks."""

    apply: Callable[[], object]
    """Counts or keeps it; runs in a thread."""
    lag: int
    """How many records are left then."""


async def no_standby(_: int) -> None:
    """What a worker has on standby of a partition if it keeps none."""


def in_parts(records: list[Any], length: int) -> Iterator[list[Any]]:
    """Records in lists of at most so many, each of which is a step."""
    return (records[first : first + length] for first in range(0, len(records), length))


class FollowingStage(Protocol[P]):
    """A stage, as far as it can follow the owners of partitions."""

    name: str

    async def open_standby(self, number: int) -> P:
        """Open the stores of a partition that another worker owns."""

    async def look(self, reader: TopicReader) -> None:
        """Look what owners have done, once for all standbys."""

    def steps(self, reader: TopicReader, number: int, partition: P) -> AsyncGenerator[Step]:
        """What a partition lacks until it is up to date with its owner."""


class Standbys(Service, Generic[P]):
    """Keeps on standby all partitions of a stage that this worker does not own.

    Args:
        stage: whose.
        membership: the partitions that it owns.
        partitions: how many there are.
        broker: host:port.

    Attributes:
        lag: by standby, how many records it has not counted yet that its owner has.
    """

    def __init__(self, stage: FollowingStage[P], membership: Membership, partitions: int, broker: str) -> None:
        super().__init__()
        self.lag: dict[int, int] = {}
        self._stage = stage
        self._membership = membership
        self._partitions = partitions
        self._broker = broker
        self._open: dict[int, P] = {}
        self._lock = asyncio.Lock()
        """Held while a standby is opened, changed, or taken over."""

    async def take(self, number: int) -> P | None:
        """Hand a standby over to the stage, which opens the partition; None: there is none."""
        async with self._lock:
            self.lag.pop(number, None)
            return self._open.pop(number, None)

    async def on_stop(self) -> None:
        """Close the standbys, once the step in flight is done."""
        async with self._lock:
            for partition in self._open.values():
                for store in partition.stores:
                    store.close()
            self._open.clear()

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            try:
                async with TopicReader(self._broker) as reader:
                    while not self.should_stop:
                        await self._follow_all(reader)
                        reader.rest()
                        await self.sleep(FOLLOW_EVERY_S)
            except KafkaError as error:  # whoever needs the broker reports it
                logger.debug("%s: standbys stay behind: %r", self._stage.name, error)
                await self.sleep(FOLLOW_EVERY_S)

    async def _follow_all(self, reader: TopicReader) -> None:
        await self._stage.look(reader)
        for number in range(self._partitions):
            if self._is_elsewhere(number):
                await self._follow(reader, number)

    def _is_elsewhere(self, number: int) -> bool:
        """Whether another worker may own a partition, and our stage has nothing to do with it."""
        member = self._membership
        return member.joined and number not in member.assigned | member.open and not self.should_stop

    async def _follow(self, reader: TopicReader, number: int) -> None:
        partition = self._open.get(number) or await self._opened(number)
        if partition is None:
            return
        with marking_damage(lambda: partition.stores):
            async with aclosing(self._stage.steps(reader, number, partition)) as steps:
                async for step in steps:
                    begun = time.monotonic()
                    if not await self._apply(number, partition, step):
                        return
                    if self._membership.open:  # leave half of the time to the partitions of this worker
                        await asyncio.sleep(time.monotonic() - begun)
        if self._open.get(number) is partition:
            self.lag[number] = 0

    async def _opened(self, number: int) -> P | None:
        """Open a standby, unless the partition was assigned to this worker meanwhile."""
        async with self._lock:
            if not self._is_elsewhere(number):
                return None
            partition = self._open[number] = await self._stage.open_standby(number)
            logger.info("%s: partition %d is kept on standby", self._stage.name, number)
            return partition

    async def _apply(self, number: int, partition: P, step: Step) -> bool:
        """Apply a step, and return whether the partition is still on standby."""
        async with self._lock:
            if self._open.get(number) is not partition:
                return False
            await asyncio.to_thread(step.apply)
            self.lag[number] = step.lag
            return True
