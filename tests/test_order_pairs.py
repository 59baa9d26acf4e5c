"""Pairs of orders: examples by hand, states, commands. `test_embedded` holds the stream to their definition."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from state import count_store, history_store
from state.errors import SettingsMismatch
from state.rocks import Rocks
from state.settings import CountingSettings
from streams.engine.embedded import Embedded, settings_of
from tests.batch_by_order import batch_by_order
from tests.batch_definition import Entry, batch
from tests.commands import called, output_of, refused
from tests.streamed import facts, streamed_facts
from tests.test_batch_definition import order
from tests.test_embedded import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.batch_definition import Order, State


@pytest.fixture(autouse=True)
def _small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write slices after a few orders, as happens after thousands in a real log."""
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 5)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 2)


# --- by hand ----------------------------------------------------------------------------------------------------------


def counted(directory: Path, log: Sequence[Order]) -> State:
    """The state of a log by its definition, which the streamed one equals."""
    state = batch_by_order(log, 0)
    with tempfile.TemporaryDirectory(dir=directory) as path:
        embedded = Embedded(Path(path), CountingSettings(0, pairs="order"))
        for begin in range(0, len(log), 5):
            count(embedded, log, begin, min(begin + 5, len(log)))
        assert streamed_facts(embedded) == facts(state, log)
        embedded.close()
    return state


def test_repeats_count_and_other_orders_do_not(tmp_path: Path) -> None:
    """Customers buy bread and butter again and again, and soap some other day."""
    log = [order("ann", 0, "ab"), order("ann", 1, "ab"), order("ann", 2, "ac"), order("bob", 40, "ab")]
    state = counted(tmp_path, log)
    assert state.pairs == {("a", "b", 0): 2, ("b", "a", 0): 2, ("a", "c", 0): 1, ("c", "a", 0): 1} | {
        ("a", "b", 1): 1,
        ("b", "a", 1): 1,
    }
    assert state.exposures == {"a": {1: 4}, "b": {1: 3}, "c": {1: 1}}
    assert state.holders == {("a", 0): 3, ("b", 0): 2, ("c", 0): 1, ("a", 1): 1, ("b", 1): 1}
    assert state.customers == 4
    assert batch(log, 0).pairs["a", "b", 0] == 1


def test_a_return_takes_from_its_own_order_then_from_the_latest_ones(tmp_path: Path) -> None:
    log = [order("ann", 0, "ab", order_id="o1"), order("ann", 1, "ab", order_id="o2"), order("ann", 2, "ab")]
    own = counted(tmp_path, [*log, order("ann", 3, "b", order_id="o1", kind="return")])
    assert own.histories["ann"]["b"] == Entry(1, first=log[1].time, last=log[2].time, purchases=2, quantity=2)
    latest = counted(tmp_path, [*log, order("ann", 3, "b", order_id="r1", kind="return")])
    assert latest.histories["ann"]["b"] == Entry(1, first=log[0].time, last=log[1].time, purchases=2, quantity=2)
    assert own.pairs == latest.pairs == {("a", "b", 0): 2, ("b", "a", 0): 2}
    assert own.exposures["a"] == {0: 1, 1: 2}
    more = counted(tmp_path, [*log, order("ann", 3, "bb", order_id="o1", kind="return")])
    assert more.histories["ann"]["b"] == Entry(1, first=log[1].time, last=log[1].time, purchases=1, quantity=1)


def test_a_later_record_of_an_order_belongs_to_it(tmp_path: Path) -> None:
    """Some shops send a record for each line."""
    log = [order("ann", 0, "a", order_id="o1"), order("ann", 0, "c"), order("ann", 40, "b", order_id="o1")]
    state = counted(tmp_path, log)
    assert state.pairs == {("a", "b", 1): 1, ("b", "a", 1): 1}
    assert state.customers == 2
    assert counted(tmp_path, [*log, order("ann", 41, "", kind="erase")]).pairs == {}


def test_a_forgotten_order_takes_no_more_lines_and_is_no_return_s_own(tmp_path: Path) -> None:
    """Its id may be given again, to an order that is empty when a line comes; no drawn log is as long as that."""
    others = [order("ann", number, "x", order_id=f"other{number}") for number in range(64)]
    log = [order("ann", 0, "abc", order_id="o1"), *others, order("ann", 64, "e", order_id="o1")]
    log += [order("ann", 65, "e", order_id="r1", kind="return"), order("ann", 66, "df", order_id="o1")]
    log += [order("ann", 67, "abf", order_id="o2"), order("ann", 68, "ab", order_id="o1", kind="return")]

    state = counted(tmp_path, log)

    assert {pair for pair in state.pairs if pair[0] < pair[1]} == {("a", "b", 0), ("a", "c", 0), ("b", "c", 0)} | {
        ("d", "f", 2)
    }


# --- states -----------------------------------------------------------------------------------------------------------


def test_a_state_of_customers_counts_no_orders_and_the_other_way_round(tmp_path: Path) -> None:
    """Half of each would be pairs that no log gives; earlier versions, which know no orders, refuse the format."""
    for pairs, other, written in (("customer", "order", 3), ("order", "customer", 4)):
        embedded = Embedded(tmp_path / pairs, CountingSettings(pairs=pairs))
        count(embedded, [order("ann", 0, "ab")], 0, 1)
        embedded.close()

        with pytest.raises(SettingsMismatch, match=f"was written with pairs {pairs}, this run has {other}"):
            Embedded(tmp_path / pairs, CountingSettings(pairs=other))
        assert settings_of(tmp_path / pairs) == CountingSettings(pairs=pairs)
        for store in ("histories-0", "counts-0"):
            rocks = Rocks(tmp_path / pairs / store, read_only=True)
            assert json.loads(rocks.get(b"msettings") or b"")["format"] == written
            rocks.close()


# --- the commands -----------------------------------------------------------------------------------------------------


def test_a_log_is_counted_by_orders_and_says_so(tmp_path: Path) -> None:
    """Tea and milk come together again and again, soap on other days; a state goes on as it began."""
    orders = tmp_path / "orders.csv"
    lines = [f"c{n % 3},{item},2024-01-{n + 1:02},o{n}" for n in range(9) for item in ("tea", "milk")]
    lines += [f"c{n},soap,2024-02-0{n + 1},s{n}" for n in range(3)]
    orders.write_text("customer_id,item_id,timestamp,order_id\n" + "\n".join(lines) + "\n")
    state = tmp_path / "shop"

    output_of("replay", orders, "--state-dir", state, "--pairs", "order")
    orders.write_text(orders.read_text() + "c0,tea,2024-03-01,o100\nc0,milk,2024-03-01,o100\n")
    output_of("replay", orders, "--state-dir", state)

    assert "tea: 10 orders;" in output_of("related", "tea", "--state-dir", state)
    document = json.loads(output_of("related", "tea", "--state-dir", state, "--json"))
    assert document["pairs"] == "order"
    assert [(entry["item_id"], entry["bought_together"]) for entry in document["related"]] == [("milk", 10)]
    held = json.loads(output_of("customer", "c0", "--state-dir", state, "--json"))
    assert {entry["item_id"]: entry["purchases"] for entry in held["history"]} == {"tea": 4, "milk": 4, "soap": 1}
    assert json.loads(output_of("audit", "--state-dir", state, "--json"))["differences"] == 0
    assert "was written with pairs order, this run has customer" in refused(
        "replay", orders, "--state-dir", state, "--pairs", "customer"
    )


def test_a_log_without_order_ids_is_noticed(tmp_path: Path) -> None:
    """Every line would be an order of its own, and no two items ever bought together."""
    orders = tmp_path / "orders.csv"
    orders.write_text("customer_id,item_id,timestamp\nann,tea,2024-01-01\nann,milk,2024-01-01\n")

    told = called("replay", orders, "--state-dir", tmp_path / "shop", "--pairs", "order").stderr

    assert "has no order ids, so each of its records is an order of its own: name their column (--columns" in told


def test_an_order_without_an_id_is_a_record(tmp_path: Path) -> None:
    """Returns need no order id either."""
    orders = tmp_path / "orders.jsonl"
    first = {"customer_id": "ann", "timestamp": "2024-01-01", "lines": [{"item_id": "tea"}, {"item_id": "milk"}]}
    back = first | {"timestamp": "2024-01-02", "type": "return", "lines": [{"item_id": "milk"}]}
    orders.write_text("".join(json.dumps(one) + "\n" for one in (first, first, back)))

    output_of("replay", orders, "--state-dir", tmp_path / "shop", "--pairs", "order")

    document = json.loads(output_of("related", "tea", "--state-dir", tmp_path / "shop", "--score", "raw", "--json"))
    assert document["buyers"] == 2
    assert [(entry["item_id"], entry["bought_together"]) for entry in document["related"]] == [("milk", 1)]
