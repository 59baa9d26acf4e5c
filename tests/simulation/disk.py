"""A disk in memory: stores that survive a process, and lose their last batches when the power fails."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING, Protocol

from state.errors import StateLocked, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from random import Random

UNSYNCED_BATCHES = 6
"""So many of a store's last batches may be lost, from the last one on; RocksDB writes all that were before to disk."""


class Machine(Protocol):
    """Whose disk it is: says whether the process that opened a store still runs."""

    incarnation: int
    disk: Disk

    def refuse_writing(self) -> bool:
        """Whether a write fails now."""


class Batch:
    """A write batch, as rocksdict has it."""

    def __init__(self, *, raw_mode: bool = True) -> None:
        del raw_mode
        self.changes: list[tuple[bytes, bytes | None]] = []

    def put(self, key: bytes, value: bytes) -> None:
        self.changes.append((bytes(key), bytes(value)))

    def delete(self, key: bytes) -> None:
        self.changes.append((bytes(key), None))


class Store:
    """What one directory holds."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.undo: deque[dict[bytes, bytes | None]] = deque(maxlen=UNSYNCED_BATCHES)
        self.opened_by: int | None = None
        self._keys: list[bytes] | None = None

    def between(self, first: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        if self._keys is None:
            self._keys = sorted(self.entries)
        keys = self._keys[bisect_left(self._keys, first) : bisect_left(self._keys, end)]
        return [(key, self.entries[key]) for key in keys]

    def write(self, batch: Batch) -> None:
        before: dict[bytes, bytes | None] = {}
        self._keys = None
        for key, value in batch.changes:
            before.setdefault(key, self.entries.get(key))
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
        self.undo.append(before)

    def lose(self, batches: int) -> None:
        self._keys = None
        for _ in range(min(batches, len(self.undo))):
            for key, value in self.undo.pop().items():
                if value is None:
                    self.entries.pop(key, None)
                else:
                    self.entries[key] = value


class Disk:
    """The stores of one machine, by path."""

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {}

    def lose_power(self, random: Random) -> None:
        """Lose some of the last batches of each store, of one more than of another."""
        for store in self.stores.values():
            store.lose(random.randint(0, UNSYNCED_BATCHES))


class SimulatedRocks:
    """`state.rocks.Rocks` on a simulated disk.

    Args:
        path: of the store; an empty directory there shows to others that it exists.
        machine: whose disk it is on.
    """

    def __init__(self, path: Path, machine: Machine) -> None:
        self.path = path
        self._machine = machine
        self._incarnation = machine.incarnation
        stores = machine.disk.stores
        if not path.exists():  # deleted, if it ever was
            stores.pop(str(path), None)
        path.mkdir(parents=True, exist_ok=True)
        self._store = stores.setdefault(str(path), Store())
        if self._store.opened_by == self._incarnation:
            raise StateLocked(f"{path} is open already")
        self._store.opened_by = self._incarnation

    def get(self, key: bytes) -> bytes | None:
        return self._store.entries.get(key)

    def get_many(self, keys: list[bytes]) -> list[bytes | None]:
        return [self._store.entries.get(key) for key in keys]

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self.between(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))

    def between(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(self._store.between(first, end))

    def write(self, batch: Batch) -> None:
        if self._incarnation != self._machine.incarnation:
            return  # the process was killed: nothing of it reaches the disk any more
        if self._machine.refuse_writing():
            raise StorageFailed(f"{self.path}: no space left on device")
        self._store.write(batch)

    def size_bytes(self) -> int:
        return sum(len(key) + len(value) for key, value in self._store.entries.items())

    def compact(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        if self._store.opened_by == self._incarnation:
            self._store.opened_by = None
