"""Related lists as JSON, cached until the list or the catalogue changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import xxhash

from streams.endpoint.answer_documents import related_entries

if TYPE_CHECKING:
    from state.names import Names
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue

ROOM_BYTES = 32 << 20  # some 6,000 lists of 5 KB; half of all requests are for a few hundred items
_OVERHEAD_BYTES = 400  # of an entry of the cache beside its document


class Entries(NamedTuple):
    """The first available entries of a list."""

    document: msgspec.Raw
    """A JSON array."""
    version: str
    """Equal for equal entries of the same item."""


class ListEntries:
    """Entries of related lists, cached by item number and limit; the items cached first are dropped first.

    Args:
        names: ids of the numbers in the lists.
        catalogue: titles and availability.
        room_bytes: how large the cached documents may be together.
    """

    def __init__(self, names: Names, catalogue: Catalogue, room_bytes: int = ROOM_BYTES) -> None:
        self._names = names
        self._catalogue = catalogue
        self._room_bytes = room_bytes
        self._cached: dict[int, dict[int, Entries]] = {}
        self._cached_bytes = 0
        self._version = catalogue.version

    def cached(self, number: int, limit: int) -> Entries | None:
        """The cached entries of an item's list, if they are still valid."""
        if self._version != self._catalogue.version:
            self.forget_all()
            self._version = self._catalogue.version
        by_limit = self._cached.get(number)
        return None if by_limit is None else by_limit.get(limit)

    def make(self, number: int, stored: StoredList | None, limit: int) -> Entries:
        """The entries of a list, which are cached."""
        entries = self.entries(number, stored, limit)
        by_limit = self._cached.setdefault(number, {})
        if limit not in by_limit:
            by_limit[limit] = entries
            self._cached_bytes += _size(entries)
        while self._cached_bytes > self._room_bytes:
            self.forget(next(iter(self._cached)))
        return entries

    def entries(self, number: int | None, stored: StoredList | None, limit: int) -> Entries:
        """The entries of a list, which are not cached."""
        entries = [] if stored is None else related_entries(stored, self._names, self._catalogue, limit)
        document = msgspec.json.encode(entries)
        item_id = "" if number is None else self._names.text(number)
        return Entries(msgspec.Raw(document), xxhash.xxh3_64_hexdigest(item_id.encode() + b"\0" + document))

    def forget(self, number: int) -> None:
        """Drop the entries of an item whose list has changed."""
        dropped = self._cached.pop(number, {})
        self._cached_bytes -= sum(map(_size, dropped.values()))

    def forget_all(self) -> None:
        """Drop all entries: every list may have changed."""
        self._cached.clear()
        self._cached_bytes = 0


def _size(entries: Entries) -> int:
    return _OVERHEAD_BYTES + memoryview(entries.document).nbytes
