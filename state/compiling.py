"""What to tell those who wait while loops are compiled; it loads no compiler.

Compiled code is cached on disk: loops are compiled when they are first called on a machine, and after an update.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WORDS = "compiling loops, once on this machine: about half a minute"
"""On two cores."""


class Compiling:
    """Which loops this process compiles. Any thread may ask.

    Attributes:
        loops: how many it has begun to compile.
        on_first: is called before the first one, with what to tell users.

    >>> compiling = Compiling()
    >>> compiling.on_first = print
    >>> with compiling.every_loop():
    ...     compiling.begin()
    ...     compiling.end()
    ...     compiling.words
    compiling loops, once on this machine: about half a minute
    'compiling loops, once on this machine: about half a minute'
    >>> compiling.words is None
    True
    """

    def __init__(self) -> None:
        self.loops = 0
        self.on_first: Callable[[str], object] = lambda _: None
        self._nested = 0
        self._every = False

    @property
    def words(self) -> str | None:
        """What to tell those who wait; None if nothing is being compiled."""
        return WORDS if self._nested or (self._every and self.loops) else None

    def begin(self) -> None:
        """Record that a loop is about to be compiled, perhaps for another that calls it."""
        self.loops += 1
        self._nested += 1
        if self.loops == 1:
            self.on_first(WORDS)

    def end(self) -> None:
        """Record that it is compiled."""
        self._nested -= 1

    @contextmanager
    def every_loop(self) -> Iterator[None]:
        """While it lasts, one loop after the other is compiled, if they are not cached."""
        self._every = True
        try:
            yield
        finally:
            self._every = False


compiling = Compiling()
"""Of this process."""
