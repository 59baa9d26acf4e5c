"""What RocksDB's own files say, read before it opens them: whether writes in the middle are missing.

RocksDB opens a directory whose MANIFEST has lost its end, or is an older one, as what it was before: the tables named
since are deleted, and the newest writes are added from the write-ahead log. So writes in between are missing, and
nothing says so. But every write has a sequence number, and those of the log follow on the last that the MANIFEST knows.

Both files are logs of records in blocks of 32 KiB; a record may be divided into several parts.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = 32 << 10
_PART = struct.Struct("<IHB")  # checksum, length, kind
_RECYCLED, _RECYCLED_BYTES = range(5, 9), 4
_LAST_PARTS = (1, 4, 5, 8)
_BATCH = struct.Struct("<QI")  # sequence number of the first write, number of writes
_LOG_NUMBER, _LAST_SEQUENCE = 2, 4
_NUMBERS = (2, 3, 4, 9, 10, 203)
_STRINGS = (1, 11)


def missing_writes(path: Path) -> str | None:
    """Which writes of a RocksDB directory are missing, though later ones are there; None: none can be seen to be.

    The files must not be written to meanwhile. What cannot be read is left to RocksDB, which reports it.
    """
    try:
        manifest = path / (path / "CURRENT").read_text().strip()
        log_number, known = _newest_edit(manifest.read_bytes())
        logs = sorted((int(log.stem), log) for log in path.glob("*.log"))
        for number, log in logs:
            first, last = _sequences(log.read_bytes()) if number >= log_number else (0, 0)
            if first > known + 1:
                return f"{log.name} begins with write {first}, {manifest.name} ends with {known}: it has lost its end"
            known = max(known, last)
    except (OSError, ValueError, IndexError, struct.error):
        return None
    return None


def record_ends(data: bytes) -> list[int]:
    """Where each record of a MANIFEST or a write-ahead log ends."""
    return [end for end, _ in _records(data)]


def _newest_edit(manifest: bytes) -> tuple[int, int]:
    """Number of the oldest write-ahead log that is needed, and of the last write that was known."""
    log_number = last = 0
    for _, edit in _records(manifest):
        for tag, number in _fields(edit):
            if tag == _LOG_NUMBER:
                log_number = max(log_number, number)
            elif tag == _LAST_SEQUENCE:
                last = max(last, number)
    return log_number, last


def _fields(edit: bytes) -> Iterator[tuple[int, int]]:
    """Those numbers of an edit that stand before the tables."""
    place = 0
    while place < len(edit):
        tag, place = _varint(edit, place)
        if tag in _NUMBERS:
            number, place = _varint(edit, place)
            yield tag, number
        elif tag in _STRINGS:
            length, place = _varint(edit, place)
            place += length
        else:
            return


def _sequences(log: bytes) -> tuple[int, int]:
    """Numbers of the first and last write of a write-ahead log; (0, 0): it has none."""
    first = last = 0
    for _, batch in _records(log):
        if len(batch) < _BATCH.size:
            break
        number, count = _BATCH.unpack_from(batch)
        first, last = first or number, max(last, number + count - 1)
    return first, last


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Ends and beginnings of the records, as many as are whole; of the others RocksDB finds what is wrong."""
    place, record = 0, b""
    while place + _PART.size <= len(data):
        left = _BLOCK - place % _BLOCK
        if left < _PART.size:
            place += left
            continue
        _, length, kind = _PART.unpack_from(data, place)
        begin = place + _PART.size + (_RECYCLED_BYTES if kind in _RECYCLED else 0)
        place = begin + length
        if not kind or place > len(data):
            return
        if len(record) < _BLOCK:
            record += data[begin:place]
        if kind in _LAST_PARTS:
            yield place, record
            record = b""


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
