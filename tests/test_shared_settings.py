"""Workers of a generation have addresses of their own, and the same settings: one that does not fit is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producers.synthetic import SyntheticShop
from state.settings import RULES
from tests.kafka_truth import Truth, differences
from tests.workers import WorkerProcess, made_topics, published_lists, send_orders, wait_until, wait_until_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker


@pytest.fixture(scope="module", name="running")
def _running(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkerProcess, Topics]]:
    topics = made_topics(kafka.bootstrap, "shared")
    send_orders(kafka, topics, 0, 80, SyntheticShop(seed=4))
    directory = tmp_path_factory.mktemp("shared")
    with WorkerProcess(kafka.bootstrap, topics, directory / "first") as worker:
        truth = Truth(kafka.bootstrap, topics, directory / "truth")
        wait_until_current([worker], truth.lines, 2)
        yield worker, topics
        # whatever was refused has changed nothing
        send_orders(kafka, topics, 80, 160, SyntheticShop(seed=4))
        truth = Truth(kafka.bootstrap, topics, directory / "more")
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []


def refusal(kafka: Broker, topics: Topics, directory: Path, *options: str, faults: str = "none") -> str:
    with WorkerProcess(kafka.bootstrap, topics, directory / "second", *options, faults=faults) as worker:
        assert worker.wait() == 1
    return worker.log.read_text()


@pytest.mark.parametrize("stages", ["ingest,tally", "ingest"])
def test_a_second_worker_at_an_address_is_refused(
    kafka: Broker, tmp_path: Path, running: tuple[WorkerProcess, Topics], stages: str
) -> None:
    """As when each is started with the default on a machine of its own: only one would ever be asked."""
    first, topics = running

    log = refusal(kafka, topics, tmp_path, "--advertise", first.admin, "--stages", stages)

    assert f"another worker that advertises {first.admin} is running" in log
    assert "give each worker an --advertise" in log


def test_of_two_workers_that_start_together_at_an_address_one_is_refused(kafka: Broker, tmp_path: Path) -> None:
    """Or both: neither has joined when the other looks."""
    topics = made_topics(kafka.bootstrap, "together")
    options = ("--advertise", "127.0.0.1:1")
    one, two = (WorkerProcess(kafka.bootstrap, topics, tmp_path / name, *options) for name in ("one", "two"))
    with one, two:
        wait_until("one has ended", lambda: not (one.running and two.running))
        refused = two if one.running else one
        assert refused.wait() == 1

    assert "another worker that advertises 127.0.0.1:1 is running" in refused.log.read_text()


def test_another_score_is_refused_while_others_run(
    kafka: Broker, tmp_path: Path, running: tuple[WorkerProcess, Topics]
) -> None:
    """Lists of different scores would stand side by side on the topic."""
    log = refusal(kafka, running[1], tmp_path, "--score", "lift")

    assert "has workers with other --score than lift or other validation rules" in log


def test_other_rules_are_refused_while_others_run(
    kafka: Broker, tmp_path: Path, running: tuple[WorkerProcess, Topics]
) -> None:
    """At once, before it is given a partition: it would send what the others refuse, and end them."""
    log = refusal(kafka, running[1], tmp_path, "--stages", "ingest", faults="other_rules")

    assert f"has workers with other validation rules than {RULES + 1}, which this one has" in log
    assert "assigned" not in log


def test_another_pair_window_is_refused_also_without_state(
    kafka: Broker, tmp_path: Path, running: tuple[WorkerProcess, Topics]
) -> None:
    """The settings of a store protect only those who have it."""
    log = refusal(kafka, running[1], tmp_path, "--pair-window", "7")

    assert "were counted with pair window 100, this worker has 7: all workers of a generation need the same" in log


def test_other_pairs_are_refused_also_without_state(
    kafka: Broker, tmp_path: Path, running: tuple[WorkerProcess, Topics]
) -> None:
    """Deltas of both kinds would add up to counts of neither."""
    log = refusal(kafka, running[1], tmp_path, "--pairs", "order")

    assert "or only one of them has --rekey or --pairs order: all workers of a generation need the same" in log
