"""Which lists to make next: of items just bought, of the shard that waits longest, of what is not yet exact."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

MOST_BOUGHT = 4096
"""Items bought that may wait; with more of them, going through all shards in turn is quicker than one by one."""
SHARDS = 256
"""Shards of the items that are looked at in turn: of a large catalogue, some thirty milliseconds of work each."""


class RefreshQueue:
    """The refreshing of one partition's lists.

    A purchase changes the lists of the item bought most, those of the items around it a little, and through popularity
    every list a trace. So items bought come first, and behind them the shards of all items take turns, the one with
    the oldest change first.

    Args:
        now: monotonic seconds; until every shard was looked at, its lists may be wrong since then.

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
        """Take note of a commit of the counts, and of the items bought in it."""
        self._bought.update(dict.fromkeys(items.tolist()))
        if len(self._bought) > MOST_BOUGHT:
            self._bought.clear()
        self._since[np.isinf(self._since)] = now
        self._commit = commit

    def bought(self, most: int) -> npt.NDArray[np.uint32]:
        """The next items bought, at most so many; they are taken off the list."""
        items = list(self._bought)[:most]
        for item in items:
            del self._bought[item]
        return np.array(items, np.uint32)

    def oldest(self) -> int | None:
        """The shard whose oldest change waits longest; None if nothing has changed since they were looked at."""
        number = int(self._since.argmin())
        return None if math.isinf(self._since[number]) else number

    def inexact(self) -> int | None:
        """A shard of which lists may differ a trace from the counts; None if every list is exactly current."""
        behind = np.flatnonzero(self._exact != self._commit)
        return int(behind[0]) if len(behind) else None

    def looked_at(self, number: int, *, exactly: bool) -> None:
        """Take note that a shard's lists were made; `exactly`: and published if they differed at all."""
        self._since[number] = math.inf
        if exactly:
            self._exact[number] = self._commit

    def is_current(self, commit: int) -> None:
        """Take note that every list is exact as of `commit`."""
        self._commit = commit
        self._since[:] = math.inf
        self._exact[:] = commit
        self._bought.clear()

    def age_s(self, now: float) -> float:
        """How long the oldest change has waited to be looked at, in seconds."""
        return max(0.0, now - float(self._since.min())) if self.oldest() is not None else 0.0

    def __len__(self) -> int:
        """How many items bought wait."""
        return len(self._bought)


class RateLimit:
    """A second's worth at most is saved up; what is spent beyond it must first be earned again.

    Args:
        per_second: how much; None: no limit.

    >>> allowance = RateLimit(per_second=100.0)
    >>> allowance.left(now=7.0)
    100.0
    >>> allowance.spend(150)
    >>> allowance.left(now=7.25), allowance.left(now=7.5), allowance.left(now=60.0)
    (-25.0, 0.0, 100.0)
    """

    def __init__(self, per_second: float | None) -> None:
        self._per_second = math.inf if per_second is None else per_second
        self._left = self._per_second
        self._at = -math.inf

    def left(self, now: float) -> float:
        """How much may be done, in monotonic seconds `now`."""
        if math.isfinite(self._per_second):
            earned = self._per_second * max(0.0, now - self._at)
            self._left = min(self._left + earned, self._per_second)
            self._at = now
        return self._left

    def spend(self, amount: float) -> None:
        """Take note of what was done, perhaps more than was left."""
        self._left -= amount
