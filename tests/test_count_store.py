"""The count store: every slice adds each change once, even if all slices are written at every commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from state import count_store, history_store
from state.settings import CountingSettings
from streams.engine import stages
from streams.engine.deltas import pair_keys
from streams.engine.embedded import Embedded
from tests.batch_definition import DAY_MS, Line, Order, batch
from tests.log_strategies import BEGIN_MS, as_orders
from tests.streamed import facts, streamed_facts

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from state.count_rows import Keys
    from streams.engine.histories import Runs


@pytest.mark.parametrize("pairs_per_slice", [1, 3, 40])
@pytest.mark.parametrize("restart", [False, True])
def test_a_slice_written_by_two_commits_in_a_row_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_per_slice: int, restart: bool
) -> None:
    """Both commits are so large that every slice is due: what the first wrote must no longer wait."""
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", pairs_per_slice)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 1)
    log = [Order("zoe", BEGIN_MS, (Line(f"item {number}"),)) for number in range(24)]
    embedded = Embedded(tmp_path, CountingSettings())
    for begin in range(0, len(log), 2):
        embedded.count(as_orders(log[begin : begin + 2], begin), begin + 2)

        assert streamed_facts(embedded) == facts(batch(log[: begin + 2], 100), log[: begin + 2])

        if restart:
            embedded.close()
            embedded = Embedded(tmp_path, CountingSettings())
    embedded.close()


@pytest.mark.parametrize("pair_window", [0, 3])
def test_pairs_that_do_not_fit_into_memory_together_are_counted_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair_window: int
) -> None:
    """Without a pair window, an order of 10,000 lines has 100 million pair keys, which would take 2 GB at once."""
    monkeypatch.setattr(count_store, "_MOST_KEYS", 500)
    monkeypatch.setattr(count_store, "_KEYS_AT_ONCE", 100)
    made: list[int] = []

    def spied(runs: Runs, pair_window: int, wanted: npt.NDArray[np.bool_]) -> dict[int, Keys]:
        keys = pair_keys(runs, pair_window, wanted)
        made.append(sum(map(len, keys.values())))
        return keys

    monkeypatch.setattr(stages, "pair_keys", spied)
    settings = CountingSettings(pair_window, item_partitions=2)
    many = tuple(Line(f"item {number}") for number in range(120))
    log = [
        Order("zoe", BEGIN_MS, many[:70]),
        Order("ann", BEGIN_MS + 1, many[:2]),
        Order("zoe", BEGIN_MS + 31 * DAY_MS, many[50:]),
        Order("zoe", BEGIN_MS + 31 * DAY_MS, many[40:60], type="return"),
    ]
    for end in range(1, len(log) + 1):
        embedded = Embedded(tmp_path, settings)

        embedded.count(as_orders(log[end - 1 : end], end - 1), end)

        assert streamed_facts(embedded) == facts(batch(log[:end], pair_window), log[:end])
        embedded.close()
    assert len(made) > 2 * len(log)
    assert max(made) < 1000
