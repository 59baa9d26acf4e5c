"""What faults are done to: a broker, workers behind proxies, orders that arrive, and a supervisor of the workers."""

from __future__ import annotations

import resource
import shutil
import signal
import time
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING, Self

from state.memory import LEAST_BYTES, shown
from state.recovery import ASIDE
from streams.workers.kafka.placement import Placement
from tests.brokers import ApacheKafka
from tests.faults.load import Load
from tests.faults.proxy import Condition, Proxy
from tests.kafka_truth import Truth
from tests.live_shop import TOKEN
from tests.live_workers import post
from tests.workers import PATIENCE_S, WorkerProcess, is_current, made_topics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PURCHASES, ITEM_PARTITIONS = 3, 2
MOST_WORKERS = 4
SESSION_MS = 3_000
_AT_WORK_S = 20.0
_LEVEL_S = 300.0


class Site:
    """A broker, and the proxies through which workers reach it; `with` starts and stops them.

    Args:
        directory: for the broker.
    """

    def __init__(self, directory: Path) -> None:
        self.proxies = [Proxy() for _ in range(MOST_WORKERS)]
        self._directory = directory
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for proxy in self.proxies:
                stack.enter_context(proxy)
            self.broker = ApacheKafka(self._directory, proxies=[proxy.port for proxy in self.proxies])
            for proxy in self.proxies:
                proxy.lead_to(self.broker.behind[proxy.port])
            stack.enter_context(self.broker)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class World:
    """A shop of its own at a site; `with` ends what it has started.

    Args:
        site: the broker.
        directory: for states, snapshots and logs of workers.
        seed: decides what happens.
        name: of the topics; no other world has it.
        workers: how many there are between faults; by default two or three.

    Attributes:
        chance: the source of chance.
        topics: names.
        workers: all that there may be.
        wanted: those that the supervisor keeps running.
        at_first: how many there are between faults.
        load: the orders.
        truth: what they come to.
        foreign: keys of lists that others published.
        title: of item-0, as its newest valid entry in the catalogue says; None: there is none.
        restarts: how often the supervisor has started a worker that had ended by itself.
        snapshots: of workers' generations, oldest first.
    """

    def __init__(self, site: Site, directory: Path, seed: str, name: str, workers: int | None = None) -> None:
        self.site = site
        self.broker = site.broker
        self.directory = directory
        self.chance = Random(seed)
        self.topics = made_topics(self.broker.bootstrap, name, PURCHASES, ITEM_PARTITIONS)
        self.workers = [
            WorkerProcess(
                f"127.0.0.1:{proxy.port}", self.topics, directory / f"worker{number}", *_options(directory, number)
            )
            for number, proxy in enumerate(site.proxies)
        ]
        self.at_first = workers or self.chance.randint(2, 3)
        self.wanted: list[WorkerProcess] = []
        self.foreign: set[str] = set()
        self.title: str | None = None
        self.restarts = 0
        self.snapshots: list[Path] = []
        self.load = Load(self.broker.bootstrap, self.topics, seed)
        placement = Placement(PURCHASES, "murmur2")
        placement.decide("murmur2", self.topics.co_purchases)
        self.truth = Truth(self.broker.bootstrap, self.topics, directory / "truth", placement=placement, growing=True)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.truth.close)
        self._stack.enter_context(self.load)
        for worker in self.workers:
            worker._watched = True
            self._stack.callback(self._end, worker)
        self._stack.callback(self._heal)
        for worker in self.workers[: self.at_first]:
            self.want(worker)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self, worker: WorkerProcess) -> None:
        worker._watched = False
        worker.kill()

    # What faults need

    def want(self, worker: WorkerProcess) -> None:
        """Have a worker run, from now on."""
        self.wanted.append(worker)
        if not worker.running:
            worker.start()

    def unwant(self, worker: WorkerProcess) -> None:
        """Have nobody start a worker again."""
        self.wanted.remove(worker)

    def idle(self) -> WorkerProcess | None:
        """A worker that is not wanted, if there is one."""
        return next((worker for worker in self.workers if worker not in self.wanted), None)

    def victim(self) -> WorkerProcess:
        """A worker that is wanted, runs, and has open partitions, unless that takes too long."""
        deadline = time.monotonic() + _AT_WORK_S
        while time.monotonic() < deadline:
            at_work = [worker for worker in self.wanted if worker.running and self.counts(worker)]
            if at_work:
                return self.chance.choice(at_work)
            self.pause(0.2)
        return self.chance.choice(self.wanted)

    @staticmethod
    def counts(worker: WorkerProcess) -> bool:
        """Whether a worker has open partitions."""
        status = worker.status()
        return status is not None and bool(status["ingest"]["offsets"] or status["tally"]["offsets"])

    def proxy_of(self, worker: WorkerProcess) -> Proxy:
        """The network between a worker and the broker."""
        return self.site.proxies[self.workers.index(worker)]

    def generation_of(self, worker: WorkerProcess) -> Path:
        """The directory of a worker's stores."""
        return worker.state / self.topics.generation

    def stores_of(self, worker: WorkerProcess) -> list[Path]:
        """The stores of a worker, sorted."""
        every = [path for path in self.generation_of(worker).glob("*-*") if (path / "CURRENT").exists()]
        return sorted(every)

    def tend(self) -> None:
        """Start the workers that have ended, as a supervisor does."""
        for worker in self.wanted:
            if not worker.running:
                worker.start()
                self.restarts += 1

    def pause(self, seconds: float) -> None:
        """Let some time pass, and the supervisor look after the workers."""
        deadline = time.monotonic() + seconds
        while True:
            self.tend()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.2))

    def until(self, what: str, holds: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
        """Wait until something holds, and let the supervisor look after the workers meanwhile."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                words = "\n\n".join(map(str, self.workers))
                raise AssertionError(f"after {timeout_s:.0f} s not yet: {what}\n{words}")
            self.pause(0.3)

    # Between rounds

    def _heal(self) -> None:
        """End every fault that is still there."""
        for proxy in self.site.proxies:
            proxy.condition = Condition()
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            if worker.running:
                for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE):
                    unlimited(worker, limit)

    def calm(self) -> None:
        """End every fault, have as many workers as at first, and wait until they have counted everything."""
        self._heal()
        while len(self.wanted) > self.at_first:
            worker = self.chance.choice(self.wanted)
            self.unwant(worker)
            worker.stop()
        while len(self.wanted) < self.at_first and (idle := self.idle()):
            self.want(idle)
        self.truth.grow()
        self.until_level()

    def until_level(self) -> None:
        """Wait until every worker answers, both stages have counted everything, and every list is exact."""
        lines = self.truth.lines
        ends = {number: records[-1].offset + 1 for number, records in self.truth.records.items()}

        def level() -> bool:
            offsets: dict[int, int] = {}
            for worker in self.wanted:
                status = worker.status()
                if status is None:
                    return False
                offsets |= {int(number): offset for number, offset in status["ingest"]["offsets"].items()}
            # histories may be behind the deltas that their former owner has delivered
            return offsets == ends and is_current(self.wanted, lines, ITEM_PARTITIONS)

        self.until(f"{lines:,} order lines are counted, and every list is exact", level, _LEVEL_S)

    def tidy(self) -> None:
        """Do what an operator does after damage: look at what was set aside, and delete it."""
        for worker in self.workers:
            shutil.rmtree(self.generation_of(worker) / ASIDE, ignore_errors=True)

    def snapshot(self) -> list[Path]:
        """Have every worker write a snapshot; return their generations' directories."""
        taken: list[Path] = []
        for worker in self.wanted:
            place = self.directory / "snapshots" / f"{len(self.snapshots) + len(taken)}" / self.topics.generation
            answer = post(worker, "/snapshot", {"to": str(place)}, TOKEN)
            assert answer.status == 200, f"{worker} wrote no snapshot: {answer.body!r}"
            taken.append(place)
        self.snapshots += taken
        return taken


def limited(worker: WorkerProcess, limit: int, to: int) -> None:
    """Lower a limit of a worker that runs."""
    resource.prlimit(worker.pid, limit, (to, resource.prlimit(worker.pid, limit)[1]))


def unlimited(worker: WorkerProcess, limit: int) -> None:
    """Lift a limit of a worker as far as it may go."""
    hard = resource.prlimit(worker.pid, limit)[1]
    resource.prlimit(worker.pid, limit, (hard, hard))


def _options(directory: Path, number: int) -> list[str]:
    """Options of a worker; every other one keeps standbys, and every third has as little memory as there may be."""
    options = {
        "--partitioner": "murmur2",
        "--session-timeout-ms": SESSION_MS,
        "--admin-token": TOKEN,
        "--snapshot-root": directory / "snapshots",
        **({} if number % 3 else {"--memory": shown(LEAST_BYTES)}),
    }
    return [str(part) for pair in options.items() for part in pair] + ["--standby"] * (number % 2)
