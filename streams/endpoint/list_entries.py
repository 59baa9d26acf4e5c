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

LISTS_AS_JSON = 4096  # 5 KB each; half of all requests are for a few hundred items


class Entries(NamedTuple):
    """The first available entries of a list."""

    document: msgspec.Raw
    """A JSON array."""
    version: str
    """Equal for equal entries of the same item."""


class ListEntries:
    """Entries of related lists, cached by item number and limit.

    Args:
        names: ids of the numbers in the lists.
        catalogue: titles and availability.
        room: lists to cache.
    """

    def __init__(self, names: Names, catalogue: Catalogue, room: int = LISTS_AS_JSON) -> None:
        self._names = names
        self._catalogue = catalogue
        self._room = room
        self._cached: dict[int, dict[int, Entries]] = {}
        self._version = catalogue.version

    def cached(self, number: int, limit: int) -> Entries | None:
        """The cached entries of an item's list, if they are still valid."""
        if self._version != self._catalogue.version:
            self._cached.clear()
            self._version = self._catalogue.version
        by_limit = self._cached.get(number)
        return None if by_limit is None else by_limit.get(limit)

    def make(self, number: int, stored: StoredList | None, limit: int) -> Entries:
        """The entries of a list, which are cached."""
        if len(self._cached) >= self._room:
            self._cached.clear()
        entries = self._cached.setdefault(number, {})[limit] = self.entries(number, stored, limit)
        return entries

    def entries(self, number: int | None, stored: StoredList | None, limit: int) -> Entries:
        """The entries of a list, which are not cached."""
        entries = [] if stored is None else related_entries(stored, self._names, self._catalogue, limit)
        document = msgspec.json.encode(entries)
        item_id = "" if number is None else self._names.text(number)
        return Entries(msgspec.Raw(document), xxhash.xxh3_64_hexdigest(item_id.encode() + b"\0" + document))

    def forget(self, number: int) -> None:
        """Drop the entries of an item whose list has changed."""
        self._cached.pop(number, None)

    def forget_all(self) -> None:
        """Drop all entries: every list may have changed."""
        self._cached.clear()
