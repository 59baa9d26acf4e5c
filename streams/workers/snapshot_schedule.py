"""Snapshots that a worker writes by itself: each open store again before its newest snapshot becomes too old.

A store is written as of a commit, while the worker goes on: RocksDB makes a copy of links beside the stores, during
which this store's partition waits, and a thread copies that to the place. A snapshot that fails is logged, counted, and
tried again; it stops nothing.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from typing import TYPE_CHECKING, Protocol

from mode import Service

from state.errors import StateDamaged, StateError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from state.snapshot_places import SnapshotPlace
    from state.store import Store

logger = logging.getLogger(__name__)

_LOOK_S = 60.0
_LOOKS = 20  # at least so many times before a snapshot is too old, so that it is not much older


class OpenPartition(Protocol):
    """A partition of a stage.

    Attributes:
        lock: whoever holds it keeps the partition from being closed, and from counting.
        stores: its open stores.
    """

    lock: asyncio.Lock

    @property
    def stores(self) -> Sequence[Store]:
        """Its stores."""


class StageWithPartitions(Protocol):
    """A stage, as far as its stores go."""

    @property
    def partitions(self) -> Mapping[int, OpenPartition]:
        """The open partitions."""


class SnapshotSchedule(Service):
    """Writes snapshots of the open stores.

    Args:
        place: where to.
        stages: whose stores.
        scratch: a directory on the disk of the stores, for what is being written; it is emptied.
        every_s: how old the newest snapshot of a store becomes, in seconds.
        kept: how many of each store stay.

    Attributes:
        failures: how many could not be written.
    """

    def __init__(
        self, place: SnapshotPlace, stages: Sequence[StageWithPartitions], scratch: Path, every_s: float, kept: int
    ) -> None:
        super().__init__()
        self.failures = 0
        self._place = place
        self._stages = stages
        self._scratch = scratch
        self._every_s = every_s
        self._kept = kept
        self._taken: dict[str, float] = {}
        """When each store's newest snapshot was taken, by our monotonic clock."""

    def age_s(self) -> float:
        """Seconds since the newest snapshot of the open store for which that is longest; 0 before the first look."""
        now = time.monotonic()
        names = [store.path.name for partition in self._partitions() for store in partition.stores]
        return max((now - self._taken[name] for name in names if name in self._taken), default=0.0)

    async def on_start(self) -> None:
        """Remove what an earlier run did not finish."""
        await self._clear()

    async def on_stop(self) -> None:
        """End what is being written, by removing it."""
        await self._clear()

    async def on_shutdown(self) -> None:
        """Remove what was made meanwhile."""
        await self._clear()

    async def _clear(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)

    @Service.task
    async def _run(self) -> None:
        while not self.should_stop:
            await self.write_due()
            await self.sleep(min(_LOOK_S, self._every_s / _LOOKS))

    def _partitions(self) -> Iterator[OpenPartition]:
        for stage in self._stages:
            yield from list(stage.partitions.values())

    async def write_due(self) -> None:
        """Write every snapshot that is due, one after another."""
        for partition in list(self._partitions()):
            for store in partition.stores:
                if self.should_stop:
                    return
                try:
                    await self._write_if_due(partition, store)
                except (StateError, OSError) as error:
                    if self.should_stop:
                        return
                    self.failures += 1
                    logger.warning("snapshot of %s: %s", store.path.name, str(error))

    async def _write_if_due(self, partition: OpenPartition, store: Store) -> None:
        name = store.path.name
        if name not in self._taken:
            # of one that this worker has not written it is only known what another clock says
            self._taken[name] = time.monotonic() - await asyncio.to_thread(self._known_age_s, name)
        if time.monotonic() - self._taken[name] < self._every_s:
            return
        begun = time.monotonic()
        checkpoint = self._scratch / name
        try:
            async with partition.lock:
                if not any(store in each.stores for each in self._partitions()):
                    return  # it moved to another worker meanwhile
                await asyncio.to_thread(_checkpoint, store, checkpoint)
            waited_s = time.monotonic() - begun
            snapshot = await asyncio.to_thread(self._place.write, name, checkpoint, self._kept)
        finally:
            await asyncio.to_thread(shutil.rmtree, checkpoint, ignore_errors=True)
        self._taken[name] = begun
        seconds = time.monotonic() - begun
        logger.info(
            "snapshot of %s written to %s (%.1f s, %.2f s of it waiting)", name, snapshot.shown, seconds, waited_s
        )

    def _known_age_s(self, name: str) -> float:
        """Age of the newest snapshot of a store that can be read; that of none, or of one from the future, is great."""
        for snapshot in self._place.newest_first(name):
            try:
                age_s = time.time() - snapshot.taken_s()
            except StateDamaged as error:
                logger.warning("the snapshot %s cannot be used: %s", snapshot.shown, str(error))
            else:
                return age_s if age_s >= 0 else self._every_s
        return self._every_s


def _checkpoint(store: Store, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.parent.mkdir(exist_ok=True)
    store.checkpoint(to)
