"""Parquet, Arrow and ORC files as tables, with rows for the elements of a nested list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq

from producers.arrays import present
from producers.errors import LogError
from producers.logs.plain_parquet import group_batches, open_checked
from producers.logs.tables.table import BATCH_ROWS, TableBatch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Whole
    from producers.log_format import LogFormat


class ArrowTable:
    """Parquet, Arrow (Feather) and ORC, perhaps with lists of structs or of text."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._read = 0
        self.rows_total: int | None = None
        match log_format.container:
            case "parquet":
                with pq.ParquetFile(path) as file:
                    self.rows_total, schema = file.metadata.num_rows, file.schema_arrow
            case "orc":
                file = pa_orc.ORCFile(path)
                self.rows_total, schema = file.nrows, file.schema
            case _:
                with pa.OSFile(str(path)) as raw, _arrow_reader(raw) as file:
                    schema = file.schema
        self.schema = schema
        self.names = [name for field in schema for name in _paths(field.name, field.type)]

    @property
    def fraction(self) -> float:
        """Of its rows; unknown, 0, for streams."""
        return min(1.0, self._read / self.rows_total) if self.rows_total else 0.0

    def place(self, position: int) -> str:
        """The row, from 0 as data frames count."""
        return f"row {position:,}"

    def is_time(self, path: str) -> bool:
        """Whether a column holds times by its type."""
        return path in self.schema.names and pa.types.is_temporal(self.schema.field(path).type)

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        self._read, end = 0, 0
        try:
            for batch in self._read_batches(sorted({_root(column) for column in columns})):
                arrays, parents, count = exploded(batch, columns)
                self._read += len(batch)
                rows = np.arange(count) if parents is None else parents
                yield TableBatch(arrays, rows + end, parents is not None, [], end + count)
                end += count
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise LogError(
                f"{self._path} is damaged or cut short at {self.place(end)} ({error}): "
                "fetch it again and go on; what was read before the damage stays counted"
            ) from None

    def _read_batches(self, roots: list[str]) -> Iterator[pa.RecordBatch]:
        match self._format.container:
            case "parquet":
                with open_checked(self._path) as file:
                    for group in range(file.num_row_groups):
                        yield from group_batches(file, group, roots)
            case "orc":
                file = pa_orc.ORCFile(self._path)
                for stripe in range(file.nstripes):
                    yield from _sliced(file.read_stripe(stripe, columns=roots))
            case _:
                with pa.OSFile(str(self._path)) as raw, _arrow_reader(raw) as file:
                    for batch in _record_batches(file):
                        _check(batch)
                        yield from _sliced(batch.select(roots))


def _arrow_reader(raw: pa.NativeFile) -> Any:  # noqa: ANN401
    if raw.read(6) == b"ARROW1":
        raw.seek(0)
        return pa.ipc.open_file(raw)
    raw.seek(0)
    return pa.ipc.open_stream(raw)


def _record_batches(reader: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401
    if hasattr(reader, "num_record_batches"):
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
    else:
        yield from reader


def _check(batch: pa.RecordBatch) -> None:
    """Check a batch of an Arrow file, which has no checksums: damage may point beyond the memory of a column.

    Raises:
        ArrowInvalid: it is damaged.
    """
    for column in batch.columns:
        # text that is not UTF-8 costs its line, not the file
        bare = {pa.string(): pa.binary(), pa.large_string(): pa.large_binary()}.get(column.type)
        (column if bare is None else column.view(bare)).validate(full=True)


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(batch), BATCH_ROWS):
        yield batch.slice(first, BATCH_ROWS)


def _root(path: str) -> str:
    return path.split(".", maxsplit=1)[0].split("[]", maxsplit=1)[0]


def _paths(name: str, kind: pa.DataType) -> list[str]:
    """The paths of the scalars in a column."""
    if pa.types.is_struct(kind):
        return [path for field in kind for path in _paths(f"{name}.{field.name}", field.type)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _paths(f"{name}[]", kind.value_type)
    return [name]


def exploded(batch: pa.RecordBatch, columns: Sequence[str]) -> tuple[dict[str, pa.Array], Whole | None, int]:
    """The columns with a row for each element of the innermost list.

    Returns:
        the columns; the number of the element (or row of the batch) whose list each row is from, None if there is no
        list; and how many such elements there are.
    """
    names = batch.schema.names
    if all(column in names for column in columns):  # a name may hold a dot
        return {column: _plain(batch.column(column)) for column in columns}, None, len(batch)
    parents, count = None, len(batch)
    prefix = max((column.rpartition("[]")[0] for column in columns), key=len)
    levels: dict[str, tuple[Any, Whole]] = {"": (None, np.arange(len(batch)))}
    depth = ""
    for piece in prefix.split("[]") if prefix else []:
        path = f"{depth}{piece}"
        lists, rows = _at(batch, levels, path)
        count = len(rows)
        parents = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
        below = (pc.list_flatten(lists), rows[parents])
        levels = {
            name: (None if values is None else values.take(pa.array(parents)), rows_[parents])
            for name, (values, rows_) in levels.items()
        }
        depth = f"{path}[]"
        levels[depth] = below
    arrays = {}
    for column in columns:
        head = column.rpartition("[]")[0]
        if head and f"{head}[]" not in levels:
            raise LogError(f"the paths {', '.join(columns)} go into different lists; one list holds an order's lines")
        values, rows = _at(batch, levels, column)
        arrays[column] = _plain(values)
    return arrays, parents, count


def _at(batch: pa.RecordBatch, levels: dict[str, tuple[Any, Whole]], path: str) -> tuple[Any, Whole]:
    """The values at a path, below the deepest list that it goes into, and the rows of the batch they are from."""
    head = max((name for name in levels if path.startswith(name)), key=len)
    values, rows = levels[head]
    keys = [key for key in path[len(head) :].split(".") if key]
    if values is None:
        values = batch.column(keys[0]).take(pa.array(rows))
        keys = keys[1:]
    for key in keys:
        values = pc.struct_field(values, key)
    return values, rows


def _plain(column: pa.Array) -> pa.Array:
    """UUIDs in 16 bytes as their text; dictionaries and other arrays as they are."""
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        return _uuids(column)
    if str(column.type) == "extension<arrow.uuid>":
        return _plain(column.storage)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return column


_HEX = np.array([list(f"{byte:02x}".encode()) for byte in range(256)], np.uint8)
_DIGITS = np.flatnonzero(np.isin(np.arange(36), [8, 13, 18, 23], invert=True))
"""Where the digits of a UUID stand among its dashes."""


def _uuids(column: pa.Array) -> pa.Array:
    """UUIDs in 16 bytes as their text.

    >>> _uuids(pa.array([bytes(range(16)), None], pa.binary(16))).to_pylist()
    ['00010203-0405-0607-0809-0a0b0c0d0e0f', None]
    """
    there = column.drop_null()
    first, count = 16 * there.offset, len(there)
    content = np.frombuffer(there.buffers()[1] or b"", np.uint8)[first : first + 16 * count].reshape(count, 16)
    texts = np.full((count, 36), ord("-"), np.uint8)
    texts[:, _DIGITS] = _HEX[content].reshape(count, 32)
    ends = pa.py_buffer(np.arange(0, 36 * count + 1, 36, dtype=np.int32))
    found = pa.Array.from_buffers(pa.string(), count, [None, ends, pa.py_buffer(texts)])
    if not column.null_count:
        return found
    missing = ~present(column)
    return found.take(pa.array(np.cumsum(~missing) - 1, mask=missing))
