"""The default with the popularity share that would have predicted the past best, learned from that past alone.

Several shares are compared on the orders of prequential scoring: each share gains by the items new to the customer that
it would have recommended, among the first twenty, before the order. A share other than the default is used only if it
is better with near certainty, so that an uninformative log changes nothing. The state is integers by UTC day, which an
online version could store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from evaluation.purchases import count_prefix
from evaluation.systems.default import shipped
from streams.engine.embedded import Embedded
from streams.quality.offers import showcases
from streams.quality.prequential import visits
from streams.recommendations.recommend import Blend
from streams.recommendations.request import POPULARITY_SHARE

if TYPE_CHECKING:
    import numpy.typing as npt

    from evaluation.past import Past
    from evaluation.systems.system import Fitted
    from producers.orders import Orders
    from state.history_table import HistoryTable
    from streams.engine.histories import NumberedOrders

    Integers = npt.NDArray[np.int64]

RIVALS = (0.2, 0.6, 0.8)
DEPTH = 20
HALF_LIFE_DAYS = 120
DOUBT = 2.5
"""How many standard errors an advantage must exceed: three rivals are compared, again and again."""
_GAIN = 1000


def gain(shown: Integers, new: Integers) -> int:
    """The gain of a list: 1000 for each new item, discounted by the logarithm of its position, as in DCG.

    >>> gain(np.array([7, 8, 9]), np.array([7, 9])), gain(np.array([7]), np.array([8]))
    (1500, 0)
    """
    return int(
        sum(round(_GAIN / float(np.log2(position + 2))) for position in np.flatnonzero(np.isin(shown, new)).tolist())
    )


@dataclass(slots=True)
class Contest:
    """The advantage of each rival over the default share.

    Attributes:
        days: UTC day -> number of orders, sums of the rivals' advantages, sums of their squares.
    """

    days: dict[int, Integers] = field(default_factory=dict)

    def add(self, day: int, advantages: Integers) -> None:
        """Add one order.

        Args:
            day: its UTC day.
            advantages: (rivals,) gain of each rival minus that of the default share.
        """
        more = np.concatenate([[1], advantages, advantages**2])
        self.days[day] = self.days.get(day, np.zeros(len(more), np.int64)) + more

    def winner(self, newest_day: int) -> int | None:
        """The rival whose mean advantage minus DOUBT standard errors is greatest; None if none is above 0.

        >>> contest = Contest()
        >>> for order in range(50):
        ...     contest.add(order, np.array([order % 2 * 10, 10 - order % 2 * 20]))
        >>> contest.winner(50), Contest().winner(50)
        (0, None)
        """
        if not self.days:
            return None
        days = np.array(list(self.days), np.float64)
        weight = 0.5 ** ((newest_day - days) / HALF_LIFE_DAYS)
        sums = np.stack(list(self.days.values())).astype(np.float64)
        orders = float(weight @ sums[:, 0])
        first, second = np.split(weight @ sums[:, 1:] / orders, 2)
        effective = orders**2 / float(weight**2 @ sums[:, 0])
        lower_bound = first - DOUBT * np.sqrt(np.maximum(second - first**2, 0) / effective)
        best = int(np.argmax(lower_bound))
        return best if lower_bound[best] > 0 else None


def self_tuned(past: Past, seed: int) -> Fitted:
    """The default with the share learned from the past."""
    return shipped(Blend(learned_share(past)))(past, seed)


def learned_share(past: Past) -> float:
    """The popularity share learned from the log before the cutoff; each order is predicted from those before it."""
    contest = Contest()
    with TemporaryDirectory(prefix="alsobought-") as directory:
        embedded = Embedded(Path(directory))

        def score(orders: Orders, numbered: NumberedOrders, table: HistoryTable) -> dict[int, tuple[int, ...]]:
            asked = visits(orders, numbered, table, embedded.settings.pair_window)
            for visit, one in zip(asked, showcases(embedded.counts, asked) if asked else (), strict=False):
                gains = [gain(one.recommended(Blend(share), DEPTH), visit.new) for share in (POPULARITY_SHARE, *RIVALS)]
                contest.add(visit.day, np.array(gains[1:]) - gains[0])
            return {}

        states = past.states
        count_prefix(embedded, states.paths, states.formats, past.cutoff_ms, states.items, score)
        newest_day = embedded.counts[0].popularity.newest_day
        embedded.close()
    winner = contest.winner(newest_day)
    return POPULARITY_SHARE if winner is None else RIVALS[winner]
