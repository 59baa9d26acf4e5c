"""The history table: rows grow, move and are replaced without touching each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.history_table import ENTRY, ORDER_LINE, HistoryTable, Rows

STEPS = st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 1 << 31), max_size=9)), max_size=40)


@given(STEPS)
def test_rows_keep_their_elements_when_others_grow_and_move(steps: list[tuple[int, list[int]]]) -> None:
    rows = Rows(np.uint32, np.int64)
    model: dict[int, list[int]] = {}
    for number, elements in steps:
        rows.grow_to(number + 1)
        rows.put(number, np.array(elements, np.uint32), -np.array(elements, np.int64))
        model[number] = elements

        for row, wanted in model.items():
            one, other = rows.row(row)
            assert one.tolist() == wanted
            assert other.tolist() == [-element for element in wanted]


@given(STEPS)
def test_reserved_elements_can_be_filled_in_place(steps: list[tuple[int, list[int]]]) -> None:
    """Compiled loops append without checking bounds: a row without space would overwrite its neighbour."""
    rows = Rows(np.uint32)
    rows.grow_to(31)
    model: dict[int, list[int]] = {number: [] for number in range(31)}
    for number, elements in steps:
        rows.reserve(np.array([number]), np.array([len(elements)]))
        begin = int(rows.start[number] + rows.length[number])
        rows.columns[0][begin : begin + len(elements)] = elements
        rows.length[number] += len(elements)
        model[number] += elements

        assert all(rows.row(row)[0].tolist() == wanted for row, wanted in model.items())


def test_a_row_is_extended_by_the_lines_of_all_its_customers_orders() -> None:
    """A batch may hold many orders of one customer, and the loop that applies them never grows the table."""
    table = HistoryTable()

    table.reserve(np.array([3, 3, 3, 900], np.uint32), np.array([10, 20, 30, 5]))

    arrays = table.arrays()
    lengths = [len(arrays.item), len(arrays.entry), len(arrays.order_key)]
    assert min(lengths) >= 65
    spans = sorted((int(table.history.start[row]), row) for row in (3, 900))
    assert spans[1][0] - spans[0][0] >= (60 if spans[0][1] == 3 else 5)


def test_new_rows_are_empty_after_the_table_grew() -> None:
    table = HistoryTable()
    table.grow_to(10)
    table.history.put(9, np.array([7], np.uint32), np.zeros(1, ENTRY))

    table.grow_to(5000)

    assert table.history.length.sum() == 1
    assert table.history.row(9)[0].tolist() == [7]
    assert not table.changed.any()
    assert len(table.next_seq) >= 5000


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("item", 3),
        ("seq", 0),
        ("order", 0),
        ("order", 9),
        ("quantity", 0),
    ],
)
def test_lines_of_orders_that_cannot_be_are_noticed(column: str, value: int) -> None:
    """They were read from a disk, and compiled loops look at nothing twice."""
    table = HistoryTable("order")
    table.grow_to(2)
    lines = np.array([(0, 1, 0, 0, 1), (0, 4, 0, 0, 2), (7, 4, 0, 5, 1)], ORDER_LINE)
    table.history.put(1, np.array([0, 1, 2], np.uint32), lines)
    table.next_seq[1] = 5
    assert table.impossible(np.array([0, 1]), 3) == -1

    items, entries = table.history.row(1)
    (items if column == "item" else entries[column])[2] = value

    assert table.impossible(np.array([0, 1]), 3) == 1
