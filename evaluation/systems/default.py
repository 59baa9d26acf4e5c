"""What the software recommends as it is shipped: its own function, called for one visitor after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.related import SHIPPED_WINDOW
from evaluation.systems.system import Fitted
from state.related_store import StoredList
from streams.lists import Ranker, Scoring
from streams.recommend import Held, choose_seeds, recommend

if TYPE_CHECKING:
    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows


def default(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
    """The shipped lists, seeds and blend."""
    before = past.states.seconds.get(SHIPPED_WINDOW, 0.0)
    lists = _lists(past)

    def score(row: int) -> Floats:
        held = held_by(past, row)
        seeds = choose_seeds(held)
        admitted = np.ones(len(past.items), np.bool_)
        admitted[held.item] &= past.held_too
        chosen = recommend(
            held, seeds, [lists.get(item) for item in seeds.item.tolist()], past.assortment, admitted, past.depth
        )
        found = np.zeros(len(past.items))
        # they come best first, ties settled: all that is left to keep is the order
        found[past.place[[entry.item for entry in chosen]]] = np.arange(len(chosen), 0, -1)
        return found

    def scores(rows: Rows) -> Floats:
        return np.stack([score(row) for row in rows.tolist()])

    return Fitted(scores, shared_seconds=before)


def _lists(past: Past) -> dict[int, StoredList]:
    """The list of every item that anyone holds, as of the cutoff."""
    items, ranked = Ranker(past.states.shipped.counts[0], Scoring()).lists(np.unique(past.history.item))
    return {
        item: StoredList(
            ranked.item[row, :length],
            ranked.score[row, :length],
            ranked.together[row, :length],
            ranked.expected[row, :length],
            ranked.trend[row, :length],
        )
        for row, (item, length) in enumerate(zip(items.tolist(), ranked.length.tolist(), strict=True))
    }


def held_by(past: Past, row: int) -> Held:
    """What a customer holds, as the engine's function takes it."""
    history = past.history
    here = slice(int(history.start[row]), int(history.start[row + 1]))
    return Held(history.item[here], history.last[here], history.seq[here], history.purchases[here])
