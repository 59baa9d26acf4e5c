"""Related lists of a partition's items, by any score, computed from its counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from state.count_rows import BUNDLE, bucket_exposures, items_of, row_keys_of, slice_of
from state.journal import SLICES
from streams.engine.popularity import LivePopularity, epoch_weights
from streams.engine.ranking import NO_WEIGHT, Components, ItemFacts, RelatedLists, rank

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from state.count_rows import Keys
    from state.count_store import CountStore
    from streams.engine.relatedness import Floats
    from streams.engine.scores import Scoring

_BUCKETS = bucket_exposures(257 + 8 * 24)  # up to an exposure of 2^32
_BUNDLES_PER_BLOCK = 64  # adjacent bundles of a slice that are in the same shard, so that reading them is one scan


class Ranker:
    """Ranks the neighbours of a partition's items as of the store's last commit.

    Args:
        store: the counts. Later commits change the rows, but not the popularity read here: call `update` then, or
            create another Ranker.
        scoring: the score, half-life and trend to rank by.
    """

    def __init__(self, store: CountStore, scoring: Scoring) -> None:
        self._store = store
        self._scoring = scoring
        half_lives = [half_life for _, half_life in scoring.components]
        table, known = store.popularity, len(store.names)
        self._commit = store.journal.commit
        self._popularity = LivePopularity(table, known, half_lives, trend=scoring.trend)
        holders, purchases = table.totals()
        self._holders, self._purchases = holders[:known], purchases[:known]
        self._look()

    def update(self) -> None:
        """Rank as of the store's last commit from now on; reads only what changed since."""
        if self._commit == self._store.journal.commit:
            return
        table, known = self._store.popularity, len(self._store.names)
        change = table.changed(self._commit)
        self._commit = self._store.journal.commit
        self._popularity.update(table, change, known)
        more = (0, known - len(self._holders))
        self._holders, self._purchases = np.pad(self._holders, more), np.pad(self._purchases, more)
        self._holders[change.items], self._purchases[change.items] = table.totals_of(change.items)
        self._look()

    def _look(self) -> None:
        """Have everything that loops need in the form that they need."""
        store = self._store
        components = self._scoring.components
        self._components = Components(
            kind=np.array([kind for kind, _ in components]),
            needs_expected=self._scoring.needs_expected,
            weight=np.stack(
                [epoch_weights(store.epochs(), store.popularity.newest_day, half_life) for _, half_life in components]
            ),
            chance_and_trend=self._popularity.chance_and_trend(),
        )
        self._facts = ItemFacts(self._holders, self._purchases, *store.names.encoded(), customers=store.holding)

    def lists(self, items: npt.NDArray[Any], weight: Floats = NO_WEIGHT) -> tuple[npt.NDArray[np.uint32], RelatedLists]:
        """(n,) some of the partition's items, sorted in the order of storage, and their lists.

        Args:
            items: their numbers.
            weight: (k,) as of `rank`; items from k on may not be listed.
        """
        if len(weight):
            weight = np.pad(weight, (0, max(len(self._facts.holders) - len(weight), 0)))
        items, row_keys = _in_order(items)
        addends = self._store.addends(row_keys)
        return items, rank(items, row_keys, addends, _BUCKETS, self._components, self._facts, weight)

    def totals(self, items: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(n,) buyers and (n,) purchases of some items."""
        return self._facts.holders[items], self._facts.purchases[items]

    def shard(self, number: int, of: int) -> npt.NDArray[np.int64]:
        """(n,) the partition's items in one shard that were ever bought; an item is always in the same shard.

        Args:
            number: number of the shard, below `of`.
            of: number of shards, a multiple of SLICES. A slice is divided into blocks of adjacent bundles, and its
                shards get blocks in rotation, so that a shard is read in few scans.
        """
        bought = self._bought()
        block = bought // (SLICES * BUNDLE * _BUNDLES_PER_BLOCK)
        shard: npt.NDArray[np.int64] = bought[(slice_of(bought) + block % (of // SLICES) * SLICES) == number]
        return shard

    def every(self) -> Iterator[tuple[npt.NDArray[np.uint32], RelatedLists]]:
        """The lists of all items of the partition, slice by slice."""
        for number in range(SLICES):
            items = self.shard(number, SLICES)
            if len(items):
                yield self.lists(items)

    def _bought(self) -> npt.NDArray[np.int64]:
        return np.flatnonzero(self._store.owned[: len(self._store.names)] & (self._facts.purchases > 0))


def _in_order(items: npt.NDArray[Any]) -> tuple[npt.NDArray[np.uint32], Keys]:
    """Items by rising row key, and those keys."""
    row_keys = np.sort(row_keys_of(items))
    return items_of(row_keys), row_keys
