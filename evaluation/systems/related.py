"""Item-to-item systems: related lists of the project's own engine, merged for all visitors at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from evaluation.systems.system import Fitted
from producers.orders import DAY_MS
from state.settings import CountingSettings
from streams.engine.ranker import Ranker
from streams.recommendations.recommend import MOST_SEEDS, POPULARITY_SHARE, SEED_HALF_LIFE_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows
    from streams.engine.embedded import Embedded
    from streams.engine.ranker import Scoring

SHIPPED_WINDOW = CountingSettings().pair_window


@dataclass(frozen=True, slots=True)
class Merging:
    """How a visitor's related lists become recommendations, by default as shipped.

    Attributes:
        popularity: its share beside the lists.
        seeds: how many of the items bought last are asked for their lists.
        half_life_days: of a seed's weight; None: all weigh alike.
        root_mass: divide each list by the square root of its sum before it is merged.
    """

    popularity: float = POPULARITY_SHARE
    seeds: int = MOST_SEEDS
    half_life_days: float | None = SEED_HALF_LIFE_DAYS
    root_mass: bool = False


class Lists(NamedTuple):
    """Related lists of all items that anyone holds."""

    score: sparse.csr_array
    """(known, U) of candidates."""
    mass: npt.NDArray[np.float64]
    """(known,) sum of each list."""


def item_to_item(
    scoring: Scoring, merging: Merging | None = None, pair_window: int = SHIPPED_WINDOW
) -> Callable[[Past, int], Fitted]:
    """The engine's lists for a scoring and pair window, merged; by default without popularity."""
    return merged(lambda past, embedded: ranked(past, embedded, scoring), merging or Merging(popularity=0), pair_window)


def merged(
    lists_of: Callable[[Past, Embedded], Lists], merging: Merging, pair_window: int = SHIPPED_WINDOW
) -> Callable[[Past, int], Fitted]:
    """Lists of any making, merged."""

    def fit(past: Past, seed: int) -> Fitted:  # noqa: ARG001 - nothing here is random
        before = past.states.seconds.get(pair_window, 0.0)
        with past.states.counted(pair_window) as embedded:
            lists = lists_of(past, embedded)
        if merging.root_mass:
            lists = _by_root_mass(lists)
        seeds = seed_weights(past, merging)
        mass = seeds @ lists.mass
        popular, recent = past.of_universe(past.assortment.popularity), past.of_universe(past.assortment.recent)
        scale = (1 - merging.popularity) / np.where(mass > 0, mass, 1)

        def scores(rows: Rows) -> Floats:
            found: Floats = (seeds[rows] @ lists.score).toarray() * scale[rows, None]
            found += merging.popularity * popular
            if merging.popularity > 0:
                found[rows == past.stranger] = recent
            return found

        return Fitted(scores, shared_seconds=before)

    return fit


def ranked(past: Past, embedded: Embedded, scoring: Scoring) -> Lists:
    """The engine's lists of all items that anyone holds, as of the cutoff."""
    items, lists = Ranker(embedded.counts[0], scoring).lists(np.unique(past.history.item))
    listed = np.arange(lists.item.shape[1]) < lists.length[:, None]
    seed = np.repeat(items.astype(np.int64), lists.length)
    return make_lists(past, seed, lists.item[listed].astype(np.int64), lists.score[listed])


def make_lists(
    past: Past, seed: npt.NDArray[np.int64], item: npt.NDArray[np.int64], score: npt.NDArray[np.float64]
) -> Lists:
    """Lists from n entries: of each the item whose list it is in, the item listed and its score."""
    known = len(past.place)
    candidates = sparse.csr_array((score, (seed, past.place[item])), (known, known))
    return Lists(candidates, np.bincount(seed, score, known).astype(np.float64))


def seed_weights(past: Past, merging: Merging) -> sparse.csr_array:
    """(c + 1, known) weight of each item held among the customer's seeds."""
    history, row = past.history, past.history.row
    order = np.lexsort((-history.seq, -history.last, row))
    rank = np.arange(len(row)) - history.start[row]  # rows keep their places under the sort
    chosen = order[rank < merging.seeds]
    newest = np.full(past.stranger + 1, -1, np.int64)
    np.maximum.at(newest, row, history.last)
    weight = np.ones(len(chosen))
    if merging.half_life_days is not None:
        weight = 0.5 ** ((newest[row[chosen]] - history.last[chosen]) / DAY_MS / merging.half_life_days)
    return sparse.csr_array((weight, (row[chosen], history.item[chosen])), (past.stranger + 1, len(past.place)))


def _by_root_mass(lists: Lists) -> Lists:
    root = np.sqrt(np.where(lists.mass > 0, lists.mass, 1))
    return Lists(sparse.csr_array(sparse.diags_array(1 / root) @ lists.score), lists.mass / root)
