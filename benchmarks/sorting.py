"""Benchmark of sorting: ns of CPU a key, beside NumPy's sort, which some processors slow down tenfold.

    python -m benchmarks.sorting

The keys are like those that wait for a slice of counts, and like any 64 bits. A NumPy that may not use AVX-512 shows
what another processor does: NPY_DISABLE_CPU_FEATURES="X86_V4 AVX512_ICL AVX512_SPR".
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figures import Figure, table
from state.key_sorting import sort_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from state.count_rows import Keys

TURNS = 9


def main() -> None:
    """Sort keys of each kind both ways, in turns."""
    figures = []
    for name, keys in (
        ("1,000 of a slice", slice_keys(1_000)),
        ("100,000 of a slice", slice_keys(100_000)),
        ("1,000,000 of a slice", slice_keys(1_000_000)),
        ("100,000 of any bits", np.random.default_rng(3).integers(0, 1 << 64, 100_000, np.uint64)),
    ):
        ours, numpys = zip(
            *((sorting_ns(_sort_keys, keys), sorting_ns(np.sort, keys)) for _ in range(TURNS)), strict=True
        )
        ratio = float(np.median(ours)) / float(np.median(numpys))
        figures += [
            Figure(f"{name}: ns a key", float(np.median(ours)), 20),
            Figure("  np.sort", float(np.median(numpys)), None),
            Figure("  over np.sort", ratio, 2),
        ]
    table(figures)
    print(json.dumps([figure._asdict() for figure in figures]))


def slice_keys(count: int) -> Keys:
    """Seeded keys of one slice of 90,000 items: 9 bits of bundle, 2 of item, 16 of neighbour, a sign."""
    random = np.random.default_rng(5)
    item = random.integers(0, 1 << 11, count, np.uint64)
    neighbour = random.integers(0, 90_000, count, np.uint64)
    keys: Keys = item << np.uint64(33) | neighbour << np.uint64(1) | random.integers(0, 2, count, np.uint64)
    return keys


def sorting_ns(sort: Callable[[Keys], Keys], keys: Keys) -> float:
    """Nanoseconds of CPU that sorting takes, a key."""
    times = max(1_000_000 // len(keys), 1)
    sort(keys)  # compiles
    began = time.process_time_ns()
    for _ in range(times):
        sort(keys)
    return (time.process_time_ns() - began) / times / len(keys)


def _sort_keys(keys: Keys) -> Keys:
    return sort_keys([keys])


if __name__ == "__main__":
    main()
