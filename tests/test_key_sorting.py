"""Sorting of keys: as NumPy sorts them, whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from state.key_sorting import _FEW, sort_keys

KEYS = st.integers(0, (1 << 64) - 1) | st.integers(0, 3) | st.sampled_from([1 << 10, 1 << 11, 1 << 55, 1 << 63])
SIZES = st.sampled_from([0, 1, 2, 20, _FEW - 1, _FEW, _FEW + 1, 3 * _FEW])


@given(st.lists(SIZES.flatmap(lambda size: arrays(np.uint64, size, elements=KEYS)), max_size=4))
def test_keys_are_sorted(parts: list[np.ndarray]) -> None:
    """The order of equal keys cannot be seen, so that any correct sort gives the same bytes."""
    before = [part.copy() for part in parts]

    keys = sort_keys(parts)

    assert keys.dtype == np.uint64
    assert keys.tolist() == sorted(key for part in before for key in part.tolist())
    assert all((part == copy).all() for part, copy in zip(parts, before, strict=True)), "the parts are as they were"
    assert not any(np.shares_memory(keys, part) for part in parts)


@pytest.mark.parametrize("digits", [(), (0,), (5,), (0, 1), (1, 4), (0, 2, 5), (0, 1, 2, 3, 4, 5)])
def test_digits_that_are_the_same_in_all_keys_are_skipped(digits: tuple[int, ...]) -> None:
    """An odd number of passes ends in the other array than an even one."""
    random = np.random.default_rng(len(digits))
    keys = np.full(100_000, 0x123456789ABCDEF0, np.uint64)
    for digit in digits:
        keys ^= random.integers(0, 1 << min(11, 64 - 11 * digit), len(keys), np.uint64) << np.uint64(11 * digit)

    assert (sort_keys([keys]) == np.sort(keys)).all()
