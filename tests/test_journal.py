"""The journal: every slice gets every commit once, by being written or from the journal's records."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.errors import StateDamaged
from state.journal import SLICES, Journal
from state.rocks import Rocks, WriteBatch

quick = settings(max_examples=25, deadline=None)
WORK = st.lists(st.integers(0, 40) | st.sampled_from([100, 10_000]), min_size=1, max_size=60)


def committed(journal: Journal, rocks: Rocks, number: int, work: int) -> list[tuple[int, int]]:
    batch = WriteBatch(raw_mode=True)
    due_slices = journal.begin(batch, b"record %d" % number, work)
    rocks.write(batch)
    return due_slices


@quick
@given(WORK, st.integers(1, 20), st.data())
def test_a_reopened_journal_continues_as_if_it_had_not_been_closed(
    work: list[int], work_per_slice: int, data: st.DataObject
) -> None:
    """If a restart shifted the rotation, a slice would wait twice as long and the journal grow."""
    reopened_before = data.draw(st.sets(st.integers(0, len(work) - 1)))
    with tempfile.TemporaryDirectory() as directory:
        one, other = Rocks(Path(directory, "one")), Rocks(Path(directory, "other"))
        straight, interrupted = Journal(one, work_per_slice), Journal(other, work_per_slice)
        for number, amount in enumerate(work, 1):
            if number - 1 in reopened_before:
                other.close()
                other = Rocks(Path(directory, "other"))
                interrupted = Journal(other, work_per_slice)

            due_slices = committed(straight, one, number, amount)

            assert committed(interrupted, other, number, amount) == due_slices
        assert list(interrupted.records()) == list(straight.records())
        assert interrupted.written.tolist() == straight.written.tolist()
        one.close()
        other.close()


@quick
@given(WORK, st.integers(1, 20))
def test_records_are_kept_until_every_slice_has_them(work: list[int], work_per_slice: int) -> None:
    """One record too few loses counts; one too many is never deleted."""
    with tempfile.TemporaryDirectory() as directory:
        rocks = Rocks(Path(directory))
        journal = Journal(rocks, work_per_slice)
        last_written = np.zeros(SLICES, np.int64)
        for number, amount in enumerate(work, 1):
            for slice_number, since in committed(journal, rocks, number, amount):
                assert since == last_written[slice_number]
                last_written[slice_number] = number

            kept = [commit for commit, _ in journal.records()]

            assert kept == list(range(int(last_written.min()) + 1, number + 1))
            assert all(record == b"record %d" % commit for commit, record in journal.records())
        rocks.close()


@quick
@given(WORK, st.integers(1, 20))
def test_work_left_over_is_carried_to_the_next_commit(work: list[int], work_per_slice: int) -> None:
    """Ten small commits write as many slices as one with the same work."""
    with tempfile.TemporaryDirectory() as directory:
        rocks = Rocks(Path(directory))
        journal = Journal(rocks, work_per_slice)
        carried = 0
        for number, amount in enumerate(work, 1):
            due, carried = divmod(carried + amount, work_per_slice)
            written = len(committed(journal, rocks, number, amount))

            assert written == min(due, SLICES)
        rocks.close()


def test_a_record_that_is_missing_is_an_error(tmp_path: Path) -> None:
    """Slices that lack it would be wrong for ever, whoever lost it."""
    rocks = Rocks(tmp_path)
    journal = Journal(rocks, 1000)
    for number in range(1, 6):
        committed(journal, rocks, number, 1)
    batch = WriteBatch(raw_mode=True)
    batch.delete(b"j\0\0\0\0\0\0\0\3")
    rocks.write(batch)

    with pytest.raises(StateDamaged, match="of 5 commits, the journal lacks number 3"):
        list(journal.records())
    rocks.close()
