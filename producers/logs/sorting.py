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
from producers.log_format import MISSING_TEXTS, LogFormat, with_settings
from producers.logs.plain_json import RECORD
from producers.logs.reading import open_format
from producers.logs.tables.records import as_cell, decode

if TYPE_CHECKING:
    from pathlib import Path

    from producers.arrays import Mask, Whole
    from producers.logs.chunks import Content, Format

ROWS_AT_ONCE = 250_000
MOST_PARTS = 512
"""Of a log, each an open file while it is divided; those of more than 128 million rows are larger."""
GROUP_ROWS, LARGE_GROUP_ROWS, GROUPS = 2048, 8192, 1024
"""Rows of a row group of a sorted copy: few, so that many copies may be read side by side; more of a log that would
have more groups than so many, each of which its footer describes."""
_SAMPLED = 64
LINES = "lines"
KEYS = ("order_id", "customer_id", "item_id", "type", "quantity", RECORD, LINES)
"""What ties are decided by: fields, a record's text, and the text of all lines of a nested record."""
LAST = np.iinfo(np.int64).max
"""In place of a time that is not there."""
_PLACE = "\0place"
_RECORD_PLACE = "\0place of record"


def sort_log(path: Path, log_format: LogFormat, directory: Path) -> tuple[Path, LogFormat]:
    """Write the rows of a log by time; ties by order, customer and item, so that every order of a file gives the same.

    Lines of a nested record without order id stay together. Rows without a time, and lines that are no rows, come last.

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
    sampled: list[Whole] = []
    nested = False
    for content in log.contents():
        sampled.append(row_times(log, content, reader)[::_SAMPLED])
        nested = nested or not bool(record_begins(content, reader).all())
    times = np.sort(np.concatenate(sampled)) if sampled else np.zeros(0, np.int64)
    parts = min(max(1, len(times) * _SAMPLED // ROWS_AT_ONCE), MOST_PARTS)
    bounds = np.unique([times[len(times) * part // parts] for part in range(1, parts)])
    writers: dict[int, pa.RecordBatchFileWriter] = {}
    rows_before = 0
    try:
        for content in log.contents():
            table = _table(content, log, reader, rows_before if nested else None)
            rows_before += len(table)
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
    group_rows = min(max(GROUP_ROWS, len(times) * _SAMPLED // GROUPS), LARGE_GROUP_ROWS)
    return _merged(sorted(writers), log_format, directory, group_rows)


def _merged(parts: list[int], log_format: LogFormat, directory: Path, group_rows: int) -> tuple[Path, LogFormat]:
    """The parts, sorted, one behind the other."""
    rows = directory / "sorted.parquet"
    records = directory / "sorted.jsonl"
    writer: pq.ParquetWriter | None = None
    columns: dict[str, tuple[str, ...]] = {}
    with records.open("wb") as lines:
        for part in parts:
            with pa.memory_map(str(directory / f"{part}.arrow")) as source:
                table = pa.ipc.open_file(source).read_all()
                keys = ["time", *(f"key {name}" for name in (*KEYS, "timestamp")), _RECORD_PLACE, _PLACE]
                keys = [name for name in keys if name in table.column_names]
                table = table.sort_by([(name, "ascending") for name in keys])
                places = table.column(_RECORD_PLACE).to_numpy() if _RECORD_PLACE in keys else None
                table = table.drop_columns(keys)
                if RECORD in table.column_names:
                    lines.writelines(record + b"\n" for record in table.column(RECORD).to_pylist())
                else:
                    if places is not None:
                        columns = {name: (f"{LINES}[].{name}",) for name in table.column_names}
                        table = _nested(table, places)
                    writer = writer or pq.ParquetWriter(rows, table.schema, use_dictionary=False)
                    writer.write_table(table, row_group_size=group_rows)
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
            "columns": columns,
            "constants": {},
            "fill_down": (),
            "item_pattern": "",
            "start": None if log_format.years_missing else log_format.start,
        }
    )


def _nested(table: pa.Table, places: Whole) -> pa.Table:
    """Lines as records, each a list of those that have one place."""
    begins = np.flatnonzero(np.diff(places, prepend=-1))
    offsets = pa.array(np.append(begins, len(places)), pa.int32())
    columns = [column.combine_chunks() for column in table.columns]
    return pa.table({LINES: pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(columns, table.column_names))})


def row_times(log: Format, content: Content, reader: FieldReader) -> Whole:
    """(n,) the time of each row; `LAST` where there is none."""
    times = np.full(len(content.positions), LAST)
    if RECORD in content.columns:
        orders, _, _ = log.read(content, reader)
        times[np.searchsorted(content.positions, orders.after - 1)] = orders.time
        return times
    column = content.columns["timestamp"]
    time, readable = reader.timestamps.read_column(texts(column) if pa.types.is_binary(column.type) else column)
    times[readable] = time[readable]
    return times


def record_begins(content: Content, reader: FieldReader) -> Mask:
    """(n,) which rows are not of the record of the row before; a line with an order id is a record of its own."""
    begins = np.ones(len(content.positions), bool)
    begins[1:] = np.diff(content.positions) != 0
    if begins.all() or "order_id" not in content.columns:
        return begins
    text = texts(_as_text("order_id", content.columns["order_id"]))
    missing = pa.array(sorted(MISSING_TEXTS | reader.missing_ids))
    named = pc.invert(pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text.fill_null(""))), value_set=missing))
    found: Mask = begins | named.to_numpy(zero_copy_only=False)
    return found


def sort_keys(content: Content, times: Whole, reader: FieldReader) -> pa.Table:
    """What the rows are sorted by, in this order of columns: as text, so that ties are the same in every format.

    Lines of a nested record have the keys of its first line, and the text of all.

    Args:
        content: n rows.
        times: (n,) of each.
        reader: says which rows have an order id.
    """
    if RECORD in content.columns:
        columns = _record_keys(content, reader.log_format)
        return pa.table({"time": pa.array(times), **{f"key {name}": _key(columns[name]) for name in columns}})
    columns = {
        name: _key(column if pa.types.is_binary(column.type) else pc.cast(column, pa.string()))
        for name, column in content.columns.items()
        if name in KEYS
    }
    table = pa.table({"time": pa.array(times), **{f"key {name}": columns[name] for name in KEYS if name in columns}})
    begins = record_begins(content, reader)
    if begins.all():
        return table
    first = _first_rows(begins)
    rows = list(zip(*(column.to_pylist() for column in columns.values()), strict=True))
    of_record = dict.fromkeys(np.flatnonzero(begins).tolist(), b"")
    for row in np.flatnonzero(np.diff(first, prepend=-1, append=-1)[:-1] == 0).tolist():
        begin = int(first[row])
        of_record[begin] = of_record[begin] or b"\0".join(rows[begin])
        of_record[begin] += b"\n" + b"\0".join(rows[row])
    texts_of = pa.array([of_record[row] for row in first.tolist()], pa.binary())
    return table.take(pa.array(first)).append_column(f"key {LINES}", texts_of)


def _first_rows(begins: Mask) -> Whole:
    """(n,) the row with which the record of each row begins."""
    rows: Whole = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), 0))
    return rows


def _table(content: Content, log: Format, reader: FieldReader, rows_before: int | None) -> pa.Table:
    """The rows with what they are sorted by, and of a nested log (which rows stand before) also their places.

    Lines that are no rows are rows without customer and time, and an item that is their text: they are rejected.
    """
    keys = sort_keys(content, row_times(log, content, reader), reader)
    columns = {name: _as_text(name, column) for name, column in content.columns.items()}
    if "timestamp" in columns:
        columns["key timestamp"] = _key(columns["timestamp"])
    table = pa.table({**dict(zip(keys.column_names, keys.columns, strict=True)), **columns})
    if rows_before is not None:
        first = rows_before + _first_rows(record_begins(content, reader))
        table = table.append_column(_RECORD_PLACE, pa.array(first))
        table = table.append_column(_PLACE, pa.array(np.arange(rows_before, rows_before + len(table))))
        if f"key {LINES}" not in table.column_names:
            table = table.append_column(f"key {LINES}", pa.array([b""] * len(table), pa.binary()))
    if not content.rejected:
        return table
    lost = len(content.rejected)
    text = "item_id" if RECORD not in columns else RECORD
    known: dict[str, pa.Array] = {
        "time": pa.array([LAST] * lost),
        text: pa.array([line.record.encode() for line in content.rejected], pa.binary()).cast(
            table.schema.field(text).type
        ),
    }
    if rows_before is not None:
        known |= dict.fromkeys(
            (_RECORD_PLACE, _PLACE), pa.array(np.arange(len(table), len(table) + lost) + rows_before)
        )
    empty = {field.name: pa.nulls(lost, field.type) for field in table.schema}
    return pa.concat_tables([table.select(list(empty)), pa.table({**empty, **known}, schema=table.schema)])


def _as_text(name: str, column: pa.Array) -> pa.Array:
    """A column as it is kept: ids and quantities as text, times as they are."""
    as_it_is = pa.types.is_binary(column.type) or name == "timestamp" or pa.types.is_temporal(column.type)
    return column if as_it_is else pc.cast(column, pa.string())


def _key(column: pa.Array) -> pa.Array:
    """A column to sort by; nothing is an empty text, as CSV has it."""
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        return column.cast(pa.binary()).fill_null(b"")
    return column


def _record_keys(content: Content, log_format: LogFormat) -> dict[str, pa.Array]:
    """What ties among records are decided by: the fields that lines of other formats are sorted by."""
    found: dict[str, list[str | None]] = {name: [] for name in KEYS if name not in (RECORD, LINES)}
    for record in content.columns[RECORD].to_pylist():
        value = decode(record).value
        fields = value if isinstance(value, dict) else {}
        lines = fields.get("lines")
        first = lines[0] if isinstance(lines, list) and lines and isinstance(lines[0], dict) else {}
        for name, values in found.items():
            column = log_format.column_of(name)[0]
            values.append(as_cell(fields.get(column, first.get(column))))
    return {name: pa.array(values, pa.string()) for name, values in found.items()} | {RECORD: content.columns[RECORD]}
