"""Ids and numbers in a directory: the same as in memory, whatever is forgotten, reopened or of an earlier version."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.columns import pack_ids
from state.errors import StateDamaged
from state.memory import Part
from state.rocks import Rocks, WriteBatch
from state.stored_names import BYTES_PER_ID, StoredNames

if TYPE_CHECKING:
    from collections.abc import Iterator

IDS = st.lists(st.sampled_from([f"id {number}" for number in range(12)] + ["ä\0ö", "x" * 300]), max_size=6)
STEPS = st.lists(st.one_of(IDS, st.integers(0, 20), st.just("commit"), st.just("reopen")), max_size=25)


@pytest.fixture(name="rocks")
def _rocks(tmp_path: Path) -> Iterator[Rocks]:
    rocks = Rocks(tmp_path / "store")
    yield rocks
    rocks.close()


def opened(rocks: Rocks, memory_ids: int = 1000, *, forgettable: bool = True) -> StoredNames:
    return StoredNames(rocks, "customer", b"n", b"N", Part(memory_ids * BYTES_PER_ID), forgettable=forgettable)


def commit(rocks: Rocks, names: StoredNames, forgotten: list[int]) -> None:
    batch = WriteBatch(raw_mode=True)
    names.put(batch)
    for number in forgotten:
        names.forget(batch, number)
    rocks.write(batch)
    names.stored()


@settings(max_examples=80, deadline=None)
@given(steps=STEPS, memory_ids=st.integers(0, 8))
def test_numbers_are_those_of_first_appearance_whatever_is_in_memory(steps: list[object], memory_ids: int) -> None:
    """A second number for a known id would divide its history; a number given twice would join two."""
    with tempfile.TemporaryDirectory() as directory:
        rocks = Rocks(Path(directory, "store"))
        names = opened(rocks, memory_ids)
        numbers: dict[str, int] = {}
        given_numbers = stored = 0
        for step in steps:
            if isinstance(step, list):
                found = names.number(step).tolist()
                for text, number in zip(step, found, strict=True):
                    if text not in numbers:
                        numbers[text], given_numbers = given_numbers, given_numbers + 1
                    assert numbers[text] == number
            elif isinstance(step, int):
                forgotten = [number for number in numbers.values() if number == step]
                commit(rocks, names, forgotten)
                stored = given_numbers
                numbers = {text: number for text, number in numbers.items() if number != step}
            elif step == "commit":
                commit(rocks, names, [])
                stored = given_numbers
            else:  # what no commit wrote is lost
                rocks.close()
                rocks = Rocks(Path(directory, "store"))
                names = opened(rocks, memory_ids)
                given_numbers = stored
                numbers = {text: number for text, number in numbers.items() if number < stored}

            assert len(names) == given_numbers
            assert dict(names.every()) == {number: text for text, number in numbers.items()}
            assert [names.get(f"id {number}", -1) for number in range(12)] == [
                numbers.get(f"id {number}", -1) for number in range(12)
            ]
            text_of = {number: text for text, number in numbers.items()}
            assert names.texts(range(given_numbers)) == [text_of.get(number, "") for number in range(given_numbers)]
        rocks.close()


def write_as_earlier(rocks: Rocks, groups: list[list[str]]) -> None:
    """As versions before format 3 wrote the ids of items: those of a commit in one row, under the first number."""
    batch = WriteBatch(raw_mode=True)
    first = 0
    for group in groups:
        batch.put(struct.pack(">cI", b"n", first), pack_ids(group))
        first += len(group)
    rocks.write(batch)


@pytest.mark.parametrize("in_place", [True, False])
def test_what_an_earlier_version_wrote_is_completed(rocks: Rocks, in_place: bool) -> None:
    write_as_earlier(rocks, [["tea", "milk"], ["rye"]])
    names = opened(rocks, 0, forgettable=False)
    assert not names.is_complete()

    names.complete(in_place=in_place)

    assert [names.get(text, -1) for text in ("tea", "milk", "rye", "jam")] == [0, 1, 2, -1]
    assert dict(names.every()) == {0: "tea", 1: "milk", 2: "rye"}
    assert opened(rocks, 0, forgettable=False).is_complete() == in_place


def test_a_completion_that_was_killed_goes_on(rocks: Rocks, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tens of millions of ids take a minute, and whoever waits for it may lose patience, again and again."""
    groups = [[f"{group}-{number}" for number in range(group + 1)] for group in range(9)]
    write_as_earlier(rocks, groups)
    monkeypatch.setattr("state.stored_names._ROWS_AT_ONCE", 5)
    write, written = Rocks.write, []

    def dying(rocks: Rocks, batch: WriteBatch) -> None:
        write(rocks, batch)
        written.append(len(opened(rocks, forgettable=False)))
        raise KeyboardInterrupt

    monkeypatch.setattr(Rocks, "write", dying)
    while not opened(rocks, forgettable=False).is_complete():
        with pytest.raises(KeyboardInterrupt):
            opened(rocks, forgettable=False).complete(in_place=True)

    assert written == [6, 15, 21, 28, 36, 45]
    assert [text for _, text in opened(rocks, forgettable=False).every()] == [
        text for group in groups for text in group
    ]
    assert opened(rocks, forgettable=False)["8-8"] == 44


@pytest.mark.parametrize(
    ("key", "record", "message"),
    [
        (b"Ntea", b"\0\0", "is not the number of one of 2 customers"),
        (b"Ntea", struct.pack("<I", 2), "is not the number of one of 2 customers"),
        (b"mnamesn", b"", "is not the number of one of"),
    ],
)
def test_a_garbled_number_is_an_error(rocks: Rocks, key: bytes, record: bytes, message: str) -> None:
    names = opened(rocks)
    names.number(["tea", "milk"])
    commit(rocks, names, [])
    batch = WriteBatch(raw_mode=True)
    batch.put(key, record)
    rocks.write(batch)

    with pytest.raises(StateDamaged, match=message) as error:
        opened(rocks).number(["tea"])

    assert str(rocks.path) in str(error.value), "a worker sets the store aside that the message names"


def test_a_missing_or_garbled_id_is_an_error(rocks: Rocks) -> None:
    names = opened(rocks)
    names.number(["tea", "milk"])
    commit(rocks, names, [])
    batch = WriteBatch(raw_mode=True)
    batch.delete(struct.pack(">cI", b"n", 0))
    batch.put(struct.pack(">cI", b"n", 1), b"\xff\xfe")
    rocks.write(batch)
    names = opened(rocks, forgettable=False)

    with pytest.raises(StateDamaged, match="customer ids from number 0 on are missing"):
        names.text(0)
    with pytest.raises(StateDamaged, match="the id of customer 1 is garbled"):
        names.text(1)
