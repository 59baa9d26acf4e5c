"""Progress of a long task, on standard error: a bar on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_LINE_INTERVAL_S = 5.0
_BAR_INTERVAL_S = 0.1  # the bar is redrawn at most ten times a second, however often it is updated


class ProgressDisplay:
    """Displays the progress of a long task.

    Args:
        task: what is being done, in a word or two.
        unit: what is counted, in the plural.
        quiet: display nothing.
        clock: returns seconds, monotonic.
    """

    def __init__(
        self, task: str, unit: str, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._task = task
        self._unit = unit
        self._quiet = quiet
        self._clock = clock
        self._started = self._updated = clock()
        self._interval = _LINE_INTERVAL_S
        self._bar: Progress | None = None
        if sys.stderr.isatty() and not quiet:
            self._interval = _BAR_INTERVAL_S
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%  {task.fields[figures]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._line = self._bar.add_task(task, total=1.0, figures="")

    def __enter__(self) -> Self:
        """Display the bar, if there is one."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()

    def update(self, fraction: float, count: int) -> None:
        """Record how much is done, and display it if the last update is old enough.

        Args:
            fraction: of the whole, 0 to 1.
            count: how many of the unit.
        """
        now = self._clock()
        if self._quiet or now - self._updated < self._interval:
            return
        self._updated = now
        rate = count / max(now - self._started, 1e-9)
        figures = f"{count:,} {self._unit}, {rate:,.0f}/s"
        if self._bar is not None:
            self._bar.update(self._line, completed=fraction, figures=figures)
        else:
            left = (now - self._started) * (1 - fraction) / fraction if fraction > 0 else 0.0
            print(f"{self._task}: {fraction:.0%}, {figures}, {left:.0f} s left", file=sys.stderr)  # noqa: T201
