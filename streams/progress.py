"""Progress for people: a bar on a terminal, a line now and then elsewhere. All of it on standard error."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_UPDATES = 0.1  # a bar is drawn ten times a second, however often it is told


class Watch:
    """Shows how far a long task has come.

    Args:
        task: what is being done, in a word or two.
        unit: what is counted, in the plural.
        quiet: show nothing.
        clock: seconds.
    """

    def __init__(
        self, task: str, unit: str, *, quiet: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._task = task
        self._unit = unit
        self._quiet = quiet
        self._clock = clock
        self._began = self._said = clock()
        self._pause = _SECONDS_BETWEEN_LINES
        self._bar: Progress | None = None
        if sys.stderr.isatty() and not quiet:
            self._pause = _SECONDS_BETWEEN_UPDATES
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
        """Begin to show."""
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, fraction: float, count: int) -> None:
        """Say how much is done: a fraction of the whole, and how many of the unit."""
        now = self._clock()
        if self._quiet or now - self._said < self._pause:
            return
        self._said = now
        rate = count / max(now - self._began, 1e-9)
        figures = f"{count:,} {self._unit}, {rate:,.0f}/s"
        if self._bar is not None:
            self._bar.update(self._line, completed=fraction, figures=figures)
        else:
            left = (now - self._began) * (1 - fraction) / fraction if fraction > 0 else 0.0
            print(f"{self._task}: {fraction:.0%}, {figures}, {left:.0f} s left", file=sys.stderr)  # noqa: T201
