"""Records of columns and ids: packed values are unpacked unchanged, and damage is an error."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.columns import join_records, pack, pack_ids, split_records, unpack, unpack_encoded, unpack_ids
from state.errors import StateDamaged

KINDS: st.SearchStrategy[Any] = st.sampled_from([np.uint8, np.uint32, np.uint64, np.int8, np.int64])
IDS = st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20), max_size=8)


@st.composite
def columns(draw: st.DrawFn) -> list[np.ndarray[Any, Any]]:
    found = []
    for kind in draw(st.lists(KINDS, min_size=1, max_size=5)):
        info = np.iinfo(kind)
        numbers = st.integers(max(info.min, -3), 3) | st.integers(int(info.min), int(info.max))
        found.append(np.array(draw(st.lists(numbers, max_size=12)), kind))
    return found


@given(columns())
def test_columns_are_unpacked_in_their_types(given_columns: list[np.ndarray[Any, Any]]) -> None:
    """They are stored in narrower types, which must not show."""
    back = unpack(pack(given_columns), [column.dtype for column in given_columns])

    for column, same in zip(given_columns, back, strict=True):
        assert same.dtype == column.dtype
        assert same.tolist() == column.tolist()


@given(st.lists(st.floats(allow_nan=False), max_size=9))
def test_floats_are_unpacked_to_the_last_bit(numbers: list[float]) -> None:
    """Published lists are compared by their bytes."""
    (back,) = unpack(pack([np.array(numbers, np.float64)]), [np.float64])

    assert back.tobytes() == np.array(numbers, np.float64).tobytes()


@given(columns(), st.data())
def test_a_record_cut_off_anywhere_is_damaged(given_columns: list[np.ndarray[Any, Any]], data: st.DataObject) -> None:
    record = pack(given_columns)
    cut = data.draw(st.integers(0, len(record) - 1))

    with pytest.raises(StateDamaged):
        unpack(record[:cut], [column.dtype for column in given_columns])


@given(columns(), st.binary(min_size=1, max_size=9))
def test_a_record_with_trailing_bytes_is_damaged(given_columns: list[np.ndarray[Any, Any]], more: bytes) -> None:
    with pytest.raises(StateDamaged, match="too many"):
        unpack(pack(given_columns) + more, [column.dtype for column in given_columns])


@given(st.binary(max_size=60), st.integers(1, 4))
def test_any_bytes_are_unpacked_or_damaged(record: bytes, count: int) -> None:
    """Nothing else may be raised: only StateDamaged is reported in a sentence."""
    try:
        read = unpack(record, [np.int64] * count)
    except StateDamaged as error:
        assert "record" in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert len(read) == count


@given(columns(), st.data())
def test_a_garbled_head_is_unpacked_or_damaged(given_columns: list[np.ndarray[Any, Any]], data: st.DataObject) -> None:
    record = bytearray(pack(given_columns))
    place = data.draw(st.integers(0, min(len(record), 1 + 6 * len(given_columns)) - 1))
    record[place] = data.draw(st.integers(0, 255))

    try:
        read = unpack(bytes(record), [np.int64] * len(given_columns))
    except StateDamaged as error:
        assert "record" in str(error)  # noqa: PT017 - a changed sign bit cannot be detected
    else:
        assert len(read) == len(given_columns)


@given(IDS)
def test_ids_are_unpacked_unchanged(ids: list[str]) -> None:
    assert unpack_ids(pack_ids(ids)) == ids


@given(st.lists(IDS | st.lists(st.text(st.characters(codec="utf-8"), max_size=8)), max_size=4))
def test_encoded_ids_are_those_unpacked(records: list[list[str]]) -> None:
    blob, ends, counts = unpack_encoded([pack_ids(ids) for ids in records])

    texts = [blob[begin:end].tobytes().decode() for begin, end in itertools.pairwise(ends.tolist())]
    assert texts == [text for ids in records for text in ids]
    assert counts.tolist() == [len(ids) for ids in records]


@given(st.lists(st.binary(max_size=12), max_size=3))
def test_what_is_damaged_is_damaged_for_both(records: list[bytes]) -> None:
    """Opening reads ids without making strings of them, and must notice as much."""
    try:
        ids = [text for record in records for text in unpack_ids(record)]
    except StateDamaged:
        with pytest.raises(StateDamaged):
            unpack_encoded(records)
    else:
        blob, ends, _ = unpack_encoded(records)
        assert [blob[begin:end].tobytes().decode() for begin, end in itertools.pairwise(ends.tolist())] == ids


def test_ids_that_are_not_utf8_are_damaged() -> None:
    with pytest.raises(StateDamaged, match="a record of ids is garbled"):
        unpack_ids(b"tea\0\xff\xfe")


@given(st.lists(st.binary(max_size=30), max_size=6))
def test_joined_records_are_split_unchanged(records: list[bytes]) -> None:
    assert split_records(join_records(records)) == records


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=6), st.data())
def test_joined_records_cut_off_are_damaged(records: list[bytes], data: st.DataObject) -> None:
    joined = join_records(records)
    cut = data.draw(st.integers(0, len(joined) - 1))

    with pytest.raises(StateDamaged, match="record"):
        split_records(joined[:cut])


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8)))
def test_no_id_can_change_another(ids: list[str]) -> None:
    """An unescaped NUL in an id would rename every item after it."""
    assert unpack_ids(pack_ids(ids)) == ids
