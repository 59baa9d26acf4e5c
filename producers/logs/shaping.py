"""A log's columns as the fields of order lines: joined, divided and filled down as its format says.

What the values mean is the business of a `FieldReader`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producers.arrays import is_number, plain
from producers.log_format import MISSING_TEXTS
from producers.logs.columns import find_columns
from producers.logs.years import Years

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.arrays import Whole
    from producers.log_format import LogFormat
    from producers.logs.tables.table import TableBatch

MIDNIGHT = r"[T ]00:00(?::00(?:\.0+)?)?$"
"""Behind a day that a spreadsheet gives as a time."""


class Shaper:
    """Shapes the rows of one log, in order.

    Args:
        log: the log's name, for messages.
        names: its columns or paths.
        log_format: how it is read.

    Attributes:
        columns: those that are read.

    Raises:
        LogError: a column is missing.
    """

    def __init__(self, log: str, names: Sequence[str], log_format: LogFormat) -> None:
        self._format = log_format
        wanted = {field: paths for field, paths in log_format.columns.items() if any(paths)}
        firsts = {field: paths[0] for field, paths in wanted.items()}
        found = find_columns(log, names, firsts)
        if not log_format.typed and "type" not in wanted:
            found.pop("type", None)
        self._fields = {field: wanted.get(field, (first,)) for field, first in found.items()}
        for field, paths in wanted.items():
            for path in paths[1:]:
                find_columns(log, names, {**firsts, field: path})
        self.columns = list(dict.fromkeys(path for paths in self._fields.values() for path in paths))
        self._missing = MISSING_TEXTS | {text.strip().lower() for text in log_format.missing}
        self._above: dict[str, str | None] = {}
        self._order_above: dict[str, str | None] = {}
        self._years = (
            Years(log_format.timestamp_format, log_format.start)
            if log_format.years_missing and log_format.start is not None
            else None
        )
        self._items = re.compile(log_format.item_pattern) if log_format.item_pattern else None

    @property
    def nested(self) -> bool:
        """Whether cells hold several lines."""
        return self._items is not None

    def shape(self, batch: TableBatch) -> tuple[dict[str, pa.Array], Whole]:
        """The rows of a batch by field, and where each stands; batches come in the order of the log."""
        fields = {field: joined([batch.columns[path] for path in paths]) for field, paths in self._fields.items()}
        positions = batch.positions
        if self._items is not None:
            fields, positions = self._divided(self._items, fields, positions)
        for field in sorted(self._format.fill_down, key=lambda field: field != "order_id"):
            if field in fields:
                fields[field] = self._filled_down(field, fields)
        if self._years is not None and not pa.types.is_temporal(fields["timestamp"].type):
            fields["timestamp"] = self._years.complete(as_text(fields["timestamp"]))
        if "quantity" in fields and self._format.decimal_mark == "," and not is_number(fields["quantity"].type):
            # whole numbers are read at once, others one by one
            fields["quantity"] = pc.replace_substring_regex(as_text(fields["quantity"]), r"^\s*(-?\d+),0+\s*$", r"\1")
        return {field: plain(column) for field, column in fields.items()}, positions

    @staticmethod
    def _divided(
        items: re.Pattern[str], fields: dict[str, pa.Array], positions: Whole
    ) -> tuple[dict[str, pa.Array], Whole]:
        """A row for each order line in a cell; a cell in which there is none keeps its row."""
        item, quantity = items.groupindex["item"], items.groupindex.get("quantity")
        names: list[str | None] = []
        quantities: list[str | None] = []
        sizes: list[int] = []
        for cell in as_text(fields["item_id"]).to_pylist():
            before = len(names)
            for match in items.finditer(cell or ""):
                names.append(match[item])
                quantities.append(match[quantity] if quantity else None)
            if len(names) == before:
                names.append(None)
                quantities.append(None)
            sizes.append(len(names) - before)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        places = pa.array(rows)
        divided = {name: column if name == "item_id" else column.take(places) for name, column in fields.items()}
        divided["item_id"] = pa.array(names, pa.string())
        if quantity:
            divided["quantity"] = pa.array(quantities, pa.string())
        return divided, positions[rows]

    def _filled_down(self, field: str, fields: dict[str, pa.Array]) -> pa.Array:
        """A field with the value of the line above where it is missing, within an order if the log names orders."""
        cells = as_text(fields[field]).to_pylist()
        orders: list[str | None] = [None] * len(cells)
        if field != "order_id" and "order_id" in fields:
            orders = as_text(fields["order_id"]).to_pylist()
        above, order_above = self._above.get(field), self._order_above.get(field)
        filled: list[str | None] = []
        for cell, order in zip(cells, orders, strict=True):
            if cell is not None and cell.strip().lower() not in self._missing:
                above = cell
            elif order != order_above:
                above = None
            order_above = order
            filled.append(above)
        self._above[field], self._order_above[field] = above, order_above
        return pa.array(filled, pa.string())


def joined(columns: Sequence[pa.Array]) -> pa.Array:
    """Columns as one, in which texts are joined by a space, and the midnight of a day is left out.

    >>> joined([pa.array(["2023-01-05T00:00:00"]), pa.array(["10:11"])]).to_pylist()
    ['2023-01-05 10:11']
    """
    if len(columns) == 1:
        column = columns[0]
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    first, *rest = (pc.utf8_trim_whitespace(as_text(column)) for column in columns)
    days = pc.replace_substring_regex(first, MIDNIGHT, "")
    return pc.binary_join_element_wise(days, *(column.fill_null("") for column in rest), " ")


def as_text(column: pa.Array) -> pa.Array:
    """A column as text; bytes that are not UTF-8 are spelt out."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        cells = column.cast(pa.binary()).to_pylist()
        return pa.array([None if cell is None else cell.decode("utf-8", "backslashreplace") for cell in cells])
