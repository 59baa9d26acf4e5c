"""Popularity that is kept up to date by what commits change: to the bit that which is summed again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from tests.log_strategies import as_orders, logs

if TYPE_CHECKING:
    from tests.batch_definition import Order

SCORINGS = st.sampled_from([Scoring(), Scoring(trend=False), Scoring("lift", 30), Scoring("naive")])


@settings(max_examples=25, deadline=None)
@given(log=logs(min_size=4), scoring=SCORINGS, commits=st.lists(st.integers(1, 4), min_size=2, max_size=12))
def test_a_ranker_that_is_updated_ranks_as_a_new_one(log: list[Order], scoring: Scoring, commits: list[int]) -> None:
    """Any log, with returns, erasures, late orders and new items, days and epochs; one commit an update, or several."""
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings(pair_window=3))
        (store,) = embedded.counts
        ranker = Ranker(store, scoring)
        counted = 0
        for number, orders in enumerate([*commits, len(log)]):
            end = min(counted + orders, len(log))
            embedded.count(as_orders(log[counted:end], counted), end)
            counted = end
            if number % 3 != 1:
                ranker.update()
                every = np.arange(len(store.names))
                other = Ranker(store, scoring)
                for column, true_column in zip(ranker.lists(every)[1], other.lists(every)[1], strict=True):
                    assert np.asarray(column).tobytes() == np.asarray(true_column).tobytes()
                for column, true_column in zip(ranker.totals(every), other.totals(every), strict=True):
                    assert column.tolist() == true_column.tolist()
        embedded.close()
