"""The best few of many items: by score, ties by purchases, then by item id, so that equal state gives equal answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Places = npt.NDArray[np.int64]


def leaders(items: Column, score: Column, purchases: Column, ids: Sequence[str], count: int) -> Places:
    """Places among `items` of the best `count`, best first.

    Args:
        items: (k,) distinct item numbers.
        score: (k,) what they are ranked by.
        purchases: (k,) purchases in all, which decide between equal scores.
        ids: item ids by item number, which decide between equal purchases.
        count: how many are wanted; fewer come if there are fewer.

    >>> leaders(np.array([2, 0, 1]), np.array([1.0, 1.0, 3.0]), np.array([5, 5, 1]), ["a", "b", "c"], 2).tolist()
    [2, 1]
    """
    places = np.arange(len(items)) if count > 0 else np.zeros(0, np.int64)
    if len(places) > count:
        above, level = _around(places, score, count)
        if len(above) + len(level) > count:
            level = np.concatenate(_around(level, purchases, count - len(above)))
        places = np.concatenate([above, level])
    names = [ids[item] for item in items[places].tolist()]
    rank = sorted(zip((-score[places]).tolist(), (-purchases[places]).tolist(), names, places.tolist(), strict=True))
    return np.array([place for *_, place in rank[:count]], np.int64)


def _around(places: Places, column: Column, count: int) -> tuple[Places, Places]:
    """Of `places`, those above the value that is `count`-th best in `column`, and those at it."""
    values = column[places]
    threshold = np.partition(values, -count)[-count]
    return places[values > threshold], places[values == threshold]
