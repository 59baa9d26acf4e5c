"""The customer's own purchases, decayed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluation.systems.system import Fitted

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows

HALF_LIFE_DAYS = 60


def buy_again(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """Each customer's own purchases with a half-life of 60 days; useless where only new items count."""
    own = past.decayed(HALF_LIFE_DAYS)

    def scores(rows: Rows) -> Floats:
        again: Floats = own[rows].toarray()
        return again

    return Fitted(scores)
