"""Catalogue files: CSV, JSON lines and Parquet as catalogue items, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from streams.recommendations.catalogue import CatalogueError, CatalogueItem, from_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

FIELDS = ("item_id", "title", "category", "available", "url", "image")

_Fields: TypeAlias = tuple[str, dict[str, object] | str, float]
"""Place of a row, its fields or what is wrong with it, and how much of the file was read."""


class CatalogueRow(NamedTuple):
    """A row of a catalogue file: an item, or why it is none."""

    place: str
    """Such as "line 18"."""
    item_id: str
    item: CatalogueItem
    reason: str | None
    """Why the row is rejected; None: it is not."""
    fraction: float
    """Of the file that is read with it, 0 to 1."""


def read_catalogue(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[CatalogueRow]:
    """The rows of a catalogue file.

    Args:
        path: ending in .csv, .jsonl, .ndjson or .parquet.
        columns: field -> column, where the column has another name. Fields are item_id and, if there, title, category,
            available, url, image.

    Raises:
        CatalogueError: the file cannot be read, is of no known format, or has no column of item ids.
    """
    columns = {field: (columns or {}).get(field, field) for field in FIELDS}
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise CatalogueError(f"{path} is of no known format: it ends in none of {', '.join(readers)}")
    try:
        for place, fields, fraction in reader(path, columns):
            if isinstance(fields, str):
                yield CatalogueRow(place, "", CatalogueItem(), fields, fraction)
                continue
            try:
                item_id, item = from_fields({field: fields.get(column) for field, column in columns.items()})
            except CatalogueError as error:
                yield CatalogueRow(place, "", CatalogueItem(), str(error), fraction)
            else:
                yield CatalogueRow(place, item_id, item, None, fraction)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise CatalogueError(f"{path} is damaged: {error}") from None


def _csv_rows(path: Path, columns: Mapping[str, str]) -> Iterator[_Fields]:
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
        size = path.stat().st_size
        rows = csv.DictReader(file, strict=True)
        _check_columns(path, list(rows.fieldnames or []), columns)
        for row in rows:
            surplus = None in row
            fields = "has more fields than the header" if surplus else dict(row)
            yield f"line {rows.line_num}", fields, raw.tell() / size


def _json_rows(path: Path, _columns: Mapping[str, str]) -> Iterator[_Fields]:
    with path.open("rb") as raw, io.TextIOWrapper(raw, encoding="utf-8-sig") as file:
        size = path.stat().st_size
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError):
                fields = None
            known = fields if isinstance(fields, dict) else "is not a JSON object"
            yield f"line {number}", known, raw.tell() / size


def _parquet_rows(path: Path, columns: Mapping[str, str]) -> Iterator[_Fields]:
    with path.open("rb") as file, pq.ParquetFile(file) as table:
        names = table.schema_arrow.names
        _check_columns(path, names, columns)
        wanted = [column for column in columns.values() if column in names]
        number = 0
        for batch in table.iter_batches(columns=wanted):
            for fields in batch.to_pylist():
                number += 1
                yield f"row {number - 1}", fields, number / table.metadata.num_rows


def _check_columns(path: Path, found: list[str], columns: Mapping[str, str]) -> None:
    there = ", ".join(map(repr, found)) or "nothing"
    if columns["item_id"] not in found:
        raise CatalogueError(
            f"{path} has no column {columns['item_id']!r} for item_id, only {there}: "
            "name it with --column item_id=COLUMN"
        )
    for field, column in columns.items():
        if field != column and column not in found:
            raise CatalogueError(f"{path} has no column {column!r} for {field}, only {there}")
