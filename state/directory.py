"""The state directory of one worker: the paths of its stores, and the lock that admits one process at a time."""

from __future__ import annotations

import fcntl
from typing import TYPE_CHECKING, Self

from state.errors import StateError, StateLocked
from state.private_files import private_directory

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

HISTORIES, COUNTS, RELATED = KINDS = ("histories", "counts", "related")
LOCK = "worker.lock"
"""In the directory of a generation, of the worker that has it."""


class StateDirectory:
    """`<root>/<generation>`, with a directory for each partition's store: histories-0, counts-0, related-0, ...

    Args:
        root: the --state-dir; created if missing.
        generation: name of the state; several can be built side by side.

    Attributes:
        path: the generation's directory.
    """

    def __init__(self, root: Path, generation: str) -> None:
        self.path = root / generation
        private_directory(self.path)
        self._lock = (self.path / LOCK).open("ab")

    def lock(self) -> None:
        """Lock the directory until `close` or the end of the process, however it ends.

        Raises:
            StateLocked: another process holds the lock.
        """
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateLocked(
                f"{self.path} is in use by another worker; stop it, or give this one a --state-dir of its own"
            ) from None

    @staticmethod
    def check_not_a_worker_s(path: Path) -> None:
        """Check that a directory is not that of a worker, or of one that is stopped.

        Raises:
            StateError: it holds the generations of a worker, or is one that a worker has.
        """
        generations = sorted(lock.parent for lock in path.glob(f"*/{LOCK}"))
        advice = "ask the worker: --url http://HOST:PORT, of its --admin, instead of --state-dir"
        if generations:
            raise StateError(f"{path} is the directory of a worker: {advice}. If it is stopped, name {generations[0]}")
        try:
            with (path / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            pass
        except OSError:
            raise StateError(f"{path} is in use by a worker: {advice}") from None

    def store(self, kind: str, partition: int) -> Path:
        """The path of a partition's store of one of KINDS, whether it exists or not."""
        return self.path / f"{kind}-{partition}"

    def stores(self) -> list[Path]:
        """The paths of the stores that exist, sorted."""
        return sorted(path for kind in KINDS for path in self.path.glob(f"{kind}-*") if path.is_dir())

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
