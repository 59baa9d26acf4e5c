"""Records of other shapes as orders of ours: fields that have other names and places, envelopes, kinds of events."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa

from producers.errors import LogError, OrderError
from producers.event_types import PURCHASES
from producers.fields import NOT_COUNTED, WHOLE_FLOAT, FieldReader
from producers.logs.columns import FIELDS
from producers.logs.shaping import MIDNIGHT
from producers.logs.tables.records import as_cell, dug, keys_of
from producers.logs.tables.unwrapping import Unwrapping
from producers.orders import RETURN
from producers.values import as_text, shown
from producers.wire import LARGEST_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producers.log_format import LogFormat
    from producers.records.decoding import Decoder

_OF_LINES = ("item_id", "quantity")
_LIST = "[]"
_INTEGER = 1 << 63
_OF_FILES = ("fill_down", "item_pattern")
_midnight = re.compile(MIDNIGHT)
_encode = msgspec.json.Encoder().encode


class RecordReader(NamedTuple):
    """Reads the values of a topic's records as orders."""

    decoder: Decoder
    mapping: RecordMapping

    def read(self, values: Sequence[bytes | None]) -> list[list[bytes] | OrderError]:
        """The orders in each value: none, if it is to be skipped; an OrderError, if it is to be rejected.

        Raises:
            RegistryError: they cannot be decoded, whatever they hold.
        """
        documents = self.decoder.decode([value for value in values if value is not None])
        orders = iter(self.mapping.orders(documents))
        # without a value a record only says that others of its key are gone
        return [[] if value is None else next(orders) for value in values]


class RecordMapping:
    """Rewrites records as orders. Fields that are not named are where orders have them.

    It says which field is which, what is no order, and how times and quantities are written. Whether they are valid is
    decided where orders are counted.

    Args:
        log_format: of which `columns` are paths, with "[]" into the list of an order's lines, and "[0]" to the first
            element of another list; what it says about files has no effect.
        name: of the profile, for messages.

    Raises:
        LogError: an order has several of a field, its lines stand in several lists, or the format is one of files.

    >>> from producers.log_format import LogFormat
    >>> columns = {"customer_id": ("buyer.id",), "item_id": ("cart[].sku",), "timestamp": ("at",)}
    >>> mapping = RecordMapping(LogFormat(columns=columns))
    >>> mapping.orders([{"buyer": {"id": 7}, "at": "2024-02-17", "cart": [{"sku": "tea", "quantity": 2}]}, [1]])[0]
    [b'{"customer_id":7,"timestamp":"2024-02-17","lines":[{"item_id":"tea","quantity":2}]}']
    """

    def __init__(self, log_format: LogFormat, name: str = "--columns") -> None:
        _check(log_format, name)
        self._format = log_format
        self._fields = FieldReader(log_format)
        self._unwrapping = Unwrapping(log_format.unwrap, log_format.skip_if)
        columns = {field: paths for field, paths in log_format.columns.items() if any(paths)}
        head = [field for field in FIELDS if field not in _OF_LINES]
        if not log_format.typed and "type" not in columns:
            head.remove("type")
        several = [f"{field}={path}" for field in head for path in columns.get(field, ()) if _LIST in path]
        if several:
            raise LogError(f"{name}: {', '.join(several)} goes into a list, and an order has one of it")
        self._head = [(field, [keys_of(path) for path in columns.get(field, (field,))]) for field in head]
        self._lines = None if columns.keys().isdisjoint(_OF_LINES) else _LinePaths(columns)
        self._kinds: dict[Any, str] | None = {} if log_format.purchases or log_format.returns else None
        self._ids = bool(log_format.missing or log_format.number_columns or log_format.guests == "order")
        self._quantities = bool(
            log_format.quantity_units or log_format.negative_is_return or log_format.decimal_mark == ","
        )
        self._times = log_format.timestamp_format != "iso" or log_format.timezone != "UTC"

    def orders(self, documents: Sequence[Any]) -> list[list[bytes] | OrderError]:
        """The orders in each document: none, if it is to be skipped; an OrderError, if it is to be rejected.

        Args:
            documents: decoded records, or the OrderErrors of those that could not be.
        """
        found: list[list[dict[str, Any]] | OrderError] = []
        for document in documents:
            try:
                if isinstance(document, OrderError):
                    raise document
                records = self._unwrapping.records(document) if self._unwrapping else (document,)
                found.append([order for record in records for order in self._orders(record)])
            except OrderError as error:
                found.append(error)
        if self._times:
            self._read_times(found)
        return [orders if isinstance(orders, OrderError) else _encoded(orders) for orders in found]

    def _orders(self, record: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The orders that a record is: none, one, or a purchase and a return."""
        if type(record) is not dict:
            raise OrderError(f"record is no object: {shown(as_text(record) if record is None else str(record))}")
        order: dict[str, Any] = {}
        for field, paths in self._head:
            value = _scalar(dug(record, paths[0])) if len(paths) == 1 else _joined(record, paths)
            if value is not None:
                order[field] = value
        if self._kinds is not None and not self._put_kind(order):
            return []
        if self._ids:
            self._put_ids(order)
        if self._lines is None:
            _put_plain_lines(order, record)
        else:
            self._lines.put(order, record)
        if self._fields.excludes and not self._without_excluded(order):
            return []
        return self._with_quantities(order) if self._quantities else [order]

    def _put_kind(self, order: dict[str, Any]) -> bool:
        """Say in our words what the order is; return whether it is one."""
        assert self._kinds is not None  # noqa: S101 - for the type checker
        value = order.pop("type", None)
        word = self._kinds.get(value)
        if word is None:
            kind = self._fields.kind(value)
            word = "" if kind == NOT_COUNTED else self._format.type_of(kind)
            if len(self._kinds) < 1000:
                self._kinds[value] = word
        if word not in ("", PURCHASES):
            order["type"] = word
        return word != ""

    def _put_ids(self, order: dict[str, Any]) -> None:
        for field in ("customer_id", "order_id"):
            value = order.get(field)
            if value is not None and self._fields.is_missing(field, value):
                del order[field]
            elif field in self._format.number_columns and (whole := WHOLE_FLOAT.fullmatch(str(value))):
                order[field] = whole[1]
        if self._format.guests == "order" and "customer_id" not in order and "order_id" in order:
            order["customer_id"] = self._fields.guest(self._fields.id("order_id", order["order_id"]))

    def _without_excluded(self, order: dict[str, Any]) -> bool:
        """Drop lines of what is no item; return whether any is left, or there was none."""
        lines = order.get("lines")
        if type(lines) is not list:
            return "item_id" not in order or not self._fields.is_excluded(str(order["item_id"]).strip())
        order["lines"] = [
            line
            for line in lines
            if type(line) is not dict or not self._fields.is_excluded(str(line.get("item_id", "")).strip())
        ]
        return bool(order["lines"]) or not lines

    def _with_quantities(self, order: dict[str, Any]) -> list[dict[str, Any]]:
        """The order with its quantities as numbers; if some are returns, these as an order of its own."""
        lines = order.get("lines", [order])
        returned = []
        for line in lines if type(lines) is list else ():
            if type(line) is dict and "quantity" in line:
                try:
                    line["quantity"] = self._fields.quantity(line["quantity"])
                except OrderError:
                    continue  # whoever counts it says why it is none
                if line["quantity"] < 0:
                    line["quantity"] = -line["quantity"]
                    returned.append(line)
        if not returned or "type" in order:
            return [order]
        kind = {"type": self._format.type_of(RETURN)}
        if "lines" not in order:
            return [order | kind]
        kept = [line for line in lines if not any(line is each for each in returned)]
        return [order | {"lines": kept}] * bool(kept) + [order | kind | {"lines": returned}]

    def _read_times(self, found: list[list[dict[str, Any]] | OrderError]) -> None:
        """Turn times of any notation into milliseconds; a record with one that cannot be read is rejected."""
        places = [
            (number, order)
            for number, orders in enumerate(found)
            if not isinstance(orders, OrderError)
            for order in orders
            if "timestamp" in order
        ]
        reader = self._fields.timestamps
        times, readable = reader.read_column(pa.array([str(order["timestamp"]) for _, order in places], pa.string()))
        for (number, order), time, is_read in zip(places, times.tolist(), readable.tolist(), strict=True):
            try:
                order["timestamp"] = time if is_read else reader.read(order["timestamp"])
            except OrderError as error:
                found[number] = error


class _LinePaths:
    """Where the lines of an order are: elements of a list, or of lists within lists, or the record itself."""

    def __init__(self, columns: Mapping[str, Sequence[str]]) -> None:
        item = columns.get("item_id", ("lines[].item_id",))[0]
        before, in_list, last = item.rpartition(_LIST)
        beside = f"{before}{in_list}{'.' if in_list else ''}quantity"
        quantity = columns.get("quantity", (beside,))[0]
        around, of_list, last_of_quantity = quantity.rpartition(_LIST)
        if of_list and around != before:
            raise LogError(f"the paths {item}, {quantity} go into different lists; one list holds an order's lines")
        self._lists = [keys_of(path) for path in before.split(_LIST)] if in_list else []
        self._item = keys_of(last)
        self._quantity = keys_of(last_of_quantity)
        self._of_order = bool(in_list and not of_list)

    def put(self, order: dict[str, Any], record: dict[str, Any]) -> None:
        """Give an order the lines of its record."""
        elements: list[Any] = [record]
        for keys in self._lists:
            inside = [dug(element, keys) for element in elements]
            elements = [each for inner in inside if type(inner) is list for each in inner]
        lines = []
        item_keys, quantity_keys, of_order = self._item, self._quantity, self._of_order
        for element in elements:
            line = {}
            item = _scalar(dug(element, item_keys))
            if item is not None:
                line["item_id"] = item
            quantity = _scalar(dug(record if of_order else element, quantity_keys))
            if quantity is not None:
                line["quantity"] = quantity
            if line or self._lists:  # an order without a list of lines that erases its customer has none
                lines.append(line)
        if lines:
            order["lines"] = lines


def _put_plain_lines(order: dict[str, Any], record: dict[str, Any]) -> None:
    """Give an order the lines of a record that has them as orders have."""
    lines = record.get("lines")
    if type(lines) is list:
        order["lines"] = [_line(line) if type(line) is dict else _scalar(line) for line in lines]
    elif lines is not None:
        order["lines"] = _scalar(lines)
    for name in _OF_LINES:
        if name in record and (value := _scalar(record[name])) is not None:
            order[name] = value


def _line(line: dict[str, Any]) -> dict[str, Any]:
    item, quantity = _scalar(line.get("item_id")), _scalar(line.get("quantity"))
    return {"item_id": item} if quantity is None else {"item_id": item, "quantity": quantity}


def _scalar(value: Any) -> str | int | None:  # noqa: ANN401
    """A value as an order may hold it."""
    kind = type(value)
    if kind is str or value is None or (kind is int and -_INTEGER <= value < _INTEGER):
        return value  # type: ignore[no-any-return]
    return as_cell(value)


def _joined(record: dict[str, Any], paths: Sequence[Sequence[str]]) -> str | None:
    """Values that make one together, such as a day and a time."""
    values = [str(value).strip() for keys in paths if (value := _scalar(dug(record, keys))) is not None]
    return " ".join([_midnight.sub("", values[0]), *values[1:]]) if values else None


def _encoded(orders: Sequence[dict[str, Any]]) -> list[bytes] | OrderError:
    try:
        found = [_encode(order) for order in orders]
    except UnicodeEncodeError:
        return OrderError("record holds half of a surrogate pair, which is no text")
    for order in found:
        if len(order) > LARGEST_RECORD_BYTES:
            return OrderError(f"record has {len(order):,} bytes as an order, more than {LARGEST_RECORD_BYTES:,}")
    return found


def _check(log_format: LogFormat, name: str) -> None:
    """Check that a format can be one of a topic's records.

    Raises:
        LogError: it takes values from other lines.
    """
    unfit = [attribute for attribute in _OF_FILES if getattr(log_format, attribute)]
    if log_format.years_missing:
        unfit.append("start")
    if unfit:
        raise LogError(
            f"{name} is a profile of files: {', '.join(unfit)} says how lines of a file make an order, and each record "
            "of a topic stands alone. Name one of records, or write one: alsobought inspect --topic"
        )
