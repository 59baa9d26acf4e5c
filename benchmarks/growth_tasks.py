"""The tasks of benchmarks.growth, one per process; each prints a line of JSON.

python -m benchmarks.growth_tasks count|open LOG STATE [--memory SIZE] [--first LINES]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pyarrow.parquet as pq

from benchmarks.figures import peak_mib
from state.memory import Memory
from streams.commands.memory_option import budget_of
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.offline.replay import Progress, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMIT_LINES = 5000
_QUESTIONS = 2000
_AT_ONCE = 100


def main() -> None:
    """Do what the command line says."""
    options = argparse.ArgumentParser()
    options.add_argument("task", choices=["count", "open"])
    options.add_argument("log", type=Path)
    options.add_argument("state", type=Path)
    options.add_argument("--memory")
    options.add_argument("--first", type=int, help="lines to count of the log")
    given = options.parse_args()
    memory = Memory(budget_of(given.memory)) if given.memory else Memory()
    found = count(given, memory) if given.task == "count" else opened(given.state, memory)
    print(json.dumps(found), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # nothing is closed, as in a crash


def count(given: argparse.Namespace, memory: Memory) -> dict[str, Any]:
    """Count the log; take a sample after each tenth."""
    lines = given.first or pq.read_metadata(given.log).num_rows
    samples: list[dict[str, Any]] = []
    started = time.perf_counter()

    def sample(progress: Progress) -> None:
        if progress.lines >= (len(samples) + 1) * lines / 10 or progress.lines == lines:
            disk = {store.name: _bytes(store) for store in given.state.iterdir() if store.is_dir()}
            took, rss = time.perf_counter() - started, _rss()
            parts = {part: use.used for part, use in memory.parts().items()}
            samples.append({"lines": progress.lines, "s": took, "rss": rss, "disk": disk, "parts": parts})
            print(f"  {progress.lines:,} lines, {took:.0f} s, {rss:.0f} MiB", file=sys.stderr, flush=True)

    progress = replay(
        Embedded(given.state, memory=memory),
        [given.log],
        {},
        commit_lines=COMMIT_LINES,
        rejects=given.state.with_suffix(".rejected.jsonl"),
        on_commit=sample,
        stop=lambda: bool(given.first) and len(samples) > 0 and samples[-1]["lines"] >= lines,
    )
    seconds = np.diff([0.0, *(sample["s"] for sample in samples)])
    counted = np.diff([0, *(sample["lines"] for sample in samples)])
    p50, p99 = np.percentile(progress.commits_ms, [50, 99])
    return {
        "lines": progress.lines,
        "rate": progress.lines / samples[-1]["s"],
        "tenths": (counted / seconds).tolist(),
        "p50": p50,
        "p99": p99,
        "max": max(progress.commits_ms),
        "peak": peak_mib(),
        "samples": samples,
    }


def opened(state: Path, memory: Memory) -> dict[str, Any]:
    """Open the state after a crash, and ask it."""
    started = time.perf_counter()
    embedded = Embedded(state, memory=memory)
    open_s, rss = time.perf_counter() - started, _rss()
    (counts,) = embedded.counts
    _, purchases = counts.popularity.totals()
    random = np.random.default_rng(7)
    bought = random.choice(len(purchases), _QUESTIONS, p=purchases / purchases.sum())
    shoppers = (len(embedded.histories.customers) * random.random(_QUESTIONS) ** 1.5).astype(int)
    ranker = Ranker(counts, Scoring())
    ranker.lists(bought[:1])  # loads the loops
    list_us = _each_us(ranker.lists, np.split(bought, _QUESTIONS // _AT_ONCE)) / _AT_ONCE
    history_us = _each_us(embedded.histories.history, shoppers.tolist())
    return {"open_s": open_s, "rss": rss, "list_us": list_us, "history_us": history_us, "peak": peak_mib()}


def _each_us(ask: Callable[[Any], object], questions: Sequence[Any]) -> float:
    """Microseconds that each takes."""
    started = time.perf_counter()
    for question in questions:
        ask(question)
    return (time.perf_counter() - started) / len(questions) * 1e6


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.iterdir() if file.is_file())


def _rss() -> float:
    """MiB resident now."""
    return float(psutil.Process().memory_info().rss) / (1 << 20)


if __name__ == "__main__":
    main()
