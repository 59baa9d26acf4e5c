"""Count rows: encoding and decoding, sums, and the position of rows in storage."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from state.count_rows import (
    BUNDLE,
    EXACT_EXPOSURES,
    add,
    bucket_exposures,
    bucket_of,
    bundle_key,
    bundles_of,
    by_slice,
    decode,
    encode,
    items_of,
    locate,
    net,
    parse_bundle_key,
    row_keys_of,
    slice_of,
)
from state.journal import SLICES
from tests.batch_definition import bucket, representative

ITEMS = st.integers(0, 5000) | st.integers(0, (1 << 31) - 1)
NEIGHBOURS = st.integers(0, 300) | st.integers(0, (1 << 32) - 1)
COUNTS = st.integers(1, 4) | st.integers(1, 1 << 40)
Table = dict[tuple[int, int], int]
TABLES = st.dictionaries(st.tuples(ITEMS, NEIGHBOURS), COUNTS, max_size=40)


def keyed(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """A table as pair keys and counts by rising key."""
    items = np.array([item for item, _ in table], np.int64)
    keys = row_keys_of(items) << np.uint64(32) | np.array([other for _, other in table], np.uint64)
    order = np.argsort(keys)
    return keys[order], np.array(list(table.values()), np.int64)[order]


def tabled(keys: np.ndarray, counts: np.ndarray) -> Table:
    assert (np.diff(keys.astype(object)) > 0).all(), "keys rise"
    items = items_of(keys >> np.uint64(32)).tolist()
    return dict(zip(zip(items, (keys & np.uint64(0xFFFFFFFF)).tolist(), strict=True), counts.tolist(), strict=True))


@given(TABLES)
def test_encoded_counts_are_decoded_unchanged(table: Table) -> None:
    bundles, values, ends = encode(*keyed(table))

    assert tabled(*decode(bundles, values, ends)) == table


@given(TABLES)
def test_every_row_and_no_other_is_located_by_its_row_key(table: Table) -> None:
    """Ranking reads rows from their encoding; a wrong boundary would read the next item's row."""
    bundles, values, ends = encode(*keyed(table))
    asked = sorted({item for item, _ in table} | {0, 16, 1024, 70_000})
    row_keys = np.sort(row_keys_of(np.array(asked)))

    begin, end = locate(row_keys, bundles, values, ends)

    filled = {item for item, low, high in zip(items_of(row_keys).tolist(), begin, end, strict=True) if high > low}
    assert filled == {item for item, _ in table}


@given(TABLES, TABLES)
def test_sums_are_those_of_counters_and_drop_zeros(one: Table, more: Table) -> None:
    """A count that falls to 0 must not be stored: states are compared byte by byte."""
    some = set(list(one)[::2])
    changes = {key: -one[key] if key in some else count for key, count in ({**more, **dict.fromkeys(some, 0)}).items()}

    total = tabled(*add(*keyed(one), *keyed(changes)))

    expected = {key: one.get(key, 0) + changes.get(key, 0) for key in one.keys() | changes.keys()}
    assert total == {key: count for key, count in expected.items() if count != 0}


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1, -1])), max_size=60))
def test_signed_keys_cancel(moves: list[tuple[int, int]]) -> None:
    signed = np.sort(np.array([key << 1 | (sign < 0) for key, sign in moves], np.uint64))

    keys, changes = net(signed)

    total: Counter[int] = Counter()
    for key, sign in moves:
        total[key] += sign
    assert dict(zip(keys.tolist(), changes.tolist(), strict=True)) == {key: n for key, n in total.items() if n}


@given(st.lists(ITEMS, unique=True, max_size=50))
def test_row_keys_order_items_by_slice_and_convert_back(items: list[int]) -> None:
    """The keys of a slice are contiguous, so that writing it is one scan."""
    row_keys = np.sort(row_keys_of(np.array(items, np.int64)))

    back = items_of(row_keys)

    assert sorted(back.tolist()) == sorted(items)
    assert (np.diff(slice_of(back)) >= 0).all()
    assert len(bundles_of(row_keys << np.uint64(32))) == len({item // BUNDLE for item in items})


@given(st.integers(0, 0xFFFF), st.integers(0, 63), st.integers(0, (1 << 23) - 1))
def test_a_bundle_key_contains_epoch_slice_and_bundle(epoch: int, number: int, bundle: int) -> None:
    place = number << 23 | bundle

    assert parse_bundle_key(bundle_key(epoch, place)) == (epoch, number, place)


@given(st.integers(0, 1000) | st.integers(0, (1 << 32) - 1))
def test_buckets_are_those_of_the_definition(exposure: int) -> None:
    number = bucket_of(exposure)
    stands_for = int(bucket_exposures(number + 1)[number])

    assert number == bucket(exposure)
    assert stands_for == representative(number)
    assert abs(stands_for - exposure) <= (0 if exposure <= EXACT_EXPOSURES else exposure / 16)


@given(st.lists(st.tuples(ITEMS, NEIGHBOURS, st.booleans())))
def test_keys_are_grouped_by_slice(moves: list[tuple[int, int, bool]]) -> None:
    items = np.array([item for item, _, _ in moves], np.int64)
    lows = np.array([other << 1 | sign for _, other, sign in moves], np.uint64)
    signed = row_keys_of(items) << np.uint64(33) | lows

    grouped, bounds = by_slice(signed)

    assert len(bounds) == SLICES + 1
    for number, (begin, end) in enumerate(itertools.pairwise(bounds)):
        assert grouped[begin:end].tolist() == signed[slice_of(items) == number].tolist()
    assert bounds[-1] == len(signed)
