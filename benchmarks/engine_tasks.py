"""The tasks of the engine's benchmarks, one per process; each prints a line of JSON.

python -m benchmarks.engine_tasks TASK DIRECTORY
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures import peak_mib
from benchmarks.sorting import slice_keys, sorting_ns
from producers.logs.columns import as_settings
from producers.orders import DAY_MS, Orders, order_key
from state.count_rows import EXPOSURES
from state.journal import SLICES
from state.key_sorting import sort_keys
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.offline.audit import Findings, audit
from streams.offline.export import export
from streams.offline.replay import Progress, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMIT_LINES = 5000


def _replay(directory: Path, on_commit: Callable[[Progress], None] = lambda _: None) -> tuple[Embedded, Progress]:
    embedded = Embedded(directory)
    rejects = directory / "rejected.jsonl"
    log = grocery_file("transactions.parquet")
    progress = replay(
        embedded, [log], as_settings(GROCERY_COLUMNS), commit_lines=COMMIT_LINES, rejects=rejects, on_commit=on_commit
    )
    return embedded, progress


def _commit_figures(lines: int, seconds: float, commits_ms: list[float]) -> dict[str, Any]:
    """Figures of a replay from the times of its commits."""
    commits = np.array(commits_ms)
    tenths = [lines / 10 / part.sum() * 1000 for part in np.array_split(commits, 10)]
    p50, p99 = np.percentile(commits, [50, 99])
    rate = lines / seconds
    return {"rate": rate, "tenths": tenths, "p50": p50, "p99": p99, "max": commits.max(), "peak": peak_mib()}


def warm(directory: Path) -> dict[str, Any]:
    """Compile every loop, so that no measured task does."""
    embedded = Embedded(directory)
    for begin, orders in _shop_orders(60_000, 5_000, 2_000):
        embedded.count(orders, begin + len(orders.item))
    for _ in embedded.publish():
        pass
    Ranker(embedded.counts[0], Scoring()).lists(np.arange(100))
    embedded.close()
    Embedded(directory).close()
    keys = slice_keys(100_000)
    return {"sort": np.median([sorting_ns(lambda keys: sort_keys([keys]), keys) for _ in range(9)])}


def replay_grocery(directory: Path) -> dict[str, Any]:
    """The whole grocery log, with a commit every 5,000 lines."""

    def mark(progress: Progress) -> None:
        if progress.lines > 1_300_000:
            (directory / "ninety").touch()

    started = time.perf_counter()
    embedded, progress = _replay(directory, mark)
    found = _commit_figures(progress.lines, time.perf_counter() - started, progress.commits_ms)
    for _ in embedded.publish():
        pass
    found["bytes"] = embedded.size_bytes()
    found["pairs"] = _distinct_pairs(embedded)
    embedded.close()
    return found


def _distinct_pairs(embedded: Embedded) -> int:
    (counts,) = embedded.counts
    distinct = 0
    for number in range(SLICES):
        keys = [keys for epoch, (keys, _) in counts.slice_rows(number).items() if epoch != EXPOSURES]
        distinct += len(np.unique(np.concatenate(keys)))
    return distinct


def whole(directory: Path) -> dict[str, Any]:
    """From the log to a durable state with every list, and a Parquet file of the lists."""
    started = time.perf_counter()
    embedded, _ = _replay(directory)
    replayed = time.perf_counter()
    for _ in embedded.publish():
        pass
    listed = time.perf_counter()
    for _ in export(embedded, directory / "related.parquet", Scoring()):
        pass
    ended = time.perf_counter()
    embedded.close()
    parts = {"replay": replayed - started, "lists": listed - replayed, "export": ended - listed}
    return {"seconds": ended - started, **parts}


def peer(_directory: Path) -> dict[str, Any]:
    """The peer: the single-threaded fit of implicit's item-item cosine model on the same matrix."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - only this task needs them
    from implicit.nearest_neighbours import CosineRecommender  # noqa: PLC0415
    from scipy.sparse import csr_matrix  # noqa: PLC0415

    log = pq.read_table(grocery_file("transactions.parquet"), columns=["household_id", "product_id", "quantity"])
    households, products, quantity = (column.to_numpy() for column in log.columns)
    _, row = np.unique(households[quantity > 0], return_inverse=True)
    _, product = np.unique(products[quantity > 0], return_inverse=True)
    matrix = csr_matrix((np.ones(len(row), np.float32), (row, product)))
    matrix.data[:] = 1
    model = CosineRecommender(K=50, num_threads=1)
    started = time.perf_counter()
    model.fit(matrix, show_progress=False)
    return {"seconds": time.perf_counter() - started}


def lists(directory: Path) -> dict[str, Any]:
    """Default lists from an open store: of all items, of bought items, and one at a time."""
    embedded = Embedded(directory)
    (counts,) = embedded.counts
    scoring = Scoring()
    _, purchases = counts.popularity.totals()
    weights = purchases[: len(counts.names)] / purchases.sum()
    bought = np.random.default_rng(7).choice(len(weights), 3000, replace=False, p=weights)
    sweeps, rates = [], []
    for _ in range(3):
        started = time.perf_counter()
        swept = sum(len(items) for items, _ in Ranker(counts, scoring).every())
        sweeps.append(swept / (time.perf_counter() - started))
        started = time.perf_counter()
        ranker = Ranker(counts, scoring)
        for first in range(0, len(bought), 100):
            ranker.lists(bought[first : first + 100])
        rates.append(len(bought) / (time.perf_counter() - started))
    times = []
    ranker = Ranker(counts, scoring)
    for number in bought:
        started = time.perf_counter()
        ranker.lists(np.array([number]))
        times.append(1000 * (time.perf_counter() - started))
    p50, p99 = np.percentile(times, [50, 99])
    embedded.close()
    return {"sweep": np.median(sweeps), "bought": np.median(rates), "p50": p50, "p99": p99}


def open_state(directory: Path) -> dict[str, Any]:
    """Open a state whose replay was killed."""
    started = time.perf_counter()
    embedded = Embedded(directory)
    seconds = time.perf_counter() - started
    lines = embedded.counts[0].lines
    embedded.close()
    return {"seconds": seconds, "lines": lines}


def audited(directory: Path) -> dict[str, Any]:
    """Everything recounted from the histories, lists included."""
    embedded = Embedded(directory)
    for _ in embedded.publish():
        pass
    findings = Findings()
    started, spent = time.perf_counter(), time.process_time()
    for _ in audit(embedded, findings):
        pass
    seconds, cpu = time.perf_counter() - started, time.process_time() - spent
    embedded.close()
    return {"seconds": seconds, "cpu": cpu, "differences": findings.count, "peak": peak_mib()}


def shop(directory: Path) -> dict[str, Any]:
    """A web shop: 10 million lines, 1 million customers, 100,000 items, Zipf popularity."""
    return _shop(directory, 10_000_000, 1_000_000, 100_000)


def small_shop(directory: Path) -> dict[str, Any]:
    """One of as many items, with a tenth of the lines and customers."""
    return _shop(directory, 1_000_000, 100_000, 100_000)


def wide_shop(directory: Path) -> dict[str, Any]:
    """That one with ten times the items."""
    return _shop(directory, 1_000_000, 100_000, 1_000_000)


def _shop(directory: Path, size: int, customers: int, items: int) -> dict[str, Any]:
    """Count the orders of a shop."""
    embedded = Embedded(directory)
    commits = []
    lines = 0
    started = time.perf_counter()
    waited = 0.0
    generating = time.perf_counter()
    for begin, orders in _shop_orders(size, customers, items):
        waited += time.perf_counter() - generating
        first = 0
        while first < len(orders):
            last = min(int(np.searchsorted(orders.start, orders.start[first] + COMMIT_LINES)), len(orders))
            began = time.perf_counter()
            embedded.count(orders.cut(first, last), begin + int(orders.start[last]))
            commits.append(1000 * (time.perf_counter() - began))
            first = last
        lines = begin + len(orders.item)
        generating = time.perf_counter()
    seconds = time.perf_counter() - started - waited
    embedded.close()
    return _commit_figures(lines, seconds, commits)


def _shop_orders(lines: int, customers: int, items: int) -> Iterator[tuple[int, Orders]]:
    """Yield seeded orders of one to five lines over a year, by customers of different activity."""
    random = np.random.default_rng(11)
    weights = 1.0 / np.arange(1, items + 1) ** 0.9
    edges = np.cumsum(weights / weights.sum())
    names = [f"customer-{number}" for number in range(customers)]
    item_ids = [f"item-{number}" for number in range(items)]
    begin = 0
    while begin < lines:
        sizes = random.integers(1, 6, 20_000)
        start = np.concatenate([[0], np.cumsum(sizes)])
        drawn = np.minimum((random.random(len(sizes)) ** 1.5 * customers).astype(np.uint32), customers - 1)
        fraction = (begin + start[:-1]) / lines
        keys = [order_key(f"{begin}-{number}") for number in range(len(sizes))]
        position = begin + np.arange(start[-1])
        yield (
            begin,
            Orders(
                customers=names,
                items=item_ids,
                customer=drawn,
                time=(1_700_000_000_000 + fraction * 365 * DAY_MS).astype(np.int64),
                kind=np.zeros(len(sizes), np.uint8),
                key=np.array(keys, np.uint64),
                start=start,
                after=begin + start[1:],
                item=np.searchsorted(edges, random.random(start[-1])).clip(0, items - 1).astype(np.uint32),
                quantity=np.ones(start[-1], np.int64),
                position=position,
            ),
        )
        begin += int(start[-1])


if __name__ == "__main__":
    tasks = {
        task.__name__: task for task in (warm, replay_grocery, whole, peer, lists, audited, shop, small_shop, wide_shop)
    }
    tasks["open"] = open_state
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found = tasks[sys.argv[1]](Path(sys.argv[2]))
    print(json.dumps({name: value if isinstance(value, list) else float(value) for name, value in found.items()}))
