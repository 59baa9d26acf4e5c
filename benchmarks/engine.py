"""Benchmarks of the engine: replay, the whole job, lists, queries, restart; each figure beside its limit.

    python -m benchmarks.engine            everything, about ten minutes
    python -m benchmarks.engine grocery    one of: grocery, whole, lists, audit, restart, shop

The machine's speed is measured too: the limits hold for a machine that sorts a key of a slice in 5 ns; one that takes
10 ns reaches half of them.

Every task runs in its own process, on one core but for the audit, with the compiled loops in numba's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, table

COMMIT_LINES = 5000
TASKS = ("grocery", "whole", "lists", "audit", "restart", "shop")


def main() -> None:
    """Run the benchmarks that the command line names, or all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(TASKS)}; all without any")
    tasks = options.parse_args().names or TASKS
    if unknown := set(tasks) - set(TASKS):
        options.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(TASKS)}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="alsobought-bench-") as directory:
        state = Path(directory) / "grocery"
        calibration = _measured("warm", Path(directory) / "warm")
        figures.append(Figure("calibration: sorting the keys of a slice, ns a key", calibration["sort"], None))
        grocery = _measured("replay_grocery", state)
        if "grocery" in tasks:
            figures += _grocery(grocery)
        if "whole" in tasks:
            figures += _whole(Path(directory))
        if "lists" in tasks:
            figures += _lists(_measured("lists", state))
        if "audit" in tasks:
            figures += _audit(_measured("audited", state, one_core=False))
        if "restart" in tasks:
            figures += _restart(Path(directory))
        if "shop" in tasks:
            shops = {task: _measured(task, Path(directory) / task) for task in ("shop", "small_shop", "wide_shop")}
            figures += _shop(shops["shop"], grocery, shops["small_shop"], shops["wide_shop"])
    table(figures)
    print(json.dumps([figure._asdict() for figure in figures]))


def _measured(task: str, directory: Path, *, one_core: bool = True) -> dict[str, Any]:
    """Run a task in its own process, on one core or all; return its figures."""
    print(f"{task} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.engine_tasks", task, str(directory)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, preexec_fn=_one_core if one_core else None)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def _one_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _grocery(found: dict[str, Any]) -> list[Figure]:
    tenths = found["tenths"]
    return [
        Figure("grocery replay, lines/s", found["rate"], 120_000, at_least=True),
        Figure("  last tenth over best tenth", tenths[-1] / max(tenths), 0.5, at_least=True),
        Figure("  commit p50, ms", found["p50"], None),
        Figure("  commit p99, ms", found["p99"], 100),
        Figure("  commit max, ms", found["max"], 250),
        Figure("  peak memory, MiB", found["peak"], 1536),
        Figure("  state, bytes per distinct ordered pair", found["bytes"] / found["pairs"], 4),
    ]


def _whole(directory: Path) -> list[Figure]:
    """The whole job and the peer's fit, alternately, so that a machine that slows down slows both."""
    ours, theirs = [], []
    for turn in range(3):
        ours.append(_measured("whole", directory / f"whole-{turn}"))
        theirs.append(_measured("peer", directory))
    ratios = [mine["seconds"] / peer["seconds"] for mine, peer in zip(ours, theirs, strict=True)]
    middle = ours[int(np.argsort([mine["seconds"] for mine in ours])[1])]
    return [
        Figure("whole job, s", middle["seconds"], None),
        Figure("  of which replay, s", middle["replay"], None),
        Figure("  of which lists, s", middle["lists"], None),
        Figure("  of which export, s", middle["export"], None),
        Figure("peer: implicit CosineRecommender(K=50).fit, s", float(np.median([p["seconds"] for p in theirs])), None),
        Figure("  whole job over that fit", float(np.median(ratios)), 2.5),
    ]


def _lists(found: dict[str, Any]) -> list[Figure]:
    return [
        Figure("lists, sweep of the catalogue, lists/s", found["sweep"], 20_000, at_least=True),
        Figure("lists of bought items, 100 at a time, lists/s", found["bought"], 5_000, at_least=True),
        Figure("`related` from an open store, p50, ms", found["p50"], None),
        Figure("`related` from an open store, p99, ms", found["p99"], 5),
    ]


def _restart(directory: Path) -> list[Figure]:
    """Kill a replay of the whole grocery log near its end, and open the state."""
    state = directory / "killed"
    command = [sys.executable, "-m", "benchmarks.engine_tasks", "replay_grocery", str(state)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    marker = state / "ninety"
    while not marker.exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = _measured("open", state)
    return [Figure("open after kill -9, s", found["seconds"], 3), Figure("  lines counted", found["lines"], None)]


def _audit(found: dict[str, Any]) -> list[Figure]:
    return [
        Figure("audit of the grocery state, s", found["seconds"], 30),
        Figure("  CPU s", found["cpu"], None),
        Figure("  differences", found["differences"], 0),
        Figure("  peak memory, MiB", found["peak"], None),
    ]


def _shop(found: dict[str, Any], grocery: dict[str, Any], small: dict[str, Any], wide: dict[str, Any]) -> list[Figure]:
    tenths = found["tenths"]
    return [
        Figure("synthetic shop replay, 10 M lines, lines/s", found["rate"], None),
        Figure("  over the grocery log's", found["rate"] / grocery["rate"], 0.5, at_least=True),
        Figure("  last tenth over best tenth", tenths[-1] / max(tenths), 0.7, at_least=True),
        Figure("  over one with a tenth of the lines and customers", found["rate"] / small["rate"], 0.8, at_least=True),
        Figure("  that one with ten times the items, over it", wide["rate"] / small["rate"], 0.7, at_least=True),
        Figure("  commit p99, ms", found["p99"], None),
        Figure("  peak memory, MiB", found["peak"], 4096),
    ]


if __name__ == "__main__":
    main()
