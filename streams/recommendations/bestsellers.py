"""Bestsellers: the most bought items of the last days of event time, with their popularity."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from streams.recommendations.assortment import Assortment


class Bestseller(NamedTuple):
    """A bestseller."""

    item: int
    purchases: int
    """Purchases in the days asked for."""
    popularity: float
    """Mean of the shares of purchases decayed with half-lives of 1 and 7 days."""


def bestsellers(
    purchases: npt.NDArray[np.int64],
    assortment: Assortment,
    admitted: npt.NDArray[np.bool_],
    limit: int,
    boost: npt.NDArray[np.float64] | None = None,
) -> list[Bestseller]:
    """The items bought most, one of each group, ties by purchases in all, then by id; none not bought in these days.

    Args:
        purchases: (b,) purchases in these days, by item number.
        assortment: all items.
        admitted: (n,) which of them may be shown.
        limit: number of bestsellers at most.
        boost: (n,) what multiplies the purchases by which each is ranked; None: nothing does.
    """
    items = np.flatnonzero(admitted[: len(purchases)] & (purchases > 0))
    score = purchases[items] if boost is None else purchases[items] * boost[items]
    best = items[assortment.best(items, score, limit)]
    return [Bestseller(item, int(purchases[item]), float(assortment.popularity[item])) for item in best.tolist()]
