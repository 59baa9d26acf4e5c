"""Prequential scoring: before an order is counted, would the recommendations have contained its items?

A sample of the orders is taken by a hash of customer and log position. An order of the sample is scored if it is a
purchase, if its customer holds at least one item when it arrives, and if it contains items new to the customer; lines
ignored as duplicates do not count. It is a hit if one of the six items recommended to the customer is among the new
ones, and a bestseller hit if one of the six bestsellers of two weeks is. Items that the customer holds are in neither
six. The history is that right before the order; counts, popularity and lists are as of the last commit before it.

Hits are added up as integers by UTC day of the order's event time. What an order scores depends only on the log and on
where the commits before it end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from producers.orders import DAY_MS, PURCHASE
from streams.engine.histories import COUNTED, selected
from streams.engine.stages import apply_orders
from streams.recommendations.recommend import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from producers.orders import Orders
    from state.history_table import HistoryTable
    from streams.engine.histories import NumberedOrders

    Integers = npt.NDArray[np.int64]

AT = 6
"""Recommendations, and bestsellers, that are compared with an order: the k of hit@k."""


class HitCounts(NamedTuple):
    """Scored orders and their hits, of one UTC day or in total."""

    orders: int = 0
    hits: int = 0
    bestseller_hits: int = 0

    def plus(self, other: HitCounts) -> HitCounts:
        """The sum of both.

        >>> HitCounts(3, 1, 0).plus(HitCounts(2, 1, 2))
        HitCounts(orders=5, hits=2, bestseller_hits=2)
        """
        return HitCounts(*(count + more for count, more in zip(self, other, strict=True)))


class Visit(NamedTuple):
    """An order to be scored, and what is known when it arrives."""

    held: Held
    """What the customer holds right before the order, in the histories' item numbers."""
    new: Integers
    """(k,) numbers of the items in the order that the customer does not hold."""
    day: int
    """UTC day of the order."""


class Offer(NamedTuple):
    """What a customer would have been shown: item numbers, best first, without items held."""

    recommended: Integers
    bestsellers: Integers


def is_sampled(customer_id: str, position: int, one_in: int) -> bool:
    """Whether a customer's order at a log position is in the sample of one in `one_in`; samples are nested.

    >>> [position for position in range(20) if is_sampled("ann", position, 8)]
    [0, 8, 9]
    """
    return xxhash.xxh3_64_intdigest(customer_id.encode(errors="surrogateescape"), position) % one_in == 0


def visits(
    orders: Orders, numbered: NumberedOrders, table: HistoryTable, pair_window: int, one_in: int = 1
) -> list[Visit]:
    """The orders of a chunk to be scored, in log order.

    Args:
        orders: the chunk.
        numbered: the same by number.
        table: the histories before the chunk, in which customers have those numbers; they are not changed.
        pair_window: that of the counts.
        one_in: the sample is one order in this many.
    """
    lines = np.diff(orders.start)
    purchases = np.flatnonzero((orders.kind == PURCHASE) & (lines > 0))
    customers, positions = orders.customer[purchases].tolist(), orders.position[orders.start[purchases]].tolist()
    sampled = [
        _visit(order, numbered, table, pair_window)
        for order, customer, position in zip(purchases.tolist(), customers, positions, strict=True)
        if is_sampled(orders.customers[customer], position, one_in)
    ]
    return [visit for visit in sampled if len(visit.held.item) and len(visit.new)]


def _visit(order: int, orders: NumberedOrders, table: HistoryTable, pair_window: int) -> Visit:
    """One order, as of the customer's earlier orders in the chunk, which are applied to a copy of the history."""
    alone = table.excerpt(int(orders.customer[order]))
    earlier = orders.customer == orders.customer[order]
    earlier[order:] = False
    if earlier.any():
        apply_orders(alone, _as_customer_0(selected(orders, earlier)), pair_window)
    held = Held.of_row(*alone.held(0))
    scored = selected(orders, np.arange(len(earlier)) == order)
    status = apply_orders(alone, _as_customer_0(scored), pair_window).status
    bought = scored.item[status == COUNTED].astype(np.int64)
    return Visit(held, np.setdiff1d(bought, held.item), int(orders.time[order]) // DAY_MS)


def _as_customer_0(orders: NumberedOrders) -> NumberedOrders:
    """The orders with customer number 0, the only one in an excerpt."""
    return orders._replace(customer=np.zeros_like(orders.customer))


def count_hits(scored: Sequence[Visit], offers: Sequence[Offer]) -> dict[int, HitCounts]:
    """The hit counts of scored orders, by UTC day."""
    days: dict[int, HitCounts] = {}
    for visit, offer in zip(scored, offers, strict=True):
        hits = [bool(np.isin(shown, visit.new).any()) for shown in offer]
        days[visit.day] = days.get(visit.day, HitCounts()).plus(HitCounts(1, *map(int, hits)))
    return days


class Prequential:
    """Scores orders before they are counted.

    Args:
        ask: returns what customers would be shown now; no offers at all while nothing is known yet.
        pair_window: that of the counts.
        one_in: the sample is one order in this many.
    """

    def __init__(self, ask: Callable[[Sequence[Visit]], Sequence[Offer]], pair_window: int, one_in: int) -> None:
        self._ask = ask
        self._pair_window = pair_window
        self._one_in = one_in

    def score(self, orders: Orders, numbered: NumberedOrders, table: HistoryTable) -> dict[int, HitCounts]:
        """The hit counts of a chunk that is about to be counted, by UTC day.

        Args:
            orders: the chunk.
            numbered: the same by number.
            table: the histories before it, in which customers have those numbers.
        """
        scored = visits(orders, numbered, table, self._pair_window, self._one_in)
        offers = self._ask(scored) if scored else []
        return count_hits(scored, offers) if offers else {}
