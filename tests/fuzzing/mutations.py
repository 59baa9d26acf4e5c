"""Mutations of inputs: of any bytes, and of records of columns, whose bytes at random seldom get past the head."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_HEAD = struct.Struct("<2sI")
_KINDS = (b"u1", b"u2", b"u4", b"u8", b"i1", b"i2", b"i4", b"i8", b"f8", b"b1")
_NUMBERS = (-(1 << 63), -(1 << 31), -129, -2, -1, 0, 1, 2, 100, 101, 255, 1 << 16, 1 << 31, 1 << 32, (1 << 63) - 1)
_PIECES = (
    b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"', b"\n", b"\r\n", b",", b"{", b"}", b"[" * 200, b"null",
    b"true", b"NaN", b"1e999", b"-0", b"1" * 400, b"\\ud800", b"\\u0000", b"%00", b"%FF", b"&limit=", b"2017-13-01",
    b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59.9999999Z",
)  # fmt: skip


def mutated(data: bytes, random: random.Random, corpus: Sequence[bytes], *, packed: bool) -> bytes:
    """An input like another.

    Args:
        data: the other.
        random: decides.
        corpus: more inputs, of which parts may be taken.
        packed: whether inputs are records of `state.columns.pack`, or several joined.
    """
    for _ in range(random.choice((1, 1, 2, 4))):
        data = _repacked(data, random) if packed and random.random() < 0.7 else _changed(data, random, corpus)
    return data


def _changed(data: bytes, random: random.Random, corpus: Sequence[bytes]) -> bytes:
    begin, end = sorted(random.randrange(len(data) + 1) for _ in range(2))
    match random.randrange(8):
        case 0 if data:
            at = min(begin, len(data) - 1)
            return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]
        case 1:
            return data[:begin] + random.choice(_PIECES) + data[begin:]
        case 2:
            return data[:begin] + data[end:]
        case 3:
            return data[:end] + data[begin:]
        case 4:
            return data[:begin]
        case 5 if corpus:
            other = random.choice(corpus)
            return data[:begin] + other[random.randrange(len(other) + 1) :]
        case 6 if numbers := list(re.finditer(rb"-?[0-9]+(\.[0-9]+)?", data)):
            found = random.choice(numbers)
            return data[: found.start()] + str(random.choice(_NUMBERS)).encode() + data[found.end() :]
        case _:
            return (
                data[:begin]
                + random.randbytes(random.randrange(1, 5))
                + data[end if random.random() < 0.5 else begin :]
            )


def _repacked(data: bytes, random: random.Random) -> bytes:
    """A record of columns with one element, type or length changed, and its head true again."""
    count = data[0] if data else 0
    head = 1 + count * _HEAD.size
    if not count or len(data) < head:
        return data
    columns = []
    at = head
    for kind, length in _HEAD.iter_unpack(data[1:head]):
        if kind not in _KINDS or at + length * int(kind[1:]) > len(data):
            return data
        columns.append(np.frombuffer(data, "<" + kind.decode(), length, at).copy())
        at += columns[-1].nbytes
    place = random.randrange(count)
    columns[place] = _column(columns[place], random)
    if random.random() < 0.2 and count > 1:  # two columns that belong together
        columns[place - 1] = columns[place - 1][: len(columns[place])]
    heads = b"".join(_HEAD.pack(column.dtype.str[1:].encode(), len(column)) for column in columns)
    return data[:1] + heads + b"".join(column.tobytes() for column in columns) + data[at:]


def _column(column: np.ndarray, random: random.Random) -> np.ndarray:
    if not len(column) or column.dtype.kind not in "iu":
        return np.array([random.choice(_NUMBERS)], np.int64)
    at = random.randrange(len(column))
    match random.randrange(6):
        case 0:
            return np.delete(column, at)
        case 1:
            return np.insert(column, at, column[random.randrange(len(column))])
        case 2:
            return column.astype("<" + random.choice(_KINDS).decode())
        case 3:
            other = random.randrange(len(column))
            column[[at, other]] = column[[other, at]]
            return column
        case 4:
            wide = column.astype(np.int64)
            wide[at] = np.int64(random.choice(_NUMBERS))
            return wide
        case _:
            wide = column.astype(np.int64)
            wide[at] ^= random.choice((1, 2, 1 << 8))
            return wide
