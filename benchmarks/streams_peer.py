"""The same co-purchases by Kafka Streams: how many lines a second each counts and publishes, on one broker.

    python -m benchmarks.streams_peer                 100,000 lines of the grocery log: two or three minutes
    python -m benchmarks.streams_peer --lines 500_000

Needs Java 17 and Maven, which builds `benchmarks/peers/kafka_streams`. Each in turn counts a log that was appended
before it starts, until the list of every item is published; the time begins with the first line counted. Then the
lists are compared: where both name a neighbour, both must have counted the same customers with both items.

The peer does less: it ranks by the difference from what is expected, without epochs, trend and exposure histograms, so
it cannot weigh purchases by their age, nor correct for heavy buyers, and it knows neither returns nor erasures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pyarrow.parquet as pq
from kafka import KafkaAdminClient
from kafka.admin import NewTopic

from benchmarks.figures import Figure, table
from benchmarks.kafka import cpu_s, lines_of, ready
from producers.publish import publish_logs
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from tests.brokers import ApacheKafka
from tests.workers import WorkerProcess, is_current, made_topics, published_lists, wait_until

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics

PEER = Path(__file__).parent / "peers" / "kafka_streams"
_TIMEOUT_S = 1800
_AT_LEAST = 10


class Counted(NamedTuple):
    """What one of them did."""

    seconds: float
    """From the first line counted to the last list published."""
    cpu_s: float
    """Of the process, from its start on."""
    together: dict[tuple[str, str], float]
    """Item and neighbour -> customers with both, of the published lists."""


def main() -> None:
    """Count with both, compare, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=100_000, help="first lines of the grocery log")
    given = options.parse_args()
    build()
    with tempfile.TemporaryDirectory(prefix="alsobought-bench-") as temporary:
        directory = Path(temporary)
        log = directory / "orders.parquet"
        with pq.ParquetFile(grocery_file("transactions.parquet")) as file:
            pq.write_table(file.read().slice(0, given.lines), log)
        with ApacheKafka(directory / "broker") as broker:
            ours, lines = counted_by_us(broker, log, directory)
            peers, _ = counted_by_peer(broker, log, directory)
    both = ours.together.keys() & peers.together.keys()
    different = [pair for pair in both if ours.together[pair] != peers.together[pair]]
    if different or not both:
        raise SystemExit(f"of {len(both)} pairs in both, {len(different)} are counted differently: {different[:5]}")
    print(f"{len(both):,} pairs that both published are counted alike", file=sys.stderr)
    figures = [
        Figure("Kafka Streams, lines/s to published lists", lines / peers.seconds, None),
        Figure("  CPU s", peers.cpu_s, None),
        Figure("alsobought, lines/s to published, exact lists", lines / ours.seconds, None),
        Figure("  CPU s", ours.cpu_s, None),
        Figure("times as many lines/s", peers.seconds / ours.seconds, _AT_LEAST, at_least=True),
        Figure("times as many lines a CPU second", peers.cpu_s / ours.cpu_s, None),
    ]
    table(figures)
    print(json.dumps([figure._asdict() for figure in figures]))


def build() -> None:
    """Compile the peer and fetch its jars."""
    print("building the peer ...", file=sys.stderr, flush=True)
    goals = ["compile", "dependency:copy-dependencies"]
    subprocess.run(["mvn", "--batch-mode", "--quiet", "--file", PEER / "pom.xml", *goals], check=True)


def counted_by_us(broker: ApacheKafka, log: Path, directory: Path) -> tuple[Counted, int]:
    """What a worker does, and how many lines the log has."""
    topics, lines = published(broker, log, "ours")
    with WorkerProcess(broker.bootstrap, topics, directory / "worker") as worker:
        begun = ready(worker)
        wait_until("all lists are current", lambda: is_current([worker], lines, 1), _TIMEOUT_S, 0.05, [worker])
        seconds, spent = time.monotonic() - begun, cpu_s(worker)
        assert lines_of(worker) == lines
        worker.stop()
    lists = published_lists(broker.bootstrap, topics, committed=True)
    together = {
        (item, entry["item_id"]): entry["bought_together"]
        for item, found in lists.items()
        for entry in found["related"]
    }
    return Counted(seconds, spent, together), lines


def counted_by_peer(broker: ApacheKafka, log: Path, directory: Path) -> tuple[Counted, int]:
    """What Kafka Streams does, and how many lines the log has."""
    topics, lines = published(broker, log, "peer")
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_topics([NewTopic(f"{topics.purchases}-changes", 1, 1)])
    jars = f"{PEER / 'target' / 'classes'}:{PEER / 'target' / 'dependency'}/*"
    command = ["java", "-cp", jars, "peer.CoPurchases", broker.bootstrap, topics.purchases, topics.related_items]
    with subprocess.Popen([*command, str(directory / "peer")], stdout=subprocess.PIPE, text=True) as process:
        try:
            seconds = _until_published(process, lines)
            used = psutil.Process(process.pid).cpu_times()
        finally:
            process.terminate()
    together = {
        (item, entry["item_id"]): entry["together"]
        for item, found in published_lists(broker.bootstrap, topics, committed=True).items()
        for entry in found
    }
    return Counted(seconds, used.user + used.system, together), lines


def _until_published(process: subprocess.Popen[str], lines: int) -> float:
    """Follow the peer's reports until every list is published; the seconds from its first line on."""
    begun = changed = 0.0
    before: dict[str, Any] = {}
    deadline = time.monotonic() + _TIMEOUT_S
    assert process.stdout is not None
    for text in process.stdout:
        report = json.loads(text)
        if report["lines"] and not begun:
            begun = time.monotonic() - 1  # reports are a second apart
        if report != before:
            before, changed = report, time.monotonic()
        done = report["lines"] >= lines and report["sent"] == report["counted"] and not report["waiting"]
        if done and time.monotonic() > changed + 1:
            return changed - begun
        if time.monotonic() > deadline:
            break
    raise SystemExit(f"the peer did not publish every list; its last report: {before}")


def published(broker: ApacheKafka, log: Path, prefix: str) -> tuple[Topics, int]:
    """Topics whose `purchases` has the log, and its lines."""
    topics = made_topics(broker.bootstrap, prefix, purchases=1, items=1)
    reports = publish_logs(broker.bootstrap, topics.purchases, [log], GROCERY_COLUMNS)
    return topics, max(report.lines for report in reports)


if __name__ == "__main__":
    main()
