"""Order lines in Arrow columns, as orders: every log but JSON lines is read so.

A column is read at once where Arrow can; a `FieldReader` decides, value by value, about what is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.arrays import Mask, Whole, floats, is_number, numerals, plain, present, texts, values, whole_numbers
from producers.errors import LogError, OrderError
from producers.fields import ERASES_ALL, NOT_COUNTED
from producers.log_format import MISSING_TEXTS
from producers.orders import (
    ERASE,
    FIELDS,
    LARGEST_QUANTITY,
    LONGEST_ID_BYTES,
    PURCHASE,
    RETURN,
    Orders,
    Rejection,
    compacted,
    order_key,
)
from producers.values import Value, absent, as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from producers.fields import FieldReader

ABSENT, FAULTY = -1, -2  # in place of an id's index

_ODD_TEXT = r"^[='\s]|\s$|^[+-]?[0-9.]+[eE][+-]?[0-9]+$|\.0+$|^[^A-Za-z0-9]|^$|[\x00-\x1f\x7f-\x{10ffff}]"
"""Ids that a `FieldReader` looks at: they may be missing, wrapped, or numbers written otherwise."""


def read_lines(lines: pa.RecordBatch, positions: Whole, reader: FieldReader) -> tuple[Orders, list[Rejection]]:
    """Each line as an order of its own, and the invalid lines.

    Args:
        lines: n lines, columns named by field: customer_id, item_id, timestamp; perhaps quantity, order_id, type.
        positions: (n,) where each line stands in its log.
        reader: says what the fields mean.

    >>> from producers.fields import FieldReader
    >>> lines = {"customer_id": ["ann", "bob"], "item_id": [7, 8], "timestamp": ["2017-01-01", "2017-13-01"]}
    >>> orders, rejected = read_lines(pa.RecordBatch.from_pydict(lines), np.array([0, 1]), FieldReader())
    >>> orders.customers, orders.items, rejected[0].reason
    (['ann'], ['7'], "timestamp '2017-13-01' is not a date")
    """
    columns = {name: plain(column) for name, column in zip(lines.schema.names, lines.columns, strict=True)}
    customers, customer = _ids("customer_id", columns["customer_id"], reader)
    items, item = _ids("item_id", columns["item_id"], reader)
    time, timely = _times(columns["timestamp"], reader)
    quantity = np.ones(len(lines), np.int64)
    key = np.zeros(len(lines), np.uint64)
    kind = np.full(len(lines), reader.untyped, np.int64)
    good = timely
    if "type" in columns:
        kind = _kinds(columns["type"], reader)
        good &= kind != FAULTY
    elif reader.untyped == NOT_COUNTED:
        reader.skip(None, len(lines))
    erases = kind == ERASE
    good &= np.where(erases, item == ABSENT, item >= 0)
    if "quantity" in columns:
        quantities, events = columns["quantity"], kind == NOT_COUNTED
        if events.any():  # nothing is said about their fractions
            quantities = pc.if_else(pa.array(events), pa.scalar(None, quantities.type), quantities)
        quantity, countable = _quantities(quantities, reader)
        good &= countable | erases
        negative = countable & (quantity < 0)
        if negative.any():
            quantity, kind = np.abs(quantity), np.where(negative & (kind == PURCHASE), RETURN, kind)
    if "order_id" in columns:
        order_ids, order = _ids("order_id", columns["order_id"], reader)
        key = np.array([*map(order_key, order_ids), 0, 0], np.uint64)[order]  # the zeros: FAULTY and ABSENT
        good &= order != FAULTY
        if reader.log_format.guests == "order":
            customers, customer = _with_guests(customers, customer, order_ids, order, reader)
    good &= customer >= 0
    skipped = _skipped(kind, items, item, reader)
    wanted = good & ~skipped
    orders = _orders(customers, items, positions, wanted, (customer, time, kind, key, item, quantity))
    if wanted.all():
        return orders, []
    return compacted(orders), _rejections(columns, np.flatnonzero(~good & ~skipped), positions, reader)


def _orders(
    customers: list[str], items: list[str], positions: Whole, wanted: Mask, columns: tuple[npt.NDArray[Any], ...]
) -> Orders:
    """Orders of one line each, or of none where a customer is erased."""
    customer, time, kind, key, item, quantity = (column[wanted] for column in columns)
    position = positions[wanted]
    lines = kind != ERASE
    return Orders(
        customers=customers,
        items=items,
        customer=customer.astype(np.uint32),
        time=time,
        kind=kind.astype(np.uint8),
        key=key.astype(np.uint64),
        start=np.concatenate(([0], np.cumsum(lines))).astype(np.int64),
        after=position + 1,
        item=item[lines].astype(np.uint32),
        quantity=quantity[lines],
        position=position[lines],
    )


def _skipped(kind: Whole, items: list[str], item: Whole, reader: FieldReader) -> Mask:
    """(n,) which lines are neither counted nor rejected: events of other types, and excluded items."""
    skipped: Mask = kind == NOT_COUNTED
    if reader.excludes:
        excluded = np.array([*map(reader.is_excluded, items), False, False])[item] & ~skipped
        reader.excluded += int(excluded.sum())
        skipped |= excluded
    return skipped


def _with_guests(
    customers: list[str], customer: Whole, order_ids: Sequence[str], order: Whole, reader: FieldReader
) -> tuple[list[str], Whole]:
    """The customers with one for each order that has none."""
    alone = (customer == ABSENT) & (order >= 0)
    if not alone.any():
        return customers, customer
    names = dict.fromkeys(customers)
    places = {name: place for place, name in enumerate(names)}
    customer = customer.copy()
    for row in np.flatnonzero(alone).tolist():
        customer[row] = places.setdefault(reader.guest(order_ids[order[row]]), len(places))
    return list(places), customer


def check_type(log: str, column: str, kind: pa.DataType, field: str) -> None:
    """Check that a column's type can hold a field.

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


def _ids(field: str, column: pa.Array, reader: FieldReader) -> tuple[list[str], Whole]:
    """The distinct ids of a column, and for each row the index of its own, ABSENT or FAULTY."""
    encoded = column.dictionary_encode()
    odd = _odd(field, encoded.dictionary, reader)
    if odd.any() and pa.types.is_binary(column.type) and b" " in _content(encoded.dictionary):
        encoded = _trimmed(encoded)
        odd = _odd(field, encoded.dictionary, reader)
    distinct = encoded.dictionary
    index = encoded.indices.fill_null(ABSENT).to_numpy().astype(np.int64)
    if not odd.any():
        return distinct.cast(pa.string()).to_pylist(), index
    places: dict[str, int] = {}
    verdict = np.arange(len(distinct) + 1)
    verdict[ABSENT] = ABSENT
    for place, (value, is_odd) in enumerate(zip(values(distinct), odd.tolist(), strict=True)):
        try:
            name = reader.id(field, value) if is_odd else as_text(value)
        except OrderError:
            verdict[place] = ABSENT if reader.is_missing(field, value) else FAULTY
        else:
            verdict[place] = places.setdefault(name, len(places))
    return list(places), verdict[index]


def _trimmed(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Ids without the spaces around them; as they are if one is not UTF-8."""
    try:
        text = pc.ascii_trim(encoded.dictionary.cast(pa.string()), " ")
    except pa.ArrowInvalid:
        return encoded
    distinct = text.cast(pa.binary()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(distinct.indices.take(encoded.indices), distinct.dictionary)


def _odd(field: str, distinct: pa.Array, reader: FieldReader) -> Mask:
    """(n,) which of these are not sure to be ids as they stand, so that the reader decides."""
    none, all_of_them = np.zeros(len(distinct), bool), np.ones(len(distinct), bool)
    if not len(distinct):
        return none
    missing = frozenset() if field == "item_id" else reader.missing_ids
    if not pa.types.is_binary(distinct.type):
        return none if pa.types.is_integer(distinct.type) and not missing else all_of_them
    size = pc.min_max(pc.binary_length(distinct)).as_py()
    if not missing and 0 < size["min"] <= size["max"] <= LONGEST_ID_BYTES and _content(distinct).isdigit():
        return none
    words = pa.array(sorted(MISSING_TEXTS | missing))
    if 0 < size["min"] <= size["max"] <= LONGEST_ID_BYTES and _are_words(distinct):
        named: Mask = pc.is_in(pc.ascii_lower(distinct.cast(pa.string())), value_set=words).to_numpy(
            zero_copy_only=False
        )
        return named
    text = texts(distinct)
    odd = pc.or_(pc.match_substring_regex(text, _ODD_TEXT), pc.is_in(pc.utf8_lower(text), value_set=words))
    if size["max"] > LONGEST_ID_BYTES:
        odd = pc.or_(odd, pc.greater(pc.binary_length(distinct), LONGEST_ID_BYTES))
    found: Mask = odd.fill_null(True).to_numpy(zero_copy_only=False)
    return found


_WORD_BYTES = np.zeros(256, bool)
_WORD_BYTES[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")] = True
_NINE = ord("9")


def _are_words(distinct: pa.Array) -> bool:
    """Whether all of these begin with a letter and hold no more than letters, digits, - and _: none of them is odd."""
    content = np.frombuffer(_content(distinct), np.uint8)
    offsets = np.frombuffer(distinct.buffers()[1], np.int32, len(distinct) + 1, 4 * distinct.offset)
    first = content[offsets[:-1] - offsets[0]]
    return bool(_WORD_BYTES[content].all() and (first > _NINE).all() and (first != ord("_")).all())


def _content(column: pa.Array) -> bytes:
    """All texts of a binary column without nulls, one behind the other."""
    offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)
    return bytes(memoryview(column.buffers()[2])[offsets[0] : offsets[-1]])


def _times(column: pa.Array, reader: FieldReader) -> tuple[Whole, Mask]:
    timestamps = reader.timestamps
    text = texts(column) if pa.types.is_binary(column.type) else column
    time, readable = timestamps.read_column(text)
    return _mended(time, readable, column, timestamps.read, reader)


def _quantities(column: pa.Array, reader: FieldReader) -> tuple[Whole, Mask]:
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
    return _mended(quantity, readable, column, reader.quantity, reader)


def _mended(
    numbers: Whole, readable: Mask, column: pa.Array, read: Callable[[Value], int], reader: FieldReader
) -> tuple[Whole, Mask]:
    """The numbers with those that were not readable at once read value by value, and which are readable now."""
    left = np.flatnonzero(~readable)
    if not len(left):
        return numbers, readable
    encoded = column.take(pa.array(left)).dictionary_encode()
    distinct = [*values(encoded.dictionary), None]
    index = encoded.indices.fill_null(len(distinct) - 1).to_numpy()
    rows = np.bincount(index, minlength=len(distinct)).tolist()
    found, valid = np.zeros(len(distinct), np.int64), np.zeros(len(distinct), bool)
    for place, value in enumerate(distinct):
        fractions = reader.fractions
        try:
            found[place] = read(value)
            valid[place] = True
        except OrderError:
            continue  # _rejections says why
        reader.fractions = fractions + (reader.fractions - fractions) * rows[place]
    numbers, readable = numbers.copy(), readable.copy()  # they may be Arrow's own memory
    numbers[left], readable[left] = found[index], valid[index]
    return numbers, readable


def _kinds(column: pa.Array, reader: FieldReader) -> Whole:
    """What `FieldReader.kind` says of each row, or FAULTY."""
    encoded = column.dictionary_encode()
    index = encoded.indices.fill_null(ABSENT).to_numpy()
    kinds = []
    distinct = [*values(encoded.dictionary), None]  # None is what nulls, at -1, are read as
    for value in distinct:
        try:
            kinds.append(reader.kind(value))
        except OrderError:
            kinds.append(FAULTY)
    if NOT_COUNTED in kinds:
        lines = np.bincount(index % len(distinct), minlength=len(distinct)).tolist()
        for value, kind, count in zip(distinct, kinds, lines, strict=True):
            if kind == NOT_COUNTED and count:
                reader.skip(value, count)
    found: Whole = np.array(kinds, np.int64)[index]
    return found


def _rejections(
    columns: Mapping[str, pa.Array], rows: npt.NDArray[np.intp], positions: Whole, reader: FieldReader
) -> list[Rejection]:
    bad = {field: values(column.take(pa.array(rows))) for field, column in columns.items()}
    rejections = []
    fractions = reader.fractions  # these were counted when they were read
    for position, *line in zip(positions[rows].tolist(), *bad.values(), strict=True):
        fields: dict[str, Value] = dict(zip(bad, line, strict=True))
        known = {
            field: as_text(value) if isinstance(value, bytes) else value
            for field, value in fields.items()
            if not absent(value)
        }
        rejections.append(Rejection(position, _fault(fields, reader), msgspec.json.encode(known).decode(), form=FIELDS))
    reader.fractions = fractions
    return rejections


def _fault(line: Mapping[str, Value], reader: FieldReader) -> str:
    """Why the line is not an order line: its first fault, in the order of the fields."""
    type_fault = None
    try:
        kind = reader.kind(line.get("type"))
    except OrderError as error:
        kind, type_fault = PURCHASE, error
    order_id = line.get("order_id")
    guest = reader.log_format.guests == "order" and not reader.is_missing("order_id", order_id)
    try:
        if not (guest and reader.is_missing("customer_id", line["customer_id"])):
            reader.id("customer_id", line["customer_id"])
        if kind != ERASE:
            reader.id("item_id", line["item_id"])
        elif not reader.is_missing("item_id", line["item_id"]):
            return ERASES_ALL
        reader.timestamps.read(line["timestamp"])
        if kind != ERASE:
            reader.quantity(line.get("quantity"))
        if not reader.is_missing("order_id", order_id):
            reader.id("order_id", order_id)
    except OrderError as error:
        return str(error)
    if type_fault is not None:
        return str(type_fault)
    raise AssertionError(f"{line} is an order line after all")
