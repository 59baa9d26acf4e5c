"""Catalogue files: tables of any kind as catalogue items, in bounded memory."""

from __future__ import annotations

import csv
import io
import itertools
import json
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from producers.errors import LogError, Undecided
from producers.log_format import LogFormat
from producers.logs.inspection.samples import take_sample
from producers.logs.log_file import as_spoken
from producers.logs.shaping import as_text
from producers.logs.tables.opening import open_table
from streams.catalogue.catalogue import (
    FIELDS,
    MOST_ATTRIBUTES,
    UNKNOWN,
    CatalogueError,
    CatalogueItem,
    check_attribute_name,
    decode_item,
    encode_item,
    from_fields,
)
from streams.catalogue.feeds import feed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from producers.logs.inspection.samples import Sample
    from producers.logs.log_file import LogFile

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


def read_catalogues(
    files: Sequence[LogFile],
    columns: Mapping[str, str] | None = None,
    member: str | None = None,
    attributes: Sequence[str] = (),
) -> Iterator[CatalogueRow]:
    """The rows of catalogue files, one after the other; each place begins with the name of its file.

    Every file is looked at before this returns.

    Args:
        files: that are there.
        columns: as in `read_catalogue`, for each of them.
        member: likewise.
        attributes: likewise.

    Raises:
        CatalogueError: as in `read_catalogue`, here or while the rows are read.
    """
    parts = [begun(_spoken(file, read_catalogue(file.path, columns, member, file.keys, attributes))) for file in files]
    total = sum(file.size for file in files) or 1
    return itertools.chain.from_iterable(
        _within(rows, sum(before.size for before in files[:number]) / total, file.size / total)
        for number, (file, rows) in enumerate(zip(files, parts, strict=True))
    )


def read_catalogue(
    path: Path,
    columns: Mapping[str, str] | None = None,
    member: str | None = None,
    keys: Mapping[str, str | None] = MappingProxyType({}),
    attributes: Sequence[str] = (),
) -> Iterator[CatalogueRow]:
    """The rows of a catalogue file.

    Args:
        path: a table of any kind that `producers.logs.inspection` knows.
        columns: field or attribute -> column, where the column has another name. Fields are item_id and, if there,
            title, category, available, url, image, price, brand, group_id. Unless a column is named for one of them, a
            feed of `streams.catalogue.feeds` is known by its header.
        member: of a zip archive or workbook.
        keys: columns that have one value in every row.
        attributes: names of further columns that are kept, at most `MOST_ATTRIBUTES`.

    Raises:
        CatalogueError: the file cannot be read, is of no known format, has no column of item ids, or none of an
            attribute.
    """
    wanted = dict(columns or {})
    check_attributes(attributes)
    columns = {field: wanted.get(field, field) for field in (*FIELDS, *attributes)}
    own = {field: column for field, column in columns.items() if column not in keys}
    same = {field: keys[column] for field, column in columns.items() if column in keys}
    try:
        for place, fields, fraction in _rows(path, wanted, own, member):
            if isinstance(fields, str):
                yield CatalogueRow(place, "", CatalogueItem(), fields, fraction)
                continue
            try:
                item_id, item = from_fields({field: fields.get(column) for field, column in own.items()} | same)
            except CatalogueError as error:
                yield CatalogueRow(place, "", CatalogueItem(), str(error), fraction)
            else:
                yield CatalogueRow(place, item_id, item, None, fraction)
    except OSError as error:
        raise CatalogueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, OverflowError, csv.Error, pa.ArrowException) as error:
        raise CatalogueError(f"{path} is damaged: {error}") from None
    except LogError as error:
        raise CatalogueError(str(error)) from None


def check_attributes(names: Sequence[str]) -> None:
    """Check that attributes can have these names, and are not too many.

    Raises:
        CatalogueError: which cannot, or how many there are.
    """
    for name in names:
        check_attribute_name(name)
    if len(names) > MOST_ATTRIBUTES:
        raise CatalogueError(f"{len(names)} attributes are named, more than {MOST_ATTRIBUTES}")


def _within(rows: Iterable[CatalogueRow], before: float, share: float) -> Iterator[CatalogueRow]:
    """The rows of a file that is a share of all."""
    for row in rows:
        yield row._replace(fraction=before + share * row.fraction)


def _spoken(file: LogFile, rows: Iterable[CatalogueRow]) -> Iterator[CatalogueRow]:
    """The rows of a file, with its name as people call it in places and errors."""
    try:
        for row in rows:
            yield row._replace(place=f"{file.shown} {row.place}")
    except CatalogueError as error:
        raise CatalogueError(as_spoken(str(error), [file])) from None


def _rows(path: Path, wanted: Mapping[str, str], columns: Mapping[str, str], member: str | None) -> Iterator[_Fields]:
    """The rows of a file: plain ones by its name, others by its content."""
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".ndjson": _json_rows, ".parquet": _parquet_rows}
    reader = readers.get(path.suffix.lower())
    with path.open("rb"):  # so that a missing file is reported as such
        pass
    try:
        sample = take_sample(path, {"member": member} if member else {})
    except LogError as error:
        if reader is not None and not isinstance(error, Undecided):
            return reader(path, columns)
        raise CatalogueError(f"{path} is of no known format: {error}") from None
    attributes = {name: column for name, column in columns.items() if name not in FIELDS}
    feed = feed_of(sample.cells) if wanted.keys() <= attributes.keys() else None
    if feed is None and reader is not None and LogFormat.from_settings(sample.settings) in _PLAIN:
        return reader(path, columns)
    if feed is None:
        _check_columns(path, list(sample.cells), columns)
        return _table_rows(path, sample, list(columns.values()))
    _check_columns(path, list(sample.cells), attributes)
    return feed.items(_table_rows(path, sample, [*feed.columns, *attributes.values()]), attributes)


_PLAIN = (LogFormat(), LogFormat(container="jsonl"), LogFormat(container="parquet"))


def _table_rows(path: Path, sample: Sample, columns: Iterable[str]) -> Iterator[_Fields]:
    """The rows of a file of any container and dialect, by column."""
    table = open_table(path, LogFormat.from_settings(sample.settings))
    known = [column for column in dict.fromkeys(columns) if column in table.names]
    for batch in table.batches(known):
        faults = [(table.place(line.position), line.reason, table.fraction) for line in batch.rejected]
        cells = [as_text(batch.columns[column]).to_pylist() for column in known]
        for position, *values in zip(batch.positions.tolist(), *cells, strict=True):
            yield table.place(position), dict(zip(known, values, strict=True)), table.fraction
        yield from faults


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
                yield f"row {number - 1}", fields, number / max(table.metadata.num_rows, number)


def _check_columns(path: Path, found: list[str], columns: Mapping[str, str]) -> None:
    there = ", ".join(map(repr, found)) or "nothing"
    if "item_id" in columns and columns["item_id"] not in found:
        raise CatalogueError(
            f"{path} has no column {columns['item_id']!r} for item_id, only {there}: "
            "name it with --columns item_id=COLUMN"
        )
    for field, column in columns.items():
        if (field != column or field not in FIELDS) and column not in found:
            raise CatalogueError(f"{path} has no column {column!r} for {field}, only {there}")


_BATCH_ROWS = 5000
_SHOWN = 10


class Filled(NamedTuple):
    """What became of a file."""

    items: int
    """Rows that are in the catalogue now."""
    rejected: int
    first: list[tuple[str, str]]
    """Place and reason of the first rows rejected."""
    hidden: int = 0
    """Items that a complete feed no longer has."""


def begun(rows: Iterator[CatalogueRow]) -> Iterator[CatalogueRow]:
    """The same rows, of which the first is read already: a file that cannot be read fails here.

    Raises:
        CatalogueError: it cannot be read.
    """
    return itertools.chain(list(itertools.islice(rows, 1)), rows)


def filled(
    rows: Iterable[CatalogueRow],
    write: Callable[[Sequence[tuple[str, bytes]]], None],
    on_row: Callable[[CatalogueRow], None] = lambda _: None,
    known: Callable[[], Mapping[str, bytes | None]] | None = None,
) -> Filled:
    """Have the rows of a file written, some thousand at a time.

    Args:
        rows: of the file.
        write: keeps records by item id.
        on_row: gets each row, also those rejected.
        known: the records that there are, by item id, if the file is complete: items that it does not have are hidden,
            unless rows were rejected.

    Raises:
        CatalogueError: the file cannot be read any further; thousands before may be written.
    """
    items, rejected = 0, 0
    first: list[tuple[str, str]] = []
    batch: list[tuple[str, bytes]] = []
    seen: set[str] = set()
    for row in rows:
        on_row(row)
        if row.reason is not None:
            rejected += 1
            first += [(row.place, row.reason)] * (len(first) < _SHOWN)
            continue
        batch.append((row.item_id, encode_item(row.item)))
        items += 1
        if known is not None:
            seen.add(row.item_id)
        if len(batch) == _BATCH_ROWS:
            write(batch)
            batch = []
    if batch:
        write(batch)
    gone: list[tuple[str, bytes]] = []
    if known is not None and not rejected:  # a rejected row may be of any item
        gone = _hidden_records(known(), seen)
        for place in range(0, len(gone), _BATCH_ROWS):
            write(gone[place : place + _BATCH_ROWS])
    return Filled(items, rejected, first, len(gone))


def _hidden_records(known: Mapping[str, bytes | None], seen: Collection[str]) -> list[tuple[str, bytes]]:
    """Records that hide the items that are known and were not seen."""
    absent = {item_id: record for item_id, record in known.items() if item_id not in seen and record is not None}
    records = shown_records(absent, dict.fromkeys(absent, False))
    return [(item_id, record) for item_id, record in records if record != absent[item_id]]


def shown_records(known: Mapping[str, bytes | None], available: Mapping[str, bool]) -> list[tuple[str, bytes]]:
    """Records that show or hide items, and leave the rest of what is known of them as it is.

    Args:
        known: the items' records, None or missing where there is none.
        available: whether to show an item, by its id.

    >>> shown_records({"tea": b'{"title":"Tea"}'}, {"tea": False, "milk": True})
    [('tea', b'{"title":"Tea","available":false}'), ('milk', b'{}')]
    """
    records = []
    for item_id, shown in available.items():
        record = known.get(item_id)
        try:
            item = UNKNOWN if record is None else decode_item(record)
        except CatalogueError:
            item = UNKNOWN  # readers skip it, so nothing is known
        in_stock = shown or item.in_stock
        records.append((item_id, encode_item(msgspec.structs.replace(item, available=shown, in_stock=in_stock))))
    return records
