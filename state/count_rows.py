"""Rows of counts: their keys, their encoding, and their sums. Pure functions over arrays.

A row belongs to an item and an epoch and holds (neighbour, customers) pairs by rising neighbour; the exposure histogram
of an item is one more row, in the epoch EXPOSURES, whose "neighbours" are buckets. The rows of BUNDLE adjacent items
share one stored value. Bundles are divided into SLICES, which are written in rotation (see `state.journal`).

In memory, a *pair key* holds item and neighbour in one uint64, so that sorting keys yields rows:

    | slice 6 | bundle of the slice 23 | item of the bundle 2 | neighbour 32 | sign 1 |

A *signed* key is a change of a count by one: +1, or -1 if the sign bit is set. Keys without the sign bit (shifted right
by one) are accompanied by counts. The upper 31 bits alone are the item's *row key*.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.compiled import compiled, compiled_nogil
from state.journal import SLICES

if TYPE_CHECKING:
    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]
    Counts = npt.NDArray[np.int64]

_BITS = 2
BUNDLE = 1 << _BITS
"""Items whose rows share a stored value. A RocksDB entry costs as much as decoding a hundred counts, so one per item
slows a replay; but reading one row reads the bundle, which with 16 items costs more than ranking them."""
_SLICE_BITS = SLICES.bit_length() - 1
assert 1 << _SLICE_BITS == SLICES  # noqa: S101 - a slice is some bits of a key
_SLICE_SHIFT = 31 - _SLICE_BITS  # a pair key has 31 bits for the item, one for the sign and 32 for the neighbour
_IN_SLICE = np.uint64((1 << (_SLICE_SHIFT - _BITS)) - 1)
_SHIFT = np.uint64(_BITS)
_MEMBER = np.uint64(BUNDLE - 1)
EXPOSURES = 0xFFFF
"""The epoch under which exposure histograms are stored."""
EXACT_EXPOSURES = 256
"""Exposures up to this have a bucket each; above, there are eight buckets an octave."""


class Addends(NamedTuple):
    """What the rows of n items are the sum of: encoded rows on disk, and k changes that wait in memory.

    The last of the e + 1 epochs is EXPOSURES, whose rows are the exposure histograms.
    """

    blob: npt.NDArray[np.uint8]
    """(bytes,) encoded rows."""
    begin: npt.NDArray[np.int64]
    """(e + 1, n) where each item's row of each epoch begins in `blob`."""
    end: npt.NDArray[np.int64]
    """(e + 1, n) where it ends; equal to `begin` if there is no row."""
    keys: Keys
    """(k,) pair keys of the changes without sign bit, epoch by epoch, rising within an epoch."""
    changes: Counts
    """(k,) what to add to the count of each key; not 0."""
    start: npt.NDArray[np.int64]
    """(e + 2,) where each epoch's changes begin in `keys`, and k."""


_ROW_KEY = struct.Struct(">cHHI")


def bundle_key(epoch: int, bundle: int) -> bytes:
    """RocksDB key of a bundle. Old epochs are adjacent, so that compaction leaves them alone, and so is a slice."""
    return _ROW_KEY.pack(b"c", epoch, bundle >> (_SLICE_SHIFT - _BITS), bundle)


def parse_bundle_key(key: bytes) -> tuple[int, int, int]:
    """Epoch, slice and bundle of a `bundle_key`."""
    _, epoch, slice_number, bundle = _ROW_KEY.unpack(key)
    return epoch, slice_number, bundle


def epoch_prefix(epoch: int, slice_number: int) -> bytes:
    """The common prefix of the keys of one slice's bundles in an epoch."""
    return _ROW_KEY.pack(b"c", epoch, slice_number, 0)[:5]


def slice_of(items: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The slice of each item.

    >>> slice_of(np.array([0, 3, 4, 256])).tolist()
    [0, 0, 1, 0]
    """
    return items.astype(np.int64) >> _BITS & SLICES - 1


def row_keys_of(items: npt.NDArray[Any]) -> Keys:
    """(n,) row keys of n items: the item part of their pair keys, which rises in the order of storage.

    >>> row_keys = row_keys_of(np.array([2, 5, 257]))
    >>> items_of(row_keys).tolist(), np.argsort(row_keys).tolist()
    ([2, 5, 257], [0, 2, 1])
    """
    wide = items.astype(np.uint64)
    bundle = wide >> _SHIFT
    return (
        (bundle & np.uint64(SLICES - 1)) << np.uint64(_SLICE_SHIFT)
        | bundle >> np.uint64(_SLICE_BITS) << _SHIFT
        | wide & _MEMBER
    )


def items_of(row_keys: Keys) -> npt.NDArray[np.uint32]:
    """The items of `row_keys_of`."""
    bundle = (row_keys >> _SHIFT & _IN_SLICE) << np.uint64(_SLICE_BITS) | row_keys >> np.uint64(_SLICE_SHIFT)
    return (bundle << _SHIFT | row_keys & _MEMBER).astype(np.uint32)


def slice_of_row_keys(row_keys: Keys) -> npt.NDArray[np.int64]:
    """The slices of `row_keys_of`."""
    return (row_keys >> np.uint64(_SLICE_SHIFT)).astype(np.int64)


def by_slice(signed: Keys) -> tuple[Keys, list[int]]:
    """Signed keys by rising slice, those of a slice in the order given, and (SLICES + 1,) the bounds of the slices."""
    grouped = np.empty_like(signed)
    places = np.zeros(SLICES + 1, np.int64)
    _by_slice(signed, grouped, places)
    return grouped, [0, *places[:-1].tolist()]


@compiled_nogil
def _by_slice(signed: Keys, grouped: Keys, places: npt.NDArray[np.int64]) -> None:
    """Group keys; `places`, zeros before, are afterwards the ends of the slices, and then the number of keys."""
    shift = np.uint64(_SLICE_SHIFT + 33)
    for key in signed:
        places[np.int64(key >> shift) + 1] += 1
    for number in range(SLICES):
        places[number + 1] += places[number]
    for key in signed:
        number = np.int64(key >> shift)
        grouped[places[number]] = key
        places[number] += 1


def bucket_of(exposure: int) -> int:
    """Histogram bucket of an exposure.

    >>> [bucket_of(e) for e in (0, 256, 257, 287, 288, 512)]
    [0, 256, 257, 257, 258, 265]
    """
    return int(bucket(exposure))


@compiled
def bucket(exposure: int) -> int:
    """`bucket_of`, for compiled loops."""
    if exposure <= EXACT_EXPOSURES:
        return exposure
    octave = 0
    while exposure >> (octave + 9) > 0:
        octave += 1
    return 257 + 8 * octave + ((exposure >> (octave + 5)) & 7)


def bucket_exposures(buckets: int) -> npt.NDArray[np.int64]:
    """(buckets,) int64 exposure that represents each bucket: the middle of its range.

    >>> bucket_exposures(259)[[0, 256, 257, 258]].tolist()
    [0, 256, 272, 303]
    """
    coarse = np.arange(max(buckets - 257, 0))
    octave, eighth = coarse // 8, coarse % 8
    low = (8 + eighth) << (octave + 5)
    low[:1] = 257  # 256 has a bucket of its own
    high = ((9 + eighth) << (octave + 5)) - 1
    return np.concatenate([np.arange(min(buckets, 257)), (low + high) // 2])


def within(keys: Keys, bounds: Keys) -> Keys:
    """Those of rising keys that are in one of some ranges.

    Args:
        keys: (k,) keys.
        bounds: (2 n,) where each range begins and ends; the end is not in it. They rise.

    >>> within(np.array([1, 4, 5, 9], np.uint64), np.array([0, 2, 5, 9], np.uint64)).tolist()
    [1, 5]
    """
    found = np.empty_like(keys)
    return found[: _within(keys, bounds, found)]


@compiled
def _within(keys: Keys, bounds: Keys, found: Keys) -> int:
    count = 0
    at = 0
    for number in range(0, len(bounds), 2):
        at += np.searchsorted(keys[at:], bounds[number])
        while at < len(keys) and keys[at] < bounds[number + 1]:
            found[count] = keys[at]
            count += 1
            at += 1
    return count


def net(signed: Keys) -> tuple[Keys, Counts]:
    """The distinct keys, without sign bit, of sorted signed keys, and the sum of the signs of each; zeros are dropped.

    >>> keys, changes = net(np.array([4, 4, 5, 8, 9], np.uint64))
    >>> keys.tolist(), changes.tolist()
    ([2], [1])
    """
    keys = np.empty(len(signed), np.uint64)
    changes = np.empty(len(signed), np.int64)
    count = _net(signed, keys, changes)
    return keys[:count], changes[:count]


@compiled
def _net(signed: Keys, keys: Keys, changes: Counts) -> int:
    count = 0
    at = 0
    while at < len(signed):
        key = signed[at] >> np.uint64(1)
        change = 0
        while at < len(signed) and signed[at] >> np.uint64(1) == key:
            change += 1 - 2 * np.int64(signed[at] & np.uint64(1))
            at += 1
        if change != 0:
            keys[count] = key
            changes[count] = change
            count += 1
    return count


def add(keys: Keys, counts: Counts, more_keys: Keys, changes: Counts) -> tuple[Keys, Counts]:
    """The sum of two lists of counts, each by rising key; zeros are dropped.

    >>> keys, counts = add(
    ...     np.array([1, 3], np.uint64), np.array([2, 1]), np.array([2, 3], np.uint64), np.array([5, -1])
    ... )
    >>> keys.tolist(), counts.tolist()
    ([1, 2], [2, 5])
    """
    if not len(more_keys):
        return keys, counts
    if not len(keys):
        return more_keys, changes
    out_keys = np.empty(len(keys) + len(more_keys), np.uint64)
    out_counts = np.empty(len(out_keys), np.int64)
    length = _add(keys, counts, more_keys, changes, out_keys, out_counts)
    return out_keys[:length], out_counts[:length]


@compiled_nogil
def _add(keys: Keys, counts: Counts, more_keys: Keys, changes: Counts, out_keys: Keys, out_counts: Counts) -> int:
    out = 0
    left = 0
    right = 0
    while left < len(keys) or right < len(more_keys):
        if right >= len(more_keys) or (left < len(keys) and keys[left] < more_keys[right]):
            key, count = keys[left], counts[left]
            left += 1
        elif left >= len(keys) or keys[left] > more_keys[right]:
            key, count = more_keys[right], changes[right]
            right += 1
        else:
            key, count = keys[left], counts[left] + changes[right]
            left += 1
            right += 1
        if count != 0:
            out_keys[out] = key
            out_counts[out] = count
            out += 1
    return out


def bundles_of(keys: Keys) -> npt.NDArray[np.uint64]:
    """(b,) the distinct bundles of rising keys: row keys without the bits of the item in the bundle; they rise."""
    bundles = np.empty(len(keys), np.uint64)
    return bundles[: _bundles(keys, bundles)].copy()


def first_keys(bundles: npt.NDArray[np.uint64]) -> Keys:
    """(b,) the lowest key that each bundle may have."""
    return bundles << np.uint64(32 + _BITS)


@compiled
def _bundles(keys: Keys, bundles: npt.NDArray[np.uint64]) -> int:
    count = 0
    for key in keys:
        bundle = key >> np.uint64(32 + _BITS)
        if count == 0 or bundles[count - 1] != bundle:
            bundles[count] = bundle
            count += 1
    return count


def encode(keys: Keys, counts: Counts) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Counts by rising key as one stored value per bundle.

    A value is BUNDLE row lengths in bytes, then the rows. A row has a varint for each neighbour: the gap to the
    neighbour before (0 if their numbers are adjacent), shifted left by a flag. If the flag is set, another varint
    follows, the count less two; otherwise the count is one, as most are.

    Returns:
        (b,) uint64 bundles, rising, as of `bundles_of`; (bytes,) uint8 their values, concatenated; (b + 1,) int64
        boundaries of the values.
    """
    bundles = bundles_of(keys)
    out = np.empty(20 * len(keys) + 5 * BUNDLE * len(bundles), np.uint8)
    row = np.empty(20 * len(keys), np.uint8)
    ends = np.zeros(len(bundles) + 1, np.int64)
    size = _encode(keys, counts, bundles, row, out, ends)
    return bundles, out[:size], ends


@compiled
def _varint(out: npt.NDArray[np.uint8], at: int, number: int) -> int:
    while number >= 128:
        out[at] = (number & 127) | 128
        number >>= 7
        at += 1
    out[at] = number
    return at + 1


@compiled_nogil
def _encode(
    keys: Keys,
    counts: Counts,
    bundles: npt.NDArray[np.uint64],
    row: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
) -> int:
    size = 0
    at = 0
    for number in range(len(bundles)):
        filled = 0
        for member in range(BUNDLE):
            row_key = bundles[number] << _SHIFT | np.uint64(member)
            previous = np.int64(-1)
            begin = filled
            while at < len(keys) and keys[at] >> np.uint64(32) == row_key:
                neighbour = np.int64(keys[at] & np.uint64(0xFFFFFFFF))
                gap = neighbour - previous - 1
                previous = neighbour
                if counts[at] == 1:
                    filled = _varint(row, filled, gap << 1)
                else:
                    filled = _varint(row, filled, gap << 1 | 1)
                    filled = _varint(row, filled, counts[at] - 2)
                at += 1
            size = _varint(out, size, filled - begin)
        for byte in range(filled):
            out[size + byte] = row[byte]
        size += filled
        ends[number + 1] = size
    return size


def decode(
    bundles: npt.NDArray[np.uint64], values: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]
) -> tuple[Keys, Counts]:
    """The keys and counts of values that `encode` returned, by rising key."""
    row_keys = np.repeat(bundles << _SHIFT, BUNDLE) + np.tile(np.arange(BUNDLE, dtype=np.uint64), len(bundles))
    begin, end = locate(row_keys, bundles, values, ends)
    keys = np.empty(len(values), np.uint64)
    counts = np.empty(len(values), np.int64)
    length = _decode(row_keys, values, begin, end, keys, counts)
    return keys[:length], counts[:length]


def rows_of(addends: Addends) -> list[tuple[Keys, Counts]]:
    """The row of one item in each epoch of its `addends`, its exposures last: neighbours, rising, and their counts."""
    rows = []
    for epoch in range(len(addends.begin)):
        length = int(addends.end[epoch, 0] - addends.begin[epoch, 0])
        neighbours, counts = np.empty(length, np.uint64), np.empty(length, np.int64)
        no_item = np.zeros(1, np.uint64)
        filled = _decode(no_item, addends.blob, addends.begin[epoch], addends.end[epoch], neighbours, counts)
        changed = slice(addends.start[epoch], addends.start[epoch + 1])
        more = addends.keys[changed] & np.uint64(0xFFFFFFFF)
        rows.append(add(neighbours[:filled], counts[:filled], more, addends.changes[changed]))
    return rows


def locate(
    row_keys: Keys, bundles: npt.NDArray[np.uint64], values: npt.NDArray[np.uint8], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(n,) where the row of each of n rising row keys begins and ends in `values`; 0 and 0 if it has none."""
    begin = np.zeros(len(row_keys), np.int64)
    end = np.zeros(len(row_keys), np.int64)
    _locate(row_keys, bundles, values, ends, begin, end)
    return begin, end


@compiled
def _locate(
    row_keys: Keys,
    bundles: npt.NDArray[np.uint64],
    values: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.int64],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
) -> None:
    starts = np.empty(BUNDLE + 1, np.int64)
    read = -1  # the bundle whose row lengths are in `starts`
    number = 0
    for at in range(len(row_keys)):
        bundle = row_keys[at] >> _SHIFT
        while number < len(bundles) and bundles[number] < bundle:
            number += 1
        if number == len(bundles):
            return
        if bundles[number] != bundle:
            continue
        if read != number:
            position = ends[number]
            starts[0] = 0
            for member in range(BUNDLE):
                length, position = read_varint(values, position)
                starts[member + 1] = starts[member] + length
            starts += position
            read = number
        member = np.int64(row_keys[at] & _MEMBER)
        begin[at], end[at] = starts[member], starts[member + 1]


@compiled
def read_varint(blob: npt.NDArray[np.uint8], at: int) -> tuple[int, int]:
    """The varint at index `at`, and the index after it; for compiled loops."""
    number = np.int64(blob[at] & 127)
    shift = 7
    while blob[at] >= 128:
        at += 1
        number |= np.int64(blob[at] & 127) << shift
        shift += 7
    return number, at + 1


@compiled_nogil
def _decode(
    row_keys: Keys,
    values: npt.NDArray[np.uint8],
    begin: npt.NDArray[np.int64],
    end: npt.NDArray[np.int64],
    keys: Keys,
    counts: Counts,
) -> int:
    out = 0
    for row in range(len(row_keys)):
        at = begin[row]
        high = row_keys[row] << np.uint64(32)
        neighbour = np.int64(-1)
        while at < end[row]:
            gap, at = read_varint(values, at)
            count = np.int64(1)
            if gap & 1:
                count, at = read_varint(values, at)
                count += 2
            neighbour += (gap >> 1) + 1
            keys[out] = high | np.uint64(neighbour)
            counts[out] = count
            out += 1
    return out
