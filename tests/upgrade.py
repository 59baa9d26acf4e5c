"""An upgrade from an earlier commit, and back: two workers of each version, under load, all exact.

python -m tests.upgrade                       from the commit whose state and topics are the oldest still known
python -m tests.upgrade --commit v0.1.0

Workers of both versions are processes on one broker. Those of the later version start a generation of their own beside
the earlier one, since rules of validation have changed, and take over when they have caught up.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Self

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from streams.workers.kafka.topics import Partitions, Topics, create_topics
from tests.brokers import choose_broker
from tests.kafka_truth import Truth, differences
from tests.workers import ROOT, WorkerProcess, published_lists, wait_until, wait_until_current

if TYPE_CHECKING:
    from collections.abc import Sequence

EARLIEST = "0285d92"
PARTITIONS = 2
ORDERS_A_SECOND = 50
_REASON = re.compile("validation rules|was written in format|Error: ")


class Load:
    """Orders that keep coming until the end of a with block."""

    def __init__(self, broker: str, topics: Topics) -> None:
        self._broker, self._topics = broker, topics
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent, self.lines = 0, 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _send(self) -> None:
        with Publisher(self._broker, self._topics.purchases) as publisher:
            for order in SyntheticShop(seed=8).orders(1_000_000):
                key = order.customer_id.encode()
                publisher.send(key, order.encode(), partition=publisher.partition_of(key))
                self.sent += 1
                self.lines += len(order.items)
                if self._over.wait(1 / ORDERS_A_SECOND):
                    return


class Upgrade:
    """One upgrade; each step is printed when what it says was seen.

    Args:
        commit: of the earlier version.
        broker: host:port.
        directory: for its code, and for states and logs.
    """

    def __init__(self, commit: str, broker: str, directory: Path) -> None:
        self.broker, self.directory = broker, directory
        self._earlier = directory / "code"
        archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as code:
            code.extractall(self._earlier, filter="data")
        for line in ("generate --orders 200 --out orders.jsonl", "replay orders.jsonl --state-dir compiled"):
            command = [sys.executable, "-c", "from streams.cli import main; main()", *line.split()]
            subprocess.run(command, cwd=self._earlier, check=True, capture_output=True)
        self._begun = time.monotonic()

    def run(self) -> None:
        """Go through it.

        Raises:
            AssertionError: a step did not go as it must.
        """
        make = f"from tests.workers import made_topics; made_topics({self.broker!r}, 'shop')"
        subprocess.run([sys.executable, "-c", make], cwd=self._earlier, check=True)
        one = Topics(prefix="shop-")
        two = replace(one, generation="2")
        with ExitStack() as running:
            earlier = [self._worker(one, f"earlier-{number}", self._earlier) for number in range(2)]
            later = [self._worker(two, f"later-{number}") for number in range(2)]
            with Load(self.broker, one) as load:
                for worker in earlier:
                    running.enter_context(worker)
                self._keep_up(earlier, load, "two workers of the earlier version count what comes in")

                self._refused(self._worker(one, "later-without-state"))
                self._refused(self._worker(one, "later-with-state"), copied=earlier[0])
                self._keep_up(earlier, load, "one of this version is refused beside them; they go on")

                create_topics(self.broker, two, Partitions(PARTITIONS, PARTITIONS))
                for worker in later:
                    running.enter_context(worker)
                self._keep_up(later, load, "two of this version have caught up in a generation of their own")

                for worker in earlier:
                    assert worker.stop() == 0, worker
                    self._keep_up(later, load, "one of the earlier is stopped; those of this version go on")

                self._refused(self._worker(two, "earlier-without-state", self._earlier))
                self._refused(self._worker(two, "earlier-with-state", self._earlier), copied=later[0])
                self._keep_up(later, load, "one of the earlier version is refused beside them; they go on")

                for worker in earlier:
                    worker.start()
                self._keep_up(earlier, load, "back: the earlier ones go on in their generation")

            for topics, workers in ((one, earlier), (two, later)):
                self._exact(topics, workers)
                self._said(f"generation {topics.generation} is exact, {load.sent:,} orders")

    def _worker(self, topics: Topics, name: str, code: Path = ROOT) -> WorkerProcess:
        return WorkerProcess(self.broker, topics, self.directory / name, code=code)

    def _keep_up(self, workers: Sequence[WorkerProcess], load: Load, what: str) -> None:
        """Wait until workers have counted all that was sent by now, while more comes."""
        sent = max(load.lines, 1)
        wait_until(what, lambda: counted(workers) >= sent, workers=workers)
        self._said(what)

    def _refused(self, worker: WorkerProcess, copied: WorkerProcess | None = None) -> None:
        """Start a worker, perhaps with the state of another, and see it end with a reason."""
        if copied is not None:
            shutil.copytree(copied.state, worker.state)
        with worker:
            assert worker.wait() == 1, worker
        reasons = [line for line in worker.log.read_text().splitlines() if _REASON.search(line)]
        self._said(f"refused: {reasons[-1] if reasons else worker}")

    def _exact(self, topics: Topics, workers: Sequence[WorkerProcess]) -> None:
        """Compare counts, histories and published lists with those of one undisturbed process."""
        truth = Truth(self.broker, topics, self.directory / f"truth-{topics.generation}")
        wait_until_current(workers, truth.lines, PARTITIONS)
        differing = differences(published_lists(self.broker, topics, committed=True), truth)
        assert not differing, f"lists differ: {differing}"

    def _said(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun:5.0f} s  {what}", flush=True)


def counted(workers: Sequence[WorkerProcess]) -> int:
    """Lines that every item partition has counted."""
    lines: dict[str, int] = {}
    for worker in workers:
        tally = (worker.status() or {}).get("tally", {"lines": {}})
        lines |= tally["lines"]
    return min(lines.values()) if len(lines) == PARTITIONS else 0


def main() -> int:
    """Upgrade, and back; 1 if a step did not go as it must."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--commit", default=EARLIEST, help="of the earlier version")
    given = options.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="upgrade-") as directory,
        choose_broker(Path(directory, "broker")) as broker,
    ):
        try:
            Upgrade(given.commit, broker.bootstrap, Path(directory)).run()
        except AssertionError as error:
            print(error)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
