"""A worker on a broker without transactions: killed at any step, it ends like an undisturbed one."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from tests.brokers import Tansu
from tests.kafka_truth import Truth, differences
from tests.workers import WorkerProcess, is_current, made_topics, published_lists, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.workers.kafka.topics import Topics

KILLS = 6
OPTIONS = ("--no-fencing", "--commit-lines", "50")


@pytest.fixture(scope="module")
def tansu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tansu]:
    """The embedded broker, whichever broker the other tests use."""
    with Tansu(tmp_path_factory.mktemp("tansu")) as broker:
        yield broker


def send(broker: Tansu, topics: Topics, first: int, last: int) -> None:
    """Orders without ids, so that orders counted twice are not dropped as duplicates."""
    with Publisher(broker.bootstrap, topics.purchases) as publisher:
        for order in list(SyntheticShop(seed=3, customers=200).orders(last))[first:]:
            key = order.customer_id.encode()
            record = encode_order(order.customer_id, order.time_ms, [(item, 1) for item in order.items])
            publisher.send(key, record, partition=publisher.partition_of(key))


def finish(tansu: Tansu, topics: Topics, worker: WorkerProcess, directory: Path) -> None:
    """Let the worker count everything, and compare with the truth."""
    truth = Truth(tansu.bootstrap, topics, directory / "truth")
    with worker:
        wait_until(
            "everything is counted and published, or the worker has given up",
            lambda: is_current([worker], truth.lines, 2) or not worker.running,
        )
        assert worker.running, worker.log.read_text()[-2000:]
        assert worker.stop() == 0
    truth.check([worker.state], topics, 2)
    assert differences(published_lists(tansu.bootstrap, topics), truth) == []


def test_a_worker_killed_repeatedly_counts_everything_once(tansu: Tansu, tmp_path: Path) -> None:
    """SIGKILL at random moments while orders arrive, as in test_worker_chaos.py, but with one worker."""
    chance = random.Random(11)  # noqa: S311
    topics = made_topics(tansu.bootstrap, "killed")
    worker = WorkerProcess(tansu.bootstrap, topics, tmp_path / "worker", *OPTIONS)
    for kill in range(KILLS):
        with worker:
            wait_until("it counts", lambda: worker.status() is not None)
            send(tansu, topics, 300 * kill, 300 * (kill + 1))
            wait_until("it has partitions", lambda: bool((worker.status() or {"ingest": {}})["ingest"].get("offsets")))
            time.sleep(chance.uniform(0.0, 1.0))

    finish(tansu, topics, worker, tmp_path)


@pytest.mark.parametrize("step", ["die_after_commit", "die_within_a_write", "die_before_acknowledging"])
def test_a_worker_that_dies_at_a_step_of_a_commit_counts_everything_once(
    tansu: Tansu, tmp_path: Path, step: str
) -> None:
    """Within a write, some partitions have deltas that others lack, and without transactions nothing is aborted."""
    topics = made_topics(tansu.bootstrap, step)
    send(tansu, topics, 0, 900)
    worker = WorkerProcess(tansu.bootstrap, topics, tmp_path / "worker", *OPTIONS, faults=step)
    for _ in range(3):
        with worker:
            worker.wait()
    worker.faults = f"{step},immortal"

    finish(tansu, topics, worker, tmp_path)


def test_looking_at_one_partition_for_what_was_delivered_is_not_enough(tansu: Tansu, tmp_path: Path) -> None:
    """With transactions it is; this test shows why the two differ."""
    topics = made_topics(tansu.bootstrap, "one-tells")
    send(tansu, topics, 0, 900)
    fault = "die_within_a_write,trust_the_first_partition"
    worker = WorkerProcess(tansu.bootstrap, topics, tmp_path / "worker", *OPTIONS, faults=fault)
    for _ in range(3):
        with worker:
            worker.wait()
    worker.faults = f"{fault},immortal"

    with pytest.raises(AssertionError):
        finish(tansu, topics, worker, tmp_path)
