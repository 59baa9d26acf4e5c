"""Simulated runs of both stages under faults, until time is over or one goes wrong.

python -m tests.simulation --seconds 60             new seeds, on all cores
python -m tests.simulation --first 4711 --runs 1    one seed again
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING

from tests.simulation.run import be_quiet, run

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_ONCE = 8


def some_runs(first: int, count: int) -> tuple[Counter[str], float, str]:
    """Run some seeds; return their faults, their simulated seconds, and what went wrong."""
    be_quiet()
    faults: Counter[str] = Counter()
    seconds = 0.0
    for seed in range(first, first + count):
        try:
            outcome = run(seed)
        except Exception as error:  # noqa: BLE001 - whatever it is, its seed must be told
            repeat = f"python -m tests.simulation --first {seed} --runs 1"
            return faults, seconds, f"seed {seed}: {error!r}\nagain: {repeat}"
        faults += outcome.faults
        seconds += outcome.seconds
    return faults, seconds, ""


def _batches(first: int, runs: int | None, deadline: float) -> Iterator[tuple[int, int]]:
    done = 0
    while (runs is None or done < runs) and time.monotonic() < deadline:
        count = _AT_ONCE if runs is None else min(_AT_ONCE, runs - done)
        yield first + done, count
        done += count


def main() -> int:
    """Run seeds; 1 if one went wrong."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    options.add_argument("--first", type=int, default=time.time_ns() % 1_000_000_000, help="first seed")
    options.add_argument("--runs", type=int, help="so many seeds, however long they take")
    options.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = options.parse_args()
    begun = time.monotonic()
    deadline = begun + (given.seconds if given.runs is None else float("inf"))
    faults: Counter[str] = Counter()
    seconds, runs, wrong = 0.0, 0, ""
    batches = _batches(given.first, given.runs, deadline)
    with ProcessPoolExecutor(given.processes) as pool:
        while not wrong and (chosen := list(islice(batches, given.processes))):
            for found, simulated, error in pool.map(some_runs, *zip(*chosen, strict=True)):
                faults += found
                seconds += simulated
                wrong = wrong or error
            runs += sum(count for _, count in chosen)
            print(f"{runs:,} runs, {faults.total():,} faults", end="\r", file=sys.stderr, flush=True)
    took = time.monotonic() - begun
    print(f"{runs:,} runs from seed {given.first}, {seconds / 3600:.1f} simulated hours in {took:.0f} s")
    print(f"{faults.total():,} faults, {faults.total() / took:.0f} a second")
    for kind, count in faults.most_common():
        print(f"{count:10,}  {kind}")
    print(wrong or "every run ended exact")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
