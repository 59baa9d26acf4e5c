"""Epochs: the stretches of UTC days by which counts are kept, decayed and expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

from producers.orders import DAY_MS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

EPOCH_DAYS = 30
EPOCH_MS = EPOCH_DAYS * DAY_MS


@overload
def epoch_of(day: int) -> int: ...
@overload
def epoch_of(day: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]: ...
def epoch_of(day: int | npt.NDArray[np.int64]) -> int | npt.NDArray[np.int64]:
    """The epoch of a UTC day, both counted from 1970-01-01.

    >>> [epoch_of(day) for day in (0, 29, 30, 19_770)]
    [0, 0, 1, 659]
    """
    return day // EPOCH_DAYS
