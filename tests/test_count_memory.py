"""Counts within a memory budget: the same whatever it is, in memory and on disk, and never more than it allows."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import count_store
from state.memory import MIB, Memory, MemoryBudget
from state.rocks import Rocks
from state.settings import PAIR_KINDS, CountingSettings
from state.waiting_counts import WaitingCounts
from streams.engine.embedded import Embedded
from streams.engine.scores import Scoring
from streams.offline.export import export
from tests.batch_by_order import DEFINITIONS
from tests.batch_definition import DAY_MS, Line, Order, batch
from tests.log_strategies import BEGIN_MS, ITEMS, as_orders, logs
from tests.streamed import facts, spread_order, streamed_facts

if TYPE_CHECKING:
    from rocksdict import WriteBatch

COUNTING = CountingSettings(pair_window=3, item_partitions=2)
BUDGETS = st.sampled_from([0, 40, 200, 700, 2_000, 20_000, 1 << 30])


def memory(waiting_counts: int) -> Memory:
    return Memory(MemoryBudget(8 * MIB, 2 * MIB, waiting_counts, 2 * MIB, 2 * MIB))


class Crash(Exception):
    """The process dies here."""


def exported(embedded: Embedded, path: Path) -> bytes:
    for _ in export(embedded, path, Scoring()):
        pass
    return path.read_bytes()


@settings(max_examples=25, deadline=None)
@given(
    log=logs(min_size=3, max_size=14),
    runs=st.lists(st.tuples(BUDGETS, st.integers(1, 6), st.integers(1, 25)), min_size=1, max_size=5),
    last=BUDGETS,
    pairs=st.sampled_from(PAIR_KINDS),
)
def test_counts_do_not_depend_on_the_budget(
    log: list[Order], runs: list[tuple[int, int, int]], last: int, pairs: str
) -> None:
    """Each run has another budget and dies at some write, those that make room and those of a recovery included."""
    counting = replace(COUNTING, pairs=pairs)
    log = [spread_order(ITEMS), *log]
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        write, path = Rocks.write, Path(directory, "state")
        left = 0

        def dying_write(rocks: Rocks, batch: WriteBatch) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Crash
            write(rocks, batch)

        patch.setattr(Rocks, "write", dying_write)
        for budget, orders_per_commit, writes in runs:
            left = writes
            embedded: Embedded | None = None
            try:
                embedded = Embedded(path, counting, memory=memory(budget))
                while embedded.purchases_offset < len(log):
                    begin = embedded.purchases_offset
                    end = min(begin + orders_per_commit, len(log))
                    embedded.count(as_orders(log[begin:end], begin), end)
            except Crash:
                left = 0
            if embedded is not None:
                embedded.close()
        left = 0
        embedded = Embedded(path, counting, memory=memory(last))
        for begin in range(embedded.purchases_offset, len(log)):
            embedded.count(as_orders(log[begin : begin + 1], begin), begin + 1)
        plain = Embedded(Path(directory, "plain"), counting)
        plain.count(as_orders(log, 0), len(log))

        assert streamed_facts(embedded) == facts(DEFINITIONS[pairs](log, counting.pair_window), log)
        assert exported(embedded, Path(directory, "one.jsonl")) == exported(plain, Path(directory, "other.jsonl"))
        embedded.close()
        plain.close()


def heavy_buyers(count: int) -> list[Order]:
    """Orders of many items each: far more pairs a line than usual."""
    return [
        Order(
            f"c{number % 7}",
            BEGIN_MS + number * DAY_MS // 4,
            tuple(Line(f"item {(number * 31 + place) % 400}") for place in range(60)),
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("reopened", [False, True])
def test_waiting_counts_stay_within_their_share(tmp_path: Path, reopened: bool) -> None:
    """Also right after opening a state that was counted with more, and while heavy buyers come."""
    log, most = heavy_buyers(60), 0
    if reopened:
        embedded = Embedded(tmp_path)
        embedded.count(as_orders(log[:30], 0), 30)
        assert embedded.counts[0]._waiting.nbytes > 1_500_000
        embedded.close()
    embedded = Embedded(tmp_path, memory=memory(1_000_000))
    part = embedded.counts[0].memory.waiting_counts
    for begin in range(embedded.purchases_offset, len(log)):
        assert part.used_bytes <= 1_000_000
        embedded.count(as_orders(log[begin : begin + 1], begin), begin + 1)
        most = max(most, part.used_bytes)

    assert 300_000 < most <= 1_000_000
    assert streamed_facts(embedded) == facts(batch(log, 100), log)
    embedded.close()


def test_no_commit_writes_everything_because_memory_is_short(tmp_path: Path) -> None:
    """A commit that made room for many to come would stall: it writes about as much as it adds."""
    log = heavy_buyers(80)
    embedded = Embedded(tmp_path, memory=memory(2_000_000))
    store = embedded.counts[0]
    written = []
    for begin in range(len(log)):
        before = store.journal.written.copy()
        embedded.count(as_orders(log[begin : begin + 1], begin), begin + 1)
        written.append(int((store.journal.written != before).sum()))

    assert sum(written) > 40, "memory was short"
    assert max(written) < 32
    embedded.close()


def test_stores_share_and_return_their_part(tmp_path: Path) -> None:
    """A partition that goes to another worker leaves its share to those that stay."""
    shared = memory(1_000)
    embedded = Embedded(tmp_path, CountingSettings(item_partitions=4), memory=shared)
    assert shared.waiting_counts.share_bytes == 250
    embedded.counts[0].close()
    assert shared.waiting_counts.share_bytes == 333
    embedded.counts[0] = count_store.CountStore(
        tmp_path / "counts-0", 0, CountingSettings(item_partitions=4), lambda _: True, memory=shared
    )
    embedded.close()
    assert shared.waiting_counts.used_bytes == 0


def test_a_forgotten_slice_takes_nothing() -> None:
    """Slices once were views of what their commit expanded, which stayed for as long as one of them."""
    waiting = WaitingCounts()
    keys = np.sort(np.random.default_rng(7).integers(0, 1 << 63, 200_000, dtype=np.uint64))
    waiting.add({570: keys, 571: keys[:100]})

    assert 0 < waiting.nbytes - 8 * 200_100 < 50_000
    assert all(run.base is None for number in range(64) for run in waiting.runs(570, number))
    for number in range(64):
        waiting.forget(number)
    assert (waiting.nbytes, waiting.epochs()) == (0, [])
