"""The admin endpoint's benchmarks: each figure beside what must be reached.

    python -m benchmarks.endpoint --state-dir state [--seconds 60] [--json FILE]

The state is served by a process of its own; the load comes from wrk (apt-get install wrk), which holds the rate with
fifty connections: items as often as they were bought, customers all alike.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks.figures import Figure, table
from streams.embedded import open_to_read
from streams.endpoint.client import path_of
from streams.recommendations.stored_catalogue import set_available

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 50
RELATED_RATE = 1000
RECOMMENDATIONS_RATE = 500
CHANGES = 20
SERVE = "import sys; from streams.commands.query import serve; serve(sys.argv[1:])"


def write_paths(state_dir: Path, directory: Path) -> str:
    """Write a file of paths for each kind of request; returns the id of the bestseller."""
    embedded = open_to_read(state_dir)
    names, table_ = embedded.counts[0].names, embedded.counts[0].popularity
    purchases = table_.totals()[1][: len(names)]
    customers = [customer for customer in embedded.histories.customers.every if customer]
    embedded.close()
    generator = np.random.default_rng(4)
    items = generator.choice(len(names), 20_000, p=purchases / purchases.sum())
    visitors = generator.choice(len(customers), 20_000)
    related = [path_of("items", names.text(int(item)), "related") for item in items]
    recommendations = [path_of("customers", customers[int(place)], "recommendations") for place in visitors]
    (directory / "related").write_text("\n".join(related))
    (directory / "recommendations").write_text("\n".join(recommendations))
    return names.text(int(purchases.argmax()))


@contextmanager
def served(state_dir: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a state; gives the address and the process."""
    command = [sys.executable, "-u", "-c", SERVE, "--state-dir", str(state_dir), "--admin", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = re.search(r"http://[^/]+", server.stdout.readline())
        assert found, "the server did not start"
        try:
            yield found.group(), psutil.Process(server.pid)
        finally:
            server.send_signal(signal.SIGTERM)


def load(url: str, paths: Path, rate: int, seconds: int) -> dict[str, Any]:
    """What wrk measures at a rate."""
    script = Path(__file__).with_suffix(".lua")
    pace = 1.06 * rate  # a connection waits after an answer, not after a question
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(script), url, "--", str(paths)]
    result = subprocess.run(["wrk", *options, str(CONNECTIONS), str(pace)], check=True, capture_output=True, text=True)
    measured: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return measured


def hiding_ms(url: str, state_dir: Path, item: str) -> list[float]:
    """How long hiding an item, and showing it again, takes to be seen by those who ask."""

    def shown() -> bool:
        with urllib.request.urlopen(f"{url}/bestsellers?limit=500", timeout=10) as response:  # noqa: S310 - our own
            return item in [entry["item_id"] for entry in json.load(response)["bestsellers"]]

    waits = []
    for turn in range(CHANGES):
        wanted = turn % 2 == 1
        begun = time.perf_counter()
        set_available(state_dir, {item: wanted})
        while shown() is not wanted:
            time.sleep(0.005)
        waits.append(1000 * (time.perf_counter() - begun))
    return waits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state-dir", required=True, type=Path)
    parser.add_argument("--seconds", default=60, type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = []
    with TemporaryDirectory() as directory, served(options.state_dir) as (url, server):
        bestseller = write_paths(options.state_dir, Path(directory))
        kinds = (("related", RELATED_RATE, None, 10.0), ("recommendations", RECOMMENDATIONS_RATE, 7.0, 20.0))
        for kind, rate, p90, p99 in kinds:
            load(url, Path(directory, kind), rate, 5)  # lists are read into memory when they are first asked for
            before = sum(server.cpu_times()[:2])
            measured = load(url, Path(directory, kind), rate, options.seconds)
            spent = sum(server.cpu_times()[:2]) - before
            figures += [
                Figure(f"{kind}: requests/s", measured["requests"] / measured["seconds"], 0.95 * rate, at_least=True),
                Figure(f"{kind}: CPU ms a request", 1000 * spent / measured["requests"], None),
                Figure(f"{kind}: p50 ms", measured["p50_ms"], None),
                Figure(f"{kind}: p90 ms", measured["p90_ms"], p90),
                Figure(f"{kind}: p99 ms", measured["p99_ms"], p99),
                Figure(f"{kind}: errors per 1,000", 1000 * measured["errors"] / measured["requests"], 1e-9),
            ]
        waits = hiding_ms(url, options.state_dir, bestseller)
        figures.append(Figure("availability change to answers: p99 ms", float(np.percentile(waits, 99)), 1000.0))
    table(figures)
    if options.json:
        options.json.write_text(json.dumps([figure._asdict() for figure in figures], indent=1) + "\n")


if __name__ == "__main__":
    main()
