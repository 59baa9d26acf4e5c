"""The best few of many items: by score, ties by purchases, then by item id, so that equal state gives equal answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    Column = npt.NDArray[Any]
    Indices = npt.NDArray[np.int64]
    GroupOf = Callable[[int], str | None]


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


def distinct_leaders(
    items: Column, score: Column, purchases: Column, ids: Sequence[str], count: int, groups: GroupOf | None = None
) -> Indices:
    """The same, but of each group only the best one.

    Args:
        items: as in `leaders`, as are the next four.
        score: see there.
        purchases: see there.
        ids: see there.
        count: see there.
        groups: the group of an item number, None if it has none; None: there are no groups.

    >>> score, purchases, groups = np.array([3.0, 2.0, 1.0]), np.zeros(3), {0: "mug", 1: "mug"}
    >>> distinct_leaders(np.arange(3), score, purchases, ["a", "b", "c"], 2, groups.get).tolist()
    [0, 2]
    """
    looked_at = count
    while True:
        best = leaders(items, score, purchases, ids, looked_at)
        distinct = best[first_of_groups(items[best], count, groups)]
        if len(distinct) == count or looked_at >= len(items):
            return distinct
        looked_at *= 2


def first_of_groups(items: Column, count: int, groups: GroupOf | None) -> list[int]:
    """The places of the first `count` items of which no earlier one has the same group.

    >>> first_of_groups(np.array([5, 7, 9, 8]), 2, {5: "mug", 7: "mug"}.get)
    [0, 2]
    """
    if groups is None:
        return list(range(min(count, len(items))))
    seen: set[str] = set()
    places: list[int] = []
    for place, item in enumerate(items.tolist()):
        if len(places) == count:
            break
        group = groups(item)
        if group is None or group not in seen:
            places.append(place)
        if group is not None:
            seen.add(group)
    return places


def _around(indices: Indices, column: Column, count: int) -> tuple[Indices, Indices]:
    """The indices with values above the `count`-th best in `column`, and those with exactly that value."""
    values = column[indices]
    threshold = np.partition(values, -count)[-count]
    return indices[values > threshold], indices[values == threshold]
