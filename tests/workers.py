"""Workers as processes, and the topics and stores that they leave, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from kafka import KafkaConsumer, TopicPartition

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from streams.workers.kafka.topics import Partitions, Topics, create_topics
from tests.brokers import _free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.brokers import Broker

ROOT = Path(__file__).parent.parent
PATIENCE_S = 180.0  # the machine of CI may be several times slower, and shared
_TAIL_LINES = 30


def made_topics(broker: str, prefix: str, purchases: int = 2, items: int = 2) -> Topics:
    """Create topics for one test."""
    topics = Topics(prefix=f"{prefix}-")
    create_topics(broker, topics, Partitions(purchases, items))
    return topics


def send_orders(broker: Broker, topics: Topics, first: int, last: int, shop: SyntheticShop | None = None) -> None:
    """Send some orders of a shop, by default of a small one, each to its customer's partition."""
    orders = (shop or SyntheticShop(seed=8)).orders(last)
    with Publisher(broker.bootstrap, topics.purchases) as publisher:
        for order in islice(orders, first, None):
            key = order.customer_id.encode()
            publisher.send(key, order.encode(), partition=publisher.partition_of(key))


def wait_until(
    what: str,
    holds: Callable[[], bool],
    timeout_s: float = PATIENCE_S,
    pause_s: float = 0.1,
    workers: Sequence[WorkerProcess] = (),
) -> None:
    """Return once a condition holds; on timeout fail with its name and the end of each worker's log.

    Fails at once if one of the workers has ended.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        ended = [worker for worker in workers if not worker.running]
        if holds():
            return
        ended = [worker for worker in ended if not worker.running]  # `holds` may have restarted it
        last_words = "\n\n".join(map(str, workers)) if ended or time.monotonic() > deadline else ""
        assert not ended, f"a worker ended before: {what}\n{last_words}"
        assert time.monotonic() < deadline, f"after {timeout_s:.0f} s not yet: {what}\n{last_words}"
        time.sleep(pause_s)


def wait_until_current(workers: Sequence[WorkerProcess], lines: int, items: int) -> None:
    """Return once `is_current` holds."""
    what = f"{lines:,} order lines are counted in {items} item partitions, and every list is exact"
    wait_until(what, lambda: is_current(workers, lines, items), workers=workers)


class WorkerProcess:
    """A worker in a process of its own; what it logs goes to `<directory>/log.txt`.

    It runs only in a `with` block, which kills it at the end, so that no test leaves one behind.

    Args:
        broker: host:port.
        topics: prefix and generation.
        directory: for its state and log.
        faults: names of faults in `tests.worker_driver`.
        options: of the command; of repeated ones the last counts.
        code: the checkout that it runs.
    """

    def __init__(
        self, broker: str, topics: Topics, directory: Path, *options: str, faults: str = "none", code: Path = ROOT
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state = directory / "state"
        self.log = directory / "log.txt"
        self.admin = f"127.0.0.1:{_free_port()}"
        self.faults = faults
        self.code = code
        self.options = ["--broker", broker, "--state-dir", str(self.state), "--admin", self.admin, "--idle-ms", "500"]
        self.options += ["--topic-prefix", topics.prefix, "--generation", topics.generation]
        # a killed worker keeps its partitions for a session: a short session makes short tests
        self.options += ["--session-timeout-ms", "1500", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self._watched = False

    def __str__(self) -> str:
        """Its status and the end of its log."""
        ended = None if self._process is None else self._process.poll()
        how = f"status {json.dumps(self.status())}" if self.running else f"ended with exit code {ended}"
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"worker in {self.log.parent}: {how}; its log ends:\n" + "\n".join(log.splitlines()[-_TAIL_LINES:])

    def start(self) -> None:
        """Start it; return before it is ready."""
        assert self._watched, "a worker is started in a with block, which also kills it"
        assert not self.running
        command = [sys.executable, "-m", "tests.worker_driver", self.faults, "worker", *self.options]
        with self.log.open("ab") as log:
            # a process group of its own, so that Ctrl-C reaches the tests first
            self._process = subprocess.Popen(
                command, cwd=self.code, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ)
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process is not None and self.running:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code."""
        assert self._process is not None
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; return the exit code."""
        assert self._process is not None
        try:
            return self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"after {PATIENCE_S:.0f} s it has not ended: {self}") from None

    def status(self) -> dict[str, Any] | None:
        """The document of /status; None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}/status", timeout=5) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except (urllib.error.URLError, OSError):
            return None

    def __enter__(self) -> Self:
        self._watched = True
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._watched = False
        self.kill()


def is_current(workers: Sequence[WorkerProcess], lines: int, items: int) -> bool:
    """Whether the workers together have counted `lines` in every item partition, and every list is exact."""
    current = set()
    for worker in workers:
        status = worker.status()
        if status is None or "tally" not in status:
            continue
        tally = status["tally"]
        current |= {number for number, count in tally["lines"].items() if count == lines and tally["current"][number]}
    return len(current) == items


def read_topic(
    broker: str, topic: str, *, committed: bool = False, begin: Mapping[int, int] = MappingProxyType({})
) -> list[list[Any]]:
    """The records of a topic by partition, from the first or from given offsets on, as a plain consumer reads them."""
    consumer = KafkaConsumer(
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed" if committed else "read_uncommitted",
    )
    try:
        found = []
        for number in sorted(consumer.partitions_for_topic(topic) or ()):
            place = TopicPartition(topic, number)
            consumer.assign([place])
            end = consumer.end_offsets([place])[place]
            if number in begin:
                consumer.seek(place, begin[number])
            else:
                consumer.seek_to_beginning(place)
            records: list[Any] = []
            while consumer.position(place) < end:
                for batch in consumer.poll(timeout_ms=500, max_records=5000).values():
                    records += batch
                # the embedded broker reports the start of its last batch as the end; fetches return the right offset
                end = max(end, consumer.highwater(place) or 0)
            found.append(records)
        return found
    finally:
        consumer.close()


def published_lists(broker: str, topics: Topics, *, committed: bool = False) -> dict[str, Any]:
    """The last list of each item on the topic."""
    lists = {}
    for records in read_topic(broker, topics.related_items, committed=committed):
        for record in records:
            lists[record.key.decode()] = json.loads(record.value)
    return lists
