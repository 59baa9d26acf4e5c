"""The stream equals the batch definition at every commit, however the log is split and wherever it is restarted."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state import count_store, history_store
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import SCORES, Scoring
from tests.batch_by_order import batch_by_order
from tests.batch_definition import NOT_HELD, Order, Score, batch, related
from tests.log_strategies import ITEMS, as_orders, logs, long_logs
from tests.streamed import facts, spread_order, streamed_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFINITIONS = {"customer": batch, "order": batch_by_order}
"""By kind of pairs."""
WINDOWS = st.sampled_from([0, 1, 2, 5, 100])
thorough = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write slices after a few orders, as happens after thousands in a real log."""
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)


def count(embedded: Embedded, log: Sequence[Order], begin: int, end: int) -> None:
    """Count orders `begin` to `end` of a log, one log position each, as one commit."""
    embedded.count(as_orders(log[begin:end], begin), end, 0, {})


@pytest.mark.parametrize("pairs", DEFINITIONS)
@thorough
@given(log=logs(), window=WINDOWS, partitions=st.integers(1, 3), data=st.data())
def test_state_equals_the_batch_definition_at_every_commit_and_after_every_restart(
    pairs: str, log: list[Order], window: int, partitions: int, data: st.DataObject
) -> None:
    """Everything else depends on this."""
    log = [spread_order(ITEMS), *log]
    counting = CountingSettings(window, partitions, pairs=pairs)
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), counting)
        while embedded.purchases_offset < len(log):
            begin = embedded.purchases_offset
            end = data.draw(st.integers(begin + 1, len(log)), label="commit up to")
            count(embedded, log, begin, end)

            expected = facts(DEFINITIONS[pairs](log[:end], window), log[:end])
            assert streamed_facts(embedded) == expected

            if data.draw(st.booleans(), label="restart"):
                embedded.close()
                embedded = Embedded(Path(directory), counting)
                assert streamed_facts(embedded) == expected
        embedded.close()


@pytest.mark.parametrize("pairs", DEFINITIONS)
@settings(thorough, max_examples=15)
@given(log=long_logs(), cut=st.integers(7, 40))
def test_the_last_64_orders_of_a_customer_are_remembered_and_no_more(pairs: str, log: list[Order], cut: int) -> None:
    """A redelivered order is ignored if it is remembered; the memory is bounded and survives a restart."""
    with tempfile.TemporaryDirectory() as directory:
        for begin in range(0, len(log), cut):
            embedded = Embedded(Path(directory), CountingSettings(pairs=pairs))
            count(embedded, log, begin, min(begin + cut, len(log)))
            found = streamed_facts(embedded)
            embedded.close()

    assert found == facts(DEFINITIONS[pairs](log, 100), log)


@thorough
@given(
    log=logs(min_size=5),
    window=WINDOWS,
    score=st.sampled_from(get_args(Score)),
    half_life=st.sampled_from([None, 30.0, 60.0]),
    trend=st.booleans(),
)
def test_lists_are_those_of_the_batch_definition(
    log: list[Order], window: int, score: Score, half_life: float | None, trend: bool
) -> None:
    """Bounds and merged rows only save time; they must not change a list."""
    if not SCORES[score].decays or score == "blend":
        half_life = None
    log = [spread_order(ITEMS), *log]
    state = batch(log, window)
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings(window))
        count(embedded, log, 0, len(log) // 2)
        count(embedded, log, len(log) // 2, len(log))
        (store,) = embedded.counts
        ranker = Ranker(store, Scoring(score, half_life, trend))
        swept = {}
        for items, lists in ranker.every():
            for row, item in enumerate(items.tolist()):
                entries = lists.entries(row, store.names)
                swept[store.names.text(item)] = entries
                _, alone = ranker.lists(items[row : row + 1])
                assert alone.entries(0, store.names) == entries
        embedded.close()

    assert swept.keys() == state.purchases.keys()
    for item, entries in swept.items():
        wanted = {entry.item_id: entry for entry in related(state, item, score, half_life, trend=trend)}
        for entry in entries:
            if entry.score > 1e-9 or entry.item_id in wanted:
                found = msgspec.structs.astuple(entry)
                assert found[1:] == pytest.approx(wanted[entry.item_id][1:], rel=1e-6, abs=1e-9)
        missing = wanted.keys() - {entry.item_id for entry in entries}
        assert all(wanted[other].score < 1e-9 for other in missing)
        ranks = [(-entry.score, -state.purchases[entry.item_id], entry.item_id) for entry in entries]
        assert ranks == sorted(ranks)


@thorough
@given(log=logs())
def test_returns_of_items_not_held_are_reported_by_log_position(log: list[Order]) -> None:
    """A rejected line must be found in its log."""
    with tempfile.TemporaryDirectory() as directory:
        embedded = Embedded(Path(directory), CountingSettings())
        positions = embedded.count(as_orders(log), len(log), 0, {})
        embedded.close()

    rejected = batch(log, 100).rejected
    assert all(rejection.reason == NOT_HELD for rejection in rejected)
    assert sorted(set(positions.tolist())) == sorted({rejection.order for rejection in rejected})


def test_a_log_without_purchases_has_no_lists(tmp_path: Path) -> None:
    """For example a shop whose first record is an erasure."""
    embedded = Embedded(tmp_path)
    count(embedded, [Order("c", 10**12, (), None, "erase")], 0, 1)

    assert sum(embedded.publish()) == 0
    assert streamed_facts(embedded) == facts(batch([], 100), [])
    embedded.close()


def test_the_engine_loads_no_kafka_client() -> None:
    """Counting a file needs no broker, so importing the engine must not take the time to load a client."""
    script = "import sys, streams.engine.embedded; print({'kafka', 'aiokafka', 'faust'} & set(sys.modules))"

    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert result.stdout == "set()\n"
