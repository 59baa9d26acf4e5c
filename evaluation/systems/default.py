"""The default recommendations: the function that answers visitors, called for one visitor after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.related import SHIPPED_WINDOW
from evaluation.systems.system import Fitted
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.recommendations.merge import SeedLists
from streams.recommendations.recommend import Held, choose_seeds, recommend

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows, Scores
    from streams.recommendations.recommend import Blend


def shipped(blend: Blend) -> Callable[[Past, int], Fitted]:
    """Default lists and seeds, with a blend of related lists, popularity and the customer's own repeats."""

    def fit(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
        before = past.states.seconds.get(SHIPPED_WINDOW, 0.0)
        return Fitted(_scores(past, blend), shared_seconds=before)

    return fit


def _scores(past: Past, blend: Blend) -> Scores:
    items, lists = Ranker(past.states.shipped.counts[0], Scoring()).lists(np.unique(past.history.item))
    list_of = np.zeros(len(past.items), np.int64)
    list_of[items] = np.arange(len(items))

    def score(row: int) -> Floats:
        held = held_by(past, row)
        seeds = choose_seeds(held)
        row_of = list_of[seeds.item]
        listed = SeedLists(
            lists.item[row_of],
            lists.score[row_of],
            lists.together[row_of],
            lists.expected[row_of],
            lists.length[row_of],
        )
        admitted = np.ones(len(past.items), np.bool_)
        admitted[held.item] &= past.recommend_held
        chosen = recommend(held, seeds, listed, past.assortment, admitted, past.depth, blend, most_reasons=1)
        found = np.zeros(len(past.items))
        # the best comes first, ties included: keep that order
        found[past.candidate[[entry.item for entry in chosen]]] = np.arange(len(chosen), 0, -1)
        return found

    def scores(rows: Rows) -> Floats:
        return np.stack([score(row) for row in rows.tolist()])

    return scores


def held_by(past: Past, row: int) -> Held:
    """What a customer holds, as `recommend` takes it."""
    history = past.history
    here = slice(int(history.start[row]), int(history.start[row + 1]))
    return Held(history.item[here], history.last[here], history.seq[here], history.purchases[here])
