"""Metrics of recommendations, customer by customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evaluation.protocol import DEPTH

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating]
    Integers = npt.NDArray[np.int64]
    Mask = npt.NDArray[np.bool_]

NO_CANDIDATE = -1


class CustomerMetrics(NamedTuple):
    """Metrics of n customers' recommendations, each 0 to 1."""

    hit: npt.NDArray[np.float64]
    """(n,) 1 if one of the first `at` is a target, else 0."""
    recall: npt.NDArray[np.float64]
    """(n,) share of the targets among the first 20."""
    ndcg: npt.NDArray[np.float64]
    """(n,) discounted cumulative gain of the first 20, as a share of the ideal one."""


def best_candidates(scores: Floats, excluded: Mask, depth: int) -> Integers:
    """(n, depth) the best candidates, best first, ties by candidate; NO_CANDIDATE where there are no more.

    Args:
        scores: (n, U).
        excluded: (n, U) candidates that may not be recommended.
        depth: how many to return.

    >>> best_candidates(np.array([[1.0, 3.0, 1.0]]), np.array([[False, False, False]]), 2).tolist()
    [[1, 0]]
    >>> best_candidates(np.array([[1.0, 3.0, 1.0]]), np.array([[False, True, True]]), 2).tolist()
    [[0, -1]]
    """
    admissible = np.where(excluded, -np.inf, scores)
    order = np.argsort(-admissible, axis=1, kind="stable")[:, :depth]
    return np.where(np.isneginf(np.take_along_axis(admissible, order, 1)), NO_CANDIDATE, order)


def customer_metrics(recommended: Integers, targets: Mask, total: Integers, at: int) -> CustomerMetrics:
    """Metrics of n customers' recommendations.

    Args:
        recommended: (n, 20 or more) candidates, best first, or NO_CANDIDATE.
        targets: (n, U) which candidates are targets.
        total: (n,) how many targets each customer has, candidates or not.
        at: how many recommendations the hit considers.

    >>> targets = np.array([[False, True, True, False]])
    >>> customer_metrics(np.array([[0, 1, 3, 2]]), targets, np.array([4]), 2).recall.tolist()
    [0.5]
    """
    found = np.take_along_axis(targets, np.maximum(recommended, 0), 1) & (recommended != NO_CANDIDATE)
    deep = found[:, :DEPTH]
    gain = 1 / np.log2(np.arange(2, DEPTH + 2))
    ideal = np.concatenate([[0.0], np.cumsum(gain)])[np.minimum(total, DEPTH)]
    some = np.maximum(total, 1)
    return CustomerMetrics(
        hit=found[:, :at].any(axis=1).astype(np.float64),
        recall=deep.sum(axis=1) / some,
        ndcg=(deep * gain[: deep.shape[1]]).sum(axis=1) / np.where(ideal > 0, ideal, 1),
    )
