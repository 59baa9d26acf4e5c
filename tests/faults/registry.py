"""The faults, by name. Each is a small function that does its harm to a world, and undoes it unless it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.faults.world import World

    Do = Callable[["World"], str]
    """Returns what exactly was done, in a few words; raises NothingDone."""


class Fault(NamedTuple):
    """A kind of fault."""

    name: str
    do: Do
    times: int
    """How often it is dealt, where others are dealt once."""
    fatal: bool
    """Whether the workers must refuse to go on, so that it comes last."""


class NothingDone(Exception):
    """A fault found nothing to do harm to; the message says why."""


FAULTS: dict[str, Fault] = {}


def fault(name: str, *, times: int = 1, fatal: bool = False) -> Callable[[Do], Do]:
    """Add a function to the faults."""

    def added(do: Do) -> Do:
        assert name not in FAULTS
        FAULTS[name] = Fault(name, do, times, fatal)
        return do

    return added


def dealt(chance: Random, kinds: set[str], *, fatal: bool) -> list[str]:
    """Names of faults in a random order, each as often as it is dealt."""
    names = [fault.name for fault in FAULTS.values() for _ in range(fault.times) if fault.fatal is fatal]
    chance.shuffle(names)
    return [name for name in names if not kinds or name in kinds]
