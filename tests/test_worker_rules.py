"""Workers of other rules of validation: they share no generation, in whichever order they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from state.settings import RULES
from tests.kafka_truth import Truth
from tests.workers import WorkerProcess, made_topics, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker


@pytest.mark.parametrize(("first", "second"), [("none", "other_rules"), ("other_rules", "none")])
def test_a_worker_of_other_rules_is_refused_with_a_state_and_without(
    kafka: Broker, tmp_path: Path, first: str, second: str
) -> None:
    """Half of the orders would count by the one, half by the other, and every list would be called exact."""
    topics = made_topics(kafka.bootstrap, f"rules-{first.replace('_', '-')}", purchases=1, items=1)
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for order in SyntheticShop(seed=8).orders(30):
            publisher.send(order.customer_id.encode(), order.encode(), partition=0)
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", faults=first) as worker:
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0

    rules, others = (RULES + 1, RULES) if first == "other_rules" else (RULES, RULES + 1)
    for directory in ("worker", "another"):
        with WorkerProcess(kafka.bootstrap, topics, tmp_path / directory, faults=second) as worker:
            assert worker.wait() == 1
            said = worker.log.read_text()
        assert f"counted by validation rules {rules}, this version of alsobought counts by rules {others}" in said
        assert "--generation" in said
