"""Benchmarks of the admin endpoint, on a worker with the grocery log: each figure beside its limit.

    python -m benchmarks.endpoint [--seconds 60] [--json FILE]

wrk (apt-get install wrk) sends requests at a fixed rate over fifty connections: items in proportion to their purchases,
customers uniformly. "related of 100" asks for the lists of a hundred items at once, twelve entries of each. First on an
idle worker, then while 500 orders a second arrive.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks.figures import Figure, table
from benchmarks.kafka import Bench, ListReader, lines_of, ready
from streams.endpoint.client import path_of
from streams.endpoint.requests import API
from streams.engine.embedded import open_to_read
from streams.workers.kafka.catalogue_topic import set_available
from tests.brokers import ApacheKafka
from tests.workers import wait_until

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics

CONNECTIONS = 50
ORDERS_RATE = 500.0
CHANGES = 20
# kind of request, rate, limits of p90 and p99 in milliseconds, limit of p99 while orders arrive
KINDS = (
    ("related", 1000, None, 10.0, 50.0),
    ("recommendations", 500, 7.0, 20.0, 50.0),
    ("related of 100", 50, None, 15.0, 50.0),
)
TOGETHER = 100
"""Items whose lists are asked for at once."""
SHOWN = 12
"""Entries of each, as a site shows them."""


def write_paths(state_dir: Path, directory: Path) -> str:
    """Write a file of paths, and bodies, for each kind of request; return the id of the bestseller."""
    embedded = open_to_read(state_dir)
    names, table_ = embedded.counts[0].names, embedded.counts[0].popularity
    purchases = table_.totals()[1][: len(names)]
    customers = [customer for _, customer in embedded.histories.customers.every()]
    embedded.close()
    generator = np.random.default_rng(4)
    items = generator.choice(len(names), 20_000, p=purchases / purchases.sum())
    visitors = generator.choice(len(customers), 20_000)
    related = [path_of(API, "items", names.text(int(item)), "related") for item in items]
    recommendations = [path_of(API, "customers", customers[int(visitor)], "recommendations") for visitor in visitors]
    batches = np.sort(items.reshape(-1, TOGETHER))
    bodies = [{"items": names.texts(batch.tolist()), "limit": SHOWN} for batch in batches]
    together = [f"{path_of(API, 'related')}\t{json.dumps(body)}" for body in bodies]
    (directory / "related of 100").write_text("\n".join(together))
    (directory / "related").write_text("\n".join(related))
    (directory / "recommendations").write_text("\n".join(recommendations))
    return names.text(int(purchases.argmax()))


def load(url: str, paths: Path, rate: int, seconds: int) -> dict[str, Any]:
    """Send requests at a rate; return what wrk measured."""
    script = Path(__file__).with_suffix(".lua")
    pace = 1.06 * rate  # a connection waits after the answer, not after the request
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url, "--", str(paths)]
    result = subprocess.run(["wrk", *options, str(CONNECTIONS), str(pace)], check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return measured


def request_figures(
    url: str, paths: Path, rate: int, seconds: int, process: psutil.Process, when: str
) -> dict[str, Figure]:
    """Figures of one kind of request at a rate, without limits, by the last words of their names."""
    before = sum(process.cpu_times()[:2])
    found = load(url, paths, rate, seconds)
    spent = sum(process.cpu_times()[:2]) - before
    values = {
        "requests/s": found["requests"] / found["seconds"],
        "CPU ms a request": 1000 * spent / found["requests"],
        **{f"{name} ms": found[f"{name}_ms"] for name in ("p50", "p90", "p99")},
        "errors per 1,000": 1000 * found["errors"] / found["requests"],
    }
    return {name: Figure(f"{paths.name}{when}: {name}", value, None) for name, value in values.items()}


def hiding_ms(url: str, broker: str, topics: Topics, item: str) -> list[float]:
    """Milliseconds until answers reflect that an item became unavailable, or available again; one per change."""

    def shown() -> bool:
        with urllib.request.urlopen(f"{url}/v1/bestsellers?limit=500", timeout=10) as response:  # noqa: S310 - our own
            return item in [entry["item_id"] for entry in json.load(response)["bestsellers"]]

    waits = []
    for turn in range(CHANGES):
        available = turn % 2 == 1
        set_available(broker, topics, {item: available}, timeout_s=30)  # returns once the broker has it
        begun = time.perf_counter()
        while shown() is not available:
            time.sleep(0.005)
        waits.append(1000 * (time.perf_counter() - begun))
    return waits


def measured(bench: Bench, directory: Path, seconds: int) -> list[Figure]:
    """Measure all figures."""
    topics, worker, _ = bench.grocery()
    bestseller = write_paths(worker.state / topics.generation, directory)
    figures: list[Figure] = []
    with worker:
        ready(worker)
        url = f"http://{worker.admin}"
        wait_until("it is ready", lambda: answers(f"{url}/health/ready"), 120)
        process = psutil.Process(worker.pid)
        for kind, rate, p90, p99, _ in KINDS:
            load(url, directory / kind, rate, 5)  # lists are read into memory on the first request
            found = request_figures(url, directory / kind, rate, seconds, process, "")
            found["requests/s"] = found["requests/s"]._replace(limit=0.95 * rate, at_least=True)
            found["p90 ms"] = found["p90 ms"]._replace(limit=p90)
            found["p99 ms"] = found["p99 ms"]._replace(limit=p99)
            found["errors per 1,000"] = found["errors per 1,000"]._replace(limit=1e-9)
            figures += found.values()
        waits = hiding_ms(url, bench.broker.bootstrap, topics, bestseller)
        figures.append(Figure("availability change to answers: p99 ms", float(np.percentile(waits, 99)), 1000.0))

        base, sent, items = lines_of(worker), list[float](), list[str]()
        reader = ListReader(bench.broker.bootstrap, topics)
        duration = seconds * len(KINDS)
        sender = threading.Thread(target=bench.send_live, args=(topics, sent, items, ORDERS_RATE, duration))
        sender.start()
        for kind, rate, _, _, busy in KINDS:
            found = request_figures(url, directory / kind, rate, seconds, process, " while orders arrive")
            figures += [found["requests/s"], found["p50 ms"], found["p99 ms"]._replace(limit=busy)]
        sender.join()
        time.sleep(5)
        reader.stop()
        fresh = 1000 * np.array(reader.waits(items, sent, base))
        figures.append(Figure("freshness under this load, p50 ms", float(np.percentile(fresh, 50)), 300.0))
        figures.append(Figure("freshness under this load, p99 ms", float(np.percentile(fresh, 99)), 1000.0))
        worker.stop()
    return figures


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own
            return bool(response.status == 200)
    except OSError:
        return False


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default=60, type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as directory, ApacheKafka(Path(directory) / "broker") as broker:
        figures = measured(Bench(broker, Path(directory)), Path(directory), options.seconds)
    table(figures)
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1) + "\n")


if __name__ == "__main__":
    main()
