"""JSON lines logs: an order line in each line, or a record as on the topic `purchases`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from producers.blocks import TextFile
from producers.chunks import Chunk, check_length, damaged
from producers.columns import OPTIONAL, find_columns
from producers.wire import OrderDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from producers.fields import FieldReader

RECORDS_TO_KNOW_FIELDS = 100  # there is no header, and a record may leave fields out


class JsonLinesLog:
    """JSON lines: an order line each, or a record as on the topic `purchases`."""

    rows_total: int | None = None

    def __init__(self, path: Path, wanted: Mapping[str, str]) -> None:
        self._path = path
        self._file = TextFile(path, quoted=False)
        records = [record for record in map(_object, self._file.head(RECORDS_TO_KNOW_FIELDS)) if record is not None]
        found = list(dict.fromkeys(name for record in records for name in record))
        if "lines" in found or "erase" in (record.get(wanted.get("type", "type")) for record in records):
            found.append(wanted.get("item_id", "item_id"))
        if records:
            asked = {field: column for field, column in wanted.items() if field not in OPTIONAL or column in found}
            find_columns(str(path), list(dict.fromkeys(found)), asked)
        self._decoder = OrderDecoder(wanted)

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._file.fraction

    def place(self, position: int) -> str:
        """The line, from 1."""
        return f"line {position + 1:,}"

    def chunks(self, start_row: int, most: int, reader: FieldReader) -> Iterator[Chunk]:
        """As `Format` says."""
        begin = 0
        for block in self._file.blocks():
            lines = block.removesuffix(b"\n").split(b"\n")
            end = begin + len(lines)
            for first in range(max(begin, start_row), end, most):
                beyond = min(first + most, end)
                records = lines[first - begin : beyond - begin]
                filled = [row for row, record in enumerate(records) if record and not record.isspace()]
                decoded = self._decoder.decode(
                    [records[row] for row in filled], [first + row for row in filled], reader
                )
                yield Chunk(*decoded, beyond)
            begin = end
        if self._file.damage:
            raise damaged(self._path, self.place(begin), self._file.damage)
        check_length(self._path, begin, start_row)


def _object(line: bytes) -> dict[str, object] | None:
    """The JSON object of a line, None if it is none: the decoder will say why."""
    try:
        return msgspec.json.decode(line, type=dict[str, object])
    except (ValueError, RecursionError):
        return None
