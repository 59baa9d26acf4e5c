"""EASE: the linear autoencoder with a closed form (Steck 2019, "Embarrassingly Shallow Autoencoders")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.errors import EvaluationError
from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

REGULARISATION = 500.0
LARGEST_UNIVERSE = 20_000  # its square, in doubles, three times over: 10 GB


def ease(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """Weights between items that best reproduce what customers hold, with none from an item to itself."""
    if len(past.items) > LARGEST_UNIVERSE:
        raise EvaluationError(
            f"ease inverts a matrix of candidates by candidates, too large for {len(past.items):,}; choose --universe "
            f"{LARGEST_UNIVERSE} or fewer, or --systems without it; with --out, finished results are kept"
        )
    gram = (past.held.T @ past.held).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += REGULARISATION
    inverse = np.linalg.inv(gram)
    weights = (inverse / -np.diag(inverse)).astype(np.float32)
    np.fill_diagonal(weights, 0)

    def scores(rows: Rows) -> Floats:
        found: Floats = past.held[rows] @ weights
        return found

    return Fitted(scores)
