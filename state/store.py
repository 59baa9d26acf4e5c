"""What all stores have in common: a RocksDB directory of their own, opened by one writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state.rocks import Rocks

if TYPE_CHECKING:
    from pathlib import Path


class Store:
    """A store's directory.

    Args:
        path: the directory; created if missing.
        read_only: open without taking the directory's lock.

    Raises:
        StateError: the directory is locked, damaged, or missing (read_only).
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._rocks = Rocks(path, read_only=read_only)

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._rocks.path

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self._rocks.size_bytes()

    def compact(self) -> None:
        """Compact the directory, so that deleted data is gone from the disk."""
        self._rocks.compact()

    def checkpoint(self, to: Path) -> None:
        """Write the store as of its last commit to `to`, which must not exist."""
        self._rocks.checkpoint(to)

    def close(self) -> None:
        """Release the directory."""
        self._rocks.close()
