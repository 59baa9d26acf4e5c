"""Orders as JSON: the records of the topic `purchases`, and the lines of a JSON lines log.

A record is `{"customer_id", "timestamp", "order_id"?, "type"?, "lines": [{"item_id", "quantity"?}, ...]}` or, for a
single line, `{"customer_id", "timestamp", "order_id"?, "type"?, "item_id", "quantity"?}`. The type is purchase, return
or erase; erase has no lines. Ids are text or whole numbers, timestamps what `producers.timestamps` reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from producers.errors import OrderError
from producers.fields import RECORD_KINDS, absent, as_text, read_id, read_kind, read_quantity
from producers.orders import (
    ERASE,
    LARGEST_ORDER_LINES,
    LARGEST_QUANTITY,
    LONGEST_ID_BYTES,
    PURCHASE,
    Orders,
    Rejection,
    compacted,
    order_key,
    too_many_lines,
)
from producers.timestamps import TimestampReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producers.arrays import Mask

Scalar: TypeAlias = str | int | float | None

LINE = [("item_id", Scalar, None), ("quantity", Scalar, None)]
ORDER = [("customer_id", Scalar, None), ("timestamp", Scalar, None), ("order_id", Scalar, None), ("type", Scalar, None)]
LARGEST_RECORD_BYTES = 512 << 10
"""Of an order on the topic `purchases`, and of a body that is posted to /orders."""
SURELY_SHORT = LONGEST_ID_BYTES // 4  # characters, of at most four bytes each


class Decoded(NamedTuple):
    """Records decoded: m orders, one for each good record, and the records that are none."""

    orders: Orders
    flat: Mask
    """(m,) which stood in the short form, a single line without `lines`."""
    rejected: list[Rejection]


class OrderDecoder:
    """Decodes records.

    Args:
        columns: field -> its name in the records, where that is another.
    """

    def __init__(self, columns: Mapping[str, str] | None = None) -> None:
        rename = dict(columns or {})
        line = msgspec.defstruct("Line", LINE, rename=rename, gc=False)
        lines = ("lines", list[line] | None, None)  # type: ignore[valid-type]
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("Order", [*ORDER, *LINE, lines], rename=rename, gc=False)
        )

    def decode(self, records: Sequence[bytes], positions: Iterable[int], timestamps: TimestampReader) -> Decoded:
        """The orders of `records`.

        Args:
            records: one order each, as UTF-8 JSON.
            positions: of each record, its place in the log.
            timestamps: reads their timestamps.
        """
        decode, read_time = self._decoder.decode, timestamps.read
        customers: dict[str, int] = {}
        items: dict[str, int] = {}
        heads: list[tuple[int, int, int, int, int, bool]] = []
        start = [0]
        item: list[int] = []
        quantity: list[int] = []
        rejected: list[Rejection] = []
        for position, record in zip(positions, records, strict=True):
            try:
                order = decode(record)
                customer_id, order_id, lines = order.customer_id, order.order_id, order.lines
                if type(customer_id) is not str or not 0 < len(customer_id) <= SURELY_SHORT or "\0" in customer_id:
                    customer_id = read_id("customer_id", customer_id)
                if flat := lines is None:
                    lines = (order,)
                elif not absent(order.item_id):
                    raise OrderError("has both item_id and lines")  # noqa: TRY301
                time_ms = read_time(order.timestamp)
                kind = PURCHASE if order.type is None else read_kind(order.type, RECORD_KINDS)
                key = 0 if order_id is None or absent(order_id) else order_key(read_id("order_id", order_id))
                if kind == ERASE:
                    lines = _none_to_erase(lines)
                elif not lines:
                    raise OrderError("lines is empty")  # noqa: TRY301
                if len(lines) > LARGEST_ORDER_LINES:
                    raise OrderError(too_many_lines(len(lines)))  # noqa: TRY301
                for line in lines:
                    item_id, count = line.item_id, line.quantity
                    if type(item_id) is not str or not 0 < len(item_id) <= SURELY_SHORT or "\0" in item_id:
                        item_id = read_id("item_id", item_id)
                    if count is None:
                        count = 1
                    elif type(count) is not int or not 0 < count <= LARGEST_QUANTITY:
                        count = read_quantity(count)
                    item.append(items.setdefault(item_id, len(items)))
                    quantity.append(count)
            except (OrderError, ValueError, RecursionError) as error:
                del item[start[-1] :], quantity[start[-1] :]
                rejected.append(Rejection(position, _reason(error), as_text(record)))
            else:
                start.append(len(item))
                heads.append((customers.setdefault(customer_id, len(customers)), time_ms, kind, key, position, flat))
        customer, time, kinds, keys, places, flats = zip(*heads, strict=True) if heads else ((),) * 6
        begin = np.array(places, np.int64)
        orders = Orders(
            customers=list(customers),
            items=list(items),
            customer=np.array(customer, np.uint32),
            time=np.array(time, np.int64),
            kind=np.array(kinds, np.uint8),
            key=np.array(keys, np.uint64),
            start=np.array(start, np.int64),
            after=begin + 1,
            item=np.array(item, np.uint32),
            quantity=np.array(quantity, np.int64),
            position=np.repeat(begin, np.diff(start)),
        )
        return Decoded(compacted(orders) if rejected else orders, np.array(flats, bool), rejected)


def decode_orders(
    records: Sequence[bytes], offsets: Iterable[int], latest_ms: int | None = None
) -> tuple[Orders, list[Rejection]]:
    """The orders of `records`, one each, and the records that are none.

    Args:
        records: as UTF-8 JSON.
        offsets: of each record, in its topic partition.
        latest_ms: event times after it are rejected; None: none is too late.

    >>> good = encode_order("ann", 1_483_228_800_000, [("milk", 2)], order_id="7")
    >>> orders, rejected = decode_orders([good, b'{"customer_id": "bob"}'], [10, 11])
    >>> orders.customers, orders.items, orders.quantity.tolist(), orders.after.tolist()
    (['ann'], ['milk'], [2], [11])
    >>> rejected
    [Rejection(position=11, reason='timestamp is missing', record='{"customer_id": "bob"}')]
    """
    orders, _, rejected = OrderDecoder().decode(records, offsets, TimestampReader(latest_ms))
    return orders, rejected


def encode_order(
    customer_id: str,
    time_ms: int,
    lines: Iterable[tuple[str, int]],
    *,
    order_id: str | None = None,
    kind: int = PURCHASE,
) -> bytes:
    """An order as a record.

    Args:
        customer_id: who ordered.
        time_ms: event time, milliseconds since 1970 UTC.
        lines: item_id and quantity of each; none to erase the customer.
        order_id: by which a repetition of the order is recognised.
        kind: PURCHASE, RETURN or ERASE.

    >>> encode_order("ann", 1_483_228_800_000, [("milk", 2), ("eggs", 1)])
    b'{"customer_id":"ann","timestamp":1483228800000,"lines":[{"item_id":"milk","quantity":2},{"item_id":"eggs"}]}'
    """
    record: dict[str, object] = {"customer_id": customer_id, "timestamp": time_ms}
    if order_id is not None:
        record["order_id"] = order_id
    if kind != PURCHASE:
        record["type"] = next(name for name, number in RECORD_KINDS.items() if number == kind)
    if kind != ERASE:
        record["lines"] = [
            {"item_id": item_id} if quantity == 1 else {"item_id": item_id, "quantity": quantity}
            for item_id, quantity in lines
        ]
    return msgspec.json.encode(record)


def _none_to_erase(lines: Sequence[Any]) -> tuple[()]:
    if any(not absent(line.item_id) for line in lines):
        raise OrderError("type 'erase' erases a whole customer and takes no items")
    return ()


def _reason(error: Exception) -> str:
    if isinstance(error, OrderError):
        return str(error)
    if isinstance(error, msgspec.ValidationError):
        return f"not an order: {error}"
    return f"not JSON: {error}"
