"""Related lists with E scaled so that an item's E sums to its N: what a constant factor in E is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evaluation.systems.related import make_lists
from state.count_rows import EXPOSURES, bucket_exposures, items_at
from state.journal import SLICES
from streams.popularity import popularity
from streams.relatedness import LIST_LENGTH, expected_copurchases

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.systems.related import Lists
    from state.count_store import CountStore
    from streams.embedded import Embedded

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

_EXPOSURE = bucket_exposures(1024).astype(np.float64)


def calibrated_difference(past: Past, embedded: Embedded) -> Lists:
    """Lists by (N - c E) x trend without half-life, with c = sum of N / sum of E over all other items."""
    store = embedded.counts[0]
    known = len(past.place)
    chance, trend = popularity(store.popularity, known, None)
    shares, amount = np.unique(chance[chance > 0], return_counts=True)
    wanted = np.zeros(known, bool)
    wanted[past.history.item] = True
    seeds, items, scores = [], [], []
    for seed, neighbours, together, exposures, buyers in _rows(store):
        if not wanted[seed] or not len(neighbours):
            continue
        expected_of_share = expected_copurchases(exposures, buyers, shares)
        own = expected_of_share[np.searchsorted(shares, chance[seed])]
        factor = together.sum() / max(float(expected_of_share @ amount - own), 1e-9)
        expected = expected_of_share[np.searchsorted(shares, chance[neighbours])]
        score = trend[neighbours] * (together - factor * expected)
        best = np.argsort(-score, kind="stable")[:LIST_LENGTH]
        best = best[score[best] > 0]
        seeds.append(np.full(len(best), seed))
        items.append(neighbours[best])
        scores.append(score[best])
    return make_lists(past, np.concatenate(seeds), np.concatenate(items), np.concatenate(scores))


def _rows(store: CountStore) -> Iterator[tuple[int, Integers, Floats, Floats, Floats]]:
    """Every item with its neighbours, their N, and its histogram: exposures and how many buyers have each."""
    for number in range(SLICES):
        rows = store.slice_rows(number)
        exposure_keys, buyers = rows.pop(EXPOSURES)
        keys = np.concatenate([keys for keys, _ in rows.values()])
        keys, place = np.unique(keys, return_inverse=True)
        counts = np.bincount(place, np.concatenate([counts for _, counts in rows.values()]), len(keys))
        places, first = np.unique(exposure_keys >> np.uint64(32), return_index=True)
        ends = np.append(first[1:], len(exposure_keys))
        bounds = np.searchsorted(keys >> np.uint64(32), places), np.searchsorted(keys >> np.uint64(32), places, "right")
        neighbours = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        buckets = (exposure_keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
        for item, begin, end, low, high in zip(items_at(places).tolist(), first, ends, *bounds, strict=True):
            histogram = slice(int(begin), int(end))
            row = slice(int(low), int(high))
            yield (
                item,
                neighbours[row],
                counts[row],
                _EXPOSURE[buckets[histogram]],
                buyers[histogram].astype(np.float64),
            )
