"""The protocol of an evaluation: cutoffs, horizon, targets and candidates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from evaluation.errors import EvaluationError
from producers.orders import DAY_MS

if TYPE_CHECKING:
    from evaluation.purchases import Purchases

DEPTH = 20
"""How many recommendations recall and NDCG consider."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The protocol, the same for every system.

    Attributes:
        cutoffs: number of cutoffs.
        horizon_days: days after a cutoff in which purchases are targets.
        spacing_days: days between two cutoffs.
        skip: how many of the last cutoffs to leave out, so that settings tuned before are reported on those.
        at: how many recommendations the hit rate considers.
        target: `new`: items that the customer does not hold at the cutoff, the only ones recommended; `all`: any item.
        universe: number of candidates, the most bought before the cutoff; other targets count as misses. 0: every item.
        seed: for everything random.
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
        """How many recommendations a system makes for a customer."""
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
