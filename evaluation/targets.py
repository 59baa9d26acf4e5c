"""The customers eligible at a cutoff, and the targets that a recommendation has to hit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from evaluation.errors import EvaluationError
from evaluation.protocol import day_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.protocol import Protocol
    from evaluation.purchases import Purchases

    Integers = npt.NDArray[np.int64]


class Targets(NamedTuple):
    """What v customers bought after a cutoff."""

    candidates: sparse.csr_array
    """(v, U) bool, their targets in the universe."""
    total: npt.NDArray[np.int64]
    """(v,) how many targets each has, in the universe or not."""


class Eligible(NamedTuple):
    """The customers who bought within the horizon after a cutoff."""

    customers: npt.NDArray[np.int64]
    """(v,) numbers in the log, of those with history."""
    rows: npt.NDArray[np.int64]
    """(v,) their rows in the past; `cold_row` for those who held nothing of the universe."""
    targets: Targets
    cold: Targets
    """Targets of those without history."""


def eligible_customers(past: Past, purchases: Purchases, protocol: Protocol) -> Eligible:
    """The eligible customers of a cutoff and their targets.

    Args:
        past: what is known at the cutoff.
        purchases: of the whole log.
        protocol: decides which purchases are targets.

    Raises:
        EvaluationError: no customer is eligible.
    """
    after = purchases.between(past.cutoff_ms, past.cutoff_ms + protocol.horizon_ms)
    pairs = np.unique(after.customer.astype(np.int64) << 32 | after.item)
    buyers = np.unique(pairs >> 32)
    if protocol.target == "new":
        pairs = pairs[~np.isin(pairs, past.held_pairs())]
    known = np.isin(buyers, past.before.customer)
    warm, cold = buyers[known], buyers[~known]
    if not len(warm):
        when = f"the {protocol.horizon_days} days from {day_text(past.cutoff_ms)}"
        raise EvaluationError(
            f"no customer is eligible: of {len(buyers):,} who bought in {when} none had bought before; "
            "choose fewer --cutoffs (later ones) or a longer --horizon, or check that customer_id is not an order id"
        )
    candidate_of_item = past.candidates_of(purchases)
    return Eligible(
        customers=warm,
        rows=past.rows_of(purchases)[warm],
        targets=_targets(pairs, warm, candidate_of_item, past),
        cold=_targets(pairs, cold, candidate_of_item, past),
    )


def _targets(pairs: Integers, customers: Integers, candidate_of_item: Integers, past: Past) -> Targets:
    """Targets of `customers`, in ascending order, out of (customer << 32 | item) `pairs`."""
    pairs = pairs[np.isin(pairs >> 32, customers)]
    row = np.searchsorted(customers, pairs >> 32)
    candidate = candidate_of_item[pairs & 0xFFFFFFFF]
    inside = candidate >= 0
    shape = len(customers), len(past.items)
    hits = sparse.csr_array((np.ones(int(inside.sum()), bool), (row[inside], candidate[inside])), shape)
    return Targets(hits, np.bincount(row, minlength=len(customers)))
