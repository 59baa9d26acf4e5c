"""Worlds, one after another, each with rounds of faults under load; after each round everything must be exact.

What happens is decided by a seed and the number of the world, so that a round that fails can be repeated: the same
faults, with the same details, in the same order. Processes, brokers and clocks are real, so their timing is not.
"""

from __future__ import annotations

import json
import shutil
import time
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

# the modules whose functions are faults
from tests.faults import administration, disks, network, processes, records, visitors
from tests.faults.checks import check, check_catalogue, check_definition
from tests.faults.registry import FAULTS, NothingDone, dealt
from tests.faults.world import World

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.world import Site

MODULES = (administration, disks, network, processes, records, visitors)
_WARM_UP_S = 2.0


class Plan(NamedTuple):
    """What to do.

    Attributes:
        seed: decides what happens.
        kinds: names of the faults to choose from; empty: all.
        per_round: how many faults happen before everything is compared.
        most: how many faults a world has at most.
    """

    seed: int
    kinds: frozenset[str] = frozenset()
    per_round: int = 12
    most: int = 1_000_000


class Wrong(AssertionError):
    """Something was not exact, or never became so."""


def run_world(site: Site, directory: Path, plan: Plan, number: int, report: Callable[[dict[str, Any]], None]) -> None:
    """Run a world to its end.

    Args:
        site: the broker.
        directory: for what workers write; it is kept if something goes wrong.
        plan: what to do.
        number: of the world.
        report: called with a document about each fault and each round.

    Raises:
        Wrong: something was not exact.
    """
    seed = f"{plan.seed}-{number}"
    chance = Random(seed)
    kinds = dealt(chance, set(plan.kinds), fatal=False)[: plan.most]
    last = dealt(chance, set(plan.kinds), fatal=True)[:1] if len(kinds) < plan.most else []
    rounds = [kinds[first : first + plan.per_round] for first in range(0, len(kinds), plan.per_round)]
    name = f"faults-{seed}-{time.time_ns()}"
    with World(site, directory, seed, name) as world:
        for place, names in enumerate([[], *rounds]):
            run_round(world, names, {"seed": plan.seed, "world": number, "round": place}, report)
        run_last(world, last, {"seed": plan.seed, "world": number, "round": len(rounds) + 1}, report)
    shutil.rmtree(directory)


def run_round(world: World, names: list[str], where: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """Have some faults happen while orders arrive, then compare everything."""
    begun = time.monotonic()
    world.restarts = 0
    done: list[str] = []
    try:
        world.load.start()
        world.pause(_WARM_UP_S)
        for name in names:
            apply(world, name, done, where, report)
            world.pause(world.chance.uniform(0.2, 1.2))
        world.load.stop()
        world.calm()
        damaged = check(world)
        check_catalogue(world)
        world.tidy()
    except Exception as error:
        report({**where, "faults": done, "outcome": "wrong", "error": f"{error!r}"[:20_000]})
        raise Wrong(f"{where}, after {', '.join(done) or 'no fault'}: {error}") from error
    report(
        {
            **where,
            "faults": done,
            "outcome": "exact",
            "seconds": round(time.monotonic() - begun, 1),
            "lines": world.truth.lines,
            "restarts": world.restarts,
            "damage_found_by_reading": damaged,
        }
    )


def run_last(world: World, last: list[str], where: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> None:
    """Compare with the batch definition, do what workers must refuse, and compare again: nothing may have changed."""
    done: list[str] = []
    try:
        for name in last:
            apply(world, name, done, where, report)
        workers, world.wanted = world.wanted, []
        codes = [worker.stop() for worker in workers]
        assert set(codes) <= {0}, f"workers ended with codes {codes}"
        states = [worker.state for worker in world.workers if world.stores_of(worker)]
        check_definition(world, states)
    except Exception as error:
        report({**where, "faults": done, "outcome": "wrong", "error": f"{error!r}"[:20_000]})
        raise Wrong(f"{where}, after {', '.join(done) or 'the last round'}: {error}") from error
    report({**where, "faults": done, "outcome": "refused" if last else "exact", "definition": True})


def apply(
    world: World, name: str, done: list[str], where: dict[str, Any], report: Callable[[dict[str, Any]], None]
) -> None:
    """Have one fault happen."""
    begun = time.monotonic()
    done.append(name)
    try:
        what, happened = FAULTS[name].do(world), True
    except NothingDone as error:
        what, happened = str(error), False
    seconds = round(time.monotonic() - begun, 1)
    report({**where, "kind": name, "what": what, "happened": happened, "seconds": seconds})


def written(line: str) -> dict[str, Any]:
    """A line of the results; empty if a run was cut off while writing it."""
    try:
        document: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return document
