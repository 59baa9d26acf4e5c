"""Which lists to refresh next: of items just bought, of the shard that waits longest, of what is not exact yet."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

MOST_BOUGHT = 4096
"""Most bought items that may wait; with more, refreshing all shards in turn is faster."""
SHARDS = 256
"""Shards of the items, refreshed in turn; about thirty milliseconds each for a large catalogue."""


class RefreshQueue:
    """The order in which one partition's lists are refreshed.

    A purchase changes the list of the bought item most, those of its neighbours a little, and through popularity every
    list slightly. So bought items come first, then the shards of all items in turn, the one with the oldest change
    first.

    Args:
        now: monotonic seconds; lists may be out of date since then until their shard is refreshed.

    >>> refresh = RefreshQueue(now=0.0)
    >>> refresh.changed(np.array([7, 3, 7]), commit=1, now=1.0)
    >>> refresh.bought(most=2).tolist(), refresh.oldest(), refresh.age_s(now=5.0)
    ([7, 3], 0, 5.0)
    """

    def __init__(self, now: float) -> None:
        self._bought: dict[int, None] = {}
        self._since = np.full(SHARDS, now)
        self._exact = np.full(SHARDS, -1)
        self._commit = 0

    def changed(self, items: npt.NDArray[np.uint32], commit: int, now: float) -> None:
        """Record a commit of the counts and the items bought in it."""
        self._bought.update(dict.fromkeys(items.tolist()))
        if len(self._bought) > MOST_BOUGHT:
            self._bought.clear()
        self._since[np.isinf(self._since)] = now
        self._commit = commit

    def bought(self, most: int) -> npt.NDArray[np.uint32]:
        """Remove and return the next bought items, at most `most`."""
        items = list(self._bought)[:most]
        for item in items:
            del self._bought[item]
        return np.array(items, np.uint32)

    def oldest(self) -> int | None:
        """The shard whose change has waited longest; None if nothing has changed since all were refreshed."""
        number = int(self._since.argmin())
        return None if math.isinf(self._since[number]) else number

    def inexact(self) -> int | None:
        """A shard whose published lists may differ slightly from the counts; None if every list is exact."""
        behind = np.flatnonzero(self._exact != self._commit)
        return int(behind[0]) if len(behind) else None

    def looked_at(self, number: int, *, exactly: bool) -> None:
        """Record that a shard was refreshed; `exactly`: that lists were published if they differed at all."""
        self._since[number] = math.inf
        if exactly:
            self._exact[number] = self._commit

    def is_current(self, commit: int) -> None:
        """Record that every list is exact as of `commit`."""
        self._commit = commit
        self._since[:] = math.inf
        self._exact[:] = commit
        self._bought.clear()

    def age_s(self, now: float) -> float:
        """How long the oldest change has waited for a refresh, in seconds."""
        return max(0.0, now - float(self._since.min())) if self.oldest() is not None else 0.0

    def __len__(self) -> int:
        """The number of bought items that wait."""
        return len(self._bought)


class RateLimit:
    """A limit per second. At most one second's worth is saved; overspending must be earned back.

    Args:
        per_second: the limit; None: no limit.

    >>> limit = RateLimit(per_second=100.0)
    >>> limit.left(now=7.0)
    100.0
    >>> limit.spend(150)
    >>> limit.left(now=7.25), limit.left(now=7.5), limit.left(now=60.0)
    (-25.0, 0.0, 100.0)
    """

    def __init__(self, per_second: float | None) -> None:
        self._per_second = math.inf if per_second is None else per_second
        self._left = self._per_second
        self._at = -math.inf

    def left(self, now: float) -> float:
        """How much may be spent at `now`, in monotonic seconds."""
        if math.isfinite(self._per_second):
            earned = self._per_second * max(0.0, now - self._at)
            self._left = min(self._left + earned, self._per_second)
            self._at = now
        return self._left

    def spend(self, amount: float) -> None:
        """Spend an amount, perhaps more than is left."""
        self._left -= amount
