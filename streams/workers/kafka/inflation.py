"""Batches of records that a producer compressed: inflated within a bound, whatever they hold.

Kafka's clients inflate a batch whole: a megabyte of zeros that were compressed becomes a gigabyte in every worker that
reads it. Here a batch that inflates to more than a bound is taken apart record by record. Of a record that is too large
the first bytes stay, and a header of ours says what it was. When the bound is reached one record stands for all that
follow in the batch. The result is a batch that is not compressed, so the client needs no library for the codec either.
"""

from __future__ import annotations

import hashlib
import io
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import pyarrow as pa
from aiokafka.record.util import calc_crc32c, encode_varint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAST_BOUND_BYTES, MOST_BOUND_BYTES = 16 << 20, 65 << 20
"""Of what a batch may inflate to; the largest deltas have a MiB less."""
MOST_EXPANSION = 32
"""Between these bounds. Orders reach 10, packed deltas 3."""
LARGEST_CUT_BYTES = 1 << 20
"""Records of a batch beyond its bound are cut if they are larger."""
CUT_BYTES = 64 << 10
"""How much is kept of one: the first bytes of its value, and of its key as many."""
MOST_INFLATED_BYTES = 256 << 20
"""Of a batch; what is behind that is not even looked at."""
CUT = "alsobought-cut"
"""Header of a record of which only the first bytes are here."""

_HEAD = 61  # bytes before the records of a batch
_LENGTH_AT, _MAGIC_AT, _CRC_AT, _ATTRIBUTES_AT, _LAST_AT, _COUNT_AT = 8, 16, 17, 21, 23, 57
_BEHIND_LENGTH = 12
_INT, _SHORT, _UNSIGNED = struct.Struct(">i"), struct.Struct(">h"), struct.Struct(">I")
_CODEC = 0b111
_CODECS = {1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
_CHUNK = 1 << 20
_XERIAL = b"\x82SNAPPY\0"  # before Java's blocks of snappy
_XERIAL_HEAD = 16
_MOST_EXPANSION = 64  # of snappy, which reaches 22


class Cut(NamedTuple):
    """What a record was of which only the first bytes are here."""

    reason: str
    length: int
    """Of its value, in bytes."""
    sha256: str | None
    """Of its value, in hexadecimal; None: it was not inflated to its end."""
    offsets: int
    """How many it stands for, from its own offset on."""


def cut_of(record: Any) -> Cut | None:  # noqa: ANN401 - the client's records have no types
    """What a record was if it was cut; None: it is whole."""
    for name, value in getattr(record, "headers", ()):
        if name == CUT:
            with suppress(msgspec.MsgspecError):
                return msgspec.json.decode(value or b"", type=Cut)
    return None


def is_compressed(batches: bytes) -> bool:
    """Whether any of some batches is compressed."""
    return any(_codec(batch) for batch in _split(batches))


def bound_of(compressed_bytes: int) -> int:
    """To how many bytes a batch may inflate. Records beyond that are rejected, so it is the same for all who read them.

    >>> bound_of(100) >> 20, bound_of(1 << 20) >> 20, bound_of(1 << 25) >> 20
    (16, 32, 65)
    """
    return min(max(LEAST_BOUND_BYTES, MOST_EXPANSION * compressed_bytes), MOST_BOUND_BYTES)


def inflated(batches: bytes, bound: Callable[[int], int] = bound_of) -> bytes:
    """The same batches, none of them compressed, and none of them larger than its bound.

    Once they are large together, those that follow are left out: a client fetches them again.

    Args:
        batches: as a broker sends them, in message format 2; older ones stay as they are. The last may be incomplete.
        bound: (bytes of a batch) to how many it may inflate.
    """
    result = bytearray()
    for batch in _split(batches):
        codec = _codec(batch)
        # what was damaged on the way stays as it is: the client compares checksums too, and fetches it again
        if codec and calc_crc32c(batch[_ATTRIBUTES_AT:]) == _UNSIGNED.unpack_from(batch, _CRC_AT)[0]:
            _append(result, batch, _CODECS.get(codec, ""), bound(len(batch)))
        else:
            result += batch
        if len(result) >= LEAST_BOUND_BYTES:
            break
    return bytes(result) or batches


def _split(batches: bytes) -> Iterator[memoryview]:
    view, place = memoryview(batches), 0
    while place + _BEHIND_LENGTH <= len(view):
        end = place + _BEHIND_LENGTH + _INT.unpack_from(view, place + _LENGTH_AT)[0]
        if not place + _BEHIND_LENGTH < end <= len(view):
            return
        yield view[place:end]
        place = end


def _codec(batch: memoryview) -> int:
    """Its codec's number; 0: it is not compressed, or has another format."""
    if len(batch) < _HEAD or batch[_MAGIC_AT] != 2:
        return 0
    return int(_SHORT.unpack_from(batch, _ATTRIBUTES_AT)[0]) & _CODEC


def _append(result: bytearray, batch: memoryview, codec: str, most_bytes: int) -> None:
    """Append a batch, inflated."""
    begin, count = len(result), _INT.unpack_from(batch, _COUNT_AT)[0]
    offsets = _INT.unpack_from(batch, _LAST_AT)[0] + 1
    result += batch[:_HEAD]
    try:
        stream = _opened(batch[_HEAD:], codec)
        while (chunk := stream.read(_CHUNK)) and len(result) - begin <= most_bytes:
            result += chunk
        if chunk or len(result) - begin > most_bytes:
            del result[begin + _HEAD :]
            count = _append_cut(result, _opened(batch[_HEAD:], codec), count, offsets, most_bytes)
    except (OSError, EOFError, ValueError, IndexError, struct.error, pa.ArrowException) as error:
        del result[begin + _HEAD :]
        reason = f"its batch of {offsets} records cannot be inflated: {' '.join(str(error).split())[:200]}"
        result += _record(0, 0, None, b"", Cut(reason, len(batch), hashlib.sha256(batch).hexdigest(), offsets))
        count = 1
    attributes = _SHORT.unpack_from(batch, _ATTRIBUTES_AT)[0] & ~_CODEC
    _INT.pack_into(result, begin + _LENGTH_AT, len(result) - begin - _BEHIND_LENGTH)
    _SHORT.pack_into(result, begin + _ATTRIBUTES_AT, attributes)
    _INT.pack_into(result, begin + _COUNT_AT, count)
    with memoryview(result) as view:
        _UNSIGNED.pack_into(result, begin + _CRC_AT, calc_crc32c(view[begin + _ATTRIBUTES_AT :]))


def _append_cut(result: bytearray, stream: io.BufferedIOBase, count: int, offsets: int, most_bytes: int) -> int:
    """Append the records of a batch that is too large, cut; return how many they are now."""
    source = _Source(stream)
    begin = len(result)
    for number in range(count):
        length = source.varint()
        end = source.place + length
        left = most_bytes - (len(result) - begin)
        if end <= MOST_INFLATED_BYTES and min(length, 2 * CUT_BYTES) <= left:
            if length <= min(left, LARGEST_CUT_BYTES):
                result += _varint(length) + source.read(length)
            else:
                result += _cut(source, end, None)
        else:
            bound = most_bytes if end <= MOST_INFLATED_BYTES else MOST_INFLATED_BYTES
            result += _cut(source, end, (offsets, bound))
            return number + 1
    return count


def _cut(source: _Source, end: int, last: tuple[int, int] | None) -> bytes:
    """The first bytes of a record.

    Args:
        source: stands at its beginning.
        end: of the record.
        last: the offsets of the batch, and the bound that was reached, if this stands for all that follow, too.
    """
    size = end - source.place
    source.read(1)  # attributes, which mean nothing yet
    timestamp, offset = source.varint(), source.varint()
    key_length = source.varint()
    key = None if key_length < 0 else source.read(min(key_length, CUT_BYTES))
    if last is None:
        source.skip(max(key_length, 0) - len(key or b""))
        length = max(source.varint(), 0)
        digest = hashlib.sha256()
        value = source.read(min(length, CUT_BYTES), digest)
        source.skip(length - len(value), digest)
        source.skip(end - source.place)  # its headers
        reason = f"record has {size:,} bytes, more than {LARGEST_CUT_BYTES:,}"
        return _record(timestamp, offset, key, value, Cut(reason, length, digest.hexdigest(), 1))
    length, value = 0, b""
    if key_length <= CUT_BYTES:
        length = max(source.varint(), 0)
        value = source.read(min(length, CUT_BYTES))
    offsets, bound = last
    reason = f"the batch inflates to more than {bound:,} bytes: its last {offsets - offset} records are left out"
    return _record(timestamp, offset, key, value, Cut(reason, length, None, offsets - offset))


def _record(timestamp: int, offset: int, key: bytes | None, value: bytes, cut: Cut) -> bytes:
    """A record as it is in a batch, that says what it was cut from; time and offset are relative to the batch's."""
    body = b"\0" + _varint(timestamp) + _varint(offset)
    for part in (key, value):
        body += _varint(-1) if part is None else _varint(len(part)) + part
    name, text = CUT.encode(), msgspec.json.encode(cut)
    body += _varint(1) + _varint(len(name)) + name + _varint(len(text)) + text
    return _varint(len(body)) + body


def _varint(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


class _Source:
    """What a batch inflates to, read from its beginning; its end before it is expected is an error."""

    def __init__(self, stream: io.BufferedIOBase) -> None:
        self._stream = stream
        self.place = 0

    def read(self, length: int, digest: Any = None) -> bytes:  # noqa: ANN401 - hashlib's
        if length < 0:
            raise ValueError("a length is negative")
        data = self._stream.read(length)
        if len(data) < length:
            raise EOFError("it ends within a record")
        self.place += length
        if digest is not None:
            digest.update(data)
        return data

    def skip(self, length: int, digest: Any = None) -> None:  # noqa: ANN401
        while length > 0:
            length -= len(self.read(min(length, _CHUNK), digest))

    def varint(self) -> int:
        """A number in Kafka's zigzag notation."""
        shift = value = 0
        while True:
            byte = self.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
            if shift > 63:
                raise ValueError("a number has too many bytes")


def _opened(data: memoryview, codec: str) -> io.BufferedIOBase:
    """A stream of what some data inflates to."""
    if codec not in _CODECS.values():
        raise ValueError("its codec is unknown")
    stream: Any = (
        _Blocks(_blocks(data)) if codec == "snappy" else pa.CompressedInputStream(pa.BufferReader(data), codec)
    )
    return io.BufferedReader(stream, _CHUNK)


def _blocks(data: memoryview) -> Iterator[bytes]:
    """What snappy's blocks inflate to; Java's client writes several, others may write one."""
    if bytes(data[: len(_XERIAL)]) != _XERIAL:
        yield _block(data)
        return
    place = _XERIAL_HEAD
    while place < len(data):
        begin = place + _INT.size
        place = begin + max(_INT.unpack_from(data, place)[0], 0)
        if place > len(data):
            raise EOFError("it ends within a block")
        yield _block(data[begin:place])


def _block(data: memoryview) -> bytes:
    length = shift = 0
    for byte in data[:5]:
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if length > _MOST_EXPANSION * len(data):
        raise ValueError("a block says that it is longer than it can be")
    return bytes(pa.decompress(data, length, "snappy", asbytes=True)) if length else b""


class _Blocks(io.RawIOBase):
    """Blocks as one stream."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever has room
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        length = min(len(buffer), len(self._rest))
        buffer[:length] = self._rest[:length]
        self._rest = self._rest[length:]
        return length
