"""Histories that are read when they are needed, and dropped: the same deltas and histories whatever the budget."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.orders import PURCHASE, Orders
from state import history_store
from state.errors import StateDamaged
from state.memory import MIB, Memory, MemoryBudget
from state.rocks import WriteBatch
from state.settings import PAIR_KINDS, CountingSettings
from streams.engine.stages import count_orders, open_histories
from tests.batch_by_order import DEFINITIONS
from tests.crashes import Crash
from tests.log_strategies import BEGIN_MS, ITEMS, as_orders, logs
from tests.streamed import facts, histories, spread_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from state.history_store import HistoryStore
    from tests.batch_definition import Order
    from tests.crashes import Crashes

COUNTING = CountingSettings(pair_window=3)


def memory(histories: int, names: int) -> Memory:
    return Memory(MemoryBudget(histories, names, waiting_counts=0, block_cache=MIB, write_buffers=64 * MIB))


AMPLE = memory(64 * MIB, 64 * MIB)
NOTHING = memory(0, 0)
"""Everything is dropped at every commit."""
MEMORIES = st.sampled_from([NOTHING, memory(1_000, 800), memory(4_000, 4_000), AMPLE])


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write slices after a few orders, and read a few rows at once, as happens with thousands in a real log."""
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)
    monkeypatch.setattr(history_store, "_ROWS_AT_ONCE", 3)


def count(store: HistoryStore, log: Sequence[Order], end: int) -> bytes:
    """Count orders up to `end` of a log, one log position each, as one commit; return the deltas."""
    begin = store.purchases_offset
    return count_orders(store, 0, as_orders(log[begin:end], begin), end)[1][0].packed


def deltas_of(
    path: Path, log: Sequence[Order], ends: Sequence[int], counting: CountingSettings = COUNTING
) -> list[bytes]:
    with closing(open_histories(path, counting)) as store:
        return [count(store, log, end) for end in ends]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(min_size=4), data=st.data())
def test_deltas_and_histories_are_the_same_whatever_is_in_memory(
    crashes: Crashes, tmp_path_factory: pytest.TempPathFactory, log: list[Order], data: st.DataObject
) -> None:
    """Whoever gives a worker less memory must get the same counts; so must whoever kills it."""
    counting = replace(COUNTING, pairs=data.draw(st.sampled_from(PAIR_KINDS), label="pairs"))
    log = [spread_order(ITEMS), *log]
    ends = [*sorted(data.draw(st.sets(st.integers(1, len(log) - 1)), label="commits")), len(log)]
    directory = tmp_path_factory.mktemp("budgets")
    expected = deltas_of(directory / "ample", log, ends, counting)
    store = open_histories(directory / "store", counting, memory=data.draw(MEMORIES))
    for number, end in enumerate(ends):
        crash = data.draw(st.sampled_from([None, None, "before", "after"]), label="crash at the commit's write")
        if crash is not None:
            crashes.arm(1, after=crash == "after")
            with pytest.raises(Crash):
                count(store, log, end)
            crashes.arm(0, after=False)
            crashes.let_go()
            crash_again = data.draw(st.booleans(), label="crash while it is opened")
            while crash_again:
                crashes.arm(1, after=data.draw(st.booleans()))
                try:
                    open_histories(directory / "store", counting, memory=NOTHING)
                except Crash:
                    crash_again = data.draw(st.booleans())
                else:
                    crash_again = False
                crashes.arm(0, after=False)
                crashes.let_go()
            store = open_histories(directory / "store", counting, memory=data.draw(MEMORIES))
        if store.purchases_offset < end:
            assert count(store, log, end) == expected[number]
        elif data.draw(st.booleans(), label="read only"):
            crashes.let_go()
            store = open_histories(directory / "store", counting, read_only=True, memory=NOTHING)
            assert (
                histories(store)
                == facts(DEFINITIONS[counting.pairs](log[:end], counting.pair_window), log[:end])["histories"]
            )
            crashes.let_go()
            store = open_histories(directory / "store", counting, memory=data.draw(MEMORIES))

        wanted = facts(DEFINITIONS[counting.pairs](log[:end], counting.pair_window), log[:end])["histories"]
        assert histories(store) == wanted
        for customer in wanted:
            items, _ = store.history(store.customers[customer])
            assert set(store.items.texts(items.tolist())) == wanted[customer].keys()
    assert [deltas for _, deltas in store.outbox()] == expected
    crashes.let_go()


def shop(orders: int, customers: int, items: int, first: int = 0) -> Orders:
    """Purchases of a seeded shop, one log position each, in which every customer prefers items of their own."""
    random = np.random.default_rng([orders, customers, first])
    customer = random.integers(0, customers, orders)
    item = (customer * 7 + random.integers(0, 40, orders)) % items
    return Orders(
        customers=[f"customer {number}" for number in range(customers)],
        items=[f"item {number}" for number in range(items)],
        customer=customer.astype(np.uint32),
        time=BEGIN_MS + (first + np.arange(orders)) * 60_000,
        kind=np.full(orders, PURCHASE, np.uint8),
        key=random.integers(1, 1 << 40, orders, np.uint64),
        start=np.arange(orders + 1),
        after=first + np.arange(1, orders + 1),
        item=item.astype(np.uint32),
        quantity=np.ones(orders, np.int64),
        position=first + np.arange(orders),
    )


@pytest.mark.parametrize("most_bytes", [0, 20_000, 100_000, 1_000_000])
def test_histories_in_memory_stay_within_the_budget(tmp_path: Path, most_bytes: int) -> None:
    """The deltas are those of a store that drops nothing; what is kept is as much as is allowed."""
    ample = open_histories(tmp_path / "ample", COUNTING)
    store = open_histories(tmp_path / "store", COUNTING, memory=memory(most_bytes, 10_000))
    kept = []
    for first in range(0, 8_000, 200):
        orders = shop(200, 500, 300, first)
        assert count_orders(store, 0, orders, first + 200)[1] == count_orders(ample, 0, orders, first + 200)[1]
        kept.append(store._residents.nbytes)
        if first % 2_000 == 1_800:
            store.close()
            store = open_histories(tmp_path / "store", COUNTING, memory=memory(most_bytes, 10_000))

    assert max(kept) <= most_bytes // 2
    assert most_bytes == 0 or max(kept) > most_bytes // 5
    assert histories(store) == histories(ample)
    store.close()
    ample.close()


def test_a_state_is_opened_within_the_budget_whatever_it_was_written_with(
    crashes: Crashes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of a store with much memory changes more histories than one with little may keep.

    Opening writes some slices then, and may be killed after each, to go on with still less.
    """
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 4096)
    with closing(open_histories(tmp_path / "store", COUNTING)) as store:
        for first in range(0, 20_000, 500):
            orders = replace(shop(500, 4_000, 300, first), key=np.zeros(500, np.uint64))  # counted again, they count
            count_orders(store, 0, orders, first + 500)
        wanted, changed = histories(store), store._residents.nbytes

    little = memory(400_000, 0)
    for most_bytes in (1_600_000, 20_000):
        crashes.arm(1, after=True)
        with pytest.raises(Crash):
            open_histories(tmp_path / "store", COUNTING, memory=memory(most_bytes, 0))
        crashes.arm(0, after=False)
        crashes.let_go()
    with closing(open_histories(tmp_path / "store", COUNTING, memory=little)) as store:
        assert store._residents.nbytes <= 200_000 < changed
        assert histories(store) == wanted
    with closing(open_histories(tmp_path / "store", COUNTING)) as store:
        assert histories(store) == wanted
        assert store._residents.nbytes <= 200_000, "what was written is not applied again"


def test_opening_a_store_reads_only_the_histories_that_its_journal_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among millions of customers it must take seconds."""
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 1)
    with closing(open_histories(tmp_path, COUNTING)) as store:
        count_orders(store, 0, shop(900, 300, 100), 900)
        for number in range(64):  # each writes a slice
            count_orders(store, 0, shop(1, 1, 1, 900 + number), 901 + number)
        wanted = histories(store)

    with closing(open_histories(tmp_path, COUNTING)) as store:
        assert len(store._residents) == 1
        assert not store.customers._number_of._young
        assert histories(store) == wanted


@pytest.mark.parametrize("given_memory", [NOTHING, AMPLE])
def test_one_customer_with_very_many_items_and_very_many_customers_in_one_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given_memory: Memory
) -> None:
    """Slower, perhaps; never wrong."""
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 4096)
    monkeypatch.setattr(history_store, "_ROWS_AT_ONCE", 4096)
    many = shop(60_000, 30_000, 300)
    one = replace(shop(60_000, 1, 60_000, 60_000), item=np.arange(60_000, dtype=np.uint32))
    with closing(open_histories(tmp_path, COUNTING, memory=given_memory)) as store:
        count_orders(store, 0, many, 60_000)
        count_orders(store, 0, one, 120_000)
        before = histories(store)
        count_orders(store, 0, replace(one, position=one.position + 60_000, after=one.after + 60_000), 180_000)
        assert len(store._residents) == 0 or given_memory is AMPLE

    with closing(open_histories(tmp_path, COUNTING, memory=given_memory)) as store:
        after = histories(store)
    assert len(after) == len(before) > 25_000
    assert len(after["customer 0"]) == 60_000
    assert {entry[3] for entry in after["customer 0"].values()} <= {1, 2, 3, 4, 5}


def put_row(store: HistoryStore, customer: int, record: bytes) -> None:
    batch = WriteBatch(raw_mode=True)
    batch.put(history_store._row_key(customer), record)
    store._rocks.write(batch)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda row: row[:9], "is cut off"),
        (lambda row: row[:-1], "is cut off"),
        (lambda row: row + b"\0", "has more bytes than it should"),
        (lambda row: row[:13] + b"\xff\xff" + row[15:], "is garbled"),
    ],
)
def test_a_damaged_row_is_found_when_it_is_read(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    """Compiled loops would read and write beyond it. The message names the store, so that a worker sets it aside."""
    store = open_histories(tmp_path / "histories-0", COUNTING, memory=NOTHING)
    count_orders(store, 0, shop(50, 5, 20), 50)
    row = store._rocks.get(history_store._row_key(3))
    assert row is not None
    put_row(store, 3, damage(row))

    reads: list[Callable[[], object]] = [
        lambda: store.history(3),
        lambda: list(store.histories()),
        lambda: count_orders(store, 0, shop(9, 5, 20, 50), 59),
    ]
    for read in reads:
        with pytest.raises(StateDamaged, match=f"histories-0: the history of customer 3 {message}"):
            read()
    store.close()


def test_histories_are_read_in_another_thread_while_others_are_counted(tmp_path: Path) -> None:
    """Questions are answered on the event loop; rows move meanwhile, are dropped, and are read again."""
    store = open_histories(tmp_path, COUNTING, memory=memory(60_000, 20_000))
    count_orders(store, 0, shop(3_000, 500, 300), 3_000)
    still = {number: store.history(number)[0].tolist() for number in range(0, 500, 50)}
    wrong: list[object] = []
    read = 0
    over = threading.Event()

    def keep_reading() -> None:
        nonlocal read
        while not over.is_set():
            for number, items in still.items():
                found = store.history(number)
                if found[0].tolist() != items or found[1]["purchases"].min() < 1:
                    wrong.append((number, found))
                read += 1

    reader = threading.Thread(target=keep_reading)
    reader.start()
    for first in range(3_000, 15_000, 200):
        orders = shop(200, 500, 300, first)
        keep = np.array([store.customers.get(orders.customers[code], -1) not in still for code in orders.customer])
        counted = replace(orders, customer=np.where(keep, orders.customer, 499).astype(np.uint32))
        count_orders(store, 0, counted, first + 200)
    over.set()
    reader.join()
    store.close()

    assert not wrong
    assert read > 100
