"""Switches off each part that makes the worker exact: the comparison must notice, or it would prove nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from tests.kafka_truth import Truth
from tests.workers import WorkerProcess, made_topics, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

DEATHS = 2
ORDERS = 600
REST_S = 1.5  # three times the --idle-ms of the tests


def survive(kafka: Broker, directory: Path, faults: str, deaths: int = DEATHS) -> None:
    """Let a worker die at the steps that `faults` names, then finish; compare with the truth."""
    topics = made_topics(kafka.bootstrap, f"guards-{faults.replace(',', '-')}", purchases=1)
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for order in SyntheticShop(seed=3, customers=200).orders(ORDERS):
            # without order ids, so that orders counted twice are not dropped as duplicates
            record = encode_order(order.customer_id, order.time_ms, [(item, 1) for item in order.items])
            publisher.send(order.customer_id.encode(), record, partition=0)
    truth = Truth(kafka.bootstrap, topics, directory / "truth")
    worker = WorkerProcess(kafka.bootstrap, topics, directory / "worker", "--commit-lines", "50", faults=faults)
    for _ in range(deaths):
        with worker:
            died = "it has died, or done everything before it could"
            wait_until(died, lambda: not worker.running or at_rest(worker), workers=[worker])
    worker.faults = f"{faults},immortal"
    with worker:
        wait_until("it has nothing to do any more", lambda: at_rest(worker), workers=[worker])
        assert worker.stop() == 0
    truth.check([worker.state], topics, 2)


def at_rest(worker: WorkerProcess) -> bool:
    """Whether a worker has read all orders, reports that every list is exact, and does not change for a while."""
    before = _finished_status(worker)
    if before is None:
        return False
    time.sleep(REST_S)
    return _finished_status(worker) == before


def _finished_status(worker: WorkerProcess) -> dict[str, Any] | None:
    """The status of a worker, if it reports that it is done."""
    status = worker.status()
    if status is None or status["ingest"]["offsets"] != {"0": ORDERS}:
        return None
    return status if list(status["tally"]["current"].values()) == [True, True] else None


@pytest.mark.parametrize("step", ["die_after_commit", "die_before_acknowledging"])
def test_a_worker_that_dies_between_commit_and_acknowledgement_counts_everything_once(
    kafka: Broker, tmp_path: Path, step: str
) -> None:
    """The steps at which deltas could be lost, or delivered twice."""
    survive(kafka, tmp_path, step)


def test_deltas_lost_after_their_acknowledgement_are_rebuilt(kafka: Broker, tmp_path: Path) -> None:
    """The topic decides what was delivered: a store that disagrees is rebuilt from the log."""
    survive(kafka, tmp_path, "acknowledge_at_once")


def test_repeated_deltas_are_dropped(kafka: Broker, tmp_path: Path) -> None:
    """Stage A sends nothing again that was delivered; if it did, stage B would not count it again."""
    survive(kafka, tmp_path, "die_before_acknowledging,send_everything_again")


@pytest.mark.parametrize(
    "off",
    [
        "forget_the_offset",
        "die_before_acknowledging,send_everything_again,count_repeats",
        "acknowledge_at_once,trust_the_store",
    ],
)
def test_the_comparison_fails_without_any_one_of_the_guards(kafka: Broker, tmp_path: Path, off: str) -> None:
    """The offset in the batch; dropping repeats; reading the topic for what was delivered."""
    # once: a second death may leave a store that is behind what was delivered, which is then rebuilt, and exact
    with pytest.raises(AssertionError, match=r"differ|has counted purchases partition"):
        survive(kafka, tmp_path, off, deaths=1)
