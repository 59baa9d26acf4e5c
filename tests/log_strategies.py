"""Logs for property tests: small shops in which everything occurs that can happen to an order.

Most tests use `logs()`; `long_logs()` also exceeds the 64 orders that are remembered of a customer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from hypothesis import strategies as st

from producers.orders import CONTINUED, ERASE, PURCHASE, RETURN, Orders, order_key
from tests.batch_definition import DAY_MS, Line, Order

if TYPE_CHECKING:
    from collections.abc import Sequence

CUSTOMERS = ("ann", "bob", "cat", "dan")
ITEMS = ("apple", "bread", "cake", "dates", "eggs", "flour", "ginger", "honey")
BEGIN_MS = 19_770 * DAY_MS  # 2024-02-17, the first day of an epoch: 19770 = 30 * 659

KINDS = {"purchase": PURCHASE, "return": RETURN, "erase": ERASE}


class Step(NamedTuple):
    """One drawn event, which `as_order` turns into an `Order` that may refer to earlier ones."""

    action: str
    customer: int
    lines: tuple[tuple[int, int], ...]
    order_id: str | None
    forward_ms: int
    """How far the clock advances before the event."""
    late_ms: int
    """How far behind the clock the event happened; above 0, it arrives out of order."""
    earlier: int
    """Which earlier order an action refers to, counted back from the newest, modulo their number."""


_gaps = st.one_of(
    st.sampled_from([0, 1, DAY_MS - 1, DAY_MS, 7 * DAY_MS, 30 * DAY_MS]),
    st.integers(0, 3 * DAY_MS),
    st.integers(0, 45 * DAY_MS),
    st.sampled_from([59 * DAY_MS, 60 * DAY_MS, 61 * DAY_MS, 100 * DAY_MS]),
)
_lateness = st.one_of(
    st.just(0),
    st.just(0),
    st.just(0),
    st.integers(0, 2 * DAY_MS),
    st.integers(0, 70 * DAY_MS),
)
_actions = st.sampled_from(
    ["buy"] * 9
    + ["give back"] * 3
    + ["redeliver", "part again", "same id", "go on"] * 2
    + ["return unheard of", "erase"]
)


def _steps(customers: int, items: int) -> st.SearchStrategy[Step]:
    line = st.tuples(st.integers(0, items - 1), st.integers(1, 3))
    return st.builds(
        Step,
        action=_actions,
        customer=st.integers(0, customers - 1),
        lines=st.lists(line, min_size=1, max_size=5).map(tuple),
        order_id=st.none() | st.integers(0, 9).map("o{}".format),
        forward_ms=_gaps,
        late_ms=_lateness,
        earlier=st.integers(0, 20),
    )


def as_order(step: Step, clock: int, before: Sequence[Order]) -> Order:
    """The order of a step; one that refers to an earlier order is a purchase while there is none."""
    customer_id = CUSTOMERS[step.customer]
    time = clock - step.late_ms
    lines = tuple(Line(ITEMS[item], quantity) for item, quantity in step.lines)
    if step.action == "erase":
        return Order(customer_id, time, (), step.order_id, "erase")
    if step.action == "return unheard of":
        return Order(customer_id, time, lines, step.order_id, "return")
    if step.action == "redeliver" and before:
        return before[-1 - step.earlier % len(before)]
    if step.action == "go on" and before and before[-1].order_id is not None and before[-1].type != "erase":
        return replace(before[-1], lines=lines, continued=True)
    shopping = [order for order in before if order.lines]
    if step.action in ("buy", "go on") or not shopping:
        return Order(customer_id, time, lines, step.order_id)
    return _sequel(step.action, time, lines, step.order_id, shopping[-1 - step.earlier % len(shopping)])


def _sequel(action: str, time: int, lines: tuple[Line, ...], order_id: str | None, earlier: Order) -> Order:
    if action == "give back":  # the drawn quantities of items bought then: 3 is often all of them, 1 often is not
        back = tuple(Line(was.item_id, now.quantity) for was, now in zip(earlier.lines, lines, strict=False))
        return Order(earlier.customer_id, time, back, order_id or earlier.order_id, "return")
    if action == "part again":  # every other line, and perhaps one it did not have
        part = (*earlier.lines[::2], *lines[1:2])
        return Order(earlier.customer_id, time, part, earlier.order_id, earlier.type)
    assert action == "same id"
    return Order(earlier.customer_id, time, lines, earlier.order_id)


@st.composite
def logs(draw: st.DrawFn, min_size: int = 0, max_size: int = 30) -> list[Order]:
    """Logs of 1 to 4 customers and 1 to 8 items.

    Times mostly rise, sometimes fall, over several epochs and often more than 60 days. Orders have several lines, some
    with the same item. Order ids are missing, shared between customers, sent again with all or some of their lines, or
    used for other items. Some go on with the one before. Returns are partial, full, more than full or of things not
    held. Customers are erased and come back.
    """
    customers = draw(st.integers(1, len(CUSTOMERS)))
    items = draw(st.integers(1, len(ITEMS)))
    # hypothesis draws lists of about 5 elements, in which returns and repeats rarely have something to refer to
    at_least = draw(st.sampled_from([min_size, max(min_size, max_size // 3), max(min_size, max_size * 2 // 3)]))
    clock = BEGIN_MS
    log: list[Order] = []
    for step in draw(st.lists(_steps(customers, items), min_size=at_least, max_size=max_size)):
        clock += step.forward_ms
        log.append(as_order(step, clock, log))
    return log


@st.composite
def long_logs(draw: st.DrawFn) -> list[Order]:
    """Logs in which a customer first sends 60 to 70 small orders, each with its own id, then some of them again."""
    log = [
        Order(CUSTOMERS[0], BEGIN_MS + number * DAY_MS, (Line(ITEMS[number % len(ITEMS)]),), f"long{number}")
        for number in range(draw(st.integers(60, 70)))
    ]
    # the oldest are about to be forgotten
    again = st.integers(0, 9) | st.integers(0, len(log) - 1)
    return log + [log[number] for number in draw(st.lists(again, max_size=12))] + draw(logs(max_size=6))


def as_orders(log: Sequence[Order], begin: int = 0) -> Orders:
    """A log as columns. Each order is one log position, the first at `begin`, with its lines as they were sent."""
    lines = [(begin + index, line) for index, order in enumerate(log) if order.type != "erase" for line in order.lines]
    lengths = [0 if order.type == "erase" else len(order.lines) for order in log]
    customers = list(dict.fromkeys(order.customer_id for order in log))
    items = list(dict.fromkeys(line.item_id for _, line in lines))
    return Orders(
        customers=customers,
        items=items,
        customer=np.array([customers.index(order.customer_id) for order in log], np.uint32),
        time=np.array([order.time for order in log], np.int64),
        kind=np.array([KINDS[order.type] + CONTINUED * order.continued for order in log], np.uint8),
        key=np.array([0 if order.order_id is None else order_key(order.order_id) for order in log], np.uint64),
        start=np.cumsum([0, *lengths], dtype=np.int64),
        after=begin + np.arange(1, len(log) + 1, dtype=np.int64),
        item=np.array([items.index(line.item_id) for _, line in lines], np.uint32),
        quantity=np.array([line.quantity for _, line in lines], np.int64),
        position=np.array([position for position, _ in lines], np.int64),
    )
