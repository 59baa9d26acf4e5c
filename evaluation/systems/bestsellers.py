"""Bestsellers, the same for everybody: of two weeks, of all time, or decayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.system import Fitted
from streams.engine.popularity import decayed_share

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows


def two_weeks(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """The most bought of the last two weeks, which the engine recommends to customers without history."""
    return everybody(past.of_universe(past.assortment.recent))


def of_all_time(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """The most bought ever."""
    return everybody(past.of_universe(past.assortment.purchases))


def decayed(half_life_days: float) -> Callable[[Past, int], Fitted]:
    """The most bought, each purchase decayed with a half-life, as the engine computes it."""

    def fit(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
        table = past.states.shipped.counts[0].popularity
        return everybody(past.of_universe(decayed_share(table, len(past.candidate), half_life_days)))

    return fit


def everybody(score: Floats) -> Fitted:
    """The same (U,) score for every customer."""

    def scores(rows: Rows) -> Floats:
        return np.tile(score, (len(rows), 1))

    return Fitted(scores)
