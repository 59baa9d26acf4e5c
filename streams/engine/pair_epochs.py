"""How a pair of items came about: N and E up to each epoch, from the counts as they are now.

N, P and the sum of an item's pairs are kept by epoch, so they are known up to each. The exposures of an item's buyers
are not: E up to an epoch is that of a half-life whose weights are 1 until that epoch and 0 after it. It is the E of
related lists in the last epoch, and an estimate before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.count_rows import bucket_exposures, row_keys_of, rows_of
from streams.engine.relatedness import expected_copurchases

if TYPE_CHECKING:
    from state.count_store import CountStore


class PairEpoch(NamedTuple):
    """What is known of a pair at the end of an epoch."""

    epoch: int
    customers: int
    """Whose pair it became in this epoch; orders, if pairs are of those."""
    together: int
    """N up to the epoch, this one included."""
    expected: float
    """E, likewise."""


def pair_epochs(store: CountStore, item: int, other: int) -> list[PairEpoch]:
    """The epochs of a pair, from the first in which the store has purchases.

    It takes a pass over the holders of all items.

    Args:
        store: the counts of the partition of `item`.
        item: the number of the item whose list the other may be in.
        other: the number of the other one.
    """
    epochs = store.epochs()
    *rows, (buckets, buyers) = rows_of(store.addends(row_keys_of(np.array([item], np.uint32))))
    exposures = bucket_exposures(int(buckets[-1]) + 1 if len(buckets) else 0)[buckets].astype(np.float64)
    customers = np.array([counts[neighbours == other].sum() for neighbours, counts in rows], np.int64)
    pairs = np.cumsum([counts.sum() for _, counts in rows])
    columns = [store.popularity.holders[epoch] for epoch in epochs]
    holding = np.cumsum([int(column[other]) if other < len(column) else 0 for column in columns])
    first_purchases = np.cumsum([column.sum(dtype=np.int64) for column in columns])
    # those who held an item and returned it are in no column, so that there may be none up to an epoch
    chance = holding / np.maximum(first_purchases, 1)
    share = pairs / pairs[-1] if len(pairs) and pairs[-1] else np.zeros(len(epochs))
    expected = share * expected_copurchases(exposures, buyers.astype(np.float64), chance)
    return list(map(PairEpoch, epochs, customers.tolist(), np.cumsum(customers).tolist(), expected.tolist()))
