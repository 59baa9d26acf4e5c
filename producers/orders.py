"""Orders: what a shop sends us, as columns.

Everything that counts purchases reads `Orders`, whether the purchases came from a log file or from Kafka.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xxhash

PURCHASE, RETURN, ERASE = 0, 1, 2
CONTINUED = 4
"""Added to the kind of an order whose first lines were counted before the others were there: a log was read while it
was written, and ended within the order. A line of an item that was among them is no repetition."""

LONGEST_ID_BYTES = 512
LARGEST_ORDER_LINES = 10_000  # without a pair window, an order has as many pairs as half the square of its lines
LARGEST_QUANTITY = 1_000_000_000  # so that sums of quantities stay far inside 64 bits
EARLIEST_MS = 631_152_000_000  # 1990-01-01: anything earlier is a broken clock, not a purchase
DAY_MS = 86_400_000


TEXT, FIELDS, RECORD, ORDER = "text", "fields", "record", "order"
"""Forms of a rejected line: text that is no row or record; JSON with the values of a row, by field; a JSON record as
the log has it; JSON as on the topic `purchases`, of a line that was valid by itself."""


FEW_IDS = 8
"""So many are looked for one by one among those of a batch: an order that goes on there has few."""


class Rejection(NamedTuple):
    """A line or record that was not counted, kept whole so that it can be repaired and sent again."""

    position: int
    """Where it stands in its log: row of the file from 0, or Kafka offset."""
    reason: str
    record: str
    """The line as text: JSON where its fields are known."""
    partial: bool = False
    """Whether `record` is one line of a record whose other lines were counted."""
    form: str = TEXT
    """How `record` is written, which decides how a repaired one is read."""


@dataclass(frozen=True, slots=True)
class Orders:
    """A stretch of a purchase log in log order: m orders with n order lines, as columns.

    `customers` and `items` hold the distinct ids of the stretch; the columns hold indices into them.
    """

    customers: list[str]
    items: list[str]
    customer: npt.NDArray[np.uint32]
    """(m,) who ordered."""
    time: npt.NDArray[np.int64]
    """(m,) event time, milliseconds since 1970 UTC."""
    kind: npt.NDArray[np.uint8]
    """(m,) PURCHASE, RETURN or ERASE; perhaps CONTINUED."""
    key: npt.NDArray[np.uint64]
    """(m,) `order_key` of the order id, 0 where there is none."""
    start: npt.NDArray[np.int64]
    """(m + 1,) first line of each order, and n."""
    after: npt.NDArray[np.int64]
    """(m,) log position from which to go on once the order is counted."""
    item: npt.NDArray[np.uint32]
    """(n,)"""
    quantity: npt.NDArray[np.int64]
    """(n,) at least 1."""
    position: npt.NDArray[np.int64]
    """(n,) where each line stands in its log."""

    def __len__(self) -> int:
        return len(self.customer)

    def cut(self, first: int, last: int) -> Orders:
        """Orders `first` up to, not including, `last`; the id lists are shared, not copied."""
        lines = slice(int(self.start[first]), int(self.start[last]))
        return Orders(
            customers=self.customers,
            items=self.items,
            customer=self.customer[first:last],
            time=self.time[first:last],
            kind=self.kind[first:last],
            key=self.key[first:last],
            start=self.start[first : last + 1] - self.start[first],
            after=self.after[first:last],
            item=self.item[lines],
            quantity=self.quantity[lines],
            position=self.position[lines],
        )


def concatenated(first: Orders, second: Orders) -> Orders:
    """The orders of two stretches of one log, `second` right behind `first`.

    >>> both = concatenated(erasure("ann", 0, 7), erasure("bob", 5, 8))
    >>> both.customers, both.customer.tolist(), both.after.tolist()
    (['ann', 'bob'], [0, 1], [8, 9])
    """
    customers, customer = _united(first.customers, second.customers)
    items, item = _united(first.items, second.items)
    return Orders(
        customers=customers,
        items=items,
        customer=np.concatenate((first.customer, customer[second.customer])),
        time=np.concatenate((first.time, second.time)),
        kind=np.concatenate((first.kind, second.kind)),
        key=np.concatenate((first.key, second.key)),
        start=np.concatenate((first.start, second.start[1:] + first.start[-1])),
        after=np.concatenate((first.after, second.after)),
        item=np.concatenate((first.item, item[second.item])),
        quantity=np.concatenate((first.quantity, second.quantity)),
        position=np.concatenate((first.position, second.position)),
    )


def compacted(orders: Orders) -> Orders:
    """The same orders without the ids that none of them uses.

    >>> both = concatenated(erasure("ann", 0, 7), erasure("bob", 5, 8))
    >>> compacted(both.cut(1, 2)).customers
    ['bob']
    """
    customers, customer = _used(orders.customers, orders.customer)
    items, item = _used(orders.items, orders.item)
    return replace(orders, customers=customers, customer=customer, items=items, item=item)


def joined(orders: Orders, opens: npt.NDArray[np.bool_]) -> Orders:
    """The orders with the lines of each that does not open one joined to the order before it, whose end it leaves.

    >>> both = concatenated(erasure("ann", 0, 7), erasure("ann", 0, 8))
    >>> joined(both, np.array([True, False])).after.tolist()
    [8]
    """
    first = np.flatnonzero(opens)
    return replace(
        orders,
        customer=orders.customer[first],
        time=orders.time[first],
        kind=orders.kind[first],
        key=orders.key[first],
        start=np.append(orders.start[:-1][first], orders.start[-1]),
        after=orders.after[first],
    )


def kept(orders: Orders, keep: npt.NDArray[np.bool_]) -> Orders:
    """Some of the orders, each as long as it was.

    >>> both = concatenated(erasure("ann", 0, 7), erasure("bob", 5, 8))
    >>> kept(both, np.array([False, True])).customers
    ['bob']
    """
    return compacted(arranged(orders, np.flatnonzero(keep)))


def arranged(orders: Orders, places: npt.NDArray[np.int64]) -> Orders:
    """Some of the orders, in another order, each with its lines.

    Args:
        orders: whose ids all stay.
        places: (m,) the orders that come first, second, and so on.

    >>> both = concatenated(erasure("ann", 0, 7), erasure("bob", 5, 8))
    >>> arranged(both, np.array([1, 0])).after.tolist()
    [9, 8]
    """
    lines = np.diff(orders.start)[places]
    start = np.append(0, np.cumsum(lines))
    line = np.repeat(orders.start[:-1][places] - start[:-1], lines) + np.arange(start[-1])
    return replace(
        orders,
        customer=orders.customer[places],
        time=orders.time[places],
        kind=orders.kind[places],
        key=orders.key[places],
        start=start,
        after=orders.after[places],
        item=orders.item[line],
        quantity=orders.quantity[line],
        position=orders.position[line],
    )


def _united(first: list[str], second: list[str]) -> tuple[list[str], npt.NDArray[np.uint32]]:
    """The ids of both, and where each of `second` stands among them."""
    if len(first) <= FEW_IDS:
        here = [(second.index(name), place) for place, name in enumerate(first) if name in second]
        new = np.ones(len(second), bool)
        new[[where for where, _ in here]] = False
        found = (len(first) - 1 + np.cumsum(new)).astype(np.uint32)
        for where, place in here:
            found[where] = place
        return [*first, *compress(second, new.tolist())], found
    index = {name: place for place, name in enumerate(first)}
    places = [index.setdefault(name, len(index)) for name in second]
    return list(index), np.array(places, np.uint32)


def _used(names: list[str], column: npt.NDArray[np.uint32]) -> tuple[list[str], npt.NDArray[np.uint32]]:
    """The ids that `column` refers to, in their order, and the column referring to them."""
    used = np.zeros(len(names), bool)
    used[column] = True
    if used.all():
        return names, column
    places = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    return list(compress(names, used.tolist())), places[column]


def too_many_lines(lines: int) -> str:
    """Why an order of so many lines is rejected."""
    return f"the order has {lines:,} lines, more than {LARGEST_ORDER_LINES:,}"


def order_key(order_id: str) -> int:
    """64 bits that stand for an order id among one customer's orders; never 0, which means "no order id".

    >>> order_key("31198570044") == order_key("31198570044") != order_key("31198570045")
    True
    """
    return xxhash.xxh3_64_intdigest(order_id.encode()) or 1


def erasure(customer_id: str, time_ms: int, position: int) -> Orders:
    """The order that erases a customer.

    >>> erasure("ann", 0, 7).kind.tolist(), erasure("ann", 0, 7).after.tolist()
    ([2], [8])
    """
    return Orders(
        customers=[customer_id],
        items=[],
        customer=np.zeros(1, np.uint32),
        time=np.array([time_ms], np.int64),
        kind=np.array([ERASE], np.uint8),
        key=np.zeros(1, np.uint64),
        start=np.zeros(2, np.int64),
        after=np.array([position + 1], np.int64),
        item=np.zeros(0, np.uint32),
        quantity=np.zeros(0, np.int64),
        position=np.zeros(0, np.int64),
    )
