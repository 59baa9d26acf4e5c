"""What goes wrong, and when: decided by a seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from tests.simulation.process import Process

HALTS = {"slow step": 10, "SIGKILL": 4, "power cut": 4, "SIGSTOP, briefly": 3, "SIGSTOP, beyond the session": 1}
"""What may happen to a process before any step, and how often."""


class Faults:
    """Draws faults, and counts them by kind.

    Args:
        random: the source of all chance in a run.
        rate: of faults, a step.

    Attributes:
        counted: faults by kind.
        over: whether the run has ended, so that every process ends at its next step.
    """

    def __init__(self, random: Random, rate: float) -> None:
        self.random = random
        self.rate = rate
        self.over = False
        self._waiting: list[asyncio.Future[None]] = []
        self.counted: Counter[str] = Counter()

    async def never(self) -> None:
        """What a killed process waits for; the run ends it."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)  # nobody else knows it, and Python would collect it with the task that waits
        await waiting

    def before(self, process: Process) -> float:
        """Perhaps let something happen to a process; return how long its next step takes, in seconds."""
        if self.random.random() < self.rate:
            return self._halt(process)
        return 0.0 if self.random.random() < 0.7 else self.random.random() * 0.02

    def happens(self, fault: str) -> bool:
        """Whether a fault happens now."""
        happens = self.random.random() < self.rate
        self.counted[fault] += happens
        return happens

    def _halt(self, process: Process) -> float:
        (kind,) = self.random.choices(list(HALTS), list(HALTS.values()))
        self.counted[kind] += 1
        match kind:
            case "SIGKILL":
                process.kill()
            case "power cut":
                process.kill()
                process.computer.disk.lose_power(self.random)
            case "SIGSTOP, briefly":
                process.stop(self.random.uniform(0.1, 4.0))
            case "SIGSTOP, beyond the session":
                process.stop(self.random.uniform(6.0, 50.0))
            case _:
                return self.random.uniform(0.1, 3.0)
        return 0.0
