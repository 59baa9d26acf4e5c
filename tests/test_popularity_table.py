"""Popularity in slices: what is written is read back, however the table grew in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from state.journal import SLICES
from state.popularity_table import PopularityTable
from state.rocks import Rocks, WriteBatch

if TYPE_CHECKING:
    from pathlib import Path


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
    rocks = Rocks(tmp_path / "table")
    batch = WriteBatch(raw_mode=True)
    for number in range(SLICES):
        table.write_slice(batch, number, 0)
    rocks.write(batch)

    loaded = PopularityTable()
    loaded.load(rocks, items)
    rocks.close()

    for one, other in zip(table.totals(), loaded.totals(), strict=True):
        assert (one[:items] == other[:items]).all()
    assert (table.days[900 % 60, :items] == loaded.days[900 % 60, :items]).all()
    assert loaded.totals()[1].sum() == len(bought)
