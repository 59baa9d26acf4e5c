"""Columns of integers and lists of ids as bytes: the encoding of every record that is stored or sent to a topic.

A record is the number of columns, the element type and length of each, then the elements, little-endian. Integers are
written in the narrowest type that holds the column, so that small numbers take a byte each.
"""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from state.errors import StateDamaged

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_COLUMN = struct.Struct("<2sI")
_UNSIGNED = (np.uint8, np.uint16, np.uint32, np.uint64)
_SIGNED = (np.int8, np.int16, np.int32, np.int64)
_WITH_LENGTHS = b"\xff"
_KINDS = {np.dtype(kind).str[1:].encode() for kind in (*_UNSIGNED, *_SIGNED, np.float64, np.bool_)}


def _narrow(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """An integer column in the narrowest type that holds its values."""
    if column.size == 0 or column.dtype.kind not in "iu":
        return column
    low, high = int(column.min()), int(column.max())
    kinds = _UNSIGNED if low >= 0 else _SIGNED
    for kind in kinds:
        info = np.iinfo(kind)
        if info.min <= low and high <= info.max:
            return column.astype(kind, copy=False)
    return column


def pack(columns: Sequence[npt.NDArray[Any]]) -> bytes:
    """One record of several columns, each one-dimensional.

    >>> [column.tolist() for column in unpack(pack([np.array([1, -2]), np.array([2**40])]), [np.int8, np.int64])]
    [[1, -2], [1099511627776]]
    """
    narrowed = [_narrow(column) for column in columns]
    head = b"".join(_COLUMN.pack(column.dtype.str[1:].encode(), column.size) for column in narrowed)
    return bytes([len(columns)]) + head + b"".join([column.tobytes() for column in narrowed])


def unpack(record: bytes, types: Sequence[npt.DTypeLike]) -> list[npt.NDArray[Any]]:
    """The columns of a record, as new arrays of `types`.

    Raises:
        StateDamaged: the record is cut off or garbled, has another number of columns, or numbers that its types cannot
            hold.
    """
    if not record or record[0] != len(types):
        found = record[0] if record else "none"
        raise StateDamaged(f"a record of {len(types)} columns was expected, this one has {found}")
    try:
        heads = list(_COLUMN.iter_unpack(record[1 : 1 + len(types) * _COLUMN.size]))
        offset = 1 + len(types) * _COLUMN.size
        columns = []
        for (kind, length), wanted in zip(heads, types, strict=True):
            if kind not in _KINDS:
                raise ValueError(f"{kind!r} is no element type")  # noqa: TRY301 - one message for all that is garbled
            column = np.frombuffer(record, np.dtype("<" + kind.decode()), length, offset)
            offset += column.nbytes
            columns.append(_widened(column, np.dtype(wanted)))
    except (ValueError, TypeError, struct.error) as error:
        raise StateDamaged(f"a record of {len(record)} bytes is cut off or garbled: {error}") from None
    if offset != len(record):
        raise StateDamaged(f"a record has {len(record) - offset} bytes too many")
    return columns


def _widened(column: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    """A column as a new array of the type it had before it was packed."""
    if not np.can_cast(column.dtype, wanted, "safe") and column.size:
        if wanted.kind not in "iu" or column.dtype.kind not in "iu":
            raise ValueError(f"a column of {column.dtype} cannot be one of {wanted}")
        info = np.iinfo(wanted)
        if int(column.min()) < info.min or int(column.max()) > info.max:
            raise ValueError(f"a column has numbers that {wanted} cannot hold")
    return column.astype(wanted)


def pack_ids(ids: Sequence[str]) -> bytes:
    r"""Ids as bytes, separated by NUL.

    Validation rejects ids that are empty or contain a NUL. If there is one all the same, the ids are written with their
    lengths, after a byte that UTF-8 never begins with, so that no id can change another.

    >>> unpack_ids(pack_ids(["tea", "milk"])), unpack_ids(pack_ids([])), unpack_ids(pack_ids(["a\0b", "", "c"]))
    (['tea', 'milk'], [], ['a\x00b', '', 'c'])
    """
    if all(ids) and not any("\0" in text for text in ids):
        return "\0".join(ids).encode()
    return _WITH_LENGTHS + join_records([text.encode() for text in ids])


def unpack_ids(record: bytes) -> list[str]:
    """The ids of `pack_ids`.

    Raises:
        StateDamaged: the record is not UTF-8, cut off, or not what `pack_ids` writes.
    """
    try:
        if record.startswith(_WITH_LENGTHS):
            return [text.decode() for text in split_records(record[1:])]
        ids = record.decode().split("\0") if record else []
    except UnicodeDecodeError as error:
        raise StateDamaged(f"a record of ids is garbled: {error}") from None
    if not all(ids):
        raise StateDamaged("a record of ids is garbled: an id is empty")
    return ids


def unpack_encoded(
    records: Sequence[bytes],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    r"""The n ids of several records of `pack_ids` in UTF-8, without an object an id.

    Returns:
        (bytes,) all of them, their (n + 1,) boundaries, and (records,) how many each record has.

    >>> blob, ends, counts = unpack_encoded([pack_ids(["tea", "milk"]), pack_ids(["rye"])])
    >>> blob.tobytes(), ends.tolist(), counts.tolist()
    (b'teamilkrye', [0, 3, 7, 10], [2, 1])

    Raises:
        StateDamaged: as of `unpack_ids`.
    """
    if not records or not all(records) or any(record.startswith(_WITH_LENGTHS) for record in records):
        found = [[text.encode() for text in unpack_ids(record)] for record in records]
        texts = list(itertools.chain.from_iterable(found))
        blob = np.frombuffer(b"".join(texts), np.uint8)
        return blob, np.cumsum([0, *map(len, texts)]), np.array([len(ids) for ids in found], np.int64)
    try:
        for record in records:
            record.decode()
    except UnicodeDecodeError as error:
        raise StateDamaged(f"a record of ids is garbled: {error}") from None
    blob = np.frombuffer(b"\0".join(records), np.uint8)
    ends = np.append(np.flatnonzero(blob == 0), len(blob))  # of each id, with the NULs of those before it
    ends = np.append(0, ends - np.arange(len(ends)))
    if (np.diff(ends) == 0).any():
        raise StateDamaged("a record of ids is garbled: an id is empty")
    return blob[blob != 0], ends, np.array([record.count(b"\0") + 1 for record in records], np.int64)


def join_records(records: Sequence[bytes]) -> bytes:
    """One record of several.

    >>> split_records(join_records([b"a", b"", b"bcd"]))
    [b'a', b'', b'bcd']
    """
    return pack([np.array([len(record) for record in records], np.int64)]) + b"".join(records)


def split_records(joined: bytes) -> list[bytes]:
    """The records of `join_records`.

    Raises:
        StateDamaged: the record is cut off or garbled.
    """
    head = 1 + _COLUMN.size
    if len(joined) < head or joined[1:3] not in _KINDS:
        raise StateDamaged(f"a record of {len(joined)} bytes is cut off or garbled")
    kind, count = _COLUMN.unpack_from(joined, 1)
    body = head + count * np.dtype(kind.decode()).itemsize
    (lengths,) = unpack(joined[:body], [np.int64])
    ends = body + np.cumsum(lengths)
    longest = int(lengths.max(initial=0))  # a longer one would make the sum overflow
    if lengths.min(initial=0) < 0 or longest > len(joined) or int(lengths.sum()) != len(joined) - body:
        raise StateDamaged(f"a record of {len(joined)} bytes is cut off or garbled: its parts have another length")
    return [joined[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
