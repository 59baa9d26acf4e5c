"""Orders as JSON: the records of the topic `purchases`, and the lines of a JSON lines log.

A record is `{"customer_id", "timestamp", "order_id"?, "type"?, "lines": [{"item_id", "quantity"?}, ...]}` or, for a
single line, `{"customer_id", "timestamp", "order_id"?, "type"?, "item_id", "quantity"?}`. The type is purchase, return,
erase, or another event, such as view; erase has no lines. Ids are text or whole numbers, timestamps what
`producers.timestamps` reads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import numpy as np

from producers.errors import OrderError
from producers.event_types import PURCHASES
from producers.fields import ERASES_ALL, NOT_COUNTED, FieldReader
from producers.log_format import LogFormat
from producers.orders import (
    ERASE,
    LARGEST_ORDER_LINES,
    LARGEST_QUANTITY,
    PURCHASE,
    RECORD,
    RETURN,
    Orders,
    Rejection,
    compacted,
    order_key,
    too_many_lines,
)
from producers.values import absent, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from producers.arrays import Mask

Scalar: TypeAlias = str | int | float | None

LINE = [("item_id", Scalar, None), ("quantity", Scalar, None)]
ORDER = [("customer_id", Scalar, None), ("timestamp", Scalar, None), ("order_id", Scalar, None), ("type", Scalar, None)]
LARGEST_RECORD_BYTES = 512 << 10
"""Of an order on the topic `purchases`, and of a body that is posted to /orders."""
MOST_LINES_ALONE = 100
"""Invalid lines of a record that are rejected each by itself, with the record's other fields."""
KINDS = {PURCHASES: PURCHASE, "return": RETURN, "erase": ERASE}


_CUSTOMER: msgspec.json.Decoder[Any] = msgspec.json.Decoder(msgspec.defstruct("Customer", ORDER[:1], gc=False))


class Decoded(NamedTuple):
    """Records decoded: m orders, one for each valid record, and invalid records and lines."""

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
        self._names = dict(columns or {})
        self._line = msgspec.defstruct("Line", LINE, rename=self._names, gc=False)
        lines = ("lines", list[self._line] | None, None)  # type: ignore[name-defined]
        loose = ("lines", list[msgspec.Raw] | None, None)
        self._decoder, self._loose_decoder = (
            msgspec.json.Decoder(msgspec.defstruct("Order", [*ORDER, *LINE, each], rename=self._names, gc=False))
            for each in (lines, loose)
        )

    def decode(self, records: Sequence[bytes], positions: Iterable[int], reader: FieldReader) -> Decoded:
        """The orders of `records`.

        An invalid line of a record is rejected alone, as a record of its own that can be sent again; the order keeps
        its other lines. A record whose customer, time or type is invalid, or all of its lines, is rejected whole.

        Args:
            records: one order each, as UTF-8 JSON.
            positions: of each record, its place in the log.
            reader: says what the fields mean.
        """
        gathered = _Gathered(reader)
        rejected: list[Rejection] = []
        skipped = 0
        for position, record in zip(positions, records, strict=True):
            try:
                order = self.structure(record)
                faults = gathered.add(order, position)
            except (OrderError, ValueError, RecursionError) as error:
                gathered.forget_lines()
                rejected.append(Rejection(position, _reason(error), as_text(record), form=RECORD))
            else:
                if faults is None:
                    skipped += 1
                elif faults:
                    rejected += self._partial(record, position, faults)
        orders = gathered.orders()
        flat = np.array(gathered.flat, bool)
        return Decoded(compacted(orders) if rejected or skipped else orders, flat, rejected)

    def structure(self, record: bytes) -> Any:  # noqa: ANN401 - a struct made for these names
        """The fields of a record; in place of a line that is none, an OrderError.

        Raises:
            ValueError: it is no record.
            RecursionError: it nests too deeply.
        """
        try:
            return self._decoder.decode(record)
        except msgspec.ValidationError as error:
            if "$.lines[" not in str(error):
                raise
            order: Any = self._loose_decoder.decode(record)
        except msgspec.DecodeError:
            if (finite := without_nan(record)) == record:
                raise
            return self.structure(finite)
        order.lines = [self._line_of(line) for line in order.lines]
        return order

    def _line_of(self, line: msgspec.Raw) -> Any:  # noqa: ANN401
        try:
            return msgspec.json.decode(line, type=self._line)
        except msgspec.ValidationError as error:
            return OrderError(f"not an order line: {error}")

    def _partial(self, record: bytes, position: int, faults: Sequence[tuple[int, str]]) -> list[Rejection]:
        """The invalid lines of a record, each as a record of its own; of very many, the last ones as one record."""
        # what was skipped while the record was decoded need be neither UTF-8 nor numbers, and is kept as it is
        text = without_nan(record).decode(errors="replace")
        fields = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
        name = self._names.get("lines", "lines")
        lines = msgspec.json.decode(fields[name], type=list[msgspec.Raw])

        def only(some: Sequence[tuple[int, str]]) -> str:
            whole = msgspec.json.encode(fields | {name: [lines[line] for line, _ in some]})
            return msgspec.json.format(whole, indent=-1).decode()

        alone, rest = faults[:MOST_LINES_ALONE], faults[MOST_LINES_ALONE:]
        rejected = [Rejection(position, fault[1], only([fault]), True, RECORD) for fault in alone]
        if rest:
            reason = f"{len(rest):,} more lines, of the first: {rest[0][1]}"
            rejected.append(Rejection(position, reason, only(rest), True, RECORD))
        return rejected


class _Gathered:
    """Orders while their records are decoded."""

    def __init__(self, reader: FieldReader) -> None:
        self._reader = reader
        self._read_time = reader.timestamps.read
        self._customers: dict[str, int] = {}
        self._items: dict[str, int] = {}
        # each distinct value as it is written, with its place in the dictionaries above, which hold ids
        self._written_customers: dict[Scalar, int] = {}
        self._written_items: dict[Scalar, int] = {}
        self._heads: list[tuple[int, int, int, int, int]] = []
        self._start = [0]
        self._item: list[int] = []
        self._quantity: list[int] = []
        self.flat: list[bool] = []

    def forget_lines(self) -> None:
        """Drop the lines of an order that turned out invalid."""
        del self._item[self._start[-1] :], self._quantity[self._start[-1] :]

    def add(self, order: Any, position: int) -> list[tuple[int, str]] | None:  # noqa: ANN401
        """Add an order.

        Returns:
            The number and fault of each line that was left out; None if the order is not to be counted.

        Raises:
            OrderError: the order is invalid, or all of its lines.
        """
        reader = self._reader
        kind = reader.untyped if order.type is None else reader.kind(order.type)
        if kind == NOT_COUNTED:
            reader.skip(order.type)
            return None
        order_id, lines = order.order_id, order.lines
        customer = self._customer(order)
        if flat := lines is None:
            lines = (order,)
        elif not absent(order.item_id):
            raise OrderError("has both item_id and lines")
        time_ms = self._read_time(order.timestamp)
        key = 0 if order_id is None or reader.is_missing("order_id", order_id) else _key(reader, order_id)
        faults: list[tuple[int, str]] = []
        if kind == ERASE:
            if any(isinstance(line, OrderError) or not absent(line.item_id) for line in lines):
                raise OrderError(ERASES_ALL)
        else:
            kind = self._add_lines(kind, lines, faults)
            if kind == NOT_COUNTED:
                return None
        self._start.append(len(self._item))
        self._heads.append((customer, time_ms, kind, key, position))
        self.flat.append(flat)
        return faults

    def _customer(self, order: Any) -> int:  # noqa: ANN401
        written = order.customer_id
        place = self._written_customers.get(written)
        if place is None:
            reader = self._reader
            if reader.log_format.guests == "order" and reader.is_missing("customer_id", written):
                if reader.is_missing("order_id", order.order_id):
                    raise OrderError("customer_id is missing")
                customer_id = reader.guest(reader.id("order_id", order.order_id))
                return self._customers.setdefault(customer_id, len(self._customers))
            customer_id = reader.id("customer_id", written)
            place = self._customers.setdefault(customer_id, len(self._customers))
            self._written_customers[written] = place
        return place

    def _add_lines(self, kind: int, lines: Sequence[Any], faults: list[tuple[int, str]]) -> int:
        """Add the valid lines of an order, and the others to `faults`; return the order's kind.

        Raises:
            OrderError: none is valid.
        """
        if not lines:
            raise OrderError("lines is empty")
        if len(lines) > LARGEST_ORDER_LINES:
            raise OrderError(too_many_lines(len(lines)))
        reader, items = self._reader, self._items
        begin = len(self._item)
        returned: bool | None = None
        for number, line in enumerate(lines):
            try:
                place, count = self._line(line)
            except OrderError as error:
                faults.append((number, str(error)))
                continue
            if returned is None:
                returned = count < 0
            if reader.excludes and reader.is_excluded(list(items)[place]):
                reader.excluded += 1
            elif returned != (count < 0):
                faults.append((number, "purchases and returns (negative quantities) need a record each"))
            else:
                self._item.append(place)
                self._quantity.append(abs(count))
        if len(self._item) == begin:
            if faults:
                raise OrderError(faults[0][1])
            return NOT_COUNTED
        return RETURN if returned and kind == PURCHASE else kind

    def _line(self, line: Any) -> tuple[int, int]:  # noqa: ANN401
        """Place of a line's item, and its quantity.

        Raises:
            OrderError: the line is invalid.
        """
        if isinstance(line, OrderError):
            raise line
        written, count = line.item_id, line.quantity
        place = self._written_items.get(written)
        if place is None:
            item_id = self._reader.id("item_id", written)
            place = self._written_items[written] = self._items.setdefault(item_id, len(self._items))
        if count is None:
            return place, 1
        if type(count) is int and 0 < count <= LARGEST_QUANTITY:
            return place, count
        return place, self._reader.quantity(count)

    def orders(self) -> Orders:
        """Everything that was added."""
        customer, time, kind, key, position = zip(*self._heads, strict=True) if self._heads else ((),) * 5
        begin = np.array(position, np.int64)
        return Orders(
            customers=list(self._customers),
            items=list(self._items),
            customer=np.array(customer, np.uint32),
            time=np.array(time, np.int64),
            kind=np.array(kind, np.uint8),
            key=np.array(key, np.uint64),
            start=np.array(self._start, np.int64),
            after=begin + 1,
            item=np.array(self._item, np.uint32),
            quantity=np.array(self._quantity, np.int64),
            position=np.repeat(begin, np.diff(self._start)),
        )


def _key(reader: FieldReader, order_id: Scalar) -> int:
    return order_key(reader.id("order_id", order_id))


def decode_orders(
    records: Sequence[bytes], offsets: Iterable[int], latest_ms: int | None = None
) -> tuple[Orders, list[Rejection]]:
    """The orders of `records`, one each, and what of them is invalid.

    Args:
        records: as UTF-8 JSON.
        offsets: of each record, in its topic partition.
        latest_ms: event times after it are rejected; None: none is too late.

    >>> good = encode_order("ann", 1_483_228_800_000, [("milk", 2)], order_id="7")
    >>> orders, rejected = decode_orders([good, b'{"customer_id": "bob"}'], [10, 11])
    >>> orders.customers, orders.items, orders.quantity.tolist(), orders.after.tolist()
    (['ann'], ['milk'], [2], [11])
    >>> rejected[0].position, rejected[0].reason, rejected[0].record
    (11, 'timestamp is missing', '{"customer_id": "bob"}')
    """
    orders, _, rejected = OrderDecoder().decode(records, offsets, FieldReader(latest_ms=latest_ms))
    return orders, rejected


def decode_alone(record: bytes, latest_ms: int | None = None) -> tuple[Decoded, LogFormat]:
    """One record, valid whatever the type of its event, and the format that names its kind.

    >>> record = b'{"customer_id": "ann", "timestamp": "2017-01-01", "type": "view", "item_id": 7}'
    >>> decoded, log_format = decode_alone(record)
    >>> log_format.type_of(int(decoded.orders.kind[0]))
    'view'
    """
    decoder, reader = OrderDecoder(), FieldReader(latest_ms=latest_ms)
    decoded = decoder.decode([record], [0], reader)
    if not reader.types:
        return decoded, reader.log_format
    log_format = LogFormat(seeds=tuple(reader.types))
    return decoder.decode([record], [0], FieldReader(log_format, latest_ms)), log_format


def customer_of(record: bytes, reader: FieldReader) -> str | None:
    """The customer of a record, whatever else is wrong with it; None: none can be told.

    It skips the other fields, so it is several times faster than decoding the order.

    >>> customer_of(b'{"customer_id": "ann", "lines": 7}', FieldReader()), customer_of(b"ann", FieldReader())
    ('ann', None)
    """
    try:
        return reader.id("customer_id", _CUSTOMER.decode(record).customer_id)
    except (OrderError, ValueError, RecursionError):
        finite = without_nan(record)
        return None if finite == record else customer_of(finite, reader)


def encode_order(
    customer_id: str,
    time_ms: int,
    lines: Iterable[tuple[str, int]],
    *,
    order_id: str | None = None,
    kind: int = PURCHASE,
    log_format: LogFormat = LogFormat(),  # noqa: B008 - frozen
) -> bytes:
    """An order as a record.

    Args:
        customer_id: who ordered.
        time_ms: event time, milliseconds since 1970 UTC.
        lines: item_id and quantity of each; none to erase the customer.
        order_id: by which a repetition of the order is recognised.
        kind: PURCHASE, RETURN, ERASE, or that of another event.
        log_format: says which type that is.

    >>> encode_order("ann", 1_483_228_800_000, [("milk", 2), ("eggs", 1)])
    b'{"customer_id":"ann","timestamp":1483228800000,"lines":[{"item_id":"milk","quantity":2},{"item_id":"eggs"}]}'
    """
    record: dict[str, object] = {"customer_id": customer_id, "timestamp": time_ms}
    if order_id is not None:
        record["order_id"] = order_id
    if (event := log_format.type_of(kind)) != PURCHASES:
        record["type"] = event
    if kind != ERASE:
        record["lines"] = [
            {"item_id": item_id} if quantity == 1 else {"item_id": item_id, "quantity": quantity}
            for item_id, quantity in lines
        ]
    return msgspec.json.encode(record)


def without_nan(record: bytes) -> bytes:
    """A JSON document in which NaN and infinities, which Python writes though JSON knows none, are null.

    >>> without_nan(b'{"quantity": NaN}'), without_nan(b'{"title": "NaN"}')
    (b'{"quantity":null}', b'{"title": "NaN"}')
    """
    if b"NaN" not in record and b"Infinity" not in record:
        return record
    found: list[str] = []
    try:
        value = json.loads(record, parse_constant=found.append)
        return msgspec.json.encode(value) if found else record
    except (ValueError, RecursionError, OverflowError):
        return record


def _reason(error: Exception) -> str:
    if isinstance(error, OrderError):
        return str(error)
    if isinstance(error, msgspec.ValidationError):
        return f"not an order: {error}"
    return f"not JSON: {error}"
