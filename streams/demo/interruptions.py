"""Ctrl-C at any moment, held back while a process is started or files are removed."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruptions:
    """Turns Ctrl-C, SIGTERM and a closed terminal into KeyboardInterrupt, which waits for the end of `held`.

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
        """Hold interruptions back, and raise one at the end."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        if self._came and not self._holders:
            self._came = False
            raise KeyboardInterrupt

    def ignore(self) -> None:
        """Ignore interruptions from now on, while the process cleans up and ends."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        self._before = {}
