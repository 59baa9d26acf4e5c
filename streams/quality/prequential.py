"""Prequential scoring: before an order is counted, would the recommendations have contained what it brings?

A sample of the orders is taken by a hash of customer and log position. An order of the sample is scored if it is a
purchase, if its customer holds something when it comes, and if it brings something new to the customer: lines that are
ignored as duplicates bring nothing. It is a hit if one of the six items recommended to the customer is among what is
new, and a bestseller hit if one of the six bestsellers of two weeks is; neither six contains what the customer holds.
The history is that right before the order; counts, popularity and so the lists are as of the last commit before it.

Everything is added up in integers by UTC day of the order's event time. What an order scores depends on the log and on
where the commits before it end, and on nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xxhash

from producers.orders import DAY_MS, PURCHASE
from streams.engine.histories import COUNTED, apply_orders, selected
from streams.recommendations.recommend import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from producers.orders import Orders
    from state.history_table import HistoryTable
    from streams.engine.histories import NumberedOrders

    Integers = npt.NDArray[np.int64]

AT = 6
"""How many recommendations are looked at."""


class HitCounts(NamedTuple):
    """What became of the orders scored on one UTC day, or in all."""

    orders: int = 0
    hits: int = 0
    bestseller_hits: int = 0

    def plus(self, other: HitCounts) -> HitCounts:
        """Both together.

        >>> HitCounts(3, 1, 0).plus(HitCounts(2, 1, 2))
        HitCounts(orders=5, hits=2, bestseller_hits=2)
        """
        return HitCounts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Visit(NamedTuple):
    """An order to be scored, and what is known when it comes."""

    held: Held
    """What the customer holds right before the order, by the histories' item numbers."""
    new: Integers
    """(k,) numbers of the items that the order brings and the customer does not hold."""
    day: int
    """UTC day of the order."""


class Offer(NamedTuple):
    """What a customer would have been shown: item numbers, best first, nothing that is held."""

    recommended: Integers
    bestsellers: Integers


def is_sampled(customer_id: str, position: int, one_in: int) -> bool:
    """Whether the order that a customer has at a log position is in a sample of one in `one_in`; those are nested.

    >>> [position for position in range(20) if is_sampled("ann", position, 8)]
    [0, 8, 9]
    """
    return xxhash.xxh3_64_intdigest(customer_id.encode(errors="surrogateescape"), position) % one_in == 0


def visits(
    orders: Orders, numbered: NumberedOrders, table: HistoryTable, pair_window: int, one_in: int = 1
) -> list[Visit]:
    """The orders of a chunk that are to be scored, in log order.

    Args:
        orders: the chunk.
        numbered: the same with store numbers.
        table: the histories before the chunk; they are not changed.
        pair_window: that of the counts.
        one_in: how many orders one of the sample stands for.
    """
    lines = np.diff(orders.start)
    asked = np.flatnonzero((orders.kind == PURCHASE) & (lines > 0))
    ids, positions = orders.customer[asked].tolist(), orders.position[orders.start[asked]].tolist()
    found = [
        _visit(order, numbered, table, pair_window)
        for order, customer, position in zip(asked.tolist(), ids, positions, strict=True)
        if is_sampled(orders.customers[customer], position, one_in)
    ]
    return [visit for visit in found if len(visit.held.item) and len(visit.new)]


def _visit(order: int, orders: NumberedOrders, table: HistoryTable, pair_window: int) -> Visit:
    """One order; those of the customer that come before it in the chunk are applied to a copy of the history."""
    alone = table.excerpt(int(orders.customer[order]))
    here = orders.customer == orders.customer[order]
    here[order:] = False
    if here.any():
        apply_orders(alone, _of_the_first(selected(orders, here)), pair_window)
    held = Held.of_row(*alone.history.row(0))
    here[:] = False
    here[order] = True
    one = selected(orders, here)
    status = apply_orders(alone, _of_the_first(one), pair_window).status
    bought = one.item[status == COUNTED].astype(np.int64)
    return Visit(held, np.setdiff1d(bought, held.item), int(orders.time[order]) // DAY_MS)


def _of_the_first(orders: NumberedOrders) -> NumberedOrders:
    """The orders as those of customer 0."""
    return orders._replace(customer=np.zeros_like(orders.customer))


def count_hits(scored: Sequence[Visit], offers: Sequence[Offer]) -> dict[int, HitCounts]:
    """What became of the orders scored, by UTC day."""
    days: dict[int, HitCounts] = {}
    for visit, offer in zip(scored, offers, strict=True):
        hits = [bool(np.isin(shown, visit.new).any()) for shown in offer]
        days[visit.day] = days.get(visit.day, HitCounts()).plus(HitCounts(1, *map(int, hits)))
    return days


class Prequential:
    """Scores orders before they are counted.

    Args:
        ask: what customers would be shown, by what is known now; it may decline, with no offers at all, as long as
            nothing is known.
        pair_window: that of the counts.
        one_in: how many orders one of the sample stands for.
    """

    def __init__(self, ask: Callable[[Sequence[Visit]], Sequence[Offer]], pair_window: int, one_in: int) -> None:
        self._ask = ask
        self._pair_window = pair_window
        self._one_in = one_in

    def score(self, orders: Orders, numbered: NumberedOrders, table: HistoryTable) -> dict[int, HitCounts]:
        """The hit counts of a chunk that is about to be counted, by UTC day.

        Args:
            orders: the chunk.
            numbered: the same with store numbers.
            table: the histories before it.
        """
        scored = visits(orders, numbered, table, self._pair_window, self._one_in)
        offers = self._ask(scored) if scored else []
        return count_hits(scored, offers) if offers else {}
