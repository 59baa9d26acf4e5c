"""Mutated logs are read as a slow reading with Python's csv and json reads them, or refused with an error.

`python -m tests.fuzzing.logs --inputs 100000` goes on for longer.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.fuzzing.logs import CSV, OTHERS, PLAIN, check_any, check_one, check_plain

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 150
"""Of each seed."""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_mutated_log_is_read_as_the_slow_reading_reads_it_or_refused(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - so that the test repeats

    counts = [check_one(chance, tmp_path, plain=0.95) for _ in range(INPUTS)]

    assert sum("right" in outcome for outcome in counts) > INPUTS / 3  # not all are refused


@pytest.mark.parametrize("name", PLAIN)
def test_the_logs_that_are_mutated_are_read_whole(tmp_path: Path, name: str) -> None:
    slow = PLAIN[name].slow(PLAIN[name].data)

    assert check_plain(name, PLAIN[name].data, tmp_path / "orders").startswith("right")
    assert slow is not None
    assert len(slow.orders) > 3
    assert slow.rejected


@pytest.mark.parametrize("name", OTHERS)
def test_the_other_logs_that_are_mutated_are_read(tmp_path: Path, name: str) -> None:
    assert check_any(name, OTHERS[name][0], tmp_path / name) == "read"


def test_the_comparison_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does if quotes swallow whole lines."""
    good = b"eve,rye,2023-12-03,1,,,title\n"
    data = CSV + b'eve,x,2023-12-03,1,,,"FRAME\n' + good + b'eve,y,2023-12-04,1,,,BOX"\n' + good
    assert check_plain("csv", data, tmp_path / "orders") == "right"

    monkeypatch.setattr("producers.logs.csv_records.CsvRecords._is_whole", lambda *_: False)

    with pytest.raises(AssertionError):
        check_plain("csv", data, tmp_path / "orders")
