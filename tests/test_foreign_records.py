"""Records that no worker wrote, on the topics that workers write: skipped and counted, or fatal if they mean loss."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from producers.partitioning import item_partition
from producers.publish import Publisher
from state.settings import RULES
from streams.workers.kafka.purchases import read_rejected
from tests.kafka_truth import Truth, differences
from tests.live_workers import ask
from tests.workers import (
    WorkerProcess,
    made_topics,
    published_lists,
    read_topic,
    send_orders,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

ORDERS = 60
NO_DELTAS: list[tuple[bytes | None, dict[str, bytes]]] = [
    (b"junk", {}),
    (None, {}),
    (b"", {"source": b"0"}),
    (b"junk", {"source": b"zero", "begin": b"0", "end": b"1"}),
    (b"junk", {"source": b"0", "begin": b"0", "end": b"1", "part": b"0", "parts": b"0"}),
    (b"junk", {"source": b"0", "begin": b"0", "end": b"1", "part": b"3", "parts": b"3"}),
]


def write(kafka: Broker, topic: str, records: list[tuple[bytes | None, dict[str, bytes]]]) -> None:
    with Publisher(kafka.bootstrap, topic) as publisher:
        for value, headers in records:
            for partition in range(publisher.partitions):
                publisher.send(b"key", value, partition=partition, headers=list(headers.items()))


def skipped(worker: WorkerProcess) -> dict[str, float]:
    """The metric of skipped records, by topic."""
    text = ask(worker, "/metrics").body.decode()
    pattern = r'^alsobought_skipped_records_total\{topic="(.*)"\} (.*)$'
    return {topic: float(count) for topic, count in re.findall(pattern, text, re.MULTILINE)}


def test_records_on_the_topic_of_deltas_that_are_none_are_skipped(kafka: Broker, tmp_path: Path) -> None:
    """Stage A looks there for what it has delivered, stage B counts what is there: neither may stumble over others."""
    topics = made_topics(kafka.bootstrap, "foreign-deltas")
    write(kafka, topics.co_purchases, NO_DELTAS)
    send_orders(kafka, topics, 0, ORDERS)
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "before").lines, 2)
        write(kafka, topics.co_purchases, NO_DELTAS)
        send_orders(kafka, topics, ORDERS, 2 * ORDERS)
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 2)
        assert skipped(worker) == {topics.co_purchases: 2 * 2 * len(NO_DELTAS)}
        write(kafka, topics.co_purchases, NO_DELTAS)
        worker.kill()
        worker.start()
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    truth.check([worker.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []


@pytest.mark.parametrize(("name", "value"), [("junk", b"junk"), ("tombstone", None), ("empty", b"")])
def test_a_damaged_record_of_deltas_is_fatal(kafka: Broker, tmp_path: Path, name: str, value: bytes | None) -> None:
    """What it stood for is lost to every count: nobody may go on as if it were not."""
    topics = made_topics(kafka.bootstrap, f"damaged-deltas-{name}", purchases=1, items=1)
    write(
        kafka,
        topics.co_purchases,
        [(value, {"source": b"0", "begin": b"0", "end": b"7", "rules": str(RULES).encode()})],
    )

    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", "--stages", "tally") as worker:
        assert worker.wait() == 1

    log = worker.log.read_text()
    assert f"topic {topics.co_purchases} partition 0, between offsets 0 and 0: no deltas" in log
    assert "Start a new --generation" in log


def test_lists_that_no_worker_published_are_replaced(kafka: Broker, tmp_path: Path) -> None:
    """Whoever takes over reads what was published, and must not wait for ever for an item that nobody bought."""
    topics = made_topics(kafka.bootstrap, "foreign-lists")
    send_orders(kafka, topics, 0, ORDERS)
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
        one, two, three, *_ = sorted(truth.lists)
        entry = {"item_id": "unheard of", "score": 1.0, "bought_together": 1.0, "expected": 0.0, "trend": 1.0}
        records = {
            one.encode(): b"junk",
            two.encode(): None,
            three.encode(): json.dumps({"score": "blend", "related": [entry]}).encode(),
            b"never bought": b'{"score": "blend", "related": []}',
            b"not \xff unicode": b"junk",
        }
        with Publisher(kafka.bootstrap, topics.related_items) as publisher:
            for key, value in records.items():
                partition = item_partition(key.decode(errors="replace"), 2)
                publisher.send(key, value, partition=partition)
            publisher.send(one.encode(), b"junk", partition=1 - item_partition(one, 2))

        worker.start()

        def lists() -> dict[str, object]:
            """The last list of each item in its own partition."""
            parts = read_topic(kafka.bootstrap, topics.related_items)
            return {
                record.key.decode(): json.loads(record.value)
                for number, part in enumerate(parts)
                for record in part
                if record.value and record.key.decode(errors="replace") in truth.lists
                if item_partition(record.key.decode(), 2) == number and record.value != b"junk"
            }

        def last_is_ours() -> bool:
            last = {
                record.key: record.value
                for part in read_topic(kafka.bootstrap, topics.related_items)
                for record in part
            }
            return all((last[key] or b"").startswith(b'{"item_id"') for key in (two.encode(), three.encode()))

        wait_until("they are replaced", last_is_ours, workers=[worker])
        wait_until_current([worker], truth.lines, 2)
        wait_until("lists are exact", lambda: differences(lists(), truth) == [], workers=[worker])
        assert skipped(worker) == {topics.related_items: len(records) + 1}
        assert worker.stop() == 0


def test_foreign_records_among_the_rejected_are_skipped(kafka: Broker, caplog: pytest.LogCaptureFixture) -> None:
    """The command that lists them reads whatever is there."""
    topics = made_topics(kafka.bootstrap, "foreign-rejected", purchases=1, items=1)
    write(kafka, topics.rejected, NO_DELTAS)

    assert list(read_rejected(kafka.bootstrap, topics)) == []
    assert caplog.text.count("is skipped: no worker wrote it") == len(NO_DELTAS)
