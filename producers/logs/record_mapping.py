"""JSON records whose fields have other names and places, rewritten as orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producers.errors import LogError
from producers.logs.columns import FIELDS
from producers.logs.tables.records import Paths, decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OF_LINES = ("item_id", "quantity")
_LIST = "[]"


class RecordMapping:
    """Rewrites records as orders. Fields that are not named are where orders have them.

    Args:
        columns: field -> path of those that are called or stand otherwise; with "[]" into the list of an order's lines.

    Raises:
        LogError: an order has several of a field, or its lines stand in several lists.

    >>> mapping = RecordMapping({"customer_id": "buyer.id", "item_id": "cart[].sku", "timestamp": "at"})
    >>> mapping.orders([b'{"buyer": {"id": 7}, "at": "2024-02-17", "cart": [{"sku": "tea", "quantity": 2}]}', b"no"])
    [b'{"customer_id":"7","timestamp":"2024-02-17","lines":[{"item_id":"tea","quantity":"2"}]}', b'no']
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._head = {field: columns.get(field, field) for field in FIELDS if field not in _OF_LINES}
        several = [f"{field}={path}" for field, path in self._head.items() if _LIST in path]
        if several:
            raise LogError(f"--columns: {', '.join(several)} goes into a list, and an order has one of it")
        self._head_paths = Paths(list(self._head.values()))
        self._line_paths = None
        if not columns.keys().isdisjoint(_OF_LINES):
            item = columns.get("item_id", "lines[].item_id")
            before, in_list, _ = item.rpartition(_LIST)
            quantity = f"{before}{in_list}{'.' if in_list else ''}quantity"
            self._line_paths = Paths([item, columns.get("quantity", quantity)])

    def orders(self, records: Sequence[bytes]) -> list[bytes]:
        """The records as orders in JSON; one that is no JSON object as it is, which is no order then."""
        values = [decode(record).value for record in records]
        orders: list[dict[str, Any]] = [{} for _ in values]
        for field, column in zip(self._head, self._head_paths.rows(values).columns, strict=True):
            _put(orders, field, column.to_pylist())
        if self._line_paths is None:
            for order, value in zip(orders, values, strict=True):
                if isinstance(value, dict):
                    order |= {name: value[name] for name in ("lines", *_OF_LINES) if name in value}
        else:
            self._add_lines(self._line_paths, orders, values)
        return [
            msgspec.json.encode(order) if isinstance(value, dict) else record
            for record, value, order in zip(records, values, orders, strict=True)
        ]

    @staticmethod
    def _add_lines(paths: Paths, orders: Sequence[dict[str, Any]], values: Sequence[object]) -> None:
        rows = paths.rows(values)
        lines: list[dict[str, Any]] = [{} for _ in range(len(rows.columns[0]))]
        for field, column in zip(_OF_LINES, rows.columns, strict=True):
            _put(lines, field, column.to_pylist())
        owners: Sequence[int] = range(len(orders))
        for parents in rows.parents:
            owners = [owners[parent] for parent in parents.tolist()]
        for owner, line in zip(owners, lines, strict=True):
            if line or rows.parents:  # an order without a list of lines that erases its customer has none
                orders[owner].setdefault("lines", []).append(line)


def _put(into: Sequence[dict[str, Any]], field: str, cells: Sequence[bytes | None]) -> None:
    for document, cell in zip(into, cells, strict=True):
        if cell is not None:
            document[field] = cell.decode("utf-8", "replace")
