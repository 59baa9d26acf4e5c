"""Epochs: the spans of 30 UTC days by which counts are stored, decayed and expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from producers.orders import DAY_MS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EPOCH_DAYS = 30
"""UTC days in an epoch."""
EPOCH_MS = EPOCH_DAYS * DAY_MS
"""Milliseconds in an epoch."""


@overload
def epoch_of(day: int) -> int: ...
@overload
def epoch_of(day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def epoch_of(day: int | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
    """The epoch of a UTC day; both are counted from 1970-01-01.

    >>> [epoch_of(day) for day in (0, 29, 30, 19_770)]
    [0, 0, 1, 659]
    """
    return day // EPOCH_DAYS
