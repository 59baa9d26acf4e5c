"""An event loop of one thread whose time is simulated: equal seeds give equal runs, and waiting takes no time."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_STEPS = 2_000_000
"""Turns of the loop after which a run counts as hung."""


class Hung(Exception):
    """Everything waits for something that will never happen, or the run never ends."""


class _Nothing(selectors.BaseSelector):
    """A selector without files: instead of waiting for them, it lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self._steps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._steps += 1
        if timeout is None or self._steps > MOST_STEPS:
            raise Hung(f"after {self.now:.1f} simulated seconds and {self._steps:,} turns of the loop")
        self.now += max(timeout, 0.0)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """The loop; `time()` is in simulated seconds from 0."""

    def __init__(self) -> None:
        self._nothing = _Nothing()
        super().__init__(self._nothing)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._nothing.now
