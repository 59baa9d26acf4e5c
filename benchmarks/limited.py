"""A worker told to keep its memory small: what it takes in all, and what that costs.

    python -m benchmarks.limited                              the grocery log: some minutes
    python -m benchmarks.limited --lines 10_000_000           that of a shop of two million customers as well
    python -m benchmarks.limited --memory 256MiB

The grocery log is counted and published twice, without a limit and with it. The other log is counted with it; then
wrk (apt-get install wrk) asks for 200 recommendations a second while 500 orders a second arrive, after five seconds
of the same that are not measured. Logs are appended before the worker starts. Peaks are the kernel's, of the worker's
process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import psutil
import pyarrow.parquet as pq

from benchmarks.endpoint import answers, load, request_figures, write_paths
from benchmarks.figures import table
from benchmarks.growth import generated
from benchmarks.kafka import LINES, Bench, Load, cpu_s, lines_of, ready
from producers.publish import publish_logs
from state.memory import MIB, parse_bytes
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from tests.brokers import ApacheKafka
from tests.workers import is_current, made_topics, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streams.workers.kafka.topics import Topics
    from tests.workers import WorkerProcess

BESIDE_MIB = 300
ORDERS_RATE, QUESTIONS_RATE = 500.0, 200
_PATIENCE_S = 3600.0


def grocery(bench: Bench, memory: str) -> None:
    """Count and publish the grocery log, with and without a limit."""
    spent = {}
    for name, options in (("free", []), ("limited", ["--memory", memory])):
        topics = _published(bench, name, grocery_file("transactions.parquet"), GROCERY_COLUMNS)
        with bench.worker(topics, name, *options) as worker:
            ready(worker)
            wait_until("it is counted", partial(is_current, [worker], LINES, 1), _PATIENCE_S, 0.1, [worker])
            spent[name] = cpu_s(worker)
            bench.add(f"grocery log, {name}: most memory, MiB", _peak_mib(worker), _most(memory) if options else None)
            worker.stop()
    ratio = spent["free"] / spent["limited"]
    bench.add("grocery log: lines a CPU second, limited over free", ratio, 0.9, at_least=True)


def large(bench: Bench, memory: str, log: Path, seconds: int) -> None:
    """Count a large shop's log, then answer while orders arrive."""
    topics, lines = _published(bench, "large", log, {}), pq.read_metadata(log).num_rows
    worker = bench.worker(topics, "large", "--memory", memory)
    with worker:
        begun = ready(worker)
        wait_until("it is counted", lambda: lines_of(worker) == lines, _PATIENCE_S, 0.5, [worker])
        bench.add(f"{lines:,} lines: lines/s", lines / (time.monotonic() - begun), None)
        bench.add("  most memory, MiB", _peak_mib(worker), _most(memory))
        worker.stop()
    write_paths(worker.state / topics.generation, bench.directory)
    with worker:
        ready(worker)
        wait_until("it can answer", lambda: answers(f"http://{worker.admin}/health/ready"), 120)
        _answers(bench, worker, topics, seconds)
        bench.add("  most memory, MiB", _peak_mib(worker), _most(memory))
        worker.stop()


def _published(bench: Bench, name: str, log: Path, columns: Mapping[str, str]) -> Topics:
    topics = made_topics(bench.broker.bootstrap, name, purchases=1, items=1)
    for _ in publish_logs(bench.broker.bootstrap, topics.purchases, [log], columns):
        pass
    return topics


def _answers(bench: Bench, worker: WorkerProcess, topics: Topics, seconds: int) -> None:
    paths, process, url = bench.directory / "recommendations", psutil.Process(worker.pid), f"http://{worker.admin}"
    with Load(bench.broker, topics, ORDERS_RATE):
        load(url, paths, QUESTIONS_RATE, 5)  # lists are read into memory on the first request
        found = request_figures(url, paths, QUESTIONS_RATE, seconds, process, " while orders arrive")
    limits = {"p99 ms": 40.0, "errors per 1,000": 1e-9}
    for name in ("requests/s", "CPU ms a request", "p50 ms", "p99 ms", "errors per 1,000"):
        limit = limits.get(name)
        bench.add(found[name].name, found[name].value, limit)


def _most(memory: str) -> float:
    return parse_bytes(memory) / MIB + BESIDE_MIB


def _peak_mib(worker: WorkerProcess) -> float:
    """The most that was ever resident of a worker's process, as its kernel counts."""
    status = Path(f"/proc/{worker.pid}/status").read_text().splitlines()
    (kib,) = (int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    return kib / 1024


def main() -> None:
    """Measure on a broker of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", default="512MiB", help="what the worker is told to take")
    parser.add_argument("--lines", type=int, help="lines of the large log; without it, none is counted")
    parser.add_argument("--seconds", type=int, default=60, help="of questions")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="alsobought-bench-") as directory, ApacheKafka(Path(directory) / "broker") as broker:
        bench = Bench(broker, Path(directory))
        if given.lines:
            large(bench, given.memory, generated(Path(directory), given.lines), given.seconds)
        else:
            grocery(bench, given.memory)
    table(bench.figures)
    print(json.dumps([figure._asdict() for figure in bench.figures]))
    sys.exit(0 if all(figure.met for figure in bench.figures) else 1)


if __name__ == "__main__":
    main()
