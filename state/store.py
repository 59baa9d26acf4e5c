"""What all stores have in common: a RocksDB directory of their own, opened by one writer."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from state.errors import StateDamaged
from state.log_identity import LogIdentity, check_same
from state.memory import default_memory
from state.rocks import Rocks, WriteBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from state.memory import Memory

_LOGS = b"midentities"
_PARTITION = b"mpartition"

_UNKNOWN = LogIdentity("", 0)


class Store:
    """A store's directory.

    Args:
        path: the directory; created if missing.
        read_only: open without taking the directory's lock.
        memory: what it shares with the other stores of the process; None: the default one.

    Raises:
        StateError: the directory is locked, damaged, or missing (read_only).
    """

    def __init__(self, path: Path, *, read_only: bool = False, memory: Memory | None = None) -> None:
        self.memory = memory or default_memory()
        self._rocks = Rocks(path, read_only=read_only, memory=self.memory)

    @property
    def path(self) -> Path:
        """The store's directory."""
        return self._rocks.path

    def bind(self, partition: int, logs: Mapping[str, LogIdentity], *, empty: bool) -> None:
        """Record the partition and the logs that the store stands for, or check that they are still those.

        What the store does not know yet is adopted, as all is in a store of a version that recorded nothing.

        Args:
            partition: number of the partition.
            logs: name -> identity.
            empty: nothing was counted yet, so that any will do.

        Raises:
            StateDamaged: the store is that of another partition.
            OtherLog: one of the logs is another log, or is divided into another number of partitions.
        """
        self._bind_partition(b"%d" % partition, empty=empty)
        known = {} if empty else self._logs()
        for name, identity in logs.items():
            check_same(f"{self.path} was counted from", name, known.get(name, identity), identity)
        adopted = {name: identity for name, identity in logs.items() if not known.get(name, _UNKNOWN).log_id}
        if any(known.get(name) != identity for name, identity in adopted.items()):
            batch = WriteBatch(raw_mode=True)
            self._put_logs(batch, known | adopted)
            self._rocks.write(batch)

    def _bind_partition(self, partition: bytes, *, empty: bool) -> None:
        known = self._rocks.get(_PARTITION)
        if known == partition:
            return
        if known is not None and not empty:
            raise StateDamaged(
                f"{self.path} is the store of partition {known.decode(errors='replace')}: directories were exchanged. "
                "Put each in its place, restore a snapshot, or delete it and replay"
            )
        batch = WriteBatch(raw_mode=True)
        batch.put(_PARTITION, partition)
        self._rocks.write(batch)

    def _logs(self) -> dict[str, LogIdentity]:
        record = self._rocks.get(_LOGS)
        try:
            return {name: LogIdentity(*of) for name, of in json.loads(record or b"{}").items()}
        except (ValueError, TypeError, AttributeError):
            raise StateDamaged(
                f"{self.path} is damaged: {record!r} does not say which logs it was counted from; "
                "restore a snapshot, or delete it and replay"
            ) from None

    def _put_logs(self, batch: WriteBatch, logs: Mapping[str, LogIdentity]) -> None:
        batch.put(_LOGS, json.dumps(logs).encode())

    def size_bytes(self) -> int:
        """Bytes on disk."""
        return self._rocks.size_bytes()

    def compact(self) -> None:
        """Compact the directory, so that deleted data is gone from the disk."""
        self._rocks.compact()

    def verify(self) -> None:
        """Read everything, as checksums of what nobody reads are checked by nobody.

        Raises:
            StateDamaged: something cannot be read.
        """
        self._rocks.verify()

    @contextmanager
    def closed_on_error(self) -> Iterator[None]:
        """Close the directory if it cannot be loaded: this process may open another one in its place."""
        try:
            yield
        except BaseException:
            self._rocks.close()
            raise

    def checkpoint(self, to: Path) -> None:
        """Write the store as of its last commit to `to`, which must not exist."""
        self._rocks.checkpoint(to)

    def close(self) -> None:
        """Release the directory."""
        self._rocks.close()
