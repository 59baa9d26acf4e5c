"""Matrix factorisation by alternating least squares (Hu, Koren & Volinsky 2008), from `implicit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

FACTORS = 32
CONFIDENCE = 10.0
REGULARISATION = 0.05
ITERATIONS = 15


def als(past: Past, seed: int) -> Fitted:
    """Factors of the matrix of held items."""
    with threadpool_limits(1, "blas"):  # implicit parallelises itself
        model = AlternatingLeastSquares(
            factors=FACTORS,
            alpha=CONFIDENCE,
            regularization=REGULARISATION,
            iterations=ITERATIONS,
            random_state=seed,
            num_threads=1,
        )
        model.fit(sparse.csr_matrix(past.held), show_progress=False)
    customers = np.asarray(model.user_factors)
    customers[past.cold_row] = 0  # without history nothing is known, and the initial values mean nothing
    items = np.asarray(model.item_factors)

    def scores(rows: Rows) -> Floats:
        found: Floats = customers[rows] @ items.T
        return found

    return Fitted(scores)
