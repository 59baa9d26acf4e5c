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
from producers.logs.record_columns import read_records, record_columns
from producers.orders import concatenated
from producers.wire import OrderDecoder, without_nan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.log_format import LogFormat
    from producers.logs.record_columns import RecordColumns
    from producers.orders import Orders, Rejection

RECORDS_TO_KNOW_FIELDS = 10_000  # there is no header, and a record may leave fields out
RECORD = "record"
MANY_RECORDS = 65_536
FEW_RECORDS = 8192
_NEWLINE, _SPACE = b"\n "


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
        gzipped, copied = log_format.compression == "gzip", log_format.order == "sort"
        self._file = TextFile(path, gzipped=gzipped, last_line=False, small=copied)
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
        self._at_once = MANY_RECORDS

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, from 1."""
        return f"line {position + 1:,}"

    def contents(self, _start: int = 0, /) -> Iterator[Content]:
        """As `Format` says: each line as it stands."""
        end = 0
        for block in self._file.blocks():
            content = _content(block, end)
            end = content.end
            yield content
        last = self._file.unfinished
        self.unfinished = bool(last.strip()) and not self._last_counts and _object(last) is None
        if last.strip() and not self.unfinished and self._file.damage is None:
            yield _content(last, end)
        if self._file.damage:
            raise damaged(self._path, self.place(end), self._file.damage)

    def columns(self, content: Content) -> RecordColumns | None:
        """The fields of records; None if some are not plain."""
        return record_columns(content.columns[RECORD].to_pylist(), self._decoder.structure)

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """As `Format` says."""
        records, positions = content.columns[RECORD].to_pylist(), content.positions
        parts: list[tuple[Orders, Mask, list[Rejection]]] = []
        at_once, self._at_once = self._at_once, MANY_RECORDS
        for first in range(0, max(len(records), 1), at_once):
            some = slice(first, first + at_once)
            quick = read_records(records[some], positions[some], reader, self._decoder.structure)
            if quick is None:
                self._at_once = FEW_RECORDS  # an invalid record slows down so many
                parts.append(self._decoder.decode(records[some], positions[some].tolist(), reader))
            else:
                parts.append((*quick, []))
        orders, flat, rejected = zip(*parts, strict=True)
        return reduce(concatenated, orders), np.concatenate(flat), [line for lines in rejected for line in lines]


def _content(block: bytes, begin: int) -> Content:
    """The lines of a block that are not empty, as records."""
    text = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(text == _NEWLINE)
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    count = len(ends)
    if (text[np.append(0, ends[:-1] + 1)] > _SPACE).all():
        filled = np.arange(count)
        offsets = np.append(0, ends - filled).astype(np.int32)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(block.replace(b"\n", b""))]
        records = pa.Array.from_buffers(pa.binary(), count, buffers)
    else:  # some lines are empty, or begin with a space
        lines = block.split(b"\n")[:count]
        filled = np.array([number for number, line in enumerate(lines) if line and not line.isspace()], np.int64)
        records = pa.array([lines[number] for number in filled], pa.binary())
    return Content({RECORD: records}, begin + filled, [], begin + count)


def _object(line: bytes) -> dict[str, object] | None:
    """The JSON object of a line; None if it is not one, for which the decoder gives the reason."""
    try:
        return msgspec.json.decode(without_nan(line), type=dict[str, object])
    except (ValueError, RecursionError):
        return None
