"""A shop's catalogue, one record for each item, in one RocksDB directory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from state.columns import pack, pack_ids, unpack, unpack_ids
from state.rocks import Rocks, WriteBatch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ITEM = b"i"
_WRITE = struct.Struct(">cQ")
_WRITES = b"mwrites"
_REMEMBERED_WRITES = 256
_LONGEST_NOTE = 1000  # ids: after a larger write, readers read the whole catalogue


class CatalogueStore:
    """Catalogue records by item id, the latest of each.

    A write that returned survives SIGKILL. A reader sees what was written before it opened the directory: `stamp` shows
    when to open it again, and `since` what changed meanwhile.

    Args:
        path: the directory; created if missing.
        read_only: open without taking the directory's lock; it must exist.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._rocks = Rocks(path, read_only=read_only)

    @property
    def writes(self) -> int:
        """How many writes there were."""
        record = self._rocks.get(_WRITES)
        return 0 if record is None else int(unpack(record, [np.int64])[0][0])

    def write(self, records: Sequence[tuple[str, bytes | None]]) -> None:
        """Write item ids and their records in one batch; None deletes the item's record."""
        number = self.writes + 1
        batch = WriteBatch(raw_mode=True)
        for item_id, record in records:
            key = _ITEM + item_id.encode()
            if record is None:
                batch.delete(key)
            else:
                batch.put(key, record)
        note = pack_ids([item_id for item_id, _ in records]) if len(records) <= _LONGEST_NOTE else b""
        batch.put(_WRITE.pack(b"w", number), note)
        batch.delete(_WRITE.pack(b"w", max(number - _REMEMBERED_WRITES, 0)))
        batch.put(_WRITES, pack([np.array([number])]))
        self._rocks.write(batch)

    def get(self, item_id: str) -> bytes | None:
        """An item's record, or None if it has none."""
        return self._rocks.get(_ITEM + item_id.encode())

    def every(self) -> dict[str, bytes | None]:
        """All records by item id."""
        return {key[1:].decode(): record for key, record in self._rocks.scan(_ITEM)}

    def since(self, write: int) -> dict[str, bytes | None] | None:
        """The changes after the `write`-th write: item id -> record, None if deleted; None if they are not known.

        They are not known if there were too many.
        """
        changed: dict[str, bytes | None] = {}
        for number in range(write + 1, self.writes + 1):
            note = self._rocks.get(_WRITE.pack(b"w", number))
            if not note:
                return None
            changed |= dict.fromkeys(unpack_ids(note))
        return {item_id: self.get(item_id) for item_id in changed}

    def close(self) -> None:
        """Release the directory."""
        self._rocks.close()


def stamp(path: Path) -> object:
    """A value that changes whenever the directory is written to; None if there is no store in it.

    >>> from pathlib import Path
    >>> stamp(Path("no such directory")) is None
    True
    """
    if not (path / "CURRENT").exists():
        return None
    sizes = []
    for file in path.iterdir():
        try:
            sizes.append((file.name, file.stat().st_size))
        except FileNotFoundError:  # RocksDB deletes files it has merged into others
            continue
    return tuple(sorted(sizes))
