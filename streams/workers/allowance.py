"""How much may be done now when so much a second is allowed."""

from __future__ import annotations

import math


class Allowance:
    """A second's worth at most is saved up; what is spent beyond it must first be earned again.

    Args:
        per_second: how much; None: no limit.

    >>> allowance = Allowance(per_second=100.0)
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
