"""Who is asked, when, and what counts as right: cutoffs, eligible customers and targets."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy import sparse

from evaluation.errors import EvaluationError
from producers.orders import DAY_MS

if TYPE_CHECKING:
    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.purchases import Purchases

DEPTH = 20
"""How many recommendations recall and NDCG look at."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is asked of every system.

    Attributes:
        cutoffs: how many.
        horizon_days: how long after a cutoff purchases are targets.
        spacing_days: between two cutoffs.
        skip: cutoffs left out at the end of the log; what is tuned on them is not tuned on the last.
        at: how many recommendations a hit rate looks at.
        target: `new`: items the customer does not hold at the cutoff, which alone are recommended; `all`: any.
        universe: candidates, the most bought before the cutoff; targets outside count as misses. 0: every item.
        seed: of everything random.
    """

    cutoffs: int = 3
    horizon_days: int = 14
    spacing_days: int = 14
    skip: int = 0
    at: int = 6
    target: Literal["new", "all"] = "new"
    universe: int = 5000
    seed: int = 0

    @property
    def horizon_ms(self) -> int:
        """The horizon in milliseconds."""
        return self.horizon_days * DAY_MS

    @property
    def depth(self) -> int:
        """How many recommendations are looked at."""
        return max(self.at, DEPTH)


def day_text(milliseconds: int) -> str:
    """The UTC day of a time.

    >>> day_text(1_483_228_800_000)
    '2017-01-01'
    """
    return datetime.fromtimestamp(milliseconds / 1000, UTC).date().isoformat()


def cutoffs_of(purchases: Purchases, protocol: Protocol) -> list[int]:
    """The cutoffs, earliest first: midnights (UTC), the last of them one horizon before the log's last day.

    Raises:
        EvaluationError: the log is too short for them; the message says how many or which horizon it allows.
    """
    first, last = int(purchases.time[0]), int(purchases.time[-1])
    newest = last // DAY_MS * DAY_MS - protocol.horizon_ms
    latest = newest - protocol.skip * protocol.spacing_days * DAY_MS
    cutoffs = [latest - number * protocol.spacing_days * DAY_MS for number in range(protocol.cutoffs)][::-1]
    if cutoffs[0] > first:
        return cutoffs
    span = f"the log runs from {day_text(first)} to {day_text(last)}"
    allowed = -(-(newest - first) // (protocol.spacing_days * DAY_MS))
    if allowed >= 1:
        skipping = f" of which the last {protocol.skip} skipped" if protocol.skip else ""
        raise EvaluationError(
            f"{span}, too short for {protocol.cutoffs + protocol.skip} cutoffs{skipping}, {protocol.spacing_days} days "
            f"apart with {protocol.horizon_days} days of purchases after each and some before; "
            f"it allows {allowed} in all: --cutoffs {allowed} --skip 0"
        )
    days = (last // DAY_MS * DAY_MS - first) // DAY_MS
    if days >= 1:
        raise EvaluationError(
            f"{span}, too short for {protocol.horizon_days} days of purchases after a cutoff and some before; "
            f"it allows --horizon {days}d with --cutoffs 1, and half of that is wiser"
        )
    raise EvaluationError(f"{span}: an evaluation needs more than a day, purchases before a cutoff and a day after it")


class Targets(NamedTuple):
    """What v customers bought after a cutoff."""

    wanted: sparse.csr_array
    """(v, U) bool, over the universe."""
    total: npt.NDArray[np.int64]
    """(v,) all their targets, inside the universe or not."""


class Exam(NamedTuple):
    """Who is asked at a cutoff, and what is right."""

    customers: npt.NDArray[np.int64]
    """(v,) numbers, in the log, of the customers with history who bought within the horizon."""
    visitors: npt.NDArray[np.int64]
    """(v,) their rows in the past: the stranger's for those who held nothing of the universe."""
    targets: Targets
    cold: Targets
    """Of those who bought within the horizon and have no history."""


def exam(past: Past, purchases: Purchases, protocol: Protocol) -> Exam:
    """The eligible customers of a cutoff and their targets.

    Args:
        past: what is known at the cutoff.
        purchases: the whole log.
        protocol: what is asked.

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
    places = past.places_of(purchases)
    return Exam(
        customers=warm,
        visitors=past.rows_of(purchases)[warm],
        targets=_targets(pairs, warm, places, past),
        cold=_targets(pairs, cold, places, past),
    )


def _targets(
    pairs: npt.NDArray[np.int64], asked: npt.NDArray[np.int64], places: npt.NDArray[np.int64], past: Past
) -> Targets:
    """Targets of the `asked` customers, who rise, out of (customer << 32 | item) `pairs`."""
    pairs = pairs[np.isin(pairs >> 32, asked)]
    row = np.searchsorted(asked, pairs >> 32)
    place = places[pairs & 0xFFFFFFFF]
    inside = place >= 0
    wanted = sparse.csr_array(
        (np.ones(int(inside.sum()), bool), (row[inside], place[inside])), (len(asked), len(past.items))
    )
    return Targets(wanted, np.bincount(row, minlength=len(asked)))
