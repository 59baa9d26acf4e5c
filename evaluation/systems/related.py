"""Item-to-item systems: related lists of the project's own engine, merged for many visitors at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from evaluation.systems.system import Fitted
from producers.orders import DAY_MS
from state.settings import CountingSettings
from streams.engine.ranker import Ranker
from streams.recommendations.recommend import SEED_HALF_LIFE_DAYS
from streams.recommendations.request import MOST_SEEDS, POPULARITY_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.systems.system import Floats, Rows
    from streams.engine.embedded import Embedded
    from streams.engine.scores import Scoring

SHIPPED_WINDOW = CountingSettings().pair_window


@dataclass(frozen=True, slots=True)
class Merging:
    """How related lists are merged into recommendations; the defaults are the engine's.

    Attributes:
        popularity: share of popularity beside the lists.
        seeds: how many of the items bought last are seeds.
        half_life_days: of a seed's weight; None: all weigh the same.
        root_mass: divide each list by the square root of its sum before it is merged.
    """

    popularity: float = POPULARITY_SHARE
    seeds: int = MOST_SEEDS
    half_life_days: float | None = SEED_HALF_LIFE_DAYS
    root_mass: bool = False


class Lists(NamedTuple):
    """The related lists of all items that anyone holds."""

    score: sparse.csr_array
    """(known, U) score of each candidate."""
    mass: npt.NDArray[np.float64]
    """(known,) sum of each list's scores."""


def item_to_item(
    scoring: Scoring, merging: Merging | None = None, pair_window: int = SHIPPED_WINDOW
) -> Callable[[Past, int], Fitted]:
    """The engine's lists for a scoring and a pair window, merged, by default without popularity."""
    return merged(lambda past, embedded: ranked(past, embedded, scoring), merging or Merging(popularity=0), pair_window)


def merged(
    lists_of: Callable[[Past, Embedded], Lists], merging: Merging, pair_window: int = SHIPPED_WINDOW
) -> Callable[[Past, int], Fitted]:
    """Lists from any source, merged."""

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
                found[rows == past.cold_row] = recent
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
    """Lists from n entries: the item whose list each belongs to, the listed item and its score."""
    known = len(past.candidate)
    candidates = sparse.csr_array((score, (seed, past.candidate[item])), (known, known))
    return Lists(candidates, np.bincount(seed, score, known).astype(np.float64))


def seed_weights(past: Past, merging: Merging) -> sparse.csr_array:
    """(c + 1, known) weight of each held item as a seed."""
    history, row = past.history, past.history.row
    order = np.lexsort((-history.seq, -history.last, row))
    rank = np.arange(len(row)) - history.start[row]  # the sort moves no element out of its row
    chosen = order[rank < merging.seeds]
    newest = np.full(past.cold_row + 1, -1, np.int64)
    np.maximum.at(newest, row, history.last)
    weight = np.ones(len(chosen))
    if merging.half_life_days is not None:
        weight = 0.5 ** ((newest[row[chosen]] - history.last[chosen]) / DAY_MS / merging.half_life_days)
    return sparse.csr_array((weight, (row[chosen], history.item[chosen])), (past.cold_row + 1, len(past.candidate)))


def _by_root_mass(lists: Lists) -> Lists:
    root = np.sqrt(np.where(lists.mass > 0, lists.mass, 1))
    return Lists(sparse.csr_array(sparse.diags_array(1 / root) @ lists.score), lists.mass / root)
