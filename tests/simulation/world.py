"""What goes on in a run: computers on which workers start again and again, a coordinator, a shop, and disturbances."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from typing import TYPE_CHECKING, Any

from state.directory import StateDirectory
from state.settings import CountingSettings
from streams.workers.ingest import Ingest
from streams.workers.kafka.stage_service import Membership, StageService
from streams.workers.kafka.topics import Topics
from streams.workers.settings import WorkerSettings
from streams.workers.tally import Tally
from tests.simulation.broker import Broker, Group
from tests.simulation.disk import Disk
from tests.simulation.faults import Faults
from tests.simulation.process import Computer, Process
from tests.simulation.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from random import Random

SESSION_S = 6.0
REBALANCE_S = 60.0
TOPICS = Topics()
PAIR_WINDOWS = (0, 2, 100)
RATES = (0.0, 0.01, 0.03, 0.1, 0.2)
"""Faults a step, of which a run has one."""


class World:
    """Everything of one run.

    Args:
        random: the source of all chance.
        directory: for the state directories, which stay empty.
    """

    def __init__(self, random: Random, directory: Path) -> None:
        self.random = random
        self.purchases, self.items = random.randint(1, 3), random.randint(1, 2)
        self.pair_window = random.choice(PAIR_WINDOWS)
        self.faults = Faults(random, random.choice(RATES))
        self.shop = Shop(random, self.purchases)
        self.broker = Broker(
            {
                TOPICS.purchases: self.purchases,
                TOPICS.rejected: self.purchases,
                TOPICS.co_purchases: self.items,
                TOPICS.related_items: self.items,
            }
        )
        self.groups = {
            TOPICS.group("ingest"): Group(self.purchases, self._dealt),
            TOPICS.group("tally"): Group(self.items, self._dealt),
        }
        self.computers = [
            Computer(f"worker-{number}", directory / str(number), Disk(), self.faults)
            for number in range(random.randint(1, 3))
        ]
        self._records = random.randint(5, 200)
        self._tasks: list[asyncio.Task[Any]] = []

    async def happen(self) -> None:
        """Let the shop send its records under faults; return when the faults have ended, and go on without them."""
        self._tasks = [asyncio.create_task(self._restart(computer)) for computer in self.computers]
        self._tasks += [asyncio.create_task(self._coordinate(group)) for group in self.groups.values()]
        self._tasks.append(asyncio.create_task(self._disturb()))
        for _ in range(self._records):
            self.broker.append(self.shop.record(TOPICS.purchases))
            await asyncio.sleep(self.random.choice((0.0, 0.01, 0.1, self.random.expovariate(2.0))))
        await asyncio.sleep(self.random.uniform(0, 20))
        self.faults.rate = 0.0

    def check(self) -> None:
        """Raise what went wrong with the run itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    def open_partitions(self, stage: str) -> Mapping[int, Any]:
        """The partitions of a stage that are served."""
        found: dict[int, Any] = {}
        for computer in self.computers:
            process = computer.process
            if process is not None and process.alive and stage in process.stages:
                served, membership = process.stages[stage]
                found |= {number: served.partitions[number] for number in membership.serving & set(served.partitions)}
        return found

    def _dealt(self, members: list[Any], partitions: int) -> dict[Any, set[int]]:
        order = list(members)
        self.random.shuffle(order)
        dealt: dict[Any, set[int]] = {member: set() for member in order}
        for number, member in zip(range(partitions), itertools.cycle(order), strict=False):
            dealt[member].add(number)
        return dealt

    async def _restart(self, computer: Computer) -> None:
        """Start a worker again whenever it has ended."""
        while True:
            process = Process(computer, self.broker, self.groups, self.faults)
            worker = process.spawn(work(process, self._settings(computer)))
            ended = asyncio.create_task(process.ended.wait())
            await asyncio.wait([worker, ended], return_when=asyncio.FIRST_COMPLETED)
            if worker.done():
                computer.last_error = worker.exception() or computer.last_error
            process.kill()
            if self.faults.happens("state is lost"):
                computer.disk = Disk()
                shutil.rmtree(computer.path, ignore_errors=True)
            await asyncio.sleep(self.random.choice((0.1, 0.3, self.random.uniform(0, 5))))

    def _settings(self, computer: Computer) -> WorkerSettings:
        return WorkerSettings(
            "simulated",
            computer.path,
            TOPICS,
            pair_window=self.pair_window,
            commit_lines=self.random.choice((5, 50, 5000)),
            idle_ms=500,
        )

    async def _disturb(self) -> None:
        """Faults that are nobody's step."""
        while self.faults.rate:
            await asyncio.sleep(self.random.expovariate(1.0))
            if self.random.random() < 0.5:
                self.faults.counted["rebalance"] += 1
                self.random.choice(list(self.groups.values())).wanted = True
            else:
                self.random.choice(self.computers).disk_full = True

    async def _coordinate(self, group: Group) -> None:
        """Expel silent members, and divide the partitions anew when members come or go."""
        while True:
            await asyncio.sleep(0.2)
            for member in [member for member in group.members if self._is_silent(member)]:
                group.leave(member)
            if group.wanted:
                await self._divide(group)

    async def _divide(self, group: Group) -> None:
        """A rebalance: members let go of their partitions; those that don't within a time are expelled."""
        group.wanted = False
        revoking = {member: member.process.spawn(member.revoke()) for member in group.members}
        deadline = asyncio.get_running_loop().time() + REBALANCE_S
        while waiting := [
            task
            for member, task in revoking.items()
            if not task.done() and member in group.members and not self._is_silent(member)
        ]:
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.wait(waiting, timeout=0.1)
        for member, task in revoking.items():
            if not task.done():
                group.leave(member)
        for member, numbers in group.divide().items():
            member.process.spawn(member.assign_partitions(numbers, group.generation))

    @staticmethod
    def _is_silent(member: Any) -> bool:  # noqa: ANN401 - a consumer
        return bool(asyncio.get_running_loop().time() - member.seen > SESSION_S)


async def work(process: Process, settings: WorkerSettings) -> None:
    """A worker without its endpoint: both stages, until one fails."""
    counting = CountingSettings(settings.pair_window, process.groups[TOPICS.group("tally")].partitions)
    with StateDirectory(settings.state_dir, TOPICS.generation) as directory:
        for stage in (Ingest(settings, directory, counting), Tally(settings, directory, counting)):
            process.stages[stage.name] = stage, Membership()
        services = [
            StageService(
                stage,
                membership,
                broker=settings.broker,
                group=TOPICS.group(name),
                client_id=process.computer.name,
                session_timeout_ms=int(SESSION_S * 1000),
            )
            for name, (stage, membership) in process.stages.items()
        ]
        for service in services:
            await service.start()
        while not any(service.crash_reason for service in services):
            await asyncio.sleep(0.1)
            await process.gate()
        process.computer.last_error = next(service.crash_reason for service in services if service.crash_reason)
        for service in services:
            await service.stop()
