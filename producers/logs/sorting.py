"""A log in order of time, in bounded memory: its rows divided among files by time, each sorted by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from producers.arrays import texts
from producers.errors import LogError
from producers.fields import FieldReader
from producers.log_format import LogFormat, with_settings
from producers.logs.plain_json import RECORD
from producers.logs.reading import open_format
from producers.logs.tables.records import as_cell, decode

if TYPE_CHECKING:
    from pathlib import Path

    from producers.arrays import Whole
    from producers.logs.chunks import Content, Format

ROWS_AT_ONCE = 1_000_000
_SAMPLED = 64
_KEYS = ("order_id", "customer_id", "item_id", "type", "quantity", "timestamp", RECORD)
_LAST = np.iinfo(np.int64).max
"""In place of a time that is not there."""


def sort_log(path: Path, log_format: LogFormat, directory: Path) -> tuple[Path, LogFormat]:
    """Write the rows of a log by time; ties by order, customer and item, so that every order of a file gives the same.

    Rows without a time, and lines that are no rows, come last.

    Args:
        path: the file.
        log_format: how it is read.
        directory: where to write.

    Returns:
        The sorted file, and how it is read.

    Raises:
        LogError: the log cannot be read, or is damaged.
    """
    log = open_format(path, log_format)
    reader = FieldReader(log_format)
    sampled = [_times(log, content, reader)[::_SAMPLED] for content in log.contents()]
    times = np.sort(np.concatenate(sampled)) if sampled else np.zeros(0, np.int64)
    parts = max(1, len(times) * _SAMPLED // ROWS_AT_ONCE)
    bounds = np.unique([times[len(times) * part // parts] for part in range(1, parts)])
    writers: dict[int, pa.RecordBatchFileWriter] = {}
    try:
        for content in log.contents():
            table = _table(content, _times(log, content, reader), log_format)
            part_of = np.searchsorted(bounds, table.column("time").to_numpy(), "right")
            for part in np.unique(part_of).tolist():
                rows = table.filter(pa.array(part_of == part))
                if part not in writers:
                    writers[part] = pa.ipc.new_file(str(directory / f"{part}.arrow"), rows.schema)
                writers[part].write_table(rows)
    finally:
        for writer in writers.values():
            writer.close()
    if not writers:
        raise LogError(f"{path} holds no rows")
    return _merged(sorted(writers), log_format, directory)


def _merged(parts: list[int], log_format: LogFormat, directory: Path) -> tuple[Path, LogFormat]:
    """The parts, sorted, one behind the other."""
    rows = directory / "sorted.parquet"
    records = directory / "sorted.jsonl"
    writer: pq.ParquetWriter | None = None
    with records.open("wb") as lines:
        for part in parts:
            with pa.memory_map(str(directory / f"{part}.arrow")) as source:
                table = pa.ipc.open_file(source).read_all()
                keys = [("time", "ascending")]
                keys += [(f"key {name}", "ascending") for name in _KEYS if f"key {name}" in table.column_names]
                table = table.sort_by(keys).drop_columns([name for name, _ in keys])
                if RECORD in table.column_names:
                    lines.writelines(record + b"\n" for record in table.column(RECORD).to_pylist())
                else:
                    writer = writer or pq.ParquetWriter(rows, table.schema)
                    writer.write_table(table, row_group_size=65_536)
            (directory / f"{part}.arrow").unlink()
    settings = {"order": "sort", "compression": "none", "encoding": "utf-8", "count_last_line": True}
    if writer is None:
        return records, with_settings(log_format, settings)
    writer.close()
    return rows, LogFormat.from_settings(
        {
            **log_format.differences(),
            **settings,
            "container": "parquet",
            "columns": {},
            "constants": {},
            "fill_down": (),
            "item_pattern": "",
            "start": None if log_format.years_missing else log_format.start,
        }
    )


def _times(log: Format, content: Content, reader: FieldReader) -> Whole:
    """(n,) the time of each row; the largest number where there is none."""
    times = np.full(len(content.positions), _LAST)
    if RECORD in content.columns:
        orders, _, _ = log.read(content, reader)
        times[np.searchsorted(content.positions, orders.after - 1)] = orders.time
        return times
    column = content.columns["timestamp"]
    time, readable = reader.timestamps.read_column(texts(column) if pa.types.is_binary(column.type) else column)
    times[readable] = time[readable]
    return times


def _table(content: Content, times: Whole, log_format: LogFormat) -> pa.Table:
    """The rows with their times, and what ties are decided by: as text, so that ties are the same in every format.

    Lines that are no rows are rows without customer and time, and an item that is their text: they are rejected.
    """
    columns = {"time": pa.array(times)}
    for name, column in content.columns.items():
        is_text = pa.types.is_binary(column.type) or name == "timestamp" or pa.types.is_temporal(column.type)
        columns[name] = column if is_text else pc.cast(column, pa.string())
    keys = _record_keys(content, log_format) if RECORD in columns else columns
    table = pa.table({**columns, **{f"key {name}": _key(keys[name]) for name in _KEYS if name in keys}})
    if not content.rejected:
        return table
    text = "item_id" if RECORD not in columns else RECORD
    lost = {
        "time": pa.array([_LAST] * len(content.rejected)),
        text: pa.array([line.record.encode() for line in content.rejected], pa.binary()).cast(
            table.schema.field(text).type
        ),
    }
    empty = {field.name: pa.nulls(len(content.rejected), field.type) for field in table.schema}
    return pa.concat_tables([table, pa.table({**empty, **lost}, schema=table.schema)])


def _key(column: pa.Array) -> pa.Array:
    """A column to sort by; nothing is an empty text, as CSV has it."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return column.cast(pa.binary()).fill_null(b"")
    return column


def _record_keys(content: Content, log_format: LogFormat) -> dict[str, pa.Array]:
    """What ties among records are decided by: the fields that lines of other formats are sorted by."""
    found: dict[str, list[str | None]] = {name: [] for name in _KEYS if name not in ("timestamp", RECORD)}
    for record in content.columns[RECORD].to_pylist():
        value = decode(record).value
        fields = value if isinstance(value, dict) else {}
        lines = fields.get("lines")
        first = lines[0] if isinstance(lines, list) and lines and isinstance(lines[0], dict) else {}
        for name, values in found.items():
            column = log_format.column_of(name)[0]
            values.append(as_cell(fields.get(column, first.get(column))))
    return {name: pa.array(values, pa.string()) for name, values in found.items()} | {RECORD: content.columns[RECORD]}
