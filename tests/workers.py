"""Workers as processes, and the topics and stores they leave, for tests and benchmarks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kafka import KafkaConsumer, TopicPartition

from streams.workers.topics import Partitions, Topics, create_topics
from tests.brokers import _free_port

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent


def made_topics(broker: str, prefix: str, purchases: int = 2, items: int = 2) -> Topics:
    """Topics of a test's own."""
    topics = Topics(prefix=f"{prefix}-")
    create_topics(broker, topics, Partitions(purchases, items))
    return topics


def wait_until(what: str, holds: Callable[[], bool], timeout_s: float = 60, pause_s: float = 0.1) -> None:
    """Return once something holds; fail with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, f"after {timeout_s} s still not: {what}"
        time.sleep(pause_s)


class WorkerProcess:
    """A worker in a process of its own; what it logs goes to `<directory>/log.txt`.

    Args:
        broker: host:port.
        topics: prefix and generation.
        directory: for its state and log.
        faults: what `tests.worker_driver` is to change in it.
        options: of the command.
    """

    def __init__(self, broker: str, topics: Topics, directory: Path, *options: str, faults: str = "none") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.state = directory / "state"
        self.log = directory / "log.txt"
        self.admin = f"127.0.0.1:{_free_port()}"
        self.faults = faults
        self._options = ["--broker", broker, "--state-dir", str(self.state), "--admin", self.admin, "--idle-ms", "500"]
        self._options += ["--topic-prefix", topics.prefix, "--generation", topics.generation]
        # a worker that was killed holds its partitions for a session: a short one makes short tests
        self._options += ["--session-timeout-ms", "1500", *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def start(self) -> None:
        """Start it; it need not be ready."""
        command = [sys.executable, "-m", "tests.worker_driver", self.faults, "worker", *self._options]
        with self.log.open("ab") as log:
            # a process group of its own, so that Ctrl-C reaches the tests first
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ)
            )
        self.starts += 1

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

    def wait(self, timeout_s: float = 40) -> int:
        """Wait for its end; return the exit code."""
        assert self._process is not None
        return self._process.wait(timeout_s)

    def status(self) -> dict[str, Any] | None:
        """What it says of itself; None if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}/status", timeout=5) as answer:
                status: dict[str, Any] = json.load(answer)
                return status
        except (urllib.error.URLError, OSError):
            return None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def is_current(workers: list[WorkerProcess], lines: int, items: int) -> bool:
    """Whether the workers together have counted `lines` in every item partition, and every list is exact."""
    current = set()
    for worker in workers:
        status = worker.status()
        if status is None or "tally" not in status:
            continue
        tally = status["tally"]
        current |= {number for number, count in tally["lines"].items() if count == lines and tally["current"][number]}
    return len(current) == items


def read_topic(broker: str, topic: str, *, committed: bool = False) -> list[list[Any]]:
    """The records of a topic, by partition, as a plain consumer gets them."""
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
            consumer.seek_to_beginning(place)
            records: list[Any] = []
            while consumer.position(place) < end:
                for batch in consumer.poll(timeout_ms=500, max_records=5000).values():
                    records += batch
                # the embedded broker tells of its last batch only where it begins, but the truth to those who fetch
                end = max(end, consumer.highwater(place) or 0)
            found.append(records)
        return found
    finally:
        consumer.close()


def published_lists(broker: str, topics: Topics) -> dict[str, Any]:
    """The last list of each item on the topic."""
    lists = {}
    for records in read_topic(broker, topics.related_items):
        for record in records:
            lists[record.key.decode()] = json.loads(record.value)
    return lists
