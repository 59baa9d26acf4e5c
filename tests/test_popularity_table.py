"""Popularity in slices: what is written is read back, however the table grew in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.errors import StateDamaged
from state.journal import SLICES
from state.popularity_table import DAYS, PopularityTable
from state.rocks import Rocks, WriteBatch

if TYPE_CHECKING:
    from pathlib import Path


def stored(table: PopularityTable, directory: Path) -> Rocks:
    """A store with every slice of a table."""
    rocks = Rocks(directory / "table")
    batch = WriteBatch(raw_mode=True)
    for number in range(SLICES):
        table.write_slice(batch, number, 0)
    rocks.write(batch)
    return rocks


@pytest.mark.parametrize("items", [1, 1025, 5000, 10_000, 70_000])
def test_a_table_that_grew_in_steps_is_read_back_into_one_that_grows_at_once(tmp_path: Path, items: int) -> None:
    """Both have spare elements, but not equally many: those of a stored slice may not exist when it is read."""
    table = PopularityTable()
    for known in range(0, items, 700):
        table.grow_to(known)
    table.grow_to(items)
    bought = np.arange(0, items, 3)
    table.advance(900)
    table.add_purchases(1, bought, np.full(len(bought), 900), np.full(len(bought), 30))
    table.add_holders(1, bought, np.full(len(bought), 30), np.ones(len(bought), np.int64))
    rocks = stored(table, tmp_path)

    loaded = PopularityTable()
    loaded.load(rocks, items)
    rocks.close()

    for one, other in zip(table.totals(), loaded.totals(), strict=True):
        assert (one[:items] == other[:items]).all()
    assert (table.days[900 % 60][:items] == loaded.days[900 % 60][:items]).all()
    assert loaded.totals()[1].sum() == len(bought)


@pytest.mark.parametrize("bought", [255, 256, 65_535, 65_536, 200_000])
def test_no_count_is_cut_off(tmp_path: Path, bought: int) -> None:
    """Columns are as narrow as their counts allow: one more must not become none."""
    table = PopularityTable()
    table.grow_to(301)
    table.advance(900)
    items = np.concatenate([np.zeros(bought, np.uint32), np.full(3, 300, np.uint32)])
    days, epochs = np.full(len(items), 900), np.full(len(items), 30)
    for part in np.array_split(np.arange(len(items)), 7):
        table.add_purchases(1, items[part], days[part], epochs[part])
        table.add_holders(1, items[part], epochs[part], np.ones(len(part), np.int64))
    rocks = stored(table, tmp_path)
    loaded = PopularityTable()

    loaded.load(rocks, 301)

    for columns in (table.days[900 % DAYS], *table.epoch(30), loaded.days[900 % DAYS], *loaded.epoch(30)):
        assert columns[[0, 1, 300]].tolist() == [bought, 0, 3]
    rocks.close()


def test_nobody_holds_an_item_less_than_nobody() -> None:
    """Below zero an unsigned count would become the greatest there is."""
    table = PopularityTable()
    item, epoch = np.array([7], np.uint32), np.array([30])
    table.add_holders(1, item, epoch, np.array([1]))
    table.add_holders(2, item, epoch, np.array([-1]))

    with pytest.raises(StateDamaged, match="below zero"):
        table.add_holders(3, item, epoch, np.array([-1]))
