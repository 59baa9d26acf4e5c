"""Faults of processes: they die, stop, come and go, run out of descriptors, or have a wrong clock."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from aiokafka import AIOKafkaConsumer

from state.settings import RULES
from streams.engine.scores import DEFAULT_SCORE
from streams.workers.kafka.assignment import assignor
from tests.faults.registry import NothingDone, fault
from tests.faults.world import SESSION_MS, limited, unlimited
from tests.worker_driver import STEPS

if TYPE_CHECKING:
    from tests.faults.world import World
    from tests.workers import WorkerProcess


def name_of(world: World, worker: WorkerProcess) -> str:
    """What a worker is called in the results."""
    return f"worker {world.workers.index(worker)}"


@fault("worker killed", times=3)
def worker_killed(world: World) -> str:
    """SIGKILL."""
    victim = world.victim()
    victim.kill()
    return name_of(world, victim)


@fault("all workers killed")
def all_killed(world: World) -> str:
    """SIGKILL to all."""
    world.victim()
    for worker in world.wanted:
        worker.kill()
    return f"{len(world.wanted)} workers"


@fault("worker terminated", times=2)
def worker_terminated(world: World) -> str:
    """SIGTERM, and wait until it has ended."""
    victim = world.victim()
    return f"{name_of(world, victim)}, exit code {victim.stop()}"


@fault("worker killed at a step", times=2)
def killed_at_step(world: World) -> str:
    """SIGKILL between two steps of an order's way."""
    victim = world.victim()
    step = f"{world.chance.choice(('before', 'after'))}-{world.chance.choice(list(STEPS))}"
    victim.kill()
    victim.faults = f"die_at:{step}"
    victim.start()
    world.unwant(victim)
    for _ in range(50):
        if not victim.running:
            break
        world.pause(0.3)
    died = not victim.running
    victim.faults = "none"
    victim.kill()
    world.want(victim)
    if not died:
        raise NothingDone(f"{name_of(world, victim)} never came {step}")
    return f"{name_of(world, victim)} {step}"


@fault("worker paused")
def worker_paused(world: World) -> str:
    """SIGSTOP, and SIGCONT within the session."""
    return _paused(world, world.victim(), world.chance.uniform(0.3, 0.6 * SESSION_MS / 1000))


@fault("worker paused past its session")
def worker_replaced_while_paused(world: World) -> str:
    """SIGSTOP, and SIGCONT when others own its partitions."""
    return _paused(world, world.victim(), SESSION_MS / 1000 + world.chance.uniform(0.5, 3))


def _paused(world: World, victim: WorkerProcess, seconds: float) -> str:
    victim.signal(signal.SIGSTOP)
    world.pause(seconds)
    victim.signal(signal.SIGCONT)
    return f"{name_of(world, victim)} for {seconds:.1f} s"


@fault("worker joins and leaves")
def worker_visits(world: World) -> str:
    """One more worker, whose state may be old, which leaves in order or dies."""
    guest = world.idle()
    if guest is None:
        raise NothingDone("no room")
    world.want(guest)
    for _ in range(24):
        world.pause(0.5)
        if world.counts(guest):
            break
    world.unwant(guest)
    if world.chance.random() < 0.5:
        return f"{name_of(world, guest)}, exit code {guest.stop()}"
    guest.kill()
    return f"{name_of(world, guest)}, killed"


@fault("worker replaced")
def worker_replaced(world: World) -> str:
    """One leaves for good, another one comes."""
    victim, successor = world.victim(), world.idle()
    if successor is None:
        raise NothingDone("no room")
    world.unwant(victim)
    world.want(successor)
    victim.stop()
    return f"{name_of(world, victim)} by {name_of(world, successor)}"


@fault("rebalances in a storm")
def rebalance_storm(world: World) -> str:
    """Strangers join the groups and leave them at once."""
    times = world.chance.randint(3, 6)
    pauses = [world.chance.uniform(0.05, 0.8) for _ in range(times)]

    async def storm() -> None:
        for pause in pauses:
            strangers = [_stranger(world, stage) for stage in ("ingest", "tally")]
            for stranger in strangers:
                await stranger.start()
            await asyncio.sleep(pause)
            for stranger in strangers:
                await stranger.stop()

    asyncio.run(storm())
    return f"{times} times"


def _stranger(world: World, stage: str) -> AIOKafkaConsumer:
    """A member that the workers' group takes, as it has what they must have alike."""
    topic = world.topics.purchases if stage == "ingest" else world.topics.co_purchases
    shared: dict[str, object] = {"validation rules": RULES} | ({} if stage == "ingest" else {"--score": DEFAULT_SCORE})
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=world.broker.bootstrap,
        group_id=world.topics.group(stage),
        enable_auto_commit=False,
        partition_assignment_strategy=[assignor(topic, shared, dict)],
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=300,
    )


@fault("clock ahead")
def clock_ahead(world: World) -> str:
    """A worker whose clock is two days ahead, for a while."""
    victim = world.victim()
    victim.kill()
    victim.faults = "two_days_ahead"
    victim.start()
    for _ in range(30):
        world.pause(0.5)
        if world.counts(victim):
            break
    worked = world.counts(victim)
    victim.faults = "none"
    victim.kill()
    if not worked:
        raise NothingDone(f"{name_of(world, victim)} did not start in time")
    return name_of(world, victim)


@fault("few file descriptors")
def few_descriptors(world: World) -> str:
    """No descriptor is left, and connections break, so that new ones are needed."""
    victim = world.victim()
    if not victim.running:
        raise NothingDone("nobody runs")
    used = max(int(each.name) for each in Path(f"/proc/{victim.pid}/fd").iterdir())
    limited(victim, resource.RLIMIT_NOFILE, used + 1)
    world.proxy_of(victim).reset()
    world.pause(world.chance.uniform(1, 4))
    if victim.running:
        unlimited(victim, resource.RLIMIT_NOFILE)
    return f"{name_of(world, victim)}, {used} of them"


@fault("broker killed")
def broker_killed(world: World) -> str:
    """SIGKILL, and a new start."""
    world.broker.kill()
    world.pause(world.chance.uniform(0, 1))
    world.broker.start()
    return ""


@fault("broker terminated")
def broker_terminated(world: World) -> str:
    """SIGTERM, and a new start."""
    world.broker.restart()
    return ""


@fault("broker paused")
def broker_paused(world: World) -> str:
    """SIGSTOP and SIGCONT: nobody gets an answer meanwhile."""
    seconds = world.chance.uniform(0.5, 5)
    os.kill(world.broker.pid, signal.SIGSTOP)
    try:
        world.pause(seconds)
    finally:
        os.kill(world.broker.pid, signal.SIGCONT)
    return f"for {seconds:.1f} s"
