"""Benchmark of the search: the slowest queries found, on titles made up from few words; each figure beside its limit.

    python -m benchmarks.search [TITLES ...]

Processor time of the least of several runs, 100,000 titles unless others are named; the limit grows with their number.
"""

from __future__ import annotations

import sys
import time
import tracemalloc

from benchmarks.figures import Figure, table
from streams.recommendations.search import ItemSearch
from tests.titles import made_up_titles, slow_queries

LIMIT_MS_PER_100_000 = 20.0
BUILD_LIMIT_S_PER_100_000 = 2.0
RUNS = 7


def measured(titles: int) -> list[Figure]:
    """Figures for so many titles."""
    share = titles / 100_000
    ids, texts, purchases = made_up_titles(titles)
    ItemSearch(ids[:1], texts[:1], purchases[:1]).find("a", 1)  # compiles the loops
    begun = time.process_time()
    search = ItemSearch(ids, texts, purchases)
    built = time.process_time() - begun
    figures = [Figure(f"{titles:,} titles: index, s", built, BUILD_LIMIT_S_PER_100_000 * share)]
    slowest = 0.0
    for query in slow_queries():
        took = []
        for _ in range(RUNS):
            begun = time.thread_time()
            search.find(query, 12)
            took.append(1000 * (time.thread_time() - begun))
        slowest = max(slowest, min(took))
        figures.append(Figure(f"{titles:,} titles: {len(query)} characters, {query[:24]!r}, ms", min(took), None))
    figures.append(Figure(f"{titles:,} titles: the slowest, ms", slowest, LIMIT_MS_PER_100_000 * share))
    tracemalloc.start()
    kept = ItemSearch(ids, texts, purchases)
    size = tracemalloc.get_traced_memory()[0] / (1 << 20)
    tracemalloc.stop()
    del kept
    figures.append(Figure(f"{titles:,} titles: index, MiB", size, None))
    return figures


def main() -> None:
    """Measure and print the figures."""
    figures = [figure for count in sys.argv[1:] or ["100000"] for figure in measured(int(count))]
    table(figures)
    sys.exit(0 if all(figure.met for figure in figures) else 1)


if __name__ == "__main__":
    main()
