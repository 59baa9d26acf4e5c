"""The two stages in separate processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producers.synthetic import SyntheticShop
from state.directory import COUNTS, HISTORIES, RELATED
from tests.kafka_truth import Truth, differences
from tests.workers import WorkerProcess, made_topics, published_lists, send_orders, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker


def test_stages_in_separate_processes_count_like_one(kafka: Broker, tmp_path: Path) -> None:
    """The stages scale separately; only the topic between them connects them."""
    topics = made_topics(kafka.bootstrap, "stages", purchases=3, items=2)
    send_orders(kafka, topics, 0, 400, SyntheticShop(seed=6, customers=200))
    ingest = WorkerProcess(kafka.bootstrap, topics, tmp_path / "ingest", "--stages", "ingest")
    tally = WorkerProcess(kafka.bootstrap, topics, tmp_path / "tally", "--stages", "tally")
    with ingest, tally:
        wait_until_current([ingest, tally], Truth(kafka.bootstrap, topics, tmp_path / "half").lines, 2)
        ingest.kill()
        send_orders(kafka, topics, 400, 800, SyntheticShop(seed=6, customers=200))
        ingest.start()
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([ingest, tally], truth.lines, 2)
        assert set(ingest.status() or ()) == {"generation", "ingest"}
        assert set(tally.status() or ()) == {"generation", "tally"}
        assert [ingest.stop(), tally.stop()] == [0, 0]

    truth.check([ingest.state, tally.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert kinds(ingest, topics) == {HISTORIES}
    assert kinds(tally, topics) == {COUNTS, RELATED}


def kinds(worker: WorkerProcess, topics: Topics) -> set[str]:
    """The kinds of stores that a worker has."""
    return {path.parent.name.rsplit("-", 1)[0] for path in (worker.state / topics.generation).glob("*/CURRENT")}
