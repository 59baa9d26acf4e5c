"""What every store is: a RocksDB directory of its own, opened by one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state.rocks import Rocks

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """A store's directory.

    Args:
        path: the directory; made if missing.
        read_only: open without taking the directory's lock.

    Raises:
        StateError: the directory is locked, damaged or, to be read, not there.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._rocks = Rocks(path, read_only=read_only)

    @property
    def path(self) -> Path:
        """Where the store is kept."""
        return self._rocks.path

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self._rocks.size_bytes()

    def compact(self) -> None:
        """Compact the directory: what deletions left behind is gone afterwards."""
        self._rocks.compact()

    def checkpoint(self, to: Path) -> None:
        """Write the store as of its last commit to `to`, which must not exist."""
        self._rocks.checkpoint(to)

    def close(self) -> None:
        """Release the directory."""
        self._rocks.close()
