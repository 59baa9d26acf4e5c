"""A log's columns as the fields of order lines, by its format: joined, filled down, mapped, left out.

What every log has in common (text that means missing, spaces, quantities, types) is the business of `producers.lines`.
Here is what a `LogFormat` says beyond that.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.arrays import plain, present
from producers.columns import FIELDS, find_columns
from producers.log_format import MISSING_TEXTS, PURCHASE_TEXTS, RETURN_TEXTS
from producers.notations import read_times
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.arrays import Mask, Whole
    from producers.log_format import LogFormat
    from producers.tables import TableBatch

GUEST = "guest:"
"""Before the order id, where each order without customer is a customer of its own."""

_IDS = ("customer_id", "item_id", "order_id")
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0+")
_SKIPPED = "skipped"


class Shaped(NamedTuple):
    """Rows as order lines."""

    lines: pa.RecordBatch
    """n lines, columns named by field."""
    positions: Whole
    """(n,) where each stands in the log."""
    rejected: list[Rejection]
    """Rows that are no order lines by the format."""
    zoneless: bool
    """Whether a time named no zone."""


class Shaper:
    """Shapes the rows of one log, in order.

    Args:
        log: the log's name, for messages.
        names: its columns or paths.
        log_format: how it is read.

    Attributes:
        columns: those that are read.
        skipped: rows that are no purchases or returns but something else, or items that are left out, so far.

    Raises:
        LogError: a column is missing.
    """

    def __init__(self, log: str, names: Sequence[str], log_format: LogFormat) -> None:
        self._format = log_format
        wanted = {field: paths for field, paths in log_format.columns.items() if any(paths)}
        firsts = find_columns(log, [*names, *_beneath(names)], {field: paths[0] for field, paths in wanted.items()})
        if not log_format.typed and "type" not in wanted:
            firsts.pop("type", None)
        self._fields = {field: wanted.get(field, (first,)) for field, first in firsts.items()}
        for field, paths in self._fields.items():
            for path in paths[1:]:
                find_columns(log, [*names, *_beneath(names)], {**{f: p[0] for f, p in wanted.items()}, field: path})
        self.columns = list(dict.fromkeys(path for paths in self._fields.values() for path in paths))
        self.skipped = 0
        self._missing = MISSING_TEXTS | {text.strip().lower() for text in log_format.missing}
        self._purchases = {text.strip().lower() for text in log_format.purchases} or set(PURCHASE_TEXTS)
        self._returns = {text.strip().lower() for text in log_format.returns}
        if not log_format.returns and not log_format.purchases:
            self._returns = set(RETURN_TEXTS)
        self._above: dict[str, str | None] = {}
        patterns = [fnmatch.translate(pattern) for pattern in log_format.excluded_items]
        self._excluded = re.compile("|".join(patterns)) if patterns else None
        self._items = re.compile(log_format.item_pattern) if log_format.item_pattern else None

    @property
    def nested(self) -> bool:
        """Whether cells hold several lines."""
        return self._items is not None

    def shape(self, batch: TableBatch) -> Shaped:
        """The rows of a batch as order lines; batches come in the order of the log."""
        fields = {field: self._joined([batch.columns[path] for path in paths]) for field, paths in self._fields.items()}
        positions = batch.positions
        if self._items is not None:
            fields, positions = self._divided(fields, positions)
        for field in _IDS:
            if field in fields:
                fields[field] = _mapped(fields[field], self._id_of(field))
        for field in self._format.fill_down:
            if field in fields:
                fields[field] = self._filled_down(field, fields)
        if self._format.guests == "order" and "order_id" in fields:
            fields["customer_id"] = _guests(fields["customer_id"], fields["order_id"])
        kept = np.ones(len(positions), bool)
        if "type" in fields:
            fields["type"] = _mapped(fields["type"], self._kind)
            if self._format.purchases:
                kept &= ~_equal(fields["type"], _SKIPPED)
        if self._excluded is not None:
            excluded = self._excluded
            names = _mapped(fields["item_id"], lambda text: _SKIPPED if excluded.match(text) else "")
            kept &= ~_equal(names, _SKIPPED)
        if "quantity" in fields:
            fields["quantity"] = _mapped(fields["quantity"], self._quantity)
            if self._format.negative_is_return:
                self._turn_returns(fields, len(kept))
        self.skipped += int((~kept).sum())
        good, reasons, zoneless = self._times(fields)
        bad = np.flatnonzero(kept & ~good)
        rejected = [
            Rejection(int(positions[row]), reasons(row), _record(fields, row)) for row in bad.tolist()
        ]  # fmt: skip
        rows = kept & good
        lines = pa.RecordBatch.from_arrays(list(fields.values()), names=list(fields))
        if not rows.all():
            lines = lines.filter(pa.array(rows))
        return Shaped(lines, positions[rows], [*batch.rejected, *rejected], zoneless)

    def _joined(self, columns: list[pa.Array]) -> pa.Array:
        """Columns as one, in which texts are joined by a space."""
        if len(columns) == 1:
            column = columns[0]
            return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        texts = [_text(column) for column in columns]
        first, *rest = [pc.utf8_trim_whitespace(column) for column in texts]
        if pa.types.is_temporal(columns[0].type) or _has_midnights(first):
            first = pc.replace_substring_regex(first, r"[T ]00:00(?::00(?:\.0+)?)?$", "")
        return pc.binary_join_element_wise(first, *[column.fill_null("") for column in rest], " ")

    def _divided(self, fields: dict[str, pa.Array], positions: Whole) -> tuple[dict[str, pa.Array], Whole]:
        """A row for each order line in a cell; a cell in which there is none keeps its row."""
        assert self._items is not None  # noqa: S101  for the type checker
        quantified = "quantity" in self._items.groupindex
        rows: list[int] = []
        items: list[str | None] = []
        quantities: list[str | None] = []
        for row, cell in enumerate(_text(fields["item_id"]).to_pylist()):
            found: list[re.Match[str] | None] = [*self._items.finditer(cell or "")] or [None]
            rows += [row] * len(found)
            items += [None if match is None else match["item"] for match in found]
            quantities += [match["quantity"] if match is not None and quantified else None for match in found]
        places = pa.array(rows, pa.int64())
        divided = {field: column.take(places) for field, column in fields.items()}
        divided["item_id"] = pa.array(items, pa.string())
        if quantified:
            divided["quantity"] = pa.array(quantities, pa.string())
        return divided, positions[np.array(rows, np.int64)]

    def _id_of(self, field: str) -> Callable[[str], str | None]:
        numbers = field in self._format.number_columns

        def read(text: str) -> str | None:
            text = text.strip()
            if text.lower() in self._missing:
                return None
            if numbers and (whole := _WHOLE_FLOAT.fullmatch(text)):
                return whole[1]
            return text

        return read

    def _kind(self, text: str) -> str | None:
        lower = text.strip().lower()
        if lower in self._missing:
            return _SKIPPED if self._format.purchases else None
        if lower in self._purchases:
            return "purchase"
        if lower in self._returns:
            return "return"
        return _SKIPPED if self._format.purchases else text

    def _quantity(self, text: str) -> str | None:
        text = text.strip()
        if text.lower() in self._missing:
            return None
        for unit in self._format.quantity_units:
            if text.lower().endswith(unit.lower()):
                text = text[: len(text) - len(unit)].strip()
                break
        if self._format.decimal_mark == ",":
            text = text.replace(".", "").replace(",", ".")
        return text

    @staticmethod
    def _turn_returns(fields: dict[str, pa.Array], count: int) -> None:
        """Make lines with a negative quantity returns."""
        quantity = fields["quantity"]
        if pa.types.is_integer(quantity.type) or pa.types.is_floating(quantity.type):
            negative = pc.less(quantity, 0).fill_null(False)
            fields["quantity"] = pc.if_else(negative, pc.negate(quantity), quantity)
        else:
            negative = pc.starts_with(_text(quantity), "-").fill_null(False)
            fields["quantity"] = _mapped(quantity, lambda text: text.removeprefix("-"))
        kinds = _text(fields["type"]) if "type" in fields else pa.nulls(count, pa.string())
        fields["type"] = pc.if_else(negative, "return", kinds)

    def _filled_down(self, field: str, fields: dict[str, pa.Array]) -> pa.Array:
        """A field with the value of the line above where it is missing, within an order."""
        column = _text(fields[field])
        column = _mapped(column, lambda text: None if text.strip().lower() in self._missing else text)
        there = present(column)
        same_order = np.ones(len(column), bool)
        if field != "order_id" and "order_id" in fields and "order_id" not in self._format.fill_down:
            orders = _text(fields["order_id"]).to_pylist()
            above = [self._above.get("order_id"), *orders[:-1]]
            same_order = np.array([order == before for order, before in zip(orders, above, strict=True)], bool)
            self._above[f"order_id of {field}"] = orders[-1] if orders else above[0]
        values: list[str | None] = []
        last = self._above.get(field)
        for value, known, same in zip(column.to_pylist(), there.tolist(), same_order.tolist(), strict=True):
            last = value if known or not same else last
            values.append(last)
        self._above[field] = last
        return pa.array(values, pa.string())

    def _times(self, fields: dict[str, pa.Array]) -> tuple[Mask, Callable[[int], str], bool]:
        """Replace texts by times: which rows have one, why a row has none, and whether any names no zone."""
        column = fields["timestamp"]
        everything = np.ones(len(column), bool)
        notation, timezone = self._format.timestamp_format, self._format.timezone
        if pa.types.is_temporal(column.type):
            if timezone != "UTC" and getattr(column.type, "tz", None) is None:
                stamps = column.cast(pa.timestamp("ms"), safe=False)
                fields["timestamp"] = pc.assume_timezone(stamps, timezone, ambiguous="earliest", nonexistent="latest")
            return everything, lambda _: "", False
        if notation == "iso" and (timezone == "UTC" or not pa.types.is_binary(plain(column).type)):
            fields["timestamp"] = _mapped(column, str.strip)
            return everything, lambda _: "", False
        texts = _text(column)
        if notation == "iso":
            return self._iso_in_zone(fields, texts)
        times = read_times(texts, notation, timezone, self._format.start)
        missing = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(texts)), value_set=pa.array(sorted(self._missing)))
        absent = ~present(column) | missing.fill_null(False).to_numpy(zero_copy_only=False)
        stamps = pa.array(times.time, pa.timestamp("ms", "UTC"), mask=~times.readable)
        fields["timestamp"] = stamps

        def reason(row: int) -> str:
            return f"timestamp '{texts[row].as_py()}' is no time as {notation}"

        return times.readable | absent, reason, bool((times.readable & ~times.zoned).any())

    def _iso_in_zone(self, fields: dict[str, pa.Array], texts: pa.Array) -> tuple[Mask, Callable[[int], str], bool]:
        """ISO 8601 times without zone are local; the rest is left as it is."""
        times = read_times(texts, "year-first", self._format.timezone)
        local = times.readable & ~times.zoned
        written = pa.array(times.time, pa.timestamp("ms", "UTC")).cast(pa.string())
        fields["timestamp"] = pc.if_else(pa.array(local), written, texts)
        return np.ones(len(texts), bool), lambda _: "", False


def _beneath(names: Sequence[str]) -> list[str]:
    """Names without the marks of nesting that a flat record does not need; none for now."""
    del names
    return []


def _text(column: pa.Array) -> pa.Array:
    """A column as text; bytes that are not UTF-8 spelt out."""
    if pa.types.is_string(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_binary(column.type) and not pa.types.is_large_binary(column.type):
        return column.cast(pa.string())
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        values = column.to_pylist()
        return pa.array([None if v is None else v.decode("utf-8", "backslashreplace") for v in values], pa.string())


def _mapped(column: pa.Array, change: Callable[[str], str | None]) -> pa.Array:
    """A column of text with each distinct text changed; numbers and texts that are not UTF-8 stay as they are."""
    kind = column.type
    if not any(
        test(kind) for test in (pa.types.is_string, pa.types.is_binary, pa.types.is_large_string, pa.types.is_null)
    ):
        return column
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    encoded = column.dictionary_encode()
    changed: list[bytes | None] = []
    for value in encoded.dictionary.cast(pa.binary()).to_pylist():
        try:
            text = change(value.decode())
        except UnicodeDecodeError:
            changed.append(value)
        else:
            changed.append(None if text is None else text.encode())
    return pa.array(changed, pa.binary()).take(encoded.indices)


def _equal(column: pa.Array, text: str) -> Mask:
    found: Mask = pc.equal(column.cast(pa.binary()), text.encode()).fill_null(False).to_numpy(zero_copy_only=False)
    return found


def _guests(customers: pa.Array, orders: pa.Array) -> pa.Array:
    """Customers, with one of its own for each order that names none."""
    names = pc.binary_join_element_wise(GUEST, _text(orders), "")
    return pc.coalesce(_text(customers), names)


def _has_midnights(column: pa.Array) -> bool:
    """Whether days are written as times at midnight, as spreadsheets give them."""
    matched = pc.match_substring_regex(column, r"[T ]00:00(:00)?(\.0+)?$")
    return bool(len(column)) and bool(pc.all(matched.fill_null(True)).as_py())


def _record(fields: dict[str, pa.Array], row: int) -> str:
    import msgspec  # noqa: PLC0415

    values = {name: column[row].as_py() for name, column in fields.items()}
    known = {
        name: value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for name, value in values.items()
        if value is not None and name in FIELDS
    }
    return msgspec.json.encode(known, enc_hook=str).decode()
