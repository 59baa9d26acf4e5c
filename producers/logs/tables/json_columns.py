"""JSON lines as columns, read by Arrow: a quick way to lines that are all objects without surprises.

Arrow refuses a field whose values are of several types, a key that comes twice, and what is not JSON. Where it takes
more than a decoder does, it is not asked.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pa_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LINES_TO_KNOW_TYPES = 100
LARGEST_EXACT_FLOAT = 2.0**53
LONG_LINE_BYTES, MOST_BRACKETS = 1000, 500  # a line with more of them may nest deeper than a decoder goes
_NEWLINE, _RETURN, _OPEN, _CLOSE, _LIST = b"\n\r{}["
_ODD_CONSTANT = re.compile(rb"(?<=[\s:,\[-])Inf(?=[\s,}\]])|-NaN")  # Python writes NaN, Infinity and -Infinity alone

Tree: TypeAlias = "dict[str, Tree]"
"""Keys, each with those below it; "[]" stands for the elements of a list, a key with none below it for a scalar."""


def json_columns(lines: bytes, paths: Iterable[Sequence[str]]) -> pa.RecordBatch | None:
    r"""The fields of JSON objects, one a line; None if a line is anything else, or a field no plain scalar.

    Args:
        lines: in UTF-8; the newline of the last one may be missing.
        paths: the keys of each field, one below the other; "[]" is an element of a list.

    Returns:
        n rows with the columns that the paths begin with. Scalars are text, whole numbers, or floats if any is a
        float, all below 2^53 or NaN; null where a key is missing.

    >>> batch = json_columns(b'{"a": "x", "b": [{"c": 1}]}\n{"d": NaN}\n', [["a"], ["b", "[]", "c"]])
    >>> batch.to_pylist()
    [{'a': 'x', 'b': [{'c': 1}]}, {'a': None, 'b': None}]
    >>> json_columns(b'{"a": "x"}\n{"a": 7}\n', [["a"]])
    """
    tree = _tree(paths)
    count = _count_objects(lines)
    odd = (b"Inf" in lines or b"-NaN" in lines) and _ODD_CONSTANT.search(lines)
    if not tree or not count or odd:
        return None
    try:
        lines.decode()
        sample = [json.loads(line) for line in lines.split(b"\n", LINES_TO_KNOW_TYPES)[:LINES_TO_KNOW_TYPES] if line]
        table = pa_json.read_json(
            pa.BufferReader(lines),
            pa_json.ReadOptions(use_threads=False, block_size=len(lines) + 1),
            pa_json.ParseOptions(explicit_schema=pa.schema(_struct(sample, tree)), unexpected_field_behavior="ignore"),
        )
    except (ValueError, TypeError, RecursionError, pa.ArrowException):
        return None
    batch = table.combine_chunks().to_batches()[0]
    return batch if len(batch) == count and all(map(_is_exact, batch.columns)) else None


def _tree(paths: Iterable[Sequence[str]]) -> Tree | None:
    """The keys of all paths; None if a path goes on below the end of another, or there is none."""
    tree: Tree = {}
    ends = []
    for path in paths:
        inner = tree
        for key in path:
            inner = inner.setdefault(key, {})
        ends.append(inner)
    return tree if not any(ends) and "[]" not in tree else None


def _count_objects(lines: bytes) -> int:
    """How many lines there are; 0 unless each begins and ends as an object does, and none may nest too deeply.

    So if Arrow finds as many objects, each line is one: no object goes on from one such line into the next.
    """
    content = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(content == _NEWLINE)
    if not lines.endswith(b"\n"):
        ends = np.append(ends, len(lines))
    begins = np.append(0, ends[:-1] + 1)
    if not len(lines) or not (content[begins] == _OPEN).all():
        return 0
    last = ends - 1
    last -= content[last] == _RETURN
    if not (content[last] == _CLOSE).all():
        return 0
    if (ends - begins).max() > LONG_LINE_BYTES:
        brackets = np.add.reduceat((content == _OPEN) | (content == _LIST), begins, dtype=np.int64)
        if brackets.max() > MOST_BRACKETS:
            return 0
    return len(ends)


def _struct(values: Sequence[Any], tree: Tree) -> list[pa.Field]:
    objects = [value for value in values if isinstance(value, dict)]
    return [pa.field(key, _type([value.get(key) for value in objects], below)) for key, below in tree.items()]


def _type(values: Sequence[Any], tree: Tree) -> pa.DataType:
    """The type of what stands below some keys, by a sample of it.

    Raises:
        TypeError: scalars are of several types, or of one that is no text or number.
    """
    if not tree:
        kinds = frozenset(map(type, values)) - {type(None)}
        scalars = {
            frozenset[type](): pa.string(),
            frozenset({str}): pa.string(),
            frozenset({int}): pa.int64(),
            frozenset({float}): pa.float64(),
            frozenset({int, float}): pa.float64(),
        }
        if kinds not in scalars:
            raise TypeError
        return scalars[kinds]
    if "[]" in tree:
        elements = [element for value in values if isinstance(value, list) for element in value]
        return pa.list_(_type(elements, tree["[]"]))
    return pa.struct(_struct(values, tree))


def _is_exact(column: pa.Array) -> bool:
    """Whether a whole number among floats, if any, is exact as a float."""
    if pa.types.is_struct(column.type):
        return all(map(_is_exact, column.flatten()))
    if pa.types.is_list(column.type):
        return _is_exact(column.flatten())
    if not pa.types.is_floating(column.type):
        return True
    return not pc.any(pc.greater_equal(pc.abs(column), LARGEST_EXACT_FLOAT)).as_py()
