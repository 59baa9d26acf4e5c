"""A process that dies at a chosen step, and what it leaves on the disk."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rocksdict import DbClosedError

from state.rocks import Rocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from state.rocks import WriteBatch


class Crash(Exception):
    """The process dies here."""


class Crashes:
    """Makes the process die before or after a given write, and counts writes.

    What the process had open is released, as at its end, and nothing more is written.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps = 0
        self._at: int | None = None
        self._after = False
        self._opened: list[Rocks] = []
        write, opened = Rocks.write, Rocks.__init__

        def crashing_write(rocks: Rocks, batch: WriteBatch) -> None:
            self.step(lambda: write(rocks, batch))

        def recording_open(rocks: Rocks, path: Path, **options: Any) -> None:  # noqa: ANN401 - those of Rocks
            opened(rocks, path, **options)
            self._opened.append(rocks)

        monkeypatch.setattr(Rocks, "write", crashing_write)
        monkeypatch.setattr(Rocks, "__init__", recording_open)

    def step(self, action: Callable[[], object]) -> None:
        self.steps += 1
        if self.steps == self._at and not self._after:
            raise Crash
        action()
        if self.steps == self._at:
            raise Crash

    def arm(self, at: int, *, after: bool) -> None:
        """Crash at step `at` from now, counted from 1."""
        self.steps, self._at, self._after = 0, at, after

    def let_go(self) -> None:
        for rocks in self._opened:
            with suppress(DbClosedError):  # a crash while a state is opened closes the stores opened so far
                rocks._db.close()
        self._opened.clear()
