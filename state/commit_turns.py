"""Turns between who commits to the stores of a state directory, and who opens them to read meanwhile."""

from __future__ import annotations

import fcntl
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from state.private_files import append_privately

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NEXT, _TURN = "commit.next", "commit.turn"


class CommitTurns:
    """Lets one process at a time commit to all stores of a directory, or open all of them, and nobody wait for long.

    A commit changes one store after the other; whoever opens them between two of these writes would see them at
    different log positions. Who waits for a turn is next: a replay, which commits again at once, cannot overtake it.
    The turn ends with the process at the latest.

    Args:
        directory: of the stores.
        create: make the files of the locks; without them, as in a state of an earlier version, there are no turns.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     committing, reading = CommitTurns(Path(directory), create=True), CommitTurns(Path(directory), create=False)
    ...     with committing.turn():
    ...         ["stores are changed"]
    ...     with reading.turn():
    ...         ["stores are opened"]
    ['stores are changed']
    ['stores are opened']
    """

    def __init__(self, directory: Path, *, create: bool) -> None:
        self._paths = [directory / name for name in (_NEXT, _TURN)]
        if create:
            for path in self._paths:
                append_privately(path, b"")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and have it."""
        with ExitStack() as stack:
            try:
                files = [stack.enter_context(path.open("rb")) for path in self._paths]
            except FileNotFoundError:
                yield
                return
            following, turn = files
            fcntl.flock(following, fcntl.LOCK_EX)
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(following, fcntl.LOCK_UN)
            yield
