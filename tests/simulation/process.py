"""A process that can be killed, stopped and slowed down at each of its steps."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from streams.workers.kafka.stage_service import Membership
    from tests.simulation.broker import Broker, Group
    from tests.simulation.disk import Disk
    from tests.simulation.faults import Faults

T = TypeVar("T")

CURRENT: ContextVar[Process | None] = ContextVar("CURRENT", default=None)
"""The process whose code runs."""


class Computer:
    """A machine on which one worker runs at a time: what survives its processes.

    Attributes:
        incarnation: number of its processes so far; what earlier ones write does not reach the disk.
        disk_full: whether the next write to disk fails.
        process: the last one.
        last_error: that ended one.
    """

    def __init__(self, name: str, path: Path, disk: Disk, faults: Faults) -> None:
        self.name = name
        self.path = path
        self.disk = disk
        self.incarnation = 0
        self.disk_full = False
        self.process: Process | None = None
        self.last_error: BaseException | None = None
        self._faults = faults

    def refuse_writing(self) -> bool:
        """Whether a write to disk fails now."""
        refused, self.disk_full = self.disk_full, False
        self._faults.counted["disk is full"] += refused
        return refused


class Process:
    """One run of a worker.

    Args:
        computer: where it runs.
        broker: the log.
        groups: its consumer groups, by name.
        faults: what happens to it.

    Attributes:
        alive: whether it was not killed.
        ended: set when it was.
        stages: its stages with their membership, by name.
    """

    def __init__(self, computer: Computer, broker: Broker, groups: dict[str, Group], faults: Faults) -> None:
        computer.incarnation += 1
        computer.process = self
        self.computer = computer
        self.broker = broker
        self.groups = groups
        self.faults = faults
        self.alive = True
        self.ended = asyncio.Event()
        self.stages: dict[str, tuple[Any, Membership]] = {}
        self._running = asyncio.Event()
        self._running.set()

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run a coroutine, and all tasks that it starts, as this process."""
        token = CURRENT.set(self)
        try:
            return asyncio.create_task(work)
        finally:
            CURRENT.reset(token)

    async def step(self) -> None:
        """Between two steps anything may happen: the process is killed, stops for a while, or waits.

        A killed process never returns from here.
        """
        await self.gate()
        pause = self.faults.before(self)
        if pause:
            await asyncio.sleep(pause)
        await self.gate()

    async def gate(self) -> None:
        """Return while the process runs."""
        if self.faults.over:
            raise asyncio.CancelledError
        if not self._running.is_set():
            await self._running.wait()
        if not self.alive:
            await self.faults.never()

    def kill(self) -> None:
        """SIGKILL: nothing of it happens any more."""
        self.alive = False
        self.computer.incarnation += 1
        self.ended.set()

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some time."""
        if self._running.is_set():
            self._running.clear()
            asyncio.get_running_loop().call_later(seconds, self._running.set)


def current() -> Process:
    """The process whose code runs."""
    process = CURRENT.get()
    assert process is not None
    return process


async def to_thread(function: Callable[..., T], /, *arguments: object, **options: object) -> T:
    """`asyncio.to_thread`, in the one thread that there is."""
    process = current()
    await process.step()
    result = function(*arguments, **options)
    await process.step()
    return result
