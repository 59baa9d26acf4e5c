"""Nested records as a table: JSON lines, JSON documents, Avro."""

from __future__ import annotations

from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from producers.errors import LogError, OrderError
from producers.logs.sources import READ_ERRORS, Source
from producers.logs.tables.arrow_table import exploded
from producers.logs.tables.encoded_text import TextOfAnyEncoding
from producers.logs.tables.json_columns import json_columns
from producers.logs.tables.json_stream import documents
from producers.logs.tables.records import FIRST, Document, Paths, as_column, decode, leaves, wrapping_path
from producers.logs.tables.table import TableBatch
from producers.logs.tables.unwrapping import Unwrapping
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Whole
    from producers.log_format import LogFormat

RECORDS_TO_KNOW_PATHS = 1000
RECORDS_AT_ONCE = 8192


class RecordTable:
    """Nested records: JSON lines, JSON documents, Avro."""

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._source = Source(path, log_format.compression, log_format.member)
        self._unwrapping = Unwrapping(log_format.unwrap, log_format.skip_if)
        self._deep = False
        self.unfinished = False
        """Whether a last line was left, after reading, that may not be whole yet."""
        self.wrapped: dict[str, str] = {}
        """Paths into MongoDB's wrappings, by field."""
        found: dict[str, None] = {}
        for record in islice(self.values(), RECORDS_TO_KNOW_PATHS):
            found.update(dict.fromkeys(name for name, _ in leaves(record) if name))
            if isinstance(record, dict):
                wrapped = (wrapping_path(name, value) for name, value in record.items())
                self.wrapped |= {path.partition(".")[0]: path for path in wrapped if path}
        named = [path for paths in log_format.columns.values() for path in paths if FIRST in path]
        firsts = [path for path in named if path.replace(FIRST, "[]") in found]
        self.names = [*found, *self.wrapped.values(), *firsts]

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._source.fraction

    def place(self, position: int) -> str:
        """The line, from 1, or the record, from 0."""
        flat = self._format.container == "jsonl" and not self._deep and not self._unwrapping.divides
        return f"line {position + 1:,}" if flat else f"order or record {position:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        paths = Paths(columns)
        self._deep = paths.depth > 1  # each element of the outer list is an order
        end = 0
        for some in self._groups(paths):
            quick = some.columns
            batch = self._batch(some, paths, columns, end) if quick is None else _exploded(quick, columns, end)
            end = batch.end
            yield batch

    def _batch(self, some: _Group, paths: Paths, columns: Sequence[str], begin: int) -> TableBatch:
        rows = paths.rows(some.documents)
        arrays = dict(zip(columns, rows.columns, strict=True))
        places, faulty = some.places, np.array([place for place, _ in some.faults], np.int64)
        end = some.end
        if self._deep:
            # numbers orders, and documents that are no orders, in the order in which they stand
            of = np.concatenate((places[_composed(rows.parents[:-1])], faulty))
            number = np.empty(len(of), np.int64)
            number[np.argsort(of, kind="stable")] = np.arange(begin, begin + len(of))
            places, faulty, end = number[: len(of) - len(faulty)], number[len(of) - len(faulty) :], begin + len(of)
        positions = places[_composed(rows.parents[-1:] if self._deep else rows.parents)] if rows.parents else places
        rejected = [
            Rejection(place, document.fault, document.text)
            for place, (_, document) in zip(faulty.tolist(), some.faults, strict=True)
        ]
        return TableBatch(arrays, positions, paths.depth > 0, rejected, end)

    def values(self) -> Iterator[object]:
        """The records that can be read."""
        return (document for some in self._groups() for document in some.documents)

    def _groups(self, paths: Paths | None = None) -> Iterator[_Group]:
        """The records, some at a time; those of lines as columns where these are quickly read."""
        if not self._unwrapping:
            yield from self._documents(paths)
            return
        divides, end = self._unwrapping.divides, 0
        for some in self._documents(None):
            found = _unwrapped(some, self._unwrapping)
            if divides:  # each record is an order: they are numbered, and not their lines
                found = _renumbered(found, end)
                end = found.end
            yield found

    def _documents(self, paths: Paths | None) -> Iterator[_Group]:
        """What the file holds, some at a time; lines as columns where these are quickly read."""
        try:
            with self._source.open() as stream:
                match self._format.container:
                    case "jsonl":
                        yield from self._lines(paths)
                    case "json":
                        yield from _numbered(documents(stream, self._format.encoding))
                    case _:
                        yield from self._avro(stream, paths)
        except (*READ_ERRORS, UnicodeDecodeError, ValueError) as error:
            raise LogError(f"{self._path} is damaged or cut short: {error}") from None
        except LogError as error:
            raise LogError(f"{self._path} {error}") from None

    def _avro(self, stream: IO[bytes], paths: Paths | None) -> Iterator[_Group]:
        end = 0
        if paths is not None and all(len(keys) == 1 for keys in paths.keys):
            from producers.logs.tables.avro_columns import AvroColumns  # noqa: PLC0415  it compiles loops

            quick = AvroColumns(stream, [name for (name,) in paths.keys])
            for columns in quick.batches():
                end += len(columns)
                yield _Group([], np.zeros(0, np.int64), [], end, columns)
            if quick.ended:
                return
        with self._source.open() as again:
            yield from _numbered(_some_at_once(islice(_avro_records(again), end, None)), end)

    def _lines(self, paths: Paths | None) -> Iterator[_Group]:
        end = 0
        text = TextOfAnyEncoding(self._path, self._format, quoted=False)
        self.unfinished = False
        for block in text.blocks():
            columns = None if paths is None else json_columns(block, paths.keys)
            if columns is not None:
                end += len(columns)
                yield _Group([], np.zeros(0, np.int64), [], end, columns)
                continue
            lines = block.removesuffix(b"\n").split(b"\n")
            for first in range(0, len(lines), RECORDS_AT_ONCE):
                some = lines[first : first + RECORDS_AT_ONCE]
                yield _decoded(some, end)
                end += len(some)
        if text.damage:
            raise LogError(f"is damaged or cut short: {text.damage}")
        if text.unfinished.strip():  # an object that parses is whole, also without line end
            last = decode(text.unfinished)
            self.unfinished = not isinstance(last.value, dict)
            if not self.unfinished:
                yield _decoded([text.unfinished], end)


class _Group(NamedTuple):
    """Some records of a file."""

    documents: list[Any]
    places: Whole
    """(n,) the line or number of each."""
    faults: list[tuple[int, Document]]
    """Lines that are no records."""
    end: int
    """The line or number behind them all."""
    columns: pa.RecordBatch | None = None
    """The fields of the records, instead of these."""


def _unwrapped(some: _Group, unwrapping: Unwrapping) -> _Group:
    """The records in some documents; those that are of another kind are at fault."""
    documents: list[Any] = []
    places: list[int] = []
    faults = list(some.faults)
    for place, document in zip(some.places.tolist(), some.documents, strict=True):
        try:
            records = unwrapping.records(document)
        except OrderError as error:
            faults.append((place, Document(None, str(error), msgspec.json.encode(document, enc_hook=str).decode())))
        else:
            documents += records
            places += [place] * len(records)
    return _Group(documents, np.array(places, np.int64), sorted(faults, key=lambda fault: fault[0]), some.end)


def _renumbered(some: _Group, begin: int) -> _Group:
    """The same records and faults, each with a number of its own, in the order in which they stand."""
    of = [*some.places.tolist(), *(place for place, _ in some.faults)]
    number = np.empty(len(of), np.int64)
    number[np.argsort(of, kind="stable")] = np.arange(begin, begin + len(of))
    count = len(some.documents)
    faults = [(place, fault) for place, (_, fault) in zip(number[count:].tolist(), some.faults, strict=True)]
    return _Group(some.documents, number[:count], faults, begin + len(of))


def _exploded(records: pa.RecordBatch, columns: Sequence[str], begin: int) -> TableBatch:
    """The rows of records that were read as columns."""
    arrays, parents, count = exploded(records, columns)
    rows = np.arange(count) if parents is None else parents
    texts = {name: _as_text(column) for name, column in arrays.items()}
    return TableBatch(texts, begin + rows, parents is not None, [], begin + count)


def _as_text(column: pa.Array) -> pa.Array:
    if pa.types.is_floating(column.type):
        return as_column(column.to_pylist())
    return column.cast(pa.string()).cast(pa.binary())


def _decoded(lines: list[bytes], begin: int) -> _Group:
    filled = [(place, line) for place, line in enumerate(lines, begin) if line and not line.isspace()]
    places = np.array([place for place, _ in filled], np.int64)
    try:
        values = [_DECODER.decode(line) for _, line in filled]
    except (ValueError, RecursionError):
        found = [decode(line) for _, line in filled]
        good = np.array([not document.fault for document in found], bool)
        faults = [(place, document) for (place, _), document in zip(filled, found, strict=True) if document.fault]
        values = [document.value for document in found if not document.fault]
        return _Group(values, places[good], faults, begin + len(lines))
    return _Group(values, places, [], begin + len(lines))


_DECODER = msgspec.json.Decoder()


def _some_at_once(records: Iterable[Any]) -> Iterator[list[Any]]:
    found: list[Any] = []
    try:
        for record in records:
            found.append(record)
            if len(found) == RECORDS_AT_ONCE:
                yield found
                found = []
    except Exception:
        yield found  # those before the damage
        raise
    yield found


def _numbered(groups: Iterable[list[Any]], end: int = 0) -> Iterator[_Group]:
    """Records that are numbered from `end` on."""
    for records in groups:
        yield _Group(records, np.arange(end, end + len(records)), [], end + len(records))
        end += len(records)


def _composed(parents: Sequence[Whole]) -> Whole | slice:
    """Of each element of the innermost of some lists, which record it is in."""
    found: Whole | slice = slice(None)
    for rows_of in parents:
        found = rows_of if isinstance(found, slice) else found[rows_of]
    return found


def _avro_records(stream: IO[bytes]) -> Iterator[Any]:
    try:
        import fastavro  # noqa: PLC0415
    except ImportError:
        raise LogError('is Avro, which takes the extra: pip install "alsobought[formats]"') from None
    try:
        yield from fastavro.reader(stream)
    except Exception as error:  # noqa: BLE001 - of a damaged file it raises what its own reading happens to meet
        raise LogError(f"is damaged or cut short: {error}") from None
