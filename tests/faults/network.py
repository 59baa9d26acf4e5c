"""Faults of the network between one worker and the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.processes import name_of
from tests.faults.proxy import BOTH, TO_BROKER, TO_WORKER, Condition
from tests.faults.registry import fault
from tests.faults.world import SESSION_MS

if TYPE_CHECKING:
    from tests.faults.world import World


def suffer(world: World, condition: Condition, seconds: float, *, reset: bool = False) -> str:
    """Have a worker live with a condition for some seconds."""
    victim = world.victim()
    proxy = world.proxy_of(victim)
    proxy.condition = condition
    world.pause(seconds)
    if reset:
        proxy.reset()
    proxy.condition = Condition()
    return f"{name_of(world, victim)} for {seconds:.1f} s{', then connections are reset' if reset else ''}"


def _long(world: World) -> float:
    """Sometimes longer than a session."""
    return world.chance.uniform(0.3, SESSION_MS / 1000 + 2.5)


@fault("network cut")
def cut(world: World) -> str:
    """Nothing arrives anywhere."""
    return suffer(world, Condition(cut=BOTH), _long(world), reset=world.chance.random() < 0.5)


@fault("network cut towards the broker")
def cut_to_broker(world: World) -> str:
    """What the worker sends does not arrive."""
    return suffer(world, Condition(cut=(TO_BROKER,)), _long(world), reset=world.chance.random() < 0.5)


@fault("network cut towards the worker")
def cut_to_worker(world: World) -> str:
    """The broker acts, but its answers do not arrive."""
    return suffer(world, Condition(cut=(TO_WORKER,)), _long(world), reset=world.chance.random() < 0.5)


@fault("network slow")
def slow(world: World) -> str:
    """Everything arrives late."""
    return suffer(world, Condition(delay_s=world.chance.choice((0.02, 0.1, 0.4))), world.chance.uniform(1, 4))


@fault("network loses packets")
def lossy(world: World) -> str:
    """Some of it must be sent again."""
    return suffer(world, Condition(loss=world.chance.choice((0.02, 0.05, 0.2))), world.chance.uniform(1, 4))


@fault("connections reset", times=2)
def reset(world: World) -> str:
    """Every connection of a worker breaks, some times."""
    victim = world.victim()
    times = world.chance.randint(1, 4)
    for _ in range(times):
        world.proxy_of(victim).reset()
        world.pause(world.chance.uniform(0, 0.5))
    return f"{name_of(world, victim)}, {times} times"
