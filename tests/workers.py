"""Workers as processes, and the topics and stores that they leave, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from streams.demo.ports import free_port
from streams.workers.kafka.producers import TRANSACTION_TIMEOUT_MS
from streams.workers.kafka.topics import Partitions, Topics, create_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from multiprocessing.process import BaseProcess

    from streams.workers.kafka.producers import OutgoingRecord
    from tests.brokers import Broker

ROOT = Path(__file__).parent.parent
PATIENCE_S = 180.0  # the machine of CI may be several times slower, and shared
_TAIL_LINES = 30
_DRIVER = "tests.worker_driver"
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["__main__", _DRIVER])  # importing it takes 2 s, which is paid once


def made_topics(broker: str, prefix: str, purchases: int = 2, items: int = 2, *, rekey: bool = False) -> Topics:
    """Create topics for one test."""
    topics = Topics(prefix=f"{prefix}-", rekey=rekey)
    create_topics(broker, topics, Partitions(purchases, items))
    return topics


def send_orders(broker: Broker, topics: Topics, first: int, last: int, shop: SyntheticShop | None = None) -> None:
    """Send some orders of a shop, by default of a small one, each to its customer's partition."""
    orders = (shop or SyntheticShop(seed=8)).orders(last)
    with Publisher(broker.bootstrap, topics.purchases) as publisher:
        for order in islice(orders, first, None):
            key = order.customer_id.encode()
            publisher.send(key, order.encode(), partition=publisher.partition_of(key))


def leave_transaction_open(broker: Broker, transactional_id: str, records: Iterable[OutgoingRecord]) -> None:
    """Leave what a worker leaves that is killed while it writes; it stays open for longer than a test waits."""
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap,
        transactional_id=transactional_id,
        transaction_timeout_ms=int(PATIENCE_S * 1000) + TRANSACTION_TIMEOUT_MS,
    )
    producer.init_transactions()
    producer.begin_transaction()
    for record in records:
        producer.send(
            record.topic, key=record.key, value=record.value, headers=list(record.headers), partition=record.partition
        ).get(timeout=30)
    producer._sender.force_close()  # a clean close would abort it
    producer.close(timeout=0)


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
        self.admin = f"127.0.0.1:{free_port()}"
        self.faults = faults
        self.code = code
        self.options = ["--broker", broker, "--state-dir", str(self.state), "--admin", self.admin, "--idle-ms", "500"]
        self.options += ["--generation", topics.generation]
        self.options += topics.options
        # a killed worker keeps its partitions for a session: a short session makes short tests
        self.options += ["--session-timeout-ms", "1500", *options]
        self._process: BaseProcess | None = None
        self._watched = False

    def __str__(self) -> str:
        """Its status and the end of its log."""
        ended = None if self._process is None else self._process.exitcode
        how = f"status {json.dumps(self.status())}" if self.running else f"ended with exit code {ended}"
        log = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"worker in {self.log.parent}: {how}; its log ends:\n" + "\n".join(log.splitlines()[-_TAIL_LINES:])

    def start(self) -> None:
        """Start it; return before it is ready."""
        assert self._watched, "a worker is started in a with block, which also kills it"
        assert not self.running
        arguments = [self.faults, "worker", *self.options]
        self._process = _FORKS.Process(target=_run, args=(self.code, arguments, self.log, dict(os.environ)))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process is not None and self._process.exitcode is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):  # it ends by itself at this moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.join()

    def stop(self) -> int:
        """SIGTERM, and wait; return the exit code."""
        assert self._process is not None
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; return the exit code."""
        assert self._process is not None
        self._process.join(PATIENCE_S)
        assert self._process.exitcode is not None, f"after {PATIENCE_S:.0f} s it has not ended: {self}"
        return self._process.exitcode

    def status(self) -> dict[str, Any] | None:
        """The document of /status; None if it does not answer."""
        try:
            token = dict(zip(self.options, self.options[1:], strict=False)).get("--read-token", "")
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            request = urllib.request.Request(f"http://{self.admin}/status", headers=headers)
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
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


def _run(code: Path, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
    """Be a worker, in a process that was forked for it."""
    os.setsid()  # a process group of its own, so that Ctrl-C reaches the tests first
    os.chdir(code)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    if code != ROOT:
        os.execv(sys.executable, [sys.executable, "-m", _DRIVER, *arguments])  # noqa: S606
    from tests.worker_driver import run  # noqa: PLC0415 - it loads a worker, which only this process is

    sys.argv = [_DRIVER, *arguments]
    run()


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
