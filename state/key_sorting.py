"""Sorting of pair keys, at a speed that no processor spoils.

Half of a replay is sorting. NumPy sorts with the widest vector instructions that the processor has, and on some of
those that have AVX-512, one of them takes ten times as long as on others. A radix sort uses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.compiled import compiled_nogil

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from state.count_rows import Keys

_DIGIT_BITS = 11  # more digits are more passes, wider ones miss the cache
_DIGITS = -(-64 // _DIGIT_BITS)
_VALUES = 1 << _DIGIT_BITS
_FEW = 512
"""Below it, counting digits takes longer than NumPy's sort."""


def sort_keys(parts: Sequence[Keys]) -> Keys:
    """The keys of several arrays, together and rising, in memory of their own.

    >>> sort_keys([np.array([7, 2], np.uint64), np.array([1 << 63, 2], np.uint64)]).tolist()
    [2, 2, 7, 9223372036854775808]
    """
    if not parts:
        return np.zeros(0, np.uint64)
    keys = np.concatenate(parts)
    if len(keys) < _FEW:
        keys.sort()
        return keys
    scratch = np.empty_like(keys)
    passes = _radix_sort(keys, scratch, np.zeros((_DIGITS, _VALUES), np.int64))
    return scratch if passes % 2 else keys


@compiled_nogil
def _radix_sort(keys: Keys, scratch: Keys, counts: npt.NDArray[np.int64]) -> int:
    """Sort by each digit in turn, the lowest first, from `keys` to `scratch` and back.

    Args:
        keys: (n,) the keys, n > 0.
        scratch: (n,) room for them.
        counts: (digits, values) zeros.

    Returns:
        The number of passes, which skip the digits that are the same in all keys. If it is odd, the keys are sorted in
        `scratch`.
    """
    mask = np.uint64(_VALUES - 1)
    for key in keys:
        rest = key
        for digit in range(_DIGITS):
            counts[digit, np.int64(rest & mask)] += 1
            rest >>= np.uint64(_DIGIT_BITS)
    source, target = keys, scratch
    passes = 0
    for digit in range(_DIGITS):
        shift = np.uint64(_DIGIT_BITS * digit)
        places = counts[digit]
        if places[np.int64(keys[0] >> shift & mask)] == len(keys):
            continue
        place = np.int64(0)
        for value in range(_VALUES):
            count = places[value]
            places[value] = place
            place += count
        for key in source:
            at = np.int64(key >> shift & mask)
            target[places[at]] = key
            places[at] += 1
        source, target = target, source
        passes += 1
    return passes
