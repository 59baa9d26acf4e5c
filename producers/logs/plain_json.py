"""JSON lines logs: an order line in each line, or a record as on the topic `purchases`."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from producers.logs.blocks import TextFile
from producers.logs.chunks import Content, damaged
from producers.logs.columns import find_columns
from producers.logs.record_columns import read_records
from producers.orders import concatenated
from producers.wire import OrderDecoder, without_nan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.log_format import LogFormat
    from producers.orders import Orders, Rejection

RECORDS_TO_KNOW_FIELDS = 10_000  # there is no header, and a record may leave fields out
RECORD = "record"
RECORDS_AT_ONCE = 8192


class JsonLinesLog:
    """JSON lines in UTF-8: an order line each, or a record as on the topic `purchases`.

    Args:
        path: the file.
        log_format: how it is read.

    Attributes:
        unfinished: whether the last line has no line end, is no whole JSON object, and is left for the next time.
    """

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._last_counts = log_format.count_last_line or log_format.compression != "none"
        self._file = TextFile(path, gzipped=log_format.compression == "gzip", last_line=False)
        self.unfinished = False
        wanted = {field: columns[0] for field, columns in log_format.columns.items() if any(columns)}
        records = [record for record in map(_object, self._file.head(RECORDS_TO_KNOW_FIELDS)) if record is not None]
        found = list(dict.fromkeys(name for record in records for name in record))
        lines = [line for record in records if isinstance(inner := record.get("lines"), list) for line in inner]
        found += list(dict.fromkeys(name for line in lines if isinstance(line, dict) for name in line))
        self.names = list(found)
        if "lines" in found or "erase" in (record.get(wanted.get("type", "type")) for record in records):
            found.append(wanted.get("item_id", "item_id"))
        if records:
            find_columns(str(path), list(dict.fromkeys(found)), wanted)
        if not log_format.typed and "type" not in wanted:
            wanted["type"] = ""
        self._decoder = OrderDecoder(wanted)

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, from 1."""
        return f"line {position + 1:,}"

    def contents(self) -> Iterator[Content]:
        """As `Format` says: each line as it stands."""
        end = 0
        for block in self._file.blocks():
            content = _content(block.removesuffix(b"\n").split(b"\n"), end)
            end = content.end
            yield content
        last = self._file.unfinished
        self.unfinished = bool(last.strip()) and not self._last_counts and _object(last) is None
        if last.strip() and not self.unfinished and self._file.damage is None:
            yield _content([last], end)
        if self._file.damage:
            raise damaged(self._path, self.place(end), self._file.damage)

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        records, positions = content.columns[RECORD].to_pylist(), content.positions
        parts = []
        for first in range(0, max(len(records), 1), RECORDS_AT_ONCE):  # an invalid record slows down so many
            some = slice(first, first + RECORDS_AT_ONCE)
            quick = read_records(records[some], positions[some], reader, self._decoder.structure)
            parts.append(
                (*quick, []) if quick else self._decoder.decode(records[some], positions[some].tolist(), reader)
            )
        orders, flat, rejected = zip(*parts, strict=True)
        return reduce(concatenated, orders), np.concatenate(flat), [line for lines in rejected for line in lines]


def _content(lines: list[bytes], begin: int) -> Content:
    filled = [number for number, line in enumerate(lines) if line and not line.isspace()]
    records = lines if len(filled) == len(lines) else [lines[number] for number in filled]
    positions = begin + np.array(filled, np.int64)
    return Content({RECORD: pa.array(records, pa.binary())}, positions, [], begin + len(lines))


def _object(line: bytes) -> dict[str, object] | None:
    """The JSON object of a line; None if it is not one, for which the decoder gives the reason."""
    try:
        return msgspec.json.decode(without_nan(line), type=dict[str, object])
    except (ValueError, RecursionError):
        return None
