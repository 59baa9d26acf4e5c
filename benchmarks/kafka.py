"""Benchmarks of workers on a real Apache Kafka: each figure beside its limit.

    python -m benchmarks.kafka                everything but the hour, about twenty minutes
    python -m benchmarks.kafka replay         one of those: replay, tutorial, single, freshness, takeover, standby,
                                              restart, soak
    python -m benchmarks.kafka soak --seconds 3600 --memory 512MiB

`tutorial` is compared with `replay`, and runs it first; `freshness`, `standby` and `restart` use the state of `replay`.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import psutil
from kafka import KafkaConsumer, TopicPartition

from benchmarks.figures import Figure, table
from producers.publish import Pace, Publisher, publish_logs
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from tests.brokers import ApacheKafka
from tests.workers import ROOT, WorkerProcess, is_current, made_topics, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.workers.kafka.topics import Topics

BENCHMARKS = ("replay", "tutorial", "single", "freshness", "takeover", "standby", "restart", "soak")
LINES = 1_460_438  # of the log, without invalid lines
SINGLE_RECORDS = 300_000
LIVE_RATE = 1_000.0
LIVE_S = 60
SOAK_RATE = 300.0
FILLING_ORDERS = 500_000
SESSION_S = 6.0
TAKEOVERS = 5
_SESSION = ("--session-timeout-ms", str(int(SESSION_S * 1000)), "--idle-ms", "2000")


class Bench:
    """A broker and a directory, and what the benchmarks share."""

    def __init__(self, broker: ApacheKafka, directory: Path, *options: str, seconds: int = 600) -> None:
        self.broker = broker
        self.directory = directory
        self.seconds = seconds
        self.options = options
        self.figures: list[Figure] = []
        self._grocery: tuple[Topics, WorkerProcess, float] | None = None

    def worker(self, topics: Topics, name: str, *options: str) -> WorkerProcess:
        """A worker with production settings."""
        return WorkerProcess(self.broker.bootstrap, topics, self.directory / name, *_SESSION, *self.options, *options)

    def add(self, name: str, value: float, limit: float | None, *, at_least: bool = False) -> None:
        """Record and print a figure."""
        self.figures.append(Figure(name, value, limit, at_least))
        print(f"{name}: {value:,.4g}", file=sys.stderr, flush=True)

    def grocery(self) -> tuple[Topics, WorkerProcess, float]:
        """Topics with the grocery log, a stopped worker that has counted it, and its lines per second."""
        if self._grocery is None:
            topics = made_topics(self.broker.bootstrap, "grocery", purchases=1, items=1)
            for _ in publish_logs(
                self.broker.bootstrap, topics.purchases, [grocery_file("transactions.parquet")], GROCERY_COLUMNS
            ):
                pass
            worker = self.worker(topics, "grocery")
            with worker:
                begun = ready(worker)
                counted = 0.0
                while not is_current([worker], LINES, 1):
                    if not counted and lines_of(worker) == LINES:
                        counted = time.monotonic()
                    time.sleep(0.05)
                done = time.monotonic()
                used_s = cpu_s(worker)
                worker.stop()
            self.add("the same, lines a CPU second of the worker", LINES / used_s, None)
            self.add("grocery log counted in both stages, lines/s", LINES / (counted - begun), None)
            self._grocery = topics, worker, LINES / (done - begun)
        return self._grocery

    def replay(self) -> None:
        """The whole grocery log through both stages, until every list is published and exact."""
        _, _, rate = self.grocery()
        self.add("grocery log through both stages to published lists, lines/s", rate, 50_000, at_least=True)

    def tutorial(self) -> None:
        """A prefix of the same log, counted by a Faust agent with Tables."""
        topics, _, rate = self.grocery()
        command = [sys.executable, "-m", "benchmarks.tutorial_agent", self.broker.bootstrap, topics.purchases]
        command += [str(self.directory / "tutorial"), "20"]
        run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=120, check=False)
        found = json.loads(run.stdout.splitlines()[0])
        agent = found["lines"] / found["seconds"]
        self.add("an agent with Tables on the log's first 20 s, lines/s", agent, None)
        self.add("times faster than that", rate / agent, 20, at_least=True)

    def single(self) -> None:
        """Records of one line each through stage A."""
        topics = made_topics(self.broker.bootstrap, "single", purchases=1, items=1)
        shop = SyntheticShop(seed=2)
        with Publisher(self.broker.bootstrap, topics.purchases) as publisher:
            for order in shop.orders(SINGLE_RECORDS):
                record = encode_order(order.customer_id, order.time_ms, [(order.items[0], 1)], order_id=order.order_id)
                publisher.send(order.customer_id.encode(), record, partition=0)
        with self.worker(topics, "single", "--stages", "ingest") as worker:
            begun = ready(worker, "ingest")
            wait_until("all is in", lambda: _purchases_offset(worker) == SINGLE_RECORDS, 120, 0.02)
            self.add(
                "single-line records through stage A, records/s",
                SINGLE_RECORDS / (time.monotonic() - begun),
                30_000,
                at_least=True,
            )
            worker.stop()

    def freshness(self) -> None:
        """Time from an order's append to its item's list on the topic, on the whole grocery state."""
        topics, worker, _ = self.grocery()
        with worker:
            ready(worker)
            base = lines_of(worker)
            wait_until("lists are current", lambda: is_current([worker], base, 1), 120)
            sent: list[float] = []
            items: list[str] = []
            reader = ListReader(self.broker.bootstrap, topics)
            ages: list[float] = []
            sender = threading.Thread(target=self.send_live, args=(topics, sent, items, LIVE_RATE, LIVE_S))
            sender.start()
            while sender.is_alive():
                time.sleep(0.5)
                ages.append((worker.status() or {"tally": {"oldest_change_s": 0.0}})["tally"]["oldest_change_s"])
            stopped = time.monotonic()
            wait_until("lists are current", lambda: is_current([worker], base + len(sent), 1), 120)
            current = time.monotonic() - stopped
            worker.stop()
            reader.stop()
        waits = reader.waits(items, sent, base)
        self.add("freshness: share of orders seen on the topic", len(waits) / len(sent), 1.0, at_least=True)
        self.add("freshness at 1,000 orders/s, p50 ms", float(np.percentile(waits, 50)) * 1000, 200)
        self.add("freshness at 1,000 orders/s, p99 ms", float(np.percentile(waits, 99)) * 1000, 400)
        self.add("greatest age of an unpublished change, s", max(ages), 8)
        self.add("every list exact after the load stops, s", current, 8)

    def send_live(self, topics: Topics, sent: list[float], items: list[str], rate: float, seconds: float) -> None:
        """Send single-line orders of the log's items, in proportion to their purchases, and record when."""
        random = np.random.default_rng(1)
        bought: list[str] = []
        times = 0
        import pyarrow.parquet as pq  # noqa: PLC0415 - only here

        log = pq.read_table(grocery_file("transactions.parquet"), columns=["product_id", "household_id"])
        picks = random.integers(0, len(log), int(rate * seconds))
        bought = [str(item) for item in log["product_id"].take(picks).to_pylist()]
        customers = [str(customer) for customer in log["household_id"].take(random.permutation(picks)).to_pylist()]
        pace = Pace(1.0)
        begin_ms = 1_514_764_800_000
        with Publisher(self.broker.bootstrap, topics.purchases) as publisher:
            for customer, item in zip(customers, bought, strict=True):
                pace.wait(int(times * 1000 / rate))
                record = encode_order(customer, begin_ms + times, [(item, 1)])
                sent.append(time.time())
                items.append(item)
                publisher.send(customer.encode(), record, partition=0)
                times += 1

    def takeover(self) -> None:
        """Time from SIGKILL of one of two workers under load until the other counts in all partitions."""
        topics = made_topics(self.broker.bootstrap, "takeover", purchases=4, items=4)
        first, second = self.worker(topics, "first"), self.worker(topics, "second")
        with first, second, Load(self.broker, topics, 500):
            wait_until("both have partitions", lambda: all(_open(worker) == (2, 2) for worker in (first, second)), 60)
            time.sleep(3)
            first.kill()
            killed = time.monotonic()
            before: dict[str, int] = {}
            wait_until("the other has all", lambda: _open(second) == (4, 4), 60, 0.05)
            before = _offsets(second)
            wait_until("all move", lambda: all(now > before[name] for name, now in _offsets(second).items()), 60, 0.05)
            self.add("takeover after SIGKILL of one of two workers, s", time.monotonic() - killed, 10)
            second.stop()

    def standby(self) -> None:
        """Time from SIGKILL of the owner of the grocery state until another worker counts a new order in both stages.

        First two workers take turns, and each keeps on standby what the other owns; then the other has no state.
        """
        topics, first, _ = self.grocery()
        owner, other = first, self.worker(topics, "standby", "--standby")
        owner.options.append("--standby")
        waits, spent = [], []
        with owner:
            ready(owner)
            with other:
                for _ in range(TAKEOVERS):
                    wait_until("the other is on standby", partial(_on_standby, other), 600, 0.05, [other])
                    before = cpu_s(other)
                    waits.append(self._takeover(topics, owner, other))
                    spent.append(cpu_s(other) - before)
                    owner.start()
                    owner, other = other, owner
                wait_until("the other is on standby", partial(_on_standby, other), 600, 0.05, [other])
                other.stop()
                first.options.remove("--standby")
                with self.worker(topics, "cold") as cold:
                    wait_until("it has joined", lambda: _status(cold).get("tally", {}).get("offsets") == {}, 120, 0.05)
                    time.sleep(SESSION_S / 2)
                    before = cpu_s(cold)
                    recount = self._takeover(topics, owner, cold)
                    recount_spent = cpu_s(cold) - before
        self.add(
            "takeover with a standby after SIGKILL: first order, s beyond the session, median", median(waits), None
        )
        self.add("the same, longest", max(waits), 1)
        self.add("the same, CPU s of the standby from SIGKILL on, median", median(spent), None)
        self.add("takeover without a standby: first order, s beyond the session", recount, None)
        self.add("the same, CPU s", recount_spent, None)
        self.add(
            "takeover without a standby, CPU s to that of one with", recount_spent / median(spent), 10, at_least=True
        )

    def _takeover(self, topics: Topics, owner: WorkerProcess, other: WorkerProcess) -> float:
        """Seconds beyond the session from SIGKILL of the owner until the other has counted a new order."""
        before = lines_of(owner)
        with Publisher(self.broker.bootstrap, topics.purchases) as publisher:
            owner.kill()
            killed = time.monotonic()
            publisher.send(b"1", encode_order("1", 1_514_764_800_000, [("1", 1)]), partition=0)
        time.sleep(SESSION_S - 1)
        wait_until("it is in", lambda: lines_of(other) > before, 300, 0.02, [other])
        return time.monotonic() - killed - SESSION_S

    def restart(self) -> None:
        """Time from SIGKILL of the only worker, with the grocery state, until it counts a new order."""
        topics, worker, _ = self.grocery()
        with worker:
            ready(worker)
            worker.kill()
            killed = time.monotonic()
            before = LINES
            worker.start()
            with Publisher(self.broker.bootstrap, topics.purchases) as publisher:
                publisher.send(b"1", encode_order("1", 1_514_764_800_000, [("1", 1)]), partition=0)
            ready(worker)
            wait_until("it is in", lambda: lines_of(worker) > before, 60, 0.02)
            self.add(
                "restart after SIGKILL: first order, s beyond the session", time.monotonic() - killed - SESSION_S, 3
            )
            worker.stop()

    def soak(self) -> None:
        """Memory of a worker under a steady load over a fixed catalogue, whose log grows all the time."""
        topics = made_topics(self.broker.bootstrap, "soak", purchases=1, items=1)
        samples: list[float] = []
        with (
            self.worker(topics, "soak") as worker,
            Load(self.broker, topics, SOAK_RATE, FILLING_ORDERS) as load,
        ):
            process = psutil.Process(worker.pid)
            wait_until("the shop is known", lambda: load.sent >= FILLING_ORDERS, timeout_s=600, workers=[worker])
            deadline = time.monotonic() + self.seconds
            while time.monotonic() < deadline:
                time.sleep(1)
                samples.append(process.memory_info().rss / 2**20)
            self.add("load, orders/s", (load.sent - FILLING_ORDERS) / self.seconds, None)
            worker.stop()
        quarters = [float(np.mean(part)) for part in np.array_split(np.array(samples), 4)]
        print(f"memory by quarter, MiB: {', '.join(f'{quarter:.0f}' for quarter in quarters)}", file=sys.stderr)
        self.add("memory of a worker in the last quarter, MiB", quarters[3], None)
        self.add(f"memory over {self.seconds} s, last quarter to second", quarters[3] / quarters[1], 1.1)


class Load:
    """Sends synthetic orders in the background at a rate, the first `filling` as fast as possible."""

    def __init__(self, broker: ApacheKafka, topics: Topics, rate: float, filling: int = 0) -> None:
        self.sent = 0
        self._stopped = threading.Event()
        self._arguments = (broker.bootstrap, topics, rate, filling)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        bootstrap, topics, rate, filling = self._arguments
        pace = Pace(1.0)
        with Publisher(bootstrap, topics.purchases) as publisher:
            for number, order in enumerate(SyntheticShop(seed=4, customers=20_000).orders(10_000_000, gap_ms=100)):
                if self._stopped.is_set():
                    return
                if number >= filling:
                    pace.wait(int((number - filling) * 1000 / rate))
                key = order.customer_id.encode()
                publisher.send(key, order.encode(), partition=publisher.partition_of(key))
                self.sent = number + 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()


class ListReader:
    """Reads related-items as a shop's page would, and records when each list arrived."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=20, check_crcs=False
        )
        partition = TopicPartition(topics.related_items, 0)
        self._consumer.assign([partition])
        self._consumer.seek_to_end(partition)
        self._consumer.position(partition)
        self._seen: dict[str, list[tuple[int, float]]] = {}
        self._stopped = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopped:
            for records in self._consumer.poll(timeout_ms=50, max_records=10_000).values():
                now = time.time()
                for record in records:
                    head = record.value[: record.value.index(b'"score"')]
                    lines = int(head[head.index(b'"lines":') + 8 :].split(b"}")[0])
                    self._seen.setdefault(record.key.decode(), []).append((lines, now))

    def stop(self) -> None:
        """Stop reading."""
        self._stopped = True
        self._thread.join()
        self._consumer.close()

    def waits(self, items: list[str], sent: list[float], base: int) -> list[float]:
        """Seconds from each order to the first list of its item that includes it."""
        waits = []
        for number, (item, begun) in enumerate(zip(items, sent, strict=True)):
            lines = base + number + 1
            came = next((when for counted, when in self._seen.get(item, ()) if counted >= lines), None)
            if came is not None:
                waits.append(came - begun)
        return waits


def _status(worker: WorkerProcess) -> dict[str, Any]:
    return worker.status() or {}


def _open(worker: WorkerProcess) -> tuple[int, int]:
    status = _status(worker)
    ingest, tally = (status.get(stage, {}).get("offsets", {}) for stage in ("ingest", "tally"))
    return len(ingest), len(tally)


def _on_standby(worker: WorkerProcess) -> bool:
    """Whether a worker has what it does not own on standby, up to date."""
    status = _status(worker)
    return all(status.get(stage, {}).get("standby") == {"0": 0} for stage in ("ingest", "tally"))


def _offsets(worker: WorkerProcess) -> dict[str, int]:
    status = _status(worker)
    return {
        f"{stage} {partition}": offset
        for stage in ("ingest", "tally")
        for partition, offset in status.get(stage, {}).get("offsets", {}).items()
    }


def lines_of(worker: WorkerProcess) -> int:
    """The number of order lines that a worker has counted."""
    return int(max(_status(worker).get("tally", {}).get("lines", {}).values(), default=0))


def cpu_s(worker: WorkerProcess) -> float:
    """CPU time that a worker has spent, in seconds."""
    used = psutil.Process(worker.pid).cpu_times()
    return float(used.user + used.system)


def _purchases_offset(worker: WorkerProcess) -> int:
    return int(max(_status(worker).get("ingest", {}).get("offsets", {}).values(), default=0))


def ready(worker: WorkerProcess, stage: str = "tally") -> float:
    """Wait until a worker has its partitions; return the monotonic time of that."""
    wait_until("it is ready", lambda: bool(_status(worker).get(stage, {}).get("offsets")), 120, 0.02, [worker])
    return time.monotonic()


def main() -> None:
    """Run the benchmarks that the command line names, or all."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all without any")
    options.add_argument("--seconds", type=int, default=600, help="of soak")
    options.add_argument("--memory", help="what each worker is told to take")
    given = options.parse_args()
    unknown = set(given.names) - set(BENCHMARKS)
    if unknown:
        options.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(BENCHMARKS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="alsobought-bench-") as directory:
        broker = ApacheKafka(Path(directory) / "broker")
        with broker:
            memory = ["--memory", given.memory] if given.memory else []
            bench = Bench(broker, Path(directory), *memory, seconds=given.seconds)
            for name in given.names or BENCHMARKS:
                run: Callable[[], None] = getattr(bench, name)
                run()
    table(bench.figures)
    print(json.dumps([figure._asdict() for figure in bench.figures]))


if __name__ == "__main__":
    main()
