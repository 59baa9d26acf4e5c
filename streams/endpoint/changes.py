"""Live changes: delivered to all watchers, without waiting for slow ones."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.endpoint.answer_documents import Document

MOST_WATCHERS = 200
MOST_WATCHERS_OF_CLIENT = MOST_WATCHERS // 2
"""No client has every place."""
_LONGEST_QUEUE = 64


@dataclass(frozen=True)
class Change:
    r"""A change.

    Attributes:
        kind: `related`: an item's list changed; `orders`: items were bought; `status`: a second has passed; `end`: no
            more changes will follow.
        item_id: the item whose list changed; None for other kinds.
        document: what a watcher gets.

    >>> Change("status", None, {"lag": 0}).event
    b'event: status\ndata: {"lag":0}\n\n'
    """

    kind: str
    item_id: str | None
    document: Document

    @cached_property
    def event(self) -> bytes:
        """As a server-sent event, encoded once for all watchers; JSON contains no line breaks."""
        return b"event: %s\ndata: %s\n\n" % (self.kind.encode(), msgspec.json.encode(self.document))


class Watcher:
    """Receives every `orders`, and the `related` of one item. A slow watcher loses the oldest changes.

    Attributes:
        item_id: the item watched, or None.
        client: who watches.
    """

    def __init__(self, item_id: str | None, client: str = "") -> None:
        self.item_id = item_id
        self.client = client
        self._waiting: deque[Change] = deque(maxlen=_LONGEST_QUEUE)
        self._arrived = asyncio.Event()

    def deliver(self, change: Change) -> None:
        """Queue a change for `next`."""
        self._waiting.append(change)
        self._arrived.set()

    async def next(self, timeout_s: float) -> Change | None:
        """The next change; None if none arrives within `timeout_s`."""
        if not self._waiting:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):  # wait_for would make a task each time
                    await self._arrived.wait()
        return self._waiting.popleft() if self._waiting else None


class Changes:
    """Delivers changes to all watchers.

    Attributes:
        closed: whether no more will follow.
    """

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self.closed = False
        self._latest: dict[str, tuple[float, Change]] = {}

    def __len__(self) -> int:
        return len(self._watchers)

    @property
    def watched(self) -> set[str]:
        """Ids of all watched items."""
        return {watcher.item_id for watcher in self._watchers if watcher.item_id is not None}

    def watchers_of(self, client: str) -> int:
        """How many watchers a client has."""
        return sum(watcher.client == client for watcher in self._watchers)

    def watch(self, item_id: str | None, client: str = "") -> Watcher:
        """Add a watcher."""
        watcher = Watcher(item_id, client)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Remove a watcher."""
        self._watchers.discard(watcher)

    def notify(self, change: Change) -> None:
        """Deliver a change to the watchers that it concerns. Call it on the event loop."""
        for watcher in self._watchers:
            if change.item_id is None or change.item_id == watcher.item_id:
                watcher.deliver(change)

    def latest(self, kind: str, every_s: float, make: Callable[[Change | None, float], Change]) -> Change:
        """The latest change of a kind that watchers ask for; all who ask within some time get the same.

        Args:
            kind: of change.
            every_s: how old it may be.
            make: makes another; it gets the one before, if there was one, and its age in seconds.
        """
        now = time.monotonic()
        made_at, change = self._latest.get(kind, (now - every_s, None))
        if change is None or now - made_at >= every_s:
            change = make(change, now - made_at)
            self._latest[kind] = now, change
        return change

    def close(self) -> None:
        """Release all watchers, as the process stops."""
        self.closed = True
        for watcher in self._watchers:
            watcher.deliver(Change("end", None, {}))
