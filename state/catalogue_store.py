"""What a shop says of its items, one record an item, in one RocksDB directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from state.rocks import Rocks, WriteBatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ITEM = b"i"


class CatalogueStore:
    """Catalogue records by item id, the latest of each.

    A write that returned survives SIGKILL. Readers of the directory see what was written before they opened it; `stamp`
    tells them when to open it again.

    Args:
        path: the directory; made if missing.
        read_only: open without taking the directory's lock; it must exist.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self._rocks = Rocks(path, read_only=read_only)

    def write(self, records: Iterable[tuple[str, bytes | None]]) -> None:
        """Keep records by item id in one batch; None forgets the item."""
        batch = WriteBatch(raw_mode=True)
        for item_id, record in records:
            key = _ITEM + item_id.encode()
            if record is None:
                batch.delete(key)
            else:
                batch.put(key, record)
        self._rocks.write(batch)

    def get(self, item_id: str) -> bytes | None:
        """An item's record, or None."""
        return self._rocks.get(_ITEM + item_id.encode())

    def every(self) -> Iterator[tuple[str, bytes]]:
        """All records by rising item id."""
        for key, record in self._rocks.scan(_ITEM):
            yield key[1:].decode(), record

    def close(self) -> None:
        """Release the directory."""
        self._rocks.close()


def stamp(path: Path) -> object:
    """Something that differs whenever the directory was written to; None while there is none.

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
