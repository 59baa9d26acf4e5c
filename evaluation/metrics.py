"""How good recommendations are, customer by customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evaluation.protocol import DEPTH

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

NOTHING = -1


class Marks(NamedTuple):
    """What each of n customers' recommendations are worth, 0 to 1."""

    hit: npt.NDArray[np.float64]
    """(n,) 1 if one of the first few is a target."""
    recall: npt.NDArray[np.float64]
    """(n,) share of the targets among the first 20."""
    ndcg: npt.NDArray[np.float64]
    """(n,) discounted gain of the first 20, as a share of the best possible."""


def best(scores: Floats, held: Mask, depth: int) -> Integers:
    """(n, depth) places of the best candidates, ties by place; NOTHING where there are not so many.

    Args:
        scores: (n, U).
        held: (n, U) what may not be recommended.
        depth: how many.

    >>> best(np.array([[1.0, 3.0, 1.0]]), np.array([[False, False, False]]), 2).tolist()
    [[1, 0]]
    >>> best(np.array([[1.0, 3.0, 1.0]]), np.array([[False, True, True]]), 2).tolist()
    [[0, -1]]
    """
    barred = np.where(held, -np.inf, scores)
    order = np.argsort(-barred, axis=1, kind="stable")[:, :depth]
    return np.where(np.isneginf(np.take_along_axis(barred, order, 1)), NOTHING, order)


def marks(recommended: Integers, wanted: Mask, total: Integers, at: int) -> Marks:
    """Marks of n customers.

    Args:
        recommended: (n, 20 or more) places, best first, or NOTHING.
        wanted: (n, U) their targets among the candidates.
        total: (n,) how many targets they have, candidates or not.
        at: how many recommendations count for a hit.

    >>> wanted = np.array([[False, True, True, False]])
    >>> marks(np.array([[0, 1, 3, 2]]), wanted, np.array([4]), 2).recall.tolist()
    [0.5]
    """
    found = np.take_along_axis(wanted, np.maximum(recommended, 0), 1) & (recommended != NOTHING)
    deep = found[:, :DEPTH]
    gain = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])[np.minimum(total, DEPTH)]
    some = np.maximum(total, 1)
    return Marks(
        hit=found[:, :at].any(axis=1).astype(np.float64),
        recall=deep.sum(axis=1) / some,
        ndcg=(deep * gain[: deep.shape[1]]).sum(axis=1) / np.where(ideal > 0, ideal, 1),
    )
