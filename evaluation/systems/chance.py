"""Random candidates: the hit rate of knowing nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows


def chance(past: Past, seed: int) -> Fitted:
    """A random order for each customer, independent of the other customers served."""

    def scores(rows: Rows) -> Floats:
        return np.stack([np.random.default_rng([seed, row]).random(len(past.items)) for row in rows.tolist()])

    return Fitted(scores)
