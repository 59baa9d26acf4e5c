"""What the streamed state must equal where pairs are of orders: docs/definition.md in plain Python.

What it shares with `tests.batch_definition` is what both kinds of pairs share: duplicates, popularity, and all that is
read from counts. The state has orders where that one has customers: in pairs, exposures, holders and `customers`.

>>> log = [
...     Order("ann", 0, (Line("tea"), Line("milk"))),
...     Order("ann", 0, (Line("tea"), Line("milk"))),
...     Order("ann", 0, (Line("soap"),)),
... ]
>>> state = batch_by_order(log, pair_window=100)
>>> state.pairs["tea", "milk", 0], state.pairs["tea", "soap", 0], state.exposures["soap"], state.customers
(2, 0, Counter({0: 1}), 3)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from tests.batch_definition import (
    NOT_HELD,
    Entry,
    Line,
    Order,
    Rejected,
    State,
    add_popularity,
    batch,
    count_histories,
    is_duplicate,
    keep_newest_days,
    one_line_an_item,
    remember,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass
class Basket:
    """What is left of an order: item: its line, with its place as `seq`."""

    order_id: str | None
    """None also if the order is no longer remembered."""
    lines: dict[str, Entry] = field(default_factory=dict)


Baskets: TypeAlias = dict[str, list[Basket]]
"""customer: the orders that hold anything, oldest first."""


def batch_by_order(orders: Sequence[Order], pair_window: int) -> State:
    """The state of a log, with pairs of orders; a `pair_window` of 0 is no limit."""
    state, baskets = State(), dict[str, list[Basket]]()
    for index, order in enumerate(orders):
        if order.type == "erase":
            baskets.pop(order.customer_id, None)
            state.remembered.pop(order.customer_id, None)
        else:
            count_order(state, baskets.setdefault(order.customer_id, []), index, order)
    keep_newest_days(state)
    every = {
        f"{customer} {place}": basket.lines for customer in baskets for place, basket in enumerate(baskets[customer])
    }
    of_orders = State(histories=every)
    count_histories(of_orders, pair_window)  # each order as if it were a customer
    return replace(
        state,
        histories={customer: held(baskets[customer]) for customer in baskets},
        pairs=of_orders.pairs,
        exposures=of_orders.exposures,
        holders=of_orders.holders,
        customers=of_orders.customers,
    )


def count_order(state: State, baskets: list[Basket], index: int, order: Order) -> None:
    """Count a purchase or return: each line is ignored as a duplicate, rejected, or accepted and remembered."""
    own = basket_of(baskets, order)
    accepted = []
    for position, line in one_line_an_item(order):
        is_held = any(line.item_id in basket.lines for basket in baskets)
        if is_duplicate(state, order, line.item_id) and not order.continued:
            state.duplicates += 1
        elif is_duplicate(state, order, line.item_id) and (order.type == "purchase" or not is_held):
            if order.type == "purchase" and own is not None and line.item_id in own.lines:
                before = own.lines[line.item_id]
                own.lines[line.item_id] = replace(before, quantity=before.quantity + line.quantity)
        elif order.type == "return" and not is_held:
            state.rejected.append(Rejected(index, position, line.item_id, NOT_HELD))
        else:
            accepted.append(line)
    if order.type == "purchase" and accepted:
        if own is None:
            own = Basket(order.order_id)
            baskets.append(own)
        for line in accepted:
            place = max((entry.seq for entry in own.lines.values()), default=-1) + 1
            own.lines[line.item_id] = Entry(place, order.time, order.time, 1, line.quantity)
            add_popularity(state, line.item_id, order.time)
    if order.type == "return":
        for line in accepted:
            give_back(baskets, own, line)
    state.accepted += len(accepted)
    if order.order_id is not None and accepted:
        remember(state, order, accepted)
        for basket in baskets:
            if basket.order_id not in state.remembered[order.customer_id]:
                basket.order_id = None


def basket_of(baskets: list[Basket], order: Order) -> Basket | None:
    """The order with this id, if it is remembered and still holds anything."""
    if order.order_id is None:
        return None
    return next((basket for basket in baskets if basket.order_id == order.order_id), None)


def give_back(baskets: list[Basket], own: Basket | None, line: Line) -> None:
    """Take units from the order with the return's id, then from the latest ones; what holds nothing is gone."""
    latest_first = baskets[::-1]
    if own is not None:
        latest_first = [own, *(basket for basket in latest_first if basket is not own)]
    left = line.quantity
    for basket in latest_first:
        if left and line.item_id in basket.lines:
            before = basket.lines[line.item_id]
            taken = min(left, before.quantity)
            left -= taken
            basket.lines[line.item_id] = replace(before, quantity=before.quantity - taken)
            if taken == before.quantity:
                del basket.lines[line.item_id]
    baskets[:] = [basket for basket in baskets if basket.lines]


def held(baskets: list[Basket]) -> dict[str, Entry]:
    """The items that a customer's orders hold, each with its orders as purchases; seqs without holes."""
    found: dict[str, Entry] = {}
    for basket in baskets:
        for item, line in sorted(basket.lines.items(), key=lambda one: one[1].seq):
            so_far = found.get(item, Entry(len(found), line.first, line.last, 0, 0))
            found[item] = Entry(
                so_far.seq,
                min(so_far.first, line.first),
                max(so_far.last, line.last),
                so_far.purchases + 1,
                so_far.quantity + line.quantity,
            )
    return found


DEFINITIONS: dict[str, Callable[[Sequence[Order], int], State]] = {"customer": batch, "order": batch_by_order}
"""The batch definition of each kind of pairs."""
