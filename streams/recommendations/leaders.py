"""The best few of many items: by score, ties by purchases, then by item id, so that equal state gives equal answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Indices = npt.NDArray[np.int64]


def leaders(items: Column, score: Column, purchases: Column, ids: Sequence[str], count: int) -> Indices:
    """Indices into `items` of the best `count`, best first.

    Args:
        items: (k,) distinct item numbers.
        score: (k,) what ranks them.
        purchases: (k,) purchases in all, which break ties of the score.
        ids: item ids by item number, which break ties of the purchases.
        count: number of leaders at most.

    >>> leaders(np.array([2, 0, 1]), np.array([1.0, 1.0, 3.0]), np.array([5, 5, 1]), ["a", "b", "c"], 2).tolist()
    [2, 1]
    """
    indices = np.arange(len(items)) if count > 0 else np.zeros(0, np.int64)
    if len(indices) > count:
        above, level = _around(indices, score, count)
        if len(above) + len(level) > count:
            level = np.concatenate(_around(level, purchases, count - len(above)))
        indices = np.concatenate([above, level])
    names = [ids[item] for item in items[indices].tolist()]
    rank = sorted(zip((-score[indices]).tolist(), (-purchases[indices]).tolist(), names, indices.tolist(), strict=True))
    return np.array([index for *_, index in rank[:count]], np.int64)


def _around(indices: Indices, column: Column, count: int) -> tuple[Indices, Indices]:
    """The indices with values above the `count`-th best in `column`, and those with exactly that value."""
    values = column[indices]
    threshold = np.partition(values, -count)[-count]
    return indices[values > threshold], indices[values == threshold]
