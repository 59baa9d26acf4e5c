"""The audit reports no difference in a correct state, and finds a count that is off by one."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import count_store, history_store
from state.count_rows import EXPOSURES, bundle_key, bundles_of, decode, encode, items_of, row_keys_of, slice_of
from state.rocks import Rocks, WriteBatch
from state.settings import PAIR_KINDS, CountingSettings
from streams.engine.embedded import Embedded, open_to_read, open_to_write
from streams.offline import audit as audits
from streams.offline.audit import Findings, audit
from tests.commands import called, output_of
from tests.log_strategies import ITEMS, as_orders, logs
from tests.streamed import spread_order

if TYPE_CHECKING:
    from tests.batch_definition import Order

CSV = "customer_id,item_id,timestamp,type\n" + "".join(
    f"customer {customer},{item},2024-03-{day:02},{kind}\n"
    for customer, day, kind, items in [
        ("ann", 1, "", "tea milk sugar"),
        ("bob", 2, "", "tea milk"),
        ("cat", 3, "", "tea lemon soap"),
        ("dan", 4, "", "soap towel"),
        ("eve", 5, "", "milk sugar flour eggs"),
        ("eve", 6, "return", "flour"),
    ]
    for item in items.split()
)


@pytest.fixture(name="state_dir")
def _state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small shop; every slice was written, so that the rows are on disk."""
    monkeypatch.setattr(count_store, "_PAIRS_PER_SLICE", 1)
    monkeypatch.setattr(history_store, "_LINES_PER_SLICE", 1)
    log = tmp_path / "orders.csv"
    log.write_text(CSV)
    output_of("replay", log, "--state-dir", tmp_path / "state", "--commit-lines", "2")
    more = tmp_path / "more.csv"  # enough work for every slice to be written
    more.write_text("customer_id,item_id,timestamp\n" + "".join(f"zoe,z{n},2024-03-07\n" for n in range(40)))
    output_of("replay", more, "--state-dir", tmp_path / "state", "--commit-lines", "1")
    return tmp_path / "state"


@settings(max_examples=30)
@given(
    log=logs(),
    window=st.sampled_from([0, 1, 3, 100]),
    pairs=st.sampled_from(PAIR_KINDS),
    partitions=st.integers(1, 3),
    at_once=st.sampled_from([1, 1000]),
)
def test_a_healthy_state_has_no_difference(
    log: list[Order], window: int, pairs: str, partitions: int, at_once: int
) -> None:
    """Nobody keeps running an audit that reports false differences, nor one that takes as much memory as histories."""
    log = [spread_order(ITEMS), *log]
    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(audits, "_ENTRIES_AT_ONCE", at_once),
        mock.patch.object(audits, "_PAIRS_AT_ONCE", at_once),
    ):
        embedded = Embedded(Path(directory), CountingSettings(window, partitions, pairs=pairs))
        embedded.count(as_orders(log[: len(log) // 2]), len(log) // 2)
        embedded.count(as_orders(log[len(log) // 2 :], len(log) // 2), len(log))
        list(embedded.publish())
        findings = Findings()

        fractions = list(audit(embedded, findings))

        bought = {line.item_id for order in log if order.type == "purchase" for line in order.lines}
        embedded.close()
    assert findings.differences == []
    assert findings.compared["related lists"] == len(bought)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_state_of_real_purchases_has_no_difference(grocery_state: Path, tmp_path: Path) -> None:
    """Histories of hundreds of items, large exposures, and lists cut off at 50 entries."""
    shutil.copytree(grocery_state, tmp_path / "state")

    document = json.loads(output_of("audit", "--state-dir", tmp_path / "state", "--json"))

    assert document["differences"] == 0
    assert document["first"] == []
    assert document["compared"]["pair counts"] > 1_000_000
    assert document["compared"]["related lists"] > 10_000


def plant(state_dir: Path, item_id: str, neighbour: int | str, change: int) -> None:
    """Change one count of an item's stored rows: with a neighbour, or of a histogram bucket."""
    embedded = open_to_write(state_dir)
    (store,) = embedded.counts
    item = store.names[item_id]
    other = store.names[neighbour] if isinstance(neighbour, str) else neighbour
    epochs = store.epochs() if isinstance(neighbour, str) else [EXPOSURES]
    embedded.close()
    rocks = Rocks(state_dir / "counts-0")
    (bundle,) = bundles_of(row_keys_of(np.array([item])) << np.uint64(32)).tolist()
    planted = 0
    batch = WriteBatch(raw_mode=True)
    for epoch in epochs:
        value = rocks.get(bundle_key(epoch, bundle))
        if value is None:
            continue
        keys, counts = decode(
            np.array([bundle], np.uint64), np.frombuffer(value, np.uint8), np.array([0, len(value)], np.int64)
        )
        here = (items_of(keys >> np.uint64(32)) == item) & ((keys & np.uint64(0xFFFFFFFF)) == other)
        if not here.any():
            continue
        counts = counts + change * here
        _, values, _ = encode(keys[counts > 0], counts[counts > 0])
        batch.put(bundle_key(epoch, bundle), values.tobytes())
        planted += 1
    assert planted == 1, "nothing to damage"
    rocks.write(batch)
    rocks.close()


def found(state_dir: Path) -> list[str]:
    """The differences that the audit reports."""
    result = called("audit", "--state-dir", state_dir)
    document = json.loads(called("audit", "--state-dir", state_dir, "--json").stdout)
    differences = re.findall("^differs: (.*)$", result.stdout, re.MULTILINE)
    assert result.exit_code == bool(differences)
    assert document["first"] == differences
    assert len(differences) == min(document["differences"], 20)
    summary = f"{document['differences']} differences" if differences else "no difference"
    assert result.stdout.endswith(f"{summary}\n")
    return differences


@pytest.mark.parametrize("change", [1, -1])
def test_a_pair_count_off_by_one_is_found(state_dir: Path, change: int) -> None:
    assert found(state_dir) == []

    plant(state_dir, "tea", "milk", change)

    differences = found(state_dir)
    epoch = 19_783 // 30
    assert differences[0] == (
        f"customers with both 'tea' and 'milk' in epoch {epoch}: {2 + change} counted, 2 in the histories"
    )
    assert len(differences) == 1, "lists are compared with the recount, which is right"


@pytest.mark.parametrize("change", [1, -1])
def test_a_histogram_bucket_off_by_one_is_found(state_dir: Path, change: int) -> None:
    """It would shift the expectation of every list entry, and no other check would notice."""
    plant(state_dir, "tea", 2, change)

    assert found(state_dir) == [f"buyers of 'tea' with exposure 2: {2 + change} counted, 2 in the histories"]


def test_a_holder_count_off_by_one_is_found(state_dir: Path) -> None:
    embedded = open_to_write(state_dir)
    (store,) = embedded.counts
    (epoch,) = store.epochs()
    number = store.names["sugar"]
    store.popularity.add_holders(store.journal.commit + 1, np.array([number]), np.array([epoch]), np.array([1]))
    batch = WriteBatch(raw_mode=True)
    store.popularity.write_slice(batch, int(slice_of(np.array(number))), 0)
    store._rocks.write(batch)
    embedded.close()

    differences = found(state_dir)

    assert differences[0] == (f"holders of item 'sugar' first bought in epoch {epoch}: 3 counted, 2 in the histories")


@pytest.mark.parametrize("column", ["score", "together", "expected", "trend"])
def test_a_wrong_list_entry_is_found(state_dir: Path, column: str) -> None:
    embedded = open_to_write(state_dir)
    (store,), (related,) = embedded.counts, embedded.related
    number = store.names["sugar"]
    stored = related.get(number)
    assert stored is not None
    assert len(stored.item) >= 2
    wrong = getattr(stored, column).copy()
    wrong[1] *= 1.01
    related.write([(number, stored._replace(**{column: wrong}))], exact_as_of=store.purchases_offset_sum)
    embedded.close()

    differences = found(state_dir)

    assert len(differences) == 1
    assert differences[0].startswith("related list of 'sugar': entry 2 has score ")


def test_a_missing_entry_and_an_extra_one_are_found(state_dir: Path) -> None:
    embedded = open_to_write(state_dir)
    (store,), (related,) = embedded.counts, embedded.related
    sugar, tea = related.get(store.names["sugar"]), related.get(store.names["tea"])
    assert sugar is not None
    assert tea is not None
    tea = tea._replace(item=np.array([*tea.item[:-1], store.names["towel"]], np.uint32))
    columns: list[Any] = [column[1:] for column in sugar]
    shorter = type(sugar)(*columns)
    related.write([(store.names["sugar"], shorter), (store.names["tea"], tea)], exact_as_of=store.purchases_offset_sum)
    embedded.close()

    differences = found(state_dir)

    assert sorted(differences) == [
        f"related list of 'sugar': {len(shorter.item)} entries, {len(sugar.item)} by the counts",
        "related list of 'tea': it names an item that is not a neighbour",
    ]


def test_a_missing_list_is_found(state_dir: Path) -> None:
    embedded = open_to_write(state_dir)
    (store,), (related,) = embedded.counts, embedded.related
    batch = WriteBatch(raw_mode=True)
    batch.delete(b"l" + store.names["tea"].to_bytes(4))
    related._rocks.write(batch)
    embedded.close()

    assert found(state_dir) == ["related list of 'tea': missing"]


def test_many_differences_are_counted_and_the_first_of_them_shown(state_dir: Path) -> None:
    """Thousands of lines would hide the reason."""
    embedded = open_to_read(state_dir)
    findings = Findings()
    (store,) = embedded.counts
    for column in store.popularity.holders.values():
        column[: len(store.names)] += 1

    list(audit(embedded, findings))

    assert findings.count > len(findings.differences) == 20
    embedded.close()
