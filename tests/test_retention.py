"""Deleting customers' records from Kafka, as docs/privacy.md says: what a snapshot includes may be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafka import KafkaAdminClient, TopicPartition

from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, ask, live_shop, of_customer, of_item, post
from tests.workers import WorkerProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

PATHS = [of_item("tea", "related"), of_item("soap", "related"), of_customer("c3"), of_customer("c6", "recommendations")]


def test_workers_continue_from_a_snapshot_after_the_records_it_includes_are_deleted(
    kafka: Broker, tmp_path: Path
) -> None:
    with live_shop(kafka.bootstrap, "forget", tmp_path, workers=1, partitions=2) as shop:
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


def delete(kafka: Broker, topic: str, offsets: dict[str, int]) -> None:
    """Delete the records of a topic before the given offset of each partition."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_records({TopicPartition(topic, int(number)): offset for number, offset in offsets.items()})
    admin.close()
