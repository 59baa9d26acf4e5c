"""Deleting customers' records from Kafka, as docs/privacy.md says: what a snapshot includes may be deleted."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, TopicPartition

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from tests.kafka_truth import Truth
from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, ask, live_shop, of_customer, of_item, post
from tests.workers import WorkerProcess, made_topics, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

PATHS = [of_item("tea", "related"), of_item("soap", "related"), of_customer("c3"), of_customer("c6", "recommendations")]


def test_workers_continue_from_a_snapshot_after_the_records_it_includes_are_deleted(
    kafka: Broker, tmp_path: Path
) -> None:
    below = ("--snapshot-root", str(tmp_path))
    with live_shop(kafka.bootstrap, "forget", tmp_path, workers=1, partitions=2, more=below) as shop:
        (worker,) = shop.workers
        status = worker.status()
        assert status is not None
        taken = post(worker, "/snapshot", {"to": str(tmp_path / "snapshot")}, TOKEN)
        assert taken.status == 200
        assert len(taken.document["stores"]) == 6
        before = [ask(worker, path).document for path in PATHS]

        delete(kafka, shop.topics.purchases, status["ingest"]["offsets"])
        assert worker.stop() == 0
        worker.start()
        shop.wait_until_counted(shop.lines)
        assert [ask(worker, path).document for path in PATHS] == before
        assert worker.stop() == 0

        options = ("--admin-token", TOKEN, "--restore-from", str(tmp_path / "snapshot"))
        restored = WorkerProcess(kafka.bootstrap, shop.topics, tmp_path / "restored", *options)
        with restored:
            LiveShop(shop.broker, shop.topics, [restored], shop.lines).wait_until_counted(shop.lines)
            for path, document in zip(PATHS, before, strict=True):
                assert ask(restored, path).document | {"worker": ""} == document | {"worker": ""}
            restored.stop()
        with WorkerProcess(kafka.bootstrap, shop.topics, tmp_path / "empty", "--stages", "ingest") as empty:
            assert empty.wait() == 1
        assert "--restore-from" in empty.log.read_text()

        delete(kafka, shop.topics.co_purchases, status["tally"]["offsets"])
        with restored:
            assert restored.wait() == 1
        assert "must be kept for ever" in restored.log.read_text()
        assert all((restored.state / "live" / f"histories-{number}").is_dir() for number in range(2))


def test_a_state_that_the_log_no_longer_reaches_is_replaced_by_a_snapshot(kafka: Broker, tmp_path: Path) -> None:
    """As of a worker that was off for long while the others went on, took snapshots and deleted what these include."""
    topics = made_topics(kafka.bootstrap, "off-for-long", purchases=1, items=1)
    orders = list(SyntheticShop(seed=8).orders(120))

    def send(first: int, last: int) -> Truth:
        with Publisher(kafka.bootstrap, topics.purchases) as publisher:
            for order in orders[first:last]:
                publisher.send(order.customer_id.encode(), order.encode(), partition=0)
        return Truth(kafka.bootstrap, topics, tmp_path / f"truth {last}")

    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        for end in (40, 80):
            wait_until_current([worker], send(end - 40, end).lines, 1)
            assert worker.stop() == 0
            shutil.copytree(worker.state, tmp_path / f"until {end}")
            worker.start()
    truth = send(80, 120)
    delete(kafka, topics.purchases, {"0": 60})
    off = WorkerProcess(
        kafka.bootstrap, topics, tmp_path / "off", "--restore-from", str(tmp_path / "until 80" / "live")
    )
    shutil.copytree(tmp_path / "until 40", off.state)
    with off:
        wait_until_current([off], truth.lines, 1)
        assert off.stop() == 0
    truth.check([off.state], topics, 1)
    assert "ends before offset 60, with which the topic begins, and was moved to" in off.log.read_text()

    too_old = ("--restore-from", str(tmp_path / "until 40"))
    without = WorkerProcess(kafka.bootstrap, topics, tmp_path / "without", *too_old)
    shutil.copytree(tmp_path / "until 40", without.state)
    with without:
        assert without.wait() == 1
    assert "begins at offset 60, the state of ingest ends at 40" in without.log.read_text()
    assert (without.state / "live" / "histories-0").is_dir()


def delete(kafka: Broker, topic: str, offsets: dict[str, int]) -> None:
    """Delete the records of a topic before the given offset of each partition."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_records({TopicPartition(topic, int(number)): offset for number, offset in offsets.items()})
    admin.close()
