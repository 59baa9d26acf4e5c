"""Related lists as JSON, kept until the list or the catalogue changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import xxhash

from streams.endpoint.answer_documents import related_entries

if TYPE_CHECKING:
    from state.names import Names
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue

LISTS_AS_JSON = 4096  # of 5 KB each; half of all requests ask for a few hundred items


class Entries(NamedTuple):
    """The entries of a list that are shown."""

    document: msgspec.Raw
    """A JSON array."""
    version: str
    """Equal versions mean equal entries of the same item."""


class ListEntries:
    """Entries of related lists, by item number and how many are wanted.

    Args:
        names: of the numbers in the lists.
        catalogue: has the titles, and says what may be shown.
        room: lists to keep.
    """

    def __init__(self, names: Names, catalogue: Catalogue, room: int = LISTS_AS_JSON) -> None:
        self._names = names
        self._catalogue = catalogue
        self._room = room
        self._kept: dict[int, dict[int, Entries]] = {}
        self._version = catalogue.version

    def kept(self, number: int, limit: int) -> Entries | None:
        """What was made of an item's list, if it is still true."""
        if self._version != self._catalogue.version:
            self._kept.clear()
            self._version = self._catalogue.version
        mine = self._kept.get(number)
        return None if mine is None else mine.get(limit)

    def make(self, number: int, stored: StoredList | None, limit: int) -> Entries:
        """Make it of the list that is given, and keep it."""
        if len(self._kept) >= self._room:
            self._kept.clear()
        entries = self._kept.setdefault(number, {})[limit] = self.entries(number, stored, limit)
        return entries

    def entries(self, number: int | None, stored: StoredList | None, limit: int) -> Entries:
        """The entries of a list that is not kept."""
        entries = [] if stored is None else related_entries(stored, self._names, self._catalogue, limit)
        document = msgspec.json.encode(entries)
        item_id = "" if number is None else self._names.text(number)
        return Entries(msgspec.Raw(document), xxhash.xxh3_64_hexdigest(item_id.encode() + b"\0" + document))

    def forget(self, number: int) -> None:
        """An item's list has changed."""
        self._kept.pop(number, None)

    def forget_all(self) -> None:
        """Every list may have changed."""
        self._kept.clear()
