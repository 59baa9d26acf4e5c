"""User-based collaborative filtering: what the customers most similar to the visitor bought recently.

In the two ways with which Linden, Smith & York 2003 compare item-to-item: the visitor is compared with a random sample
of the customers, which keeps a visit cheap and loses the most similar ones, or with all of them, in advance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from evaluation.systems.system import Fitted
from producers.orders import DAY_MS

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

NEIGHBOURS = 200
SAMPLE = 500
SAMPLE_NEIGHBOURS = 50
HISTORY_HALF_LIFE_DAYS = 60
BOUGHT_HALF_LIFE_DAYS = 14
_BLOCK = 256


def unit_histories(past: Past) -> sparse.csr_array:
    """(c + 1, U) what each customer holds, decayed by age, as vectors of length 1."""
    age = (past.cutoff_ms - past.history.last) / DAY_MS
    weights = past.matrix(0.5 ** (age / HISTORY_HALF_LIFE_DAYS))
    length = np.sqrt(weights.multiply(weights).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.where(length > 0, length, 1)) @ weights)


def nearest(similarity: Floats, rows: Rows, count: int) -> sparse.csr_array:
    """(n, c + 1) the `count` greatest similarities of each row, without the customer's own; ties by row.

    Args:
        similarity: (n, c + 1); the customers' own are set to 0 in place.
        rows: (n,) the customers.
        count: how many to keep.
    """
    similarity[np.arange(len(rows)), rows] = 0
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(similarity, best, 1)
    start = np.arange(len(rows) + 1) * best.shape[1]
    return sparse.csr_array((values.ravel(), best.ravel(), start), similarity.shape)


def full_index(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """Compare every customer with every other in advance; a visit looks up the nearest 200."""
    histories, bought = unit_histories(past), past.decayed(BOUGHT_HALF_LIFE_DAYS)
    across = sparse.csc_array(histories.T)
    everyone = np.arange(past.cold_row + 1)
    index = sparse.vstack(
        [
            nearest((histories[rows] @ across).toarray(), rows, NEIGHBOURS)
            for rows in np.split(everyone, range(_BLOCK, len(everyone), _BLOCK))
        ],
        format="csr",
    )

    def scores(rows: Rows) -> Floats:
        found: Floats = (index[rows] @ bought).toarray()
        return found

    return Fitted(scores, build_lookups=past.cold_row * (past.cold_row - 1), serve_lookups=NEIGHBOURS)


def random_sample(past: Past, seed: int) -> Fitted:
    """Compare the visitor with 500 random customers at each visit, and follow the nearest 50."""
    histories, bought = unit_histories(past), past.decayed(BOUGHT_HALF_LIFE_DAYS)
    size = min(SAMPLE, past.cold_row)

    def visit(row: int) -> Floats:
        drawn = np.random.default_rng([seed, row]).choice(past.cold_row, size, replace=False)
        similarity = (histories[drawn] @ histories[[row]].T).toarray().ravel()
        similarity[drawn == row] = 0
        best = np.argsort(-similarity, kind="stable")[:SAMPLE_NEIGHBOURS]
        score: Floats = similarity[best] @ bought[drawn[best]]
        return score

    def scores(rows: Rows) -> Floats:
        return np.stack([visit(row) for row in rows.tolist()])

    return Fitted(scores, serve_lookups=size)
