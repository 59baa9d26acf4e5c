"""Any system's scores, multiplied by the trend of related lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.system import Fitted
from streams.engine.popularity import popularity, recent_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows


def times_trend(fit: Callable[[Past, int], Fitted]) -> Callable[[Past, int], Fitted]:
    """A system with its positive scores multiplied by the trend, and the others set to 0."""

    def fit_with_trend(past: Past, seed: int) -> Fitted:
        plain = fit(past, seed)
        table, known = past.states.shipped.counts[0].popularity, len(past.candidate)
        trend = past.of_universe(popularity(table, known, None, recent_share(table, known)).trend)

        def scores(rows: Rows) -> Floats:
            return np.maximum(plain.scores(rows), 0) * trend

        return Fitted(scores, plain.build_lookups, plain.serve_lookups, plain.shared_seconds)

    return fit_with_trend
