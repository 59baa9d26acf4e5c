"""The count store: every slice adds what it has not yet seen, also where the turns run fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from state import count_store, history_store
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from tests.batch_definition import Line, Order, batch
from tests.log_strategies import BEGIN_MS, as_orders
from tests.streamed import facts, streamed_facts

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("pairs_per_slice", [1, 3, 40])
@pytest.mark.parametrize("restart", [False, True])
def test_a_slice_that_takes_its_turn_twice_running_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs_per_slice: int, restart: bool
) -> None:
    """A commit so large that every slice is due, right after another: what the first wrote is not waiting any more."""
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
