"""What goes on in a run: computers on which workers start again and again, a coordinator, a shop, and disturbances."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from typing import TYPE_CHECKING, Any

from state.directory import StateDirectory
from state.log_identity import LogIdentity
from state.memory import Memory, MemoryBudget
from state.settings import CountingSettings
from streams.workers.commit_records import HEADERS_BYTES
from streams.workers.copier import REKEY, Copier, rekeying
from streams.workers.ingest import Ingest
from streams.workers.kafka.stage_service import Membership, StageService
from streams.workers.kafka.topics import Topics
from streams.workers.settings import WorkerSettings
from streams.workers.standby import Standbys
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

    from mode import Service

    from tests.batch_definition import Order

SESSION_S = 6.0
REBALANCE_S = 60.0
PAIR_WINDOWS = (0, 2, 100)
REKEYED = 1 / 3
"""Share of the worlds in which orders are keyed otherwise than by customer, and copied."""
RATES = (0.003, 0.01, 0.03, 0.1, 0.2)
"""Faults a step, of which a run has one."""
PART_BYTES = (40, 300, 1 << 20)
"""What a record of deltas may have: some 10 parts for an order, some orders in a record, or all of a commit."""
NO_MEMORY = MemoryBudget(histories=0, names=0, waiting_counts=0, block_cache=0, write_buffers=0)
"""What half of the workers have: nothing stays in memory that can be read again."""


class World:
    """Everything of one run.

    Args:
        random: the source of all chance.
        directory: for the state directories, which stay empty.

    Attributes:
        purchases: partitions of the topic of orders.
        log: partitions of the topic that is counted, which in every third world is a copy of it by customer.
        items: item partitions.
        meant: the order of each record, by its partition and offset in `purchases`; None: it is invalid.
    """

    def __init__(self, random: Random, directory: Path) -> None:
        self.random = random
        self.purchases, self.items = random.randint(1, 3), random.randint(1, 2)
        self.topics = Topics(rekey=random.random() < REKEYED)
        self.log = random.randint(1, 3) if self.topics.rekey else self.purchases
        self.pair_window = random.choice(PAIR_WINDOWS)
        self.faults = Faults(random, random.choice(RATES))
        self.shop = Shop(random, self.purchases, keyed=not self.topics.rekey)
        self.meant: dict[tuple[int, int], Order | None] = {}
        topics = self.topics
        self.broker = Broker(
            {
                topics.purchases: self.purchases,
                topics.log: self.log,
                topics.rejected: self.log,
                topics.co_purchases: self.items,
                topics.related_items: self.items,
            }
        )
        self.groups = {
            topics.group("ingest"): Group(self.log, self._dealt),
            topics.group("tally"): Group(self.items, self._dealt),
        }
        if topics.rekey:
            self.groups[topics.rekey_group] = Group(self.purchases, self._dealt)
        self.computers = [
            Computer(f"worker-{number}", directory / str(number), Disk(), self.faults)
            for number in range(random.randint(1, 3))
        ]
        self._records = random.randint(5, 120)
        self._tasks: list[asyncio.Task[Any]] = []

    async def happen(self) -> None:
        """Let the shop send its records under faults; return when the faults have ended, and go on without them."""
        self._tasks = [asyncio.create_task(self._restart(computer)) for computer in self.computers]
        self._tasks += [asyncio.create_task(self._coordinate(group)) for group in self.groups.values()]
        self._tasks.append(asyncio.create_task(self._disturb()))
        for _ in range(self._records):
            record, order = self.shop.record(self.topics.purchases)
            self.meant[record.partition, self.broker.append(record)] = order
            await asyncio.sleep(self.random.choice((0.0, 0.01, 0.1, self.random.expovariate(0.5))))
        await asyncio.sleep(self.random.uniform(0, 20))
        self.faults.rate = 0.0

    def check(self) -> None:
        """Raise what went wrong with the run itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    def open_partitions(self, stage: str) -> Mapping[int, Any]:
        """The partitions of a stage that are served; of the one that copies, the offsets up to which it has."""
        found: dict[int, Any] = {}
        for computer in self.computers:
            process = computer.process
            if process is not None and process.alive and stage in process.stages:
                served, membership = process.stages[stage]
                partitions = served.copied if isinstance(served, Copier) else served.partitions
                found |= {number: partitions[number] for number in membership.serving & set(partitions)}
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
            logs = {"source": LogIdentity("orders", self.purchases), "purchases": LogIdentity("log", self.log)}
            worker = process.spawn(work(process, self._settings(computer), logs))
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
            self.topics,
            pair_window=self.pair_window,
            commit_lines=self.random.choice((5, 50, 5000)),
            record_bytes=HEADERS_BYTES + self.random.choice(PART_BYTES),
            idle_ms=500,
            standby=self.random.random() < 0.5,
            memory=self.random.choice((None, NO_MEMORY)),
        )

    async def _disturb(self) -> None:
        """Faults that are nobody's step."""
        while self.faults.rate:
            await asyncio.sleep(self.random.expovariate(1.0))
            if self.random.random() < 0.5:
                self.faults.counted["rebalance"] += 1
                self.random.choice(list(self.groups.values())).wanted = True
            elif self.broker.offsets and self.random.random() < 0.2:
                self.faults.counted["offsets of a group are lost"] += 1
                self.broker.offsets.clear()
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


def keeping_standbys(process: Process, name: str, group: str, broker: str) -> Standbys[Any]:
    """What keeps on standby the partitions of a stage that others own."""
    stage, membership = process.stages[name]
    standbys: Standbys[Any] = Standbys(stage, membership, process.groups[group].partitions, broker)
    stage.take_standby = standbys.take
    return standbys


async def work(process: Process, settings: WorkerSettings, logs: Mapping[str, LogIdentity]) -> None:
    """A worker without its endpoint: its stages, until one fails."""
    topics = settings.topics
    counting = CountingSettings(settings.pair_window, process.groups[topics.group("tally")].partitions)
    groups = {stage: topics.group(stage) for stage in (Ingest.name, Tally.name)}
    memory = Memory(settings.memory) if settings.memory else None
    with StateDirectory(settings.state_dir, topics.generation) as directory:
        ingest = Ingest(settings, directory, counting, memory=memory)
        for stage in (ingest, Tally(settings, directory, counting, memory=memory)):
            process.stages[stage.name] = stage, Membership()
        if topics.rekey:
            process.stages[REKEY] = rekeying(settings, logs), Membership()
        services: list[Service] = [
            StageService(
                stage,
                membership,
                broker=settings.broker,
                group=groups.get(name, topics.rekey_group),
                client_id=process.computer.name,
                session_timeout_ms=int(SESSION_S * 1000),
            )
            for name, (stage, membership) in process.stages.items()
        ]
        if settings.standby:
            services += [keeping_standbys(process, name, group, settings.broker) for name, group in groups.items()]
        for service in services:
            await service.start()
        while not any(service.crash_reason for service in services):
            await asyncio.sleep(0.1)
            await process.gate()
        process.computer.last_error = next(service.crash_reason for service in services if service.crash_reason)
        for service in services:
            await service.stop()
