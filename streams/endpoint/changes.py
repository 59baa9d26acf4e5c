"""Live changes: handed to everyone who watches, without ever waiting for a slow one."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from streams.endpoint.answers import Document

MOST_WATCHERS = 200
_LONGEST_QUEUE = 64


class Change(NamedTuple):
    """Something that changed."""

    kind: str
    """`related`: an item's list; `orders`: what was just bought."""
    item_id: str | None
    """Whose list, of `related`."""
    document: Document


class Watcher:
    """One who watches: every `orders`, and `related` of one item. A slow one loses the oldest changes.

    Attributes:
        item_id: the item watched, or None.
    """

    def __init__(self, item_id: str | None) -> None:
        self.item_id = item_id
        self._waiting: deque[Change] = deque(maxlen=_LONGEST_QUEUE)
        self._arrived = asyncio.Event()

    def tell(self, change: Change) -> None:
        """Let it know, now or when it next asks."""
        self._waiting.append(change)
        self._arrived.set()

    async def next(self, timeout_s: float) -> Change | None:
        """The next change; None if there is none for `timeout_s`."""
        if not self._waiting:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
            except TimeoutError:
                return None
        return self._waiting.popleft() if self._waiting else None


class Changes:
    """Everyone who watches."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self.closed = False

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def watched(self) -> set[str]:
        """Ids of the items that someone watches."""
        return {watcher.item_id for watcher in self._watchers if watcher.item_id is not None}

    def watch(self, item_id: str | None) -> Watcher:
        """Begin to watch."""
        watcher = Watcher(item_id)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop watching."""
        self._watchers.discard(watcher)

    def tell(self, change: Change) -> None:
        """Tell everyone whom the change concerns; to be called on the event loop."""
        for watcher in self._watchers:
            if change.item_id is None or change.item_id == watcher.item_id:
                watcher.tell(change)

    def close(self) -> None:
        """Let everyone go: the worker stops."""
        self.closed = True
        for watcher in self._watchers:
            watcher.tell(Change("end", None, {}))
