"""Related lists as published, the ones asked for most in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.related_store import StoredList

LISTS_IN_MEMORY = 32_768  # 70 MB of full lists


class PublishedLists:
    """Lists by item number, read once and kept while there is room.

    Args:
        read: (item number) reads a list that is not in memory; None if there is none.
        room: lists to keep; when it is full, those read first go.
    """

    def __init__(self, read: Callable[[int], StoredList | None], room: int = LISTS_IN_MEMORY) -> None:
        self._read = read
        self._room = room
        self._lists: dict[int, StoredList | None] = {}

    def get(self, number: int) -> StoredList | None:
        """An item's list, or None if none was published."""
        try:
            return self._lists[number]
        except KeyError:
            stored = self._read(number)
            self.put(number, stored)
            return stored

    def put(self, number: int, stored: StoredList | None) -> None:
        """Take note of a list that was just published."""
        if len(self._lists) >= self._room:
            for old in list(self._lists)[: self._room // 8]:
                del self._lists[old]
        self._lists[number] = stored

    def forget(self) -> None:
        """Read every list anew when it is next asked for."""
        self._lists.clear()
