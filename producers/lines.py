"""Order lines in Arrow columns, as orders: every log but JSON lines is read so.

A column is read at once where Arrow can; `producers.fields` decides, value by value, about what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.arrays import Mask, Whole, floats, is_number, numerals, plain, present, texts, values, whole_numbers
from producers.errors import LogError, OrderError
from producers.fields import Value, absent, as_text, read_id, read_kind, read_quantity
from producers.orders import LARGEST_QUANTITY, LONGEST_ID_BYTES, Orders, Rejection, compacted, order_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from producers.timestamps import TimestampReader

ABSENT, FAULTY = -1, -2  # in place of an id's index


def read_lines(lines: pa.RecordBatch, positions: Whole, timestamps: TimestampReader) -> tuple[Orders, list[Rejection]]:
    """Each line as an order of its own, and the lines that cannot be one.

    Args:
        lines: n lines, columns named by field: customer_id, item_id, timestamp; perhaps quantity, order_id, type.
        positions: (n,) where each line stands in its log.
        timestamps: reads the column timestamp.

    >>> from producers.timestamps import TimestampReader
    >>> lines = {"customer_id": ["ann", "bob"], "item_id": [7, 8], "timestamp": ["2017-01-01", "2017-13-01"]}
    >>> orders, rejected = read_lines(pa.RecordBatch.from_pydict(lines), np.array([0, 1]), TimestampReader())
    >>> orders.customers, orders.items, rejected[0].reason
    (['ann'], ['7'], "timestamp '2017-13-01' is not a date")
    """
    columns = {name: plain(column) for name, column in zip(lines.schema.names, lines.columns, strict=True)}
    customers, customer = _ids("customer_id", columns["customer_id"])
    items, item = _ids("item_id", columns["item_id"])
    time, timely = _times(columns["timestamp"], timestamps)
    good = timely & (customer >= 0) & (item >= 0)
    quantity = np.ones(len(lines), np.int64)
    key = np.zeros(len(lines), np.uint64)
    kind = np.zeros(len(lines), np.int64)
    if "quantity" in columns:
        quantity, countable = _quantities(columns["quantity"])
        good &= countable
    if "order_id" in columns:
        order_ids, order = _ids("order_id", columns["order_id"])
        key = np.array([*map(order_key, order_ids), 0, 0], np.uint64)[order]  # the zeros: FAULTY and ABSENT
        good &= order != FAULTY
    if "type" in columns:
        kind = _kinds(columns["type"])
        good &= kind != FAULTY
    position = positions[good]
    orders = Orders(
        customers=customers,
        items=items,
        customer=customer[good].astype(np.uint32),
        time=time[good],
        kind=kind[good].astype(np.uint8),
        key=key[good],
        start=np.arange(len(position) + 1, dtype=np.int64),
        after=position + 1,
        item=item[good].astype(np.uint32),
        quantity=quantity[good],
        position=position,
    )
    if good.all():
        return orders, []
    return compacted(orders), _rejections(columns, np.flatnonzero(~good), positions, timestamps)


def check_type(log: str, column: str, kind: pa.DataType, field: str) -> None:
    """Whether a column's type can hold a field.

    Raises:
        LogError: it cannot.
    """
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")
    scalar = str(kind) in (*text, "null") or is_number(kind) or pa.types.is_decimal(kind)
    time = pa.types.is_timestamp(kind) or pa.types.is_date(kind)
    if not scalar and not (time and field == "timestamp"):
        raise LogError(f"{log}: column {column} holds {kind}, which cannot be read as {field}: write it as text")


def _ids(field: str, column: pa.Array) -> tuple[list[str], Whole]:
    """The distinct ids of a column, and for each row the index of its own, ABSENT or FAULTY."""
    encoded = column.dictionary_encode()
    distinct = encoded.dictionary
    index = encoded.indices.fill_null(ABSENT).to_numpy().astype(np.int64)
    if _all_valid(distinct):
        return distinct.cast(pa.string()).to_pylist(), index
    names = []
    verdict = np.arange(len(distinct) + 1)
    verdict[ABSENT] = ABSENT
    for place, value in enumerate(values(distinct)):
        try:
            names.append(read_id(field, value))
        except OrderError:
            names.append("")
            verdict[place] = ABSENT if absent(value) else FAULTY
    return names, verdict[index]


def _all_valid(distinct: pa.Array) -> bool:
    """Whether all of these are plainly ids; False leaves each to `read_id`."""
    if pa.types.is_integer(distinct.type) or not len(distinct):
        return True
    if not pa.types.is_binary(distinct.type):
        return False
    size = pc.min_max(pc.binary_length(distinct)).as_py()
    if not 0 < size["min"] <= size["max"] <= LONGEST_ID_BYTES or texts(distinct).null_count:
        return False
    return not pc.any(pc.match_substring(distinct, "\0")).as_py()


def _times(column: pa.Array, timestamps: TimestampReader) -> tuple[Whole, Mask]:
    time, readable = timestamps.read_column(texts(column) if pa.types.is_binary(column.type) else column)
    return _mended(time, readable, column, timestamps.read)


def _quantities(column: pa.Array) -> tuple[Whole, Mask]:
    if pa.types.is_binary(column.type):
        text = texts(column)
        readable = numerals(text, 9)
        quantity = whole_numbers(text, readable)
    elif pa.types.is_integer(column.type):
        quantity, readable = whole_numbers(column), present(column)
    else:
        numbers = floats(column)
        readable = (numbers == np.floor(numbers)) & (np.abs(numbers) <= LARGEST_QUANTITY)
        quantity = np.where(readable, numbers, 0).astype(np.int64)
    readable &= (quantity >= 1) & (quantity <= LARGEST_QUANTITY)
    return _mended(quantity, readable, column, read_quantity)


def _mended(numbers: Whole, readable: Mask, column: pa.Array, read: Callable[[Value], int]) -> tuple[Whole, Mask]:
    """The numbers with each row that was not readable at once read by itself, and which are readable now."""
    left = np.flatnonzero(~readable)
    if len(left):
        numbers = numbers.copy()  # it may be Arrow's own memory
        for row, value in zip(left.tolist(), values(column.take(pa.array(left))), strict=True):
            try:
                numbers[row] = read(value)
                readable[row] = True
            except OrderError:
                continue  # _rejections says why
    return numbers, readable


def _kinds(column: pa.Array) -> Whole:
    """PURCHASE, RETURN or FAULTY for each row."""
    encoded = column.dictionary_encode()
    kinds = []
    for value in [*values(encoded.dictionary), None]:  # None is what nulls, at -1, are read as
        try:
            kinds.append(read_kind(value))
        except OrderError:
            kinds.append(FAULTY)
    kind: Whole = np.array(kinds, np.int64)[encoded.indices.fill_null(ABSENT).to_numpy()]
    return kind


def _rejections(
    columns: Mapping[str, pa.Array], rows: npt.NDArray[np.intp], positions: Whole, timestamps: TimestampReader
) -> list[Rejection]:
    bad = {field: values(column.take(pa.array(rows))) for field, column in columns.items()}
    rejections = []
    for position, *line in zip(positions[rows].tolist(), *bad.values(), strict=True):
        fields: dict[str, Value] = dict(zip(bad, line, strict=True))
        known = {
            field: as_text(value) if isinstance(value, bytes) else value
            for field, value in fields.items()
            if not absent(value)
        }
        rejections.append(Rejection(position, _fault(fields, timestamps), msgspec.json.encode(known).decode()))
    return rejections


def _fault(line: Mapping[str, Value], timestamps: TimestampReader) -> str:
    """Why the line is not an order line: its first fault, in the order of the fields."""
    try:
        read_id("customer_id", line["customer_id"])
        read_id("item_id", line["item_id"])
        timestamps.read(line["timestamp"])
        read_quantity(line.get("quantity"))
        if not absent(order_id := line.get("order_id")):
            read_id("order_id", order_id)
        read_kind(line.get("type"))
    except OrderError as error:
        return str(error)
    raise AssertionError(f"{line} is an order line after all")
