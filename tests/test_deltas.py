"""Deltas records: one that no orders can produce is an error before anything is counted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.columns import pack, pack_ids, unpack
from state.settings import CountingSettings
from streams.engine import deltas
from streams.engine.deltas import DeltasInvalid, pack_deltas, unpack_deltas
from streams.engine.stages import count_deltas, count_orders, open_counts, open_histories
from tests.batch_definition import DAY_MS, Line, Order
from tests.log_strategies import BEGIN_MS, as_orders, logs
from tests.streamed import popularity, rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from state.count_store import CountStore
    from streams.engine.deltas import DeltasRecord

    Columns = list[np.ndarray[Any, Any]]
    Change = Callable[[Columns], None]

HEAD, IDS, SIGN, WINDOW, ACTIVE, ITEM, SEQ, EPOCH, EXPOSURE, PURCHASE_ITEM, PURCHASE_DAY = range(11)
SOURCE, BEGIN, END, LINES, DUPLICATES, REJECTED, NEWEST, HOLDING, FIRST_ITEM, LOW_EPOCH, LOW_DAY = range(11)
SETTINGS = CountingSettings(pair_window=4)
LOG = [
    Order("ann", BEGIN_MS, (Line("tea"), Line("milk"), Line("eggs"))),
    Order("bob", BEGIN_MS, (Line("tea"), Line("milk"))),
    Order("ann", BEGIN_MS + 40 * DAY_MS, (Line("soap"), Line("bread"))),
    Order("ann", BEGIN_MS + 40 * DAY_MS, (Line("milk"),), type="return"),
    Order("bob", BEGIN_MS + 41 * DAY_MS, (Line("soap"),)),
]
COUNTED = 2
"""Orders in the first record; the second has the others."""


def records_of(directory: Path) -> list[bytes]:
    with closing(open_histories(directory / "histories", SETTINGS)) as histories:
        parts = [(0, COUNTED), (COUNTED, len(LOG))]
        made = [count_orders(histories, 0, as_orders(LOG[begin:end], begin), end)[1] for begin, end in parts]
        return [record.packed for records in made for record in records]


def head(place: int, value: int) -> Change:
    def change(columns: Columns) -> None:
        columns[HEAD] = columns[HEAD].astype(np.int64)
        columns[HEAD][place] = value

    return change


def entry(column: int, place: int, value: int) -> Change:
    def change(columns: Columns) -> None:
        columns[column] = columns[column].astype(np.int64)
        columns[column][place] = value

    return change


def longer(*numbers: int) -> Change:
    def change(columns: Columns) -> None:
        for number in numbers:
            columns[number] = np.append(columns[number], columns[number][-1:])

    return change


def shorter(*numbers: int) -> Change:
    def change(columns: Columns) -> None:
        for number in numbers:
            columns[number] = columns[number][:-1]

    return change


def first_off(*numbers: int) -> Change:
    def change(columns: Columns) -> None:
        for number in numbers:
            columns[number] = columns[number][1:]

    return change


def ids(*names: str) -> Change:
    def change(columns: Columns) -> None:
        columns[IDS] = np.frombuffer(pack_ids(names), np.uint8)

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (shorter(HEAD), "10 numbers ahead, not 11"),
        (longer(SIGN), "runs differ in number"),
        (shorter(WINDOW), "runs differ in number"),
        (longer(SEQ), "entries differ in number"),
        (shorter(EXPOSURE), "entries differ in number"),
        (longer(PURCHASE_DAY), "purchases differ in number"),
        (head(SOURCE, -1), "no purchases partition -1"),
        (head(BEGIN, -1), "from position -1 to 5"),
        (head(END, 1), "from position 2 to 1"),
        (head(LINES, 1 << 60), "lines are too many"),
        (head(LINES, 1), "has 1 lines, of which 3 were counted"),
        (head(REJECTED, -1), "fewer than no lines"),
        (head(HOLDING, 9), "9 customers more"),
        (head(HOLDING, -2), "-2 customers more"),
        (head(NEWEST, -7), "in no calendar"),
        (head(NEWEST, 1 << 60), "in no calendar"),
        (head(NEWEST, BEGIN_MS), "of another day"),
        (head(FIRST_ITEM, -1), "more items than there can be"),
        (head(FIRST_ITEM, 4), "begin at number 4, 3 are known"),
        (head(LOW_EPOCH, 1 << 40), "first day is in no calendar"),
        (head(LOW_DAY, -(1 << 62)), "first day is in no calendar"),
        (entry(EPOCH, 0, -1), "a day is in no calendar"),
        (entry(EPOCH, -1, 9999), "later than the newest purchase"),
        (ids("soap", "soap"), "named twice"),
        (ids("soap", "a\0b"), "an item id is empty, too long or has a NUL"),
        (ids("soap", "x" * 513), "an item id is empty, too long or has a NUL"),
        (entry(SIGN, 0, 0), "neither 1 nor -1"),
        (entry(SIGN, 0, 3), "neither 1 nor -1"),
        (entry(WINDOW, 0, -1), "more entries than it has, or fewer"),
        (entry(ACTIVE, 0, 0), "more entries than it has, or fewer"),
        (entry(ACTIVE, 0, 1 << 60), "more entries than it has, or fewer"),
        (shorter(SIGN, WINDOW, ACTIVE), "more entries than it has, or fewer"),
        (entry(SIGN, 0, -1), "a run of several returns has a window"),
        (entry(ITEM, 0, 77), "item number without an id"),
        (entry(PURCHASE_ITEM, 0, 77), "item number without an id"),
        (entry(ITEM, 0, 1), "twice"),
        (entry(SEQ, 1, 0), "do not rise"),
        (entry(SEQ, 0, -5), "a seq is impossible"),
        (entry(SEQ, 4, 1 << 33), "a seq is impossible"),
        (entry(SEQ, -1, 90), "farther than the pair window"),
        (entry(EXPOSURE, 0, -3), "an exposure is impossible"),
        (entry(EXPOSURE, 0, 9), "an exposure is impossible"),
        (entry(EXPOSURE, -1, 1), "an exposure is impossible"),
        (first_off(PURCHASE_ITEM, PURCHASE_DAY), "3 items are new, 2 were bought"),
    ],
)  # fmt: skip
def test_an_impossible_record_changes_nothing(tmp_path: Path, change: Change, why: str) -> None:
    """Unchecked, each of these is counted wrongly, fails in numpy, or reads beyond an array."""
    counted, record = records_of(tmp_path)
    columns = unpack(record, deltas._COLUMNS)
    change(columns)
    with closing(open_counts(tmp_path / "counts", 0, SETTINGS)) as store:
        count_deltas(store, [counted])
        before = facts_of(store)

        with pytest.raises(DeltasInvalid, match=why):
            count_deltas(store, [pack(columns)])

        assert facts_of(store) == before
        count_deltas(store, [record])
        assert facts_of(store) != before


def facts_of(store: CountStore) -> dict[str, Any]:
    offsets, names = dict(store.purchases_offsets), list(store.names.every)
    return popularity(store) | {"rows": rows(store), "names": names, "items": store.items_of(0), "offsets": offsets}


@given(logs(max_size=12))
@settings(max_examples=60)
def test_every_record_of_stage_a_is_possible(tmp_path_factory: pytest.TempPathFactory, log: list[Order]) -> None:
    """A record rejected by mistake would stop a worker; a packed one must be read back exactly."""
    directory = tmp_path_factory.mktemp("state")
    with (
        closing(open_histories(directory / "histories", SETTINGS)) as histories,
        closing(open_counts(directory / "counts", 0, SETTINGS)) as counts,
    ):
        for begin in range(0, len(log), 3):
            stretch = log[begin : begin + 3]
            _, [(_, _, _, record)], _ = count_orders(histories, 0, as_orders(stretch, begin), begin + len(stretch))

            count_deltas(counts, [record])

            assert pack_deltas(unpack_deltas(record)) == record


@given(logs(max_size=12), st.integers(1, 700), st.data())
@settings(max_examples=100)
def test_deltas_count_the_same_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, log: list[Order], most_bytes: int, data: st.DataObject
) -> None:
    directory = tmp_path_factory.mktemp("state")
    rejected_at = sorted(data.draw(st.lists(st.integers(0, len(log)), max_size=5)))  # at the end, behind all orders
    made: list[list[DeltasRecord]] = []
    for most in (None, most_bytes):
        with closing(open_histories(directory / f"histories {most}", SETTINGS)) as store:
            orders = as_orders(log, 0)
            args = (store, 0, orders, len(log) + 1, len(rejected_at))
            made.append(count_orders(*args, rejected_at=rejected_at, most_bytes=most)[1])
            assert [deltas for _, deltas in store.outbox()] == [record.packed for record in made[-1]]
            store.acknowledge([1])
            assert list(store.outbox()) == []
    whole, cut = made

    found = []
    for number, records in enumerate(made):
        with closing(open_counts(directory / f"counts {number}", 0, SETTINGS)) as counts:
            for record in records:
                count_deltas(counts, [record.packed])
            found.append(facts_of(counts))

    assert len(whole) == 1
    assert found[1] == found[0]
    assert [record.begin for record in cut] == [0, *(record.end for record in cut[:-1])]
    assert cut[-1].end == len(log) + 1
    for record in cut:
        assert len(record.packed) <= most_bytes or record.end - record.begin == 1 or record is cut[-1]
        deltas = unpack_deltas(record.packed)
        assert (deltas.begin, deltas.end, deltas.rejected) == record[:3]


def test_items_numbered_differently_than_before_are_an_error(tmp_path: Path) -> None:
    """This happens after a rebuild under other rules: purchases would be counted for other items."""
    counted, record = records_of(tmp_path)
    columns = unpack(record, deltas._COLUMNS)
    columns[HEAD][FIRST_ITEM] = 1
    with closing(open_counts(tmp_path / "counts", 0, SETTINGS)) as store:
        count_deltas(store, [counted])

        with pytest.raises(DeltasInvalid, match="items begin at number 1, 3 are known"):
            count_deltas(store, [pack(columns)])
