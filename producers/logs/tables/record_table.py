"""Nested records as a table: JSON lines, JSON documents, Avro."""

from __future__ import annotations

from itertools import islice
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from producers.errors import LogError
from producers.logs.sources import READ_ERRORS, Source
from producers.logs.tables.encoded_text import TextOfAnyEncoding
from producers.logs.tables.records import Document, Paths, decode, documents, leaves, wrapping_path
from producers.logs.tables.table import BATCH_ROWS, TableBatch, utf8
from producers.orders import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat

RECORDS_TO_KNOW_PATHS = 1000


class RecordTable:
    """Nested records: JSON lines, JSON documents, Avro."""

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._source = Source(path, log_format.compression, log_format.member)
        self._deep = False
        self.unfinished = False
        """Whether a last line was left, after reading, that may not be whole yet."""
        self.wrapped: dict[str, str] = {}
        """Paths into MongoDB's wrappings, by field."""
        found: dict[str, None] = {}
        for _, document in islice(self._documents(), RECORDS_TO_KNOW_PATHS):
            found.update(dict.fromkeys(name for name, _ in leaves(document.value) if name))
            if isinstance(document.value, dict):
                wrapped = (wrapping_path(name, value) for name, value in document.value.items())
                self.wrapped |= {path.partition(".")[0]: path for path in wrapped if path}
        self.names = [*found, *self.wrapped.values()]

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._source.fraction

    def place(self, position: int) -> str:
        """The line, from 1, or the record, from 0."""
        flat = self._format.container == "jsonl" and not self._deep
        return f"line {position + 1:,}" if flat else f"order or record {position:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        paths = Paths(columns)
        rows: list[list[str | None]] = []
        positions: list[int] = []
        rejected: list[Rejection] = []
        position = -1
        self._deep = deep = paths.depth > 1  # each element of the outer list is an order
        for place, document in self._documents():
            if document.fault:
                position = position + 1 if deep else place
                rejected.append(Rejection(position, document.fault, document.text))
                continue
            for found in paths.groups(document.value):
                position = position + 1 if deep else place
                rows += found
                positions += [position] * len(found)
            if len(rows) + len(rejected) >= BATCH_ROWS:
                yield _batch(columns, rows, positions, rejected, position + 1, nested=paths.depth > 0)
                rows, positions, rejected = [], [], []
        yield _batch(columns, rows, positions, rejected, position + 1, nested=paths.depth > 0)

    def values(self) -> Iterator[object]:
        """The records that can be read."""
        return (document.value for _, document in self._documents() if not document.fault)

    def _documents(self) -> Iterator[tuple[int, Document]]:
        """The records, and the line or number of each from 0."""
        try:
            with self._source.open() as stream:
                match self._format.container:
                    case "jsonl":
                        yield from self._lines()
                    case "json":
                        yield from enumerate(documents(stream, self._format.encoding))
                    case _:
                        for number, record in enumerate(_avro(stream)):
                            yield number, Document(record, "", "")
        except (*READ_ERRORS, UnicodeDecodeError, ValueError) as error:
            raise LogError(f"{self._path} is damaged or cut short: {error}") from None
        except LogError as error:
            raise LogError(f"{self._path} {error}") from None

    def _lines(self) -> Iterator[tuple[int, Document]]:
        number = 0
        text = TextOfAnyEncoding(self._path, self._format, quoted=False)
        self.unfinished = False
        for block in text.blocks():
            for line in block.removesuffix(b"\n").split(b"\n"):
                if line and not line.isspace():
                    yield number, decode(line)
                number += 1
        if text.damage:
            raise LogError(f"is damaged or cut short: {text.damage}")
        if text.unfinished.strip():  # an object that parses is whole, also without line end
            last = decode(text.unfinished)
            self.unfinished = not isinstance(last.value, dict)
            if not self.unfinished:
                yield number, last


def _batch(
    columns: Sequence[str],
    rows: list[list[str | None]],
    positions: list[int],
    rejected: list[Rejection],
    end: int,
    *,
    nested: bool,
) -> TableBatch:
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = {column: _encoded(cells) for column, cells in zip(columns, values, strict=True)}
    return TableBatch(arrays, np.array(positions, np.int64), nested, rejected, end)


def _encoded(cells: Sequence[str | None]) -> pa.Array:
    """Texts, also those with halves of surrogate pairs, which JSON may hold and UTF-8 does not."""
    try:
        return pa.array(cells, pa.string()).cast(pa.binary())
    except UnicodeEncodeError:
        return pa.array([None if cell is None else utf8(cell) for cell in cells], pa.binary())


def _avro(stream: IO[bytes]) -> Iterator[Any]:
    try:
        import fastavro  # noqa: PLC0415
    except ImportError:
        raise LogError('is Avro, which takes the extra: pip install "alsobought[formats]"') from None
    try:
        yield from fastavro.reader(stream)
    except Exception as error:  # noqa: BLE001 - of a damaged file it raises what its own reading happens to meet
        raise LogError(f"is damaged or cut short: {error}") from None
