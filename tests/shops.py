"""Small seeded logs for evaluations, as CSV files with known related items."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.orders import DAY_MS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

NEW_YEAR_MS = 1_704_067_200_000  # 2024-01-01


class Purchase(NamedTuple):
    time: int
    customer: str
    item: str


def shop(seed: int = 0, customers: int = 60, items: int = 40, days: int = 120) -> list[Purchase]:
    """A log of customers who buy popular items more often than others, some repeatedly."""
    rng = np.random.default_rng(seed)
    taste = 1 / np.arange(1, items + 1)
    amount = customers * 15
    bought = zip(
        np.sort(rng.integers(0, days * DAY_MS, amount)).tolist(),
        rng.integers(0, customers, amount).tolist(),
        rng.choice(items, amount, p=taste / taste.sum()).tolist(),
        strict=True,
    )
    return [Purchase(NEW_YEAR_MS + time, f"c{customer}", f"i{item}") for time, customer, item in bought]


def planted(seed: int = 0, pairs: int = 30, customers: int = 300) -> list[Purchase]:
    """A log in which everybody buys three of many pairs, every third customer one item of each only after the cutoff.

    Every item is bought equally often on average, so bestsellers have no information.
    """
    rng = np.random.default_rng(seed)
    log = []
    for customer in range(customers):
        for pair in rng.choice(pairs, 3, replace=False).tolist():
            late = customer % 3 == 0
            first = int(rng.integers(0, 80 * DAY_MS))
            second = int(rng.integers(90 * DAY_MS, 99 * DAY_MS)) if late else first + int(rng.integers(0, 5 * DAY_MS))
            halves = rng.permutation(["left", "right"]).tolist()
            log += [
                Purchase(NEW_YEAR_MS + time, f"c{customer}", f"{half}{pair}")
                for time, half in zip((first, second), halves, strict=True)
            ]
    return sorted(log)


def write_log(path: Path, log: Iterable[Purchase]) -> Path:
    """Write the log as a CSV file."""
    rows = "".join(f"{customer},{item},{time}\n" for time, customer, item in log)
    path.write_text(f"customer_id,item_id,timestamp\n{rows}")
    return path
