"""Nested records, from JSON or Avro, as rows: one for each element of the list that holds a record's order lines."""

from __future__ import annotations

import json
import math
import uuid
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from producers.errors import LogError
from producers.logs.tables.table import utf8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from producers.arrays import Whole


FIRST = "[0]"
"""In a path, the first element of a list."""


class Rows(NamedTuple):
    """Rows of records."""

    columns: list[pa.Array]
    """(n,) each: text as bytes."""
    parents: list[Whole]
    """For each list on the way, the outermost first: the element or record that each of its elements is in."""


class Paths:
    """Dotted paths into records, of which those with "[]" go into one list, or lists within its elements.

    Args:
        paths: such as customer.id, lines[].sku, tags[], contexts[0].id.

    Raises:
        LogError: they go into two lists beside each other.

    >>> rows = Paths(["who", "lines[].sku"]).rows([{"who": {"$oid": "a1"}, "lines": [{"sku": 7}, {"sku": 8.0}]}])
    >>> [column.to_pylist() for column in rows.columns], [parents.tolist() for parents in rows.parents]
    ([[b'a1', b'a1'], [b'7', b'8']], [[0, 0]])
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._lists = max(([*map(keys_of, path.split("[]")[:-1])] for path in paths), key=len, default=[])
        self._columns: list[tuple[int, list[str]]] = []
        self.keys: list[list[str]] = []
        """Those of each path, one below the other, with "[]" for the elements of a list."""
        for path in paths:
            *before, last = path.split("[]")
            keys = [*map(keys_of, before)]
            if keys != self._lists[: len(keys)]:
                raise LogError(f"the paths {', '.join(paths)} go into different lists; one list holds an order's lines")
            self._columns.append((len(keys), keys_of(last)))
            self.keys.append([key for piece in keys for key in (*piece, "[]")] + self._columns[-1][1])

    @property
    def depth(self) -> int:
        """Lists within lists that the paths go into."""
        return len(self._lists)

    def rows(self, records: Sequence[object]) -> Rows:
        """The rows of some records; none of a record whose list is empty or missing."""
        elements: list[Any] = list(records)
        levels = [elements]
        parents: list[Whole] = []
        for keys in self._lists:
            inner = [found if type(found) is list else () for found in _dug(elements, keys)]
            parents.append(np.repeat(np.arange(len(elements)), [*map(len, inner)]))
            elements = [element for found in inner for element in found]
            levels.append(elements)
        columns = []
        for level, keys in self._columns:
            column = as_column(_dug(levels[level], keys))
            for rows_of in parents[level:]:
                column = column.take(pa.array(rows_of))
            columns.append(column)
        return Rows(columns, parents)


def keys_of(path: str) -> list[str]:
    """The keys of a path that goes into no list, or to the first element of one.

    >>> keys_of("customer.id"), keys_of("contexts[0].id")
    (['customer', 'id'], ['contexts', '[0]', 'id'])
    """
    return [key for key in path.replace(FIRST, f".{FIRST}").split(".") if key]


def dug(value: Any, keys: Sequence[str]) -> Any:  # noqa: ANN401
    """What stands below some keys of one record; None where nothing is.

    >>> dug({"contexts": [{"id": 7}]}, keys_of("contexts[0].id"))
    7
    """
    for key in keys:
        if type(value) is dict:
            value = value.get(key)
        elif key == FIRST and type(value) is list and value:
            value = value[0]
        else:
            return None
    return value


def _dug(records: list[Any], keys: Sequence[str]) -> list[Any]:
    """What stands below some keys, one within the other; None where nothing is."""
    for key in keys:
        if key == FIRST:
            records = [record[0] if type(record) is list and record else None for record in records]
        else:
            records = [record.get(key) if type(record) is dict else None for record in records]
    return records


def unwrapped(value: Any) -> Any:  # noqa: ANN401
    """The value in MongoDB's wrappings.

    >>> unwrapped({"$date": {"$numberLong": "1672913472000"}}), unwrapped({"$numberLong": "7"}), unwrapped({"a": 1})
    ('1672913472000', '7', {'a': 1})
    """
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        value = next(iter(value.values()))
    return value


def wrapping_path(name: str, value: Any) -> str | None:  # noqa: ANN401
    """The path to a field's value in MongoDB's wrapping; None if it is not wrapped.

    >>> wrapping_path("at", {"$date": "2023-01-05T10:11:12Z"}), wrapping_path("at", {"day": 5})
    ('at.$date', None)
    """
    return f"{name}.{next(iter(value))}" if unwrapped(value) is not value else None


def as_cell(value: Any) -> str | None:  # noqa: ANN401, PLR0911  one for each type
    """A value as the text that a CSV file would hold; None for nothing, and for what is no scalar.

    >>> as_cell(7.0), as_cell(True), as_cell(float("nan")), as_cell(datetime(2023, 1, 5, 10)), as_cell([1])
    ('7', 'true', None, '2023-01-05T10:00:00', None)
    """
    if isinstance(value, str):
        return value
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return str(uuid.UUID(bytes=value)) if len(value) == 16 else value.decode("utf-8", "replace")
    if isinstance(value, dict) and len(value) == 1:
        return as_cell(inner) if (inner := unwrapped(value)) is not value else None
    return None


def as_column(values: Sequence[Any]) -> pa.Array:
    """Values as `as_cell` has them, as bytes of UTF-8."""
    kinds = set(map(type, values)) - {type(None)}
    try:
        if kinds == {int}:
            return pa.array(values, pa.int64()).cast(pa.string()).cast(pa.binary())
        cells = values if kinds <= {str} else [*map(as_cell, values)]
        return pa.array(cells, pa.string()).cast(pa.binary())
    except (OverflowError, pa.ArrowInvalid):  # numbers of more than 64 bits
        return pa.array([None if value is None else str(value) for value in values]).cast(pa.binary())
    except UnicodeEncodeError:  # halves of surrogate pairs, which JSON may hold and UTF-8 does not
        return pa.array([None if cell is None else utf8(cell) for cell in map(as_cell, values)], pa.binary())


class Document(NamedTuple):
    """A JSON document of a file."""

    value: Any
    fault: str
    """Why the text is not a document; "" if it is."""
    text: str
    """As in the file, if it is not a document."""


def decode(line: bytes) -> Document:
    """A JSON document; NaN and infinities are nothing, as Python writes them though JSON knows none."""
    try:
        return Document(msgspec.json.decode(line), "", "")
    except (ValueError, RecursionError) as error:
        fault = f"not JSON: {error}"
    try:
        return Document(json.loads(line, parse_constant=lambda _: None), "", "")
    except (ValueError, RecursionError):
        return Document(None, fault, line.decode("utf-8", "backslashreplace"))


def leaves(record: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """The paths of a record's scalars with their values; of a list, of all its elements.

    >>> list(leaves({"who": "ann", "lines": [{"sku": 1}, {"sku": 2}], "tags": ["a"]}))
    [('who', 'ann'), ('lines[].sku', 1), ('lines[].sku', 2), ('tags[]', 'a')]
    """
    value = unwrapped(record)
    if isinstance(value, dict) and depth < 8:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{prefix}[]", depth + 1)
    else:
        yield prefix, value
