"""Ids in arrays: the same as a dictionary and a list, in a fraction of their memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.names import NOWHERE, Names, Translation

IDS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["", "a", "b", "ab", "é"]
)


@given(st.lists(st.lists(IDS, max_size=30), max_size=12), st.lists(st.text(max_size=3), max_size=5))
def test_ids_have_the_numbers_of_a_dictionary(batches: list[list[str]], asked: list[str]) -> None:
    names = Names()
    expected: dict[str, int] = {}
    for batch in batches:
        before = names.every
        assert names.number(batch).tolist() == [expected.setdefault(text, len(expected)) for text in batch]
        assert list(before) == list(expected)[: len(before)], "ids that come later are not in it"
    ids = list(expected)

    assert len(names) == len(ids)
    assert list(names.every) == ids
    assert names.every[1:4] == ids[1:4]
    assert names.texts(range(len(ids))) == ids
    assert names.find(ids + asked).tolist() == [expected.get(text, int(NOWHERE)) for text in ids + asked]
    assert [names.get(text, -1) for text in asked] == [expected.get(text, -1) for text in asked]
    assert [text in names for text in asked] == [text in expected for text in asked]
    blob, ends = names.encoded()
    assert [blob[ends[at] : ends[at + 1]].tobytes().decode() for at in range(len(ids))] == ids


def test_what_is_not_numbered_is_not_found() -> None:
    """Half of a surrogate pair may come from JSON; no id has one."""
    names = Names()
    names.number(["tea"])

    assert names.find([]).tolist() == []
    assert names.get("\ud800", -1) == -1
    with pytest.raises(KeyError, match="rye"):
        names["rye"]
    for number in (1, -1):
        with pytest.raises(IndexError, match="of 1 items"):
            names.texts([number])


def test_a_million_ids_take_little_memory() -> None:
    """A dictionary and a list take 120 bytes an id; docs/scaling.md counts on these."""
    ids = [str(number) for number in np.random.default_rng(3).permutation(10_000_000)[:300_000].tolist()]
    Names().number(ids[:10])  # compiled
    names = Names()
    tracemalloc.start()
    for first in range(0, len(ids), 5_000):
        names.number(ids[first : first + 5_000])
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert taken < 40 * len(ids)
    assert 20 * len(ids) < names.nbytes < 36 * len(ids)


def test_a_translation_follows_both_sides() -> None:
    origin, target = Names(), Names()
    origin.number(["tea", "milk", "rye"])
    target.number(["milk"])
    translation = Translation(origin, target)
    translation.extend()
    assert translation(np.arange(4)).tolist() == [NOWHERE, 0, NOWHERE, NOWHERE]

    target.number(["rye", "tea"])
    origin.number(["jam", "oil"])
    target.number(["oil"])
    translation.extend()

    assert translation(np.arange(6)).tolist() == [2, 0, 1, NOWHERE, 3, NOWHERE]
