"""Related lists by other expectations than the engine's, from its counts: what the correction is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from evaluation.systems.related import make_lists
from state.count_rows import EXPOSURES, bucket_exposures, items_of
from state.journal import SLICES
from streams.engine.popularity import popularity, recent_share
from streams.engine.ranking import LIST_LENGTH
from streams.engine.relatedness import expected_copurchases

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.systems.related import Lists
    from state.count_store import CountStore
    from streams.engine.embedded import Embedded

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_EXPOSURE = bucket_exposures(1024).astype(np.float64)


class Expectation(NamedTuple):
    """An expectation of co-purchases, and a score computed from it.

    Attributes:
        kind: `naive`: n_X n_Y / customers; `corrected`: for heavy buyers, as the engine's; `calibrated`: that, scaled
            so that an item's E sum to its N.
        power, support: the score is (N - E) / (E + support)^power: 0 the difference, 1/2 the significance.
        trend: multiply by the trend.
    """

    kind: str
    power: float = 0.0
    support: float = 2.0
    trend: bool = True

    def lists(self, past: Past, embedded: Embedded) -> Lists:
        """Related lists of all items, without half-life."""
        store = embedded.counts[0]
        known = len(past.candidate)
        recent = recent_share(store.popularity, known) if self.trend else None
        chance, trend = popularity(store.popularity, known, None, recent)
        holders = store.popularity.totals()[0][:known].astype(np.float64)
        shares, share_of, amount = np.unique(chance, return_inverse=True, return_counts=True)
        seeds, items, scores = [], [], []
        for seed, neighbours, together, exposures, buyers in _rows(store):
            if self.kind == "naive":
                expected = holders[seed] * holders[neighbours] / store.holding
            else:
                expected_of_share = expected_copurchases(exposures, buyers, shares)
                expected = expected_of_share[share_of[neighbours]]
                if self.kind == "calibrated":
                    others = float(expected_of_share @ amount - expected_of_share[share_of[seed]])
                    expected *= together.sum() / max(others, 1e-9)
            score = trend[neighbours] * (together - expected) / (expected + self.support) ** self.power
            best = np.argsort(-score, kind="stable")[:LIST_LENGTH]
            best = best[score[best] > 0]
            seeds.append(np.full(len(best), seed))
            items.append(neighbours[best])
            scores.append(score[best])
        return make_lists(past, np.concatenate(seeds), np.concatenate(items), np.concatenate(scores))


def _rows(store: CountStore) -> Iterator[tuple[int, Integers, Floats, Floats, Floats]]:
    """Yield each item, its neighbours, their N, and its histogram: exposures and how many buyers have each."""
    for number in range(SLICES):
        rows = store.slice_rows(number)
        exposure_keys, buyers = rows.pop(EXPOSURES)
        if not len(exposure_keys):
            continue
        keys = np.concatenate([keys for keys, _ in rows.values()])
        keys, place = np.unique(keys, return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts for _, counts in rows.values()]), len(keys))
        row_keys = np.unique(exposure_keys >> np.uint64(32))
        first = np.searchsorted(exposure_keys >> np.uint64(32), row_keys)
        ends = np.searchsorted(exposure_keys >> np.uint64(32), row_keys, "right")
        begins = np.searchsorted(keys >> np.uint64(32), row_keys)
        stops = np.searchsorted(keys >> np.uint64(32), row_keys, "right")
        neighbours = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        buckets = (exposure_keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        for at, item in enumerate(items_of(row_keys).tolist()):
            histogram = slice(int(first[at]), int(ends[at]))
            row = slice(int(begins[at]), int(stops[at]))
            yield (
                item,
                neighbours[row],
                counts[row].astype(np.float64),
                _EXPOSURE[buckets[histogram]],
                buyers[histogram].astype(np.float64),
            )
