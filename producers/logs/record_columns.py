"""Records as columns: a quick way to records that are all valid, for which it says what an `OrderDecoder` says.

A decoder reads one value after the other. Here the values of many records are read together, as those of other logs.
"""

from __future__ import annotations

from collections import Counter
from functools import reduce
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from producers.logs.lines import read_lines
from producers.orders import ERASE, LARGEST_ORDER_LINES, Orders, joined
from producers.wire import LINE, ORDER, without_nan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.arrays import Mask, Whole
    from producers.fields import FieldReader

_CONSTANTS = (b"NaN", b"-Infinity", b"Infinity")
_ANY = msgspec.json.Decoder()
_HEAD = tuple(name for name, _, _ in ORDER)
_LINE = tuple(name for name, _, _ in LINE)


class RecordColumns(NamedTuple):
    """The fields of some records: m records, n lines."""

    head: dict[str, pa.Array]
    """(m,) each: those of the record itself."""
    lines: dict[str, pa.Array]
    """(n,) each: those of its lines."""
    parents: Whole
    """(n,) the record of each line."""
    flat: Mask
    """(m,) whether the record is a single line."""

    def of_lines(self) -> dict[str, pa.Array]:
        """(n,) each: the fields of each line and its record, without those that none has, but with the type."""
        head = self.head
        if len(self.parents) > len(self.flat):
            parents = pa.array(self.parents)
            head = {name: column.take(parents) for name, column in head.items()}
        columns = head | self.lines
        return {name: column for name, column in columns.items() if name == "type" or column.null_count < len(column)}

    def ids(self) -> dict[str, pa.Array]:
        """Customers and order ids, (m,) each, and items, (n,)."""
        return {name: self.head[name] for name in ("customer_id", "order_id")} | {"item_id": self.lines["item_id"]}


def record_columns(records: Sequence[bytes], decode: Callable[[bytes], Any]) -> RecordColumns | None:
    """The fields of records; None if one cannot be decoded, has odd lines, or a field has values of several types.

    Args:
        records: JSON, one document a line.
        decode: makes a structure as of `OrderDecoder` of a document.
    """
    try:
        return _record_columns(records, decode)
    except (ValueError, TypeError, AttributeError, RecursionError):  # no record, mixed types, a line that is none
        return None


def _record_columns(records: Sequence[bytes], decode: Callable[[bytes], Any]) -> RecordColumns | None:
    orders = [*map(decode, _finite(records))]
    lines_of = [order.lines for order in orders]
    if lines_of.count(None) < len(orders):
        sizes = [1 if lines is None else len(lines) for lines in lines_of]
        if not 0 < min(sizes) <= max(sizes) <= LARGEST_ORDER_LINES or any(
            lines is not None and order.item_id is not None for order, lines in zip(orders, lines_of, strict=True)
        ):
            return None
        lines = [line for order in orders for line in (order.lines or (order,))]
        parents = np.repeat(np.arange(len(orders)), sizes)
        flat = np.array([lines is None for lines in lines_of])
    else:
        lines, parents, flat = orders, np.arange(len(orders)), np.ones(len(orders), bool)
    return RecordColumns(
        {name: _column([*map(attrgetter(name), orders)]) for name in _HEAD},
        {name: _column([*map(attrgetter(name), lines)]) for name in _LINE},
        parents,
        flat,
    )


def _finite(records: Sequence[bytes]) -> Sequence[bytes]:
    """The records with null for NaN and infinities, as `without_nan` has each.

    Raises:
        ValueError: a record that holds one is not JSON otherwise.
    """
    text = b"\n".join(records)
    if b"NaN" not in text and b"Infinity" not in text:
        return records
    content = np.frombuffer(text, np.uint8)
    begins = np.append(0, np.flatnonzero(content == ord("\n")) + 1)
    quotes = np.flatnonzero(content == ord('"'))
    places = np.append(_pairs(content, b"Na"), _pairs(content, b"In"))
    of = np.searchsorted(begins, places, "right") - 1
    in_text = (np.searchsorted(quotes, places) - np.searchsorted(quotes, begins[of])) % 2 == 1
    holds, intricate = np.zeros((2, len(begins)), bool)
    holds[of] = intricate[of[in_text]] = True
    intricate[np.searchsorted(begins, _pairs(content, b'\\"'), "right") - 1] = True
    finite = reduce(lambda text, constant: text.replace(constant, b"null"), _CONSTANTS, text).split(b"\n")
    for record in np.flatnonzero(holds & intricate).tolist():
        finite[record] = without_nan(records[record])
    for record in np.flatnonzero(holds).tolist():
        _ANY.decode(finite[record])  # a decoder of some fields overlooks what is wrong with the others
    return finite


def _pairs(content: npt.NDArray[np.uint8], pair: bytes) -> npt.NDArray[np.intp]:
    """Where two bytes stand, one behind the other."""
    return np.flatnonzero((content[:-1] == pair[0]) & (content[1:] == pair[1]))


def _column(values: list[Any]) -> pa.Array:
    kinds = set(map(type, values)) - {type(None)}
    if len(kinds) > 1:
        raise TypeError
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64())
        return pa.array(values, pa.float64()) if kinds == {float} else pa.array(values, pa.string()).cast(pa.binary())
    except (OverflowError, pa.ArrowException) as error:
        raise ValueError from error


def read_records(
    records: Sequence[bytes], positions: Whole, reader: FieldReader, decode: Callable[[bytes], Any]
) -> tuple[Orders, Mask] | None:
    """The orders of records, and which were single lines; None unless all of them are plainly valid.

    Args:
        records: JSON, one document each.
        positions: (m,) of each, in its log.
        reader: says what the fields mean.
        decode: as for `record_columns`.
    """
    found = None if reader.excludes or not records else record_columns(records, decode)
    lines = {} if found is None else found.of_lines()
    if found is None or not {"customer_id", "item_id", "timestamp"} <= set(lines):
        return None
    fractions, types = reader.fractions, Counter(reader.types)
    batch = pa.RecordBatch.from_pydict(lines)
    orders, rejected = read_lines(batch, positions[found.parents], reader)
    skipped = reader.types.total() - types.total()
    flat = bool(found.flat.all())
    alike = flat or not (skipped or ("quantity" in lines and _any_negative(lines["quantity"])))
    if rejected or not alike or len(orders) + skipped < len(batch) or (orders.kind == ERASE).any():
        reader.fractions, reader.types = fractions, types
        return None
    return (orders, np.ones(len(orders), bool)) if flat else (joined_records(orders)[0], found.flat)


def _any_negative(quantities: pa.Array) -> bool:
    if pa.types.is_binary(quantities.type):
        return bool(pc.any(pc.match_substring(quantities, "-")).as_py())
    return bool((pc.min(quantities).as_py() or 0) < 0)


def joined_records(orders: Orders) -> tuple[Orders, Mask]:
    """One order for the lines that stand at one place, and whether its neighbours may be joined to it.

    Args:
        orders: one for each line, or erasure.
    """
    count = len(orders)
    opens = np.ones(count, bool)
    opens[1:] = (
        (np.diff(orders.after) != 0)
        | (orders.customer[1:] != orders.customer[:-1])
        | (orders.kind[1:] != orders.kind[:-1])
        | (orders.key[1:] != orders.key[:-1])
    )
    whole = joined(orders, opens)
    return whole, whole.key != 0
