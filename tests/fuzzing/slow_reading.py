"""A slow reading of plain logs, value by value, with Python's csv and json.

It shares no code with ours but the key of an order id. What docs/formats.md says, and the rule of stray quotes, in the
plainest way.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from datetime import UTC, datetime
from itertools import count, groupby
from typing import Any, NamedTuple

from producers.orders import order_key

MISSING = {
    "", "null", "(null)", "<null>", "nil", "none", "nan", "nat", "na", "n/a", "<na>", "#n/a", "\\n", "undefined",
}  # fmt: skip
KINDS = {
    **dict.fromkeys(("purchase", "purchased", "sale", "sold", "order", "transaction", "buy", "bought"), 0),
    **dict.fromkeys(("return", "returned", "refund", "refunded"), 1),
    "erase": 2,
}
NAMES = ("customer_id", "item_id", "timestamp", "quantity", "order_id", "type")
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 1_000_000_000


class Bad(Exception):
    """A value or line that cannot be counted."""


class SlowOrder(NamedTuple):
    """An order, as `tests.written_logs.read_log` gives those of ours, but for where to go on behind it."""

    customer: str
    time: int
    kind: int
    key: int
    lines: list[tuple[str, int, int]]


class SlowReading(NamedTuple):
    """What a log holds."""

    orders: list[SlowOrder]
    rejected: list[int]
    """Where each rejected line stands."""


def is_missing(value: Any) -> bool:  # noqa: ANN401
    return value is None or value != value or str(value).strip().lower() in MISSING  # noqa: PLR0124  nan


def id_of(value: Any) -> str:  # noqa: ANN401
    if is_missing(value):
        raise Bad
    if isinstance(value, float):
        if not value.is_integer() or abs(value) > 2**53:
            raise Bad
        value = int(value)
    text = str(value).strip()
    while wrapped := re.fullmatch(r'="(.*)"|\'([0-9][^\']*)', text, re.DOTALL):
        text = (wrapped[1] if wrapped[1] is not None else wrapped[2]).strip()
        if is_missing(text):
            raise Bad
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Bad from None
    lossy = re.fullmatch(r"[+-]?(?:[0-9]+[eE]\+[0-9]+|[0-9]+\.[0-9]*[eE][+-]?[0-9]+)", text)
    if lossy or "\0" in text or size > 512:
        raise Bad
    return text


def time_of(value: Any) -> int:  # noqa: ANN401
    if is_missing(value):
        raise Bad
    text = str(value).strip()
    if any("\ud800" <= character <= "\udfff" for character in text):  # bytes that are not UTF-8
        raise Bad
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", text):
        number: float = int(text) if re.fullmatch(r"-?[0-9]+", text) else float(text)
        size = abs(number)
        scale = 1000 if size < 1e11 else 1 if size < 1e14 else 1e-3 if size < 1e17 else 1e-6
        if size > 1e30:
            raise Bad
        time = round(number * scale) if scale >= 1 else int(number // round(1 / scale))
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise Bad from None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        try:
            time = (moment - EPOCH) // (EPOCH.replace(microsecond=1000) - EPOCH)
        except OverflowError:
            raise Bad from None
    if not 631_152_000_000 <= time <= 253_402_300_799_999:
        raise Bad
    return time


def quantity_of(value: Any) -> int:  # noqa: ANN401
    if is_missing(value):
        return 1
    if isinstance(value, str):
        value = value.strip()
        if wrapped := re.fullmatch(r'="(.*)"|\'([0-9][^\']*)', value, re.DOTALL):
            value = (wrapped[1] or wrapped[2] or "").strip()
        if not re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", value):
            raise Bad
    try:
        number = float(value)
    except OverflowError:
        raise Bad from None
    if not 0 < number <= LARGEST:
        raise Bad
    return int(number) if number.is_integer() else 1


def kind_of(value: Any) -> int:  # noqa: ANN401
    if is_missing(value):
        return 0
    try:
        return KINDS[str(value).strip().lower()]
    except KeyError:
        raise Bad from None


def is_other_event(value: Any) -> bool:  # noqa: ANN401
    """Whether it names an event type that is not counted, so that the line is skipped."""
    text = str(value).strip().lower()
    return not is_missing(value) and text not in KINDS and bool(re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", text))


def line_of(fields: dict[str, Any]) -> tuple[str, int, int, int, str, int]:
    """Customer, time, kind, key of the order, item ("" for an erasure) and quantity."""
    kind = kind_of(fields.get("type"))
    customer, time = id_of(fields.get("customer_id")), time_of(fields.get("timestamp"))
    order = fields.get("order_id")
    key = 0 if is_missing(order) else order_key(id_of(order))
    if kind == 2:
        if not is_missing(fields.get("item_id")):
            raise Bad
        return customer, time, kind, key, "", 0
    return customer, time, kind, key, id_of(fields.get("item_id")), quantity_of(fields.get("quantity"))


# --- CSV --------------------------------------------------------------------------------------------------------------


def read_csv(data: bytes, separator: str = ",") -> SlowReading | None:
    """The orders of CSV in UTF-8; None if it cannot be read at all."""
    head, end, body = data.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    text = body[: body.rfind(b"\n") + 1].decode("utf-8", "surrogateescape")  # a last line without end waits
    try:
        header = next(csv.reader([head.decode("utf-8", "backslashreplace").rstrip("\r")], delimiter=separator), [])
    except csv.Error:
        return None
    names = [name.strip() for name in header]
    if not end or any(names.count(name) != 1 for name in NAMES[:3]) or any(names.count(name) > 1 for name in NAMES):
        return None
    places = {name: names.index(name) for name in NAMES if name in names}
    lines = list(io.StringIO(text, newline=""))
    rows: list[tuple[int, list[str] | None]] = []
    at = 0
    while at < len(lines):
        row, taken = _record(lines, at, len(names), places["timestamp"], separator)
        if not taken:
            break
        rows.append((len(rows), row))
        at += taken
    found = [
        (position, None if row is None else {name: _text(row[place]) for name, place in places.items()})
        for position, row in rows
        if row != []
    ]
    wanted = [(at, fields) for at, fields in found if fields is None or not is_other_event(fields.get("type"))]
    return _joined([(position, _line(fields)) for position, fields in wanted])


def _record(lines: list[str], at: int, width: int, time_place: int, separator: str) -> tuple[list[str] | None, int]:
    """The fields of the record that begins at a line, None if it is bad; and its lines, none if it waits for more."""
    try:
        reader = csv.reader(iter(lines[at:]), delimiter=separator, strict=True)
        row, taken = next(reader), reader.line_num
    except csv.Error as error:
        if "unexpected end of data" in str(error) and not any(
            _whole(line, width, time_place, separator) for line in lines[at + 1 :]
        ):
            return None, 0
        return None, 1
    if taken > 1 and any(_whole(line, width, time_place, separator) for line in lines[at + 1 : at + taken]):
        return None, 1
    if not row:
        return [], taken
    return (row if len(row) == width else None), taken


def _whole(line: str, width: int, time_place: int, separator: str) -> bool:
    row = next(csv.reader([line], delimiter=separator), [])
    if len(row) != width:
        return False
    try:
        time_of(row[time_place].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    except Bad:
        return False
    return True


def _text(cell: str) -> str | None:
    """A cell; bytes that are not UTF-8 make any field but a left out one bad."""
    return cell


def _line(fields: dict[str, Any] | None) -> tuple[str, int, int, int, str, int] | None:
    try:
        return None if fields is None else line_of(fields)
    except Bad:
        return None


def _joined(lines: list[tuple[int, tuple[str, int, int, int, str, int] | None]]) -> SlowReading:
    """Adjacent lines with the same customer, kind and order are one order; the time is that of its first line."""
    alone = count(1)
    good = [(position, line) for position, line in lines if line is not None]
    orders = []
    for _, group in groupby(good, lambda one: (one[1][0], one[1][2], one[1][3] or -next(alone))):
        members = list(group)
        customer, time, kind, key, _, _ = members[0][1]
        held = [(line[4], line[5], position) for position, line in members if kind != 2]
        orders.append(SlowOrder(customer, time, kind, key, held))
    return SlowReading(orders, [position for position, line in lines if line is None])


# --- JSON lines -------------------------------------------------------------------------------------------------------


def read_json_lines(data: bytes) -> SlowReading:
    """The orders of JSON lines, of one order line or a list of them each."""
    orders: list[tuple[bool, SlowOrder]] = []
    rejected: list[int] = []
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for position, line in enumerate(lines):
        if not line or line.isspace():
            continue
        last = position == len(lines) - 1
        try:
            record = json.loads(line.decode("utf-8", "surrogateescape"), parse_constant=lambda _: None)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            if not last:
                rejected.append(position)
            continue
        _add(orders, rejected, record, position)
    joined: list[SlowOrder] = []
    for place, (flat, order) in enumerate(orders):
        before = orders[place - 1] if place else None
        if before is not None and flat and before[0] and order.key and _head(order) == _head(before[1]):
            joined[-1].lines.extend(order.lines)
        else:
            joined.append(order._replace(lines=list(order.lines)))
    return SlowReading(joined, rejected)


def _head(order: SlowOrder) -> tuple[str, int, int]:
    return order.customer, order.kind, order.key


def _add(orders: list[tuple[bool, SlowOrder]], rejected: list[int], record: dict[str, Any], position: int) -> None:
    known = {name: record.get(name) for name in NAMES}
    lines = record.get("lines")
    if any(map(_is_deep, known.values())) or not isinstance(lines, list | None):
        rejected.append(position)
        return
    if is_other_event(known["type"]):
        return
    if lines is None:
        line = _line(known)
        if line is None:
            rejected.append(position)
        else:
            orders.append((True, SlowOrder(*line[:4], [] if line[2] == 2 else [(line[4], line[5], position)])))
        return
    found = [None if _is_deep(line) and not isinstance(line, dict) else _line_within(known, line) for line in lines]
    erases = _is_erasure(known, lines)
    head = _line({**known, "type": "erase", "item_id": None})
    good = [line for line in found if line is not None]
    if head is None or not _empty(known["item_id"]) or not (erases or good) or len(lines) > 10_000:
        rejected.append(position)
        return
    kind = 2 if erases else good[0][2]
    rejected += [position] * (0 if erases else len(lines) - len(good))
    held = [] if erases else [(line[4], line[5], position) for line in good]
    orders.append((False, SlowOrder(head[0], head[1], kind, head[3], held)))


def _line_within(known: dict[str, Any], line: Any) -> tuple[str, int, int, int, str, int] | None:  # noqa: ANN401
    """An order line in the list of a record, which tells the rest."""
    if not isinstance(line, dict) or any(_is_deep(line.get(name)) for name in ("item_id", "quantity")):
        return None
    found = _line({**known, "item_id": line.get("item_id"), "quantity": line.get("quantity")})
    return None if found is None or found[2] == 2 else found


def _is_erasure(known: dict[str, Any], lines: list[Any]) -> bool:
    try:
        return kind_of(known["type"]) == 2 and all(
            isinstance(one, dict) and _empty(one.get("item_id")) for one in lines
        )
    except Bad:
        return False


def _is_deep(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, bool | list | dict)


def _empty(value: Any) -> bool:  # noqa: ANN401
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))
