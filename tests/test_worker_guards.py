"""Each part that makes the worker exact, switched off: the comparison must see it, or it would guard nothing."""

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
REST_S = 1.5  # three times as long as it waits without deltas before it makes every list exact


def survive(kafka: Broker, directory: Path, faults: str) -> None:
    """Let a worker die at the steps that `faults` name, then finish; compare with the truth."""
    topics = made_topics(kafka.bootstrap, f"guards-{faults.replace(',', '-')}", purchases=1)
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for order in SyntheticShop(seed=3, customers=200).orders(ORDERS):
            # without order ids, so that what is counted again is not taken for a duplicate
            record = encode_order(order.customer_id, order.time_ms, [(item, 1) for item in order.items])
            publisher.send(order.customer_id.encode(), record, partition=0)
    truth = Truth(kafka.bootstrap, topics, directory / "truth")
    worker = WorkerProcess(kafka.bootstrap, topics, directory / "worker", "--commit-lines", "50", faults=faults)
    for _ in range(DEATHS):
        with worker:
            died = "it has died, or done everything before it could"
            wait_until(died, lambda: not worker.running or at_rest(worker), workers=[worker])
    worker.faults = f"{faults},immortal"
    with worker:
        wait_until("it has nothing to do any more", lambda: at_rest(worker), workers=[worker])
        assert worker.stop() == 0
    truth.check([worker.state], topics, 2)


def at_rest(worker: WorkerProcess) -> bool:
    """Whether a worker has read all orders, believes that every list is exact, and stays at that for a while."""
    before = _standing(worker)
    if before is None:
        return False
    time.sleep(REST_S)
    return _standing(worker) == before


def _standing(worker: WorkerProcess) -> dict[str, Any] | None:
    """What a worker says of itself, if it says that it is done."""
    status = worker.status()
    if status is None or status["ingest"]["offsets"] != {"0": ORDERS}:
        return None
    return status if list(status["tally"]["current"].values()) == [True, True] else None


@pytest.mark.parametrize("step", ["die_after_commit", "die_before_acknowledging"])
def test_a_worker_that_dies_between_commit_and_acknowledgement_counts_everything_once(
    kafka: Broker, tmp_path: Path, step: str
) -> None:
    """The steps at which something could be lost, or told twice."""
    survive(kafka, tmp_path, step)


def test_deltas_lost_after_they_were_taken_for_delivered_are_made_again(kafka: Broker, tmp_path: Path) -> None:
    """The topic decides what has arrived: a store that knows better is given up, and made from the log again."""
    survive(kafka, tmp_path, "acknowledge_at_once")


def test_repeated_deltas_are_dropped(kafka: Broker, tmp_path: Path) -> None:
    """Stage A sends nothing again that has arrived; should it, nothing is counted again."""
    survive(kafka, tmp_path, "die_before_acknowledging,send_everything_again")


@pytest.mark.parametrize(
    "off",
    [
        "forget_the_offset",
        "die_before_acknowledging,send_everything_again,count_repeats",
        "acknowledge_at_once,trust_the_store",
    ],
)
def test_without_any_one_of_the_guards_the_comparison_fails(kafka: Broker, tmp_path: Path, off: str) -> None:
    """The offset in the batch; dropping repeats; waiting for acknowledgements."""
    with pytest.raises(AssertionError, match=r"differ|DeltasOutOfOrder"):
        survive(kafka, tmp_path, off)
