"""Ctrl-C at any moment: held back while a process is being started or things are put away."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptions:
    """Makes Ctrl-C, SIGTERM and a closed terminal a KeyboardInterrupt, within `held` only at its end.

    >>> reached = []
    >>> with Interruptions() as interruptions:
    ...     try:
    ...         with interruptions.held():
    ...             signal.raise_signal(signal.SIGINT)
    ...             reached.append("the end of what must not be left half done")
    ...         reached.append("something behind it")
    ...     except KeyboardInterrupt:
    ...         reached.append("the interruption")
    >>> reached
    ['the end of what must not be left half done', 'the interruption']
    """

    def __init__(self) -> None:
        self._holders = 0
        self._came = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _come(self, *_: object) -> None:
        if not self._holders:
            raise KeyboardInterrupt
        self._came = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold interruptions back until the end, and then let one come."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        if self._came and not self._holders:
            self._came = False
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """From now on, and for good, nothing is interrupted: things are put away, and then the process ends."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._before = {}
