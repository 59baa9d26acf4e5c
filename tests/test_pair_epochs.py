"""How a pair came about, epoch by epoch, is what a half-life's formula says with weights of 1 and 0."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state import count_store
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.pair_epochs import pair_epochs
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from tests.batch_definition import Order, State, batch, histogram, representative
from tests.log_strategies import ITEMS, as_orders, logs
from tests.streamed import spread_order


def together(state: State, x: str, y: str, epoch: int) -> int:
    """N[X,Y] of the pairs up to an epoch."""
    return sum(n for (one, other, when), n in state.pairs.items() if (one, other) == (x, y) and when <= epoch)


def expected(state: State, x: str, y: str, epoch: int) -> float:
    """E[X,Y] with weights of 1 up to an epoch, and 0 after it."""
    everything = [(when, n) for (one, _, when), n in state.pairs.items() if one == x]
    held = [(item, n) for (item, when), n in state.holders.items() if when <= epoch]
    if not everything or not held:
        return 0.0
    decay = sum(n for when, n in everything if when <= epoch) / sum(n for _, n in everything)
    p = sum(n for item, n in held if item == y) / sum(n for _, n in held)
    return decay * math.fsum(n * (1 - (1 - p) ** representative(index)) for index, n in histogram(state, x).items())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(min_size=5), window=st.sampled_from([2, 100]), cut=st.floats(0, 1))
def test_every_epoch_of_every_pair_is_that_of_the_batch_definition(
    log: list[Order], window: int, cut: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows on disk are merged with the changes that wait, and E ends where related lists have it."""
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    log = [spread_order(ITEMS), *log]
    state = batch(log, window)
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings(window))
        middle = round(cut * len(log))
        embedded.count(as_orders(log[:middle]), middle)
        embedded.count(as_orders(log[middle:], middle), len(log))
        (store,) = embedded.counts
        ranker = Ranker(store, Scoring("raw", trend=False))
        for x in ITEMS:
            _, lists = ranker.lists(np.array([store.names[x]], np.uint32))
            listed = {entry.item_id: entry for entry in lists.entries(0, store.names)}
            for y in ITEMS:
                epochs = pair_epochs(store, store.names[x], store.names[y])

                assert [row.together for row in epochs] == [together(state, x, y, row.epoch) for row in epochs]
                assert [row.expected for row in epochs] == pytest.approx(
                    [expected(state, x, y, row.epoch) for row in epochs], rel=1e-9, abs=1e-12
                )
                assert {row.epoch: row.customers for row in epochs if row.customers} == {
                    epoch: n for (one, other, epoch), n in state.pairs.items() if (one, other) == (x, y)
                }
                if y in listed:
                    assert epochs[-1].together == listed[y].bought_together
                    assert epochs[-1].expected == pytest.approx(listed[y].expected, rel=1e-9)
        embedded.close()
