"""Made-up orders: the same in every format, of a shop of any size in the same memory, with what real shops have."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from producers.orders import DAY_MS
from producers.synthetic import BEGIN_MS, SyntheticShop
from tests.commands import output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = 1_500
"""More than are made at a time."""


def made(path: Path, *options: str) -> Path:
    output_of("generate", "--orders", str(ORDERS), "--customers", "200", "--items", "80", "--out", path, *options)
    return path


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_format_holds_the_same_orders(ending: str, tmp_path: Path) -> None:
    exports = []
    for log in (made(tmp_path / "orders.jsonl"), made(tmp_path / f"orders.{ending}")):
        state = tmp_path / f"state-{log.suffix}"
        output_of("replay", log, "--state-dir", state)
        exports.append(tmp_path / f"lists-{log.suffix}.jsonl")
        output_of("export", "--state-dir", state, "--out", exports[-1])

    first, second = (export.read_bytes() for export in exports)
    assert first == second
    assert len(first.splitlines()) == 80


def test_a_file_is_named_by_what_it_is(tmp_path: Path) -> None:
    """It used to hold JSON lines, whatever it was called."""
    error = refused("generate", "--orders", "1", "--out", tmp_path / "orders.xlsx")

    assert "ends in none of .jsonl, .ndjson, .csv, .parquet" in error
    assert not list(tmp_path.iterdir())


def test_days_are_the_event_time_that_orders_span(tmp_path: Path) -> None:
    lines = made(tmp_path / "orders.jsonl", "--days", "30").read_text().splitlines()
    times = [json.loads(line)["timestamp"] for line in lines]

    assert times[0] == BEGIN_MS
    assert 29.9 < (times[-1] - times[0]) / DAY_MS < 30


def test_fewer_orders_are_the_first_of_more() -> None:
    shop = SyntheticShop(seed=4)

    assert list(shop.orders(1_200)) == list(shop.orders(2_500))[:1_200]


def test_few_shoppers_place_many_orders_and_groups_sell_in_their_season() -> None:
    shop = SyntheticShop(seed=2, customers=10_000, groups=240)
    orders = Counter[int]()
    groups = {season: Counter[int]() for season in range(12)}
    for block in shop.blocks(40_000, gap_ms=360 * DAY_MS // 40_000):
        orders.update(block.customer.tolist())
        season = np.repeat(block.time_ms // (30 * DAY_MS) % 12, np.diff(block.start))
        for number, sold in groups.items():
            sold.update(block.group[season == number].tolist())

    assert sum(count for _, count in orders.most_common(100)) > 1_200  # of 10,000 alike they would place 400 or so
    assert sum(count == 1 for count in orders.values()) > 100
    best = [sold.most_common(1)[0][0] for sold in groups.values()]
    assert len(set(best)) > 6


def peak_mib(customers: int, groups: int) -> int:
    """Peak memory of a process that makes some orders of a shop."""
    script = (
        "import resource; from producers.synthetic import SyntheticShop\n"
        f"for _ in SyntheticShop(1, {customers}, {groups}).rows(20_000): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    return int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)


def test_memory_does_not_grow_with_the_shop() -> None:
    assert peak_mib(50_000_000, 50_000) < peak_mib(1_000, 100) + 30
