"""User-based collaborative filtering: what the customers most like the visitor bought lately.

Both ways that Linden, Smith & York 2003 set item-to-item against: comparing the visitor with a random sample of the
customers, which keeps a visit cheap and loses the most similar ones, or with all of them, found in advance.
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
    """(c + 1, U) what each customer holds, recent purchases weighing more, as vectors of length 1."""
    age = (past.cutoff_ms - past.history.last) / DAY_MS
    weights = past.matrix(0.5 ** (age / HISTORY_HALF_LIFE_DAYS))
    length = np.sqrt(weights.multiply(weights).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1 / np.where(length > 0, length, 1)) @ weights)


def nearest(similarity: Floats, rows: Rows, count: int) -> sparse.csr_array:
    """(n, c + 1) of each row of similarities the `count` greatest, the customer's own left out; ties by row.

    Args:
        similarity: (n, c + 1), of which the customers' own are set to 0.
        rows: (n,) the customers.
        count: how many.
    """
    similarity[np.arange(len(rows)), rows] = 0
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :count]
    values = np.take_along_axis(similarity, best, 1)
    start = np.arange(len(rows) + 1) * best.shape[1]
    return sparse.csr_array((values.ravel(), best.ravel(), start), similarity.shape)


def full_index(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """Every customer against every other, in advance; a visit looks up the nearest 200."""
    histories, bought = unit_histories(past), past.decayed(BOUGHT_HALF_LIFE_DAYS)
    across = sparse.csc_array(histories.T)
    everyone = np.arange(past.stranger + 1)
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

    return Fitted(scores, build_lookups=past.stranger * (past.stranger - 1), serve_lookups=NEIGHBOURS)


def random_sample(past: Past, seed: int) -> Fitted:
    """A visit compares with 500 customers drawn at random and follows the nearest 50; nothing is done in advance."""
    histories, bought = unit_histories(past), past.decayed(BOUGHT_HALF_LIFE_DAYS)
    size = min(SAMPLE, past.stranger)

    def visit(row: int) -> Floats:
        drawn = np.random.default_rng([seed, row]).choice(past.stranger, size, replace=False)
        similarity = (histories[drawn] @ histories[[row]].T).toarray().ravel()
        similarity[drawn == row] = 0
        best = np.argsort(-similarity, kind="stable")[:SAMPLE_NEIGHBOURS]
        score: Floats = similarity[best] @ bought[drawn[best]]
        return score

    def scores(rows: Rows) -> Floats:
        return np.stack([visit(row) for row in rows.tolist()])

    return Fitted(scores, serve_lookups=size)
