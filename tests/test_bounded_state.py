"""What a state keeps in memory does not grow with customers, lines or pairs: a walk through all that it holds.

docs/scaling.md has the list of structures with what bounds each.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import numpy as np

from state.memory import MIB, Memory, MemoryBudget
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from tests.batch_definition import Line, Order
from tests.log_strategies import BEGIN_MS, as_orders
from tests.test_caches import containers

if TYPE_CHECKING:
    from pathlib import Path

ITEMS = 500
ORDERS = 600
MOST_ENTRIES = 700
"""Of a container: runs of waiting counts, of which a slice has 64 in an epoch, and what is kept by item."""
WAITING_BYTES = 3 * MIB


def sizes(*roots: object) -> tuple[dict[str, int], int]:
    """The most entries of a container by the types that lead to it, and the bytes of all arrays that own theirs."""
    gc.collect()
    entries: dict[str, int] = {}
    arrays = 0
    for path, found in containers(*roots):
        if isinstance(found, np.ndarray):
            arrays += found.nbytes if found.base is None else 0
        else:
            entries[path] = max(entries.get(path, 0), len(found))
    return entries, arrays


def test_nothing_grows_with_customers_lines_or_pairs(tmp_path: Path) -> None:
    """A soak of a million lines once took 200 bytes a line, and restarts gave it back only for a while."""
    memory = Memory(MemoryBudget(MIB, MIB // 2, WAITING_BYTES, 4 * MIB, 4 * MIB))
    embedded = Embedded(tmp_path, CountingSettings(item_partitions=2), memory=memory)
    chance = np.random.default_rng(5)
    after: list[tuple[dict[str, int], int]] = []
    for first in range(0, 5 * ORDERS, 50):
        basket = chance.integers(0, ITEMS, (50, 30))
        log = [
            Order(f"customer {first + row}", BEGIN_MS + 1000 * (first + row), tuple(Line(f"i{item}") for item in items))
            for row, items in enumerate(basket.tolist())
        ]
        embedded.count(as_orders(log, first), first + 50)
        if (first + 50) % ORDERS == 0:
            for _ in embedded.publish():
                pass
            after.append(sizes(embedded, memory))

    (_, arrays), (entries, more_arrays) = after[0], after[-1]
    assert {"WaitingCounts", "PopularityTable", "Part"} <= {name for path in entries for name in path.split(" > ")}
    assert {path: size for path, size in entries.items() if size > MOST_ENTRIES} == {}
    assert more_arrays < arrays + WAITING_BYTES + MIB
    assert memory.waiting_counts.used_bytes > WAITING_BYTES // 2, "there was enough to be kept"
    embedded.close()


def test_the_walk_finds_what_grows(tmp_path: Path) -> None:
    """A test that cannot fail proves nothing."""
    embedded = Embedded(tmp_path)
    before = sizes(embedded.counts)
    embedded.counts[0].leak = {number: np.zeros(4) for number in range(2 * MOST_ENTRIES)}  # type: ignore[attr-defined]

    entries, arrays = sizes(embedded.counts)

    assert max(entries.values()) == 2 * MOST_ENTRIES
    assert arrays - before[1] == 2 * MOST_ENTRIES * 32
    del embedded.counts[0].leak  # type: ignore[attr-defined]
    embedded.close()
