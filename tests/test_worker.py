"""Workers as operators see them: invalid input, lost and restored state, refusals to start."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from producers.orders import DAY_MS
from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from streams.workers.kafka.purchases import read_rejected
from streams.workers.kafka.topics import CONFIGS, Partitions, Topics, create_topics
from tests.commands import output_of, ran
from tests.kafka_truth import Truth, differences
from tests.live_workers import ask
from tests.workers import (
    PATIENCE_S,
    ROOT,
    WorkerProcess,
    made_topics,
    published_lists,
    read_topic,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.brokers import Broker

NOW_MS = int(time.time() * 1000)


def send(kafka: Broker, topics: Topics, records: Iterable[tuple[bytes | None, bytes]]) -> None:
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for key, value in records:
            publisher.send(key, value, partition=publisher.partition_of(key or b""))


def shop_orders(first: int, last: int) -> list[tuple[bytes | None, bytes]]:
    orders = list(SyntheticShop(seed=5, customers=300, groups=20).orders(last))[first:]
    return [(order.customer_id.encode(), order.encode()) for order in orders]


def refusal(worker: WorkerProcess) -> str:
    """The log of a worker that refuses to start."""
    with worker:
        assert worker.wait() == 1
    return worker.log.read_text()


def schema_of(name: str) -> Draft202012Validator:
    """One of the schemas in the documentation."""
    return Draft202012Validator(json.loads((ROOT / "docs" / "schemas" / f"{name}.json").read_text()))


POISON = {
    "not JSON": b"{",
    "not an order": b"[1, 2]",
    "customer_id is missing": b'{"timestamp": 1700000000, "item_id": "x"}',
    "timestamp is missing": b'{"customer_id": "c", "item_id": "x"}',
    "item_id is missing": b'{"customer_id": "c", "timestamp": 1700000000}',
    "lines is empty": b'{"customer_id": "c", "timestamp": 1700000000, "lines": []}',
    "is not a number": b'{"customer_id": "c", "timestamp": 1700000000, "item_id": "x", "quantity": "many"}',
    "more than 512": b'{"customer_id": "c", "timestamp": 1700000000, "item_id": "%s"}' % (b"x" * 600),
    "before 1990": b'{"customer_id": "c", "timestamp": "1989-12-31", "item_id": "x"}',
    "later than an order can be": encode_order("c", NOW_MS + 2 * DAY_MS, [("x", 1)]),
    "neither purchase": b'{"customer_id": "c", "timestamp": 1700000000, "item_id": "x", "type": "a gift"}',
    "bytes, more than": encode_order("c", NOW_MS, [("x" * 500, 1)] * 1200),
    "does not hold": encode_order("c", NOW_MS, [("never bought", 1)], kind=1),
    "Expected `object`": b'"an order of another time"',
    "invalid character": b"\x00\x00\x00\x00\x07\x06ann\x06tea",  # Avro, as clients of a schema registry write it
    "customer_id": b'{"user": "ann", "basket": ["tea"], "at": "2025-01-01"}',
    "truncated": b"",  # a tombstone: the producer means that the order is deleted
}


def test_invalid_records_are_kept_with_their_reason_and_valid_ones_counted(kafka: Broker, tmp_path: Path) -> None:
    """An invalid record never stops a worker, and is never lost."""
    topics = made_topics(kafka.bootstrap, "poison")
    good = shop_orders(0, 300)
    records = list(good)
    for place, value in enumerate(POISON.values()):
        records.insert(place * 17, (b"c", value))
    records.append((b"c", encode_order("c", NOW_MS + DAY_MS // 2, [("early", 1)])))  # a clock that is slightly fast
    send(kafka, topics, records)

    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 2)
        found = list(read_rejected(kafka.bootstrap, topics))
        listed = ran("rejected", "--broker", kafka.bootstrap, "--topic-prefix", topics.prefix)
        again = ran("rejected", "--broker", kafka.bootstrap, "--topic-prefix", topics.prefix, "--replay")
        wait_until(
            "they are rejected again",
            lambda: len(list(read_rejected(kafka.bootstrap, topics))) == 2 * len(POISON),
            workers=[worker],
        )
        assert worker.stop() == 0

    assert sorted(record.value for record in found) == sorted(POISON.values())
    for reason, value in POISON.items():
        assert reason in next(record.reason for record in found if record.value == value)
    assert {(record.partition, record.offset) for record in found} == truth.refused
    assert listed.returncode == again.returncode == 0, listed.stderr + again.stderr
    assert [json.loads(line)["offset"] for line in listed.stdout.splitlines()] == [record.offset for record in found]
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth again")
    truth.check([worker.state], topics, 2)

    order = schema_of("order")
    for _, value in good:
        order.validate(json.loads(value))
    headers = schema_of("rejection-headers")
    for rejections in read_topic(kafka.bootstrap, topics.rejected):
        for record in rejections:
            headers.validate({name: text.decode() for name, text in record.headers})


def test_a_record_that_inflates_beyond_what_a_topic_takes_is_kept_in_part(kafka: Broker, tmp_path: Path) -> None:
    """A broker measures records as they are compressed. The outbox would hold it, and fail with it at each start."""
    topics = made_topics(kafka.bootstrap, "inflated", purchases=1, items=1)
    bombs = [b'{"customer_id": "c", "x": "%s"}' % (b"x" * size) for size in (3 << 20, 40 << 20)]
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, compression_type="gzip", max_request_size=64 << 20)
    send(kafka, topics, shop_orders(0, 20))
    for bomb in bombs:
        producer.send(topics.purchases, key=b"c", value=bomb).get(timeout=PATIENCE_S)
    producer.send(topics.purchases, key=b"k" * (3 << 20), value=b"{").get(timeout=PATIENCE_S)
    producer.close()
    send(kafka, topics, shop_orders(20, 40))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0
    truth.check([worker.state], topics, 1)

    found = list(read_rejected(kafka.bootstrap, topics))
    assert [(each.offset, each.length) for each in found] == [(20, len(bombs[0])), (21, len(bombs[1])), (22, 1)]
    for bomb, rejected in zip(bombs, found, strict=False):
        assert rejected.sha256 == hashlib.sha256(bomb).hexdigest()
        assert rejected.value == bomb[: len(rejected.value)]
        assert "bytes, more than" in rejected.reason
    again = ran("rejected", "--broker", kafka.bootstrap, "--topic-prefix", topics.prefix, "--replay")
    assert again.returncode == 0
    assert "0 rejected records sent" in again.stderr
    assert again.stderr.count("is not sent again: it has") == len(found)


def ingested(worker: WorkerProcess) -> int:
    """How many records of orders are in a worker's histories."""
    return sum((worker.status() or {"ingest": {"offsets": {}}})["ingest"]["offsets"].values())


def test_deleted_restored_and_parallel_states_end_like_any_other(kafka: Broker, tmp_path: Path) -> None:
    """State can be rebuilt from the topics alone, and faster from a snapshot; lists on the topic stay exact."""
    topics = made_topics(kafka.bootstrap, "again")
    send(kafka, topics, shop_orders(0, 700))
    below = ("--snapshot-root", str(tmp_path))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "first", "--admin-token", "open", *below) as first:
        wait_until(
            "the worker counts",
            lambda: (first.status() or {"ingest": {"lines": 0}})["ingest"]["lines"] > 1000,
            workers=[first],
        )
        live = ("snapshot", "--state-dir", str(first.state), "--to", str(tmp_path / "snapshot"))
        refused = ran(*live, "--admin", first.admin)
        taken = ran(*live, "--admin", first.admin, "--admin-token", "open")
        send(kafka, topics, shop_orders(700, 1000))
        lines = Truth(kafka.bootstrap, topics, tmp_path / "truth").lines
        wait_until_current([first], lines, 2)
        assert first.stop() == 0
    stopped = ran("snapshot", "--state-dir", str(first.state), "--to", str(tmp_path / "stopped"))
    assert refused.returncode == 1
    assert "--admin-token" in refused.stderr
    assert taken.returncode == 0, taken.stderr
    assert len(taken.stdout.splitlines()) == len(stopped.stdout.splitlines()) == 6  # three kinds, two partitions

    send(kafka, topics, shop_orders(1000, 1200))
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth now")
    restored = WorkerProcess(
        kafka.bootstrap, topics, tmp_path / "restored", "--restore-from", str(tmp_path / "snapshot")
    )
    deleted = WorkerProcess(kafka.bootstrap, topics, tmp_path / "deleted")
    for worker in (restored, deleted):
        with worker:
            wait_until_current([worker], truth.lines, 2)
            # lists need only the deltas of previous owners; histories are rebuilt beside them
            wait_until("its histories are rebuilt", lambda: ingested(worker) == 1200, workers=[worker])  # noqa: B023
            assert worker.stop() == 0
        truth.check([worker.state], topics, 2)
        assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert "was restored from" in restored.log.read_text()
    schema = schema_of("related-list")
    for document in published_lists(kafka.bootstrap, topics).values():
        schema.validate(document)

    beside = Topics("next", topics.prefix)
    create_topics(kafka.bootstrap, beside, Partitions(2, 3))
    with WorkerProcess(kafka.bootstrap, beside, tmp_path / "first", "--pair-window", "5", "--pairs", "order") as worker:
        wait_until_current([worker], truth.lines, 3)
        worker.stop()
    other = Truth(kafka.bootstrap, beside, tmp_path / "truth beside", pair_window=5, pairs="order")
    other.check([worker.state], beside, 3, pair_window=5)
    assert differences(published_lists(kafka.bootstrap, beside), other) == []
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []


def test_lists_on_the_topic_are_exact_after_compaction(kafka: Broker, tmp_path: Path) -> None:
    """A reader may start late: compaction must leave the latest list of every item."""
    topics = made_topics(kafka.bootstrap, "compacted")
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    # after a first cleaning, less is left to clean than the default ratio that triggers another
    eager = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.00001"}
    short = ConfigResource(ConfigResourceType.TOPIC, topics.related_items, configs=eager)
    admin.alter_configs([short])
    admin.close()
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        for first in range(0, 1500, 500):
            send(kafka, topics, shop_orders(first, first + 500))
            truth = Truth(kafka.bootstrap, topics, tmp_path / f"truth {first}")
            wait_until_current([worker], truth.lines, 2)

        def compacted() -> bool:
            producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
            for partition in range(2):  # a write rolls the segment
                producer.send(topics.related_items, key=b"roller", value=b'{"related": []}', partition=partition)
            producer.close()
            keys = [record.key for part in read_topic(kafka.bootstrap, topics.related_items) for record in part]
            return len([key for key in keys if key != b"roller"]) == len(truth.lists)

        wait_until("only the last list of each item is left", compacted, pause_s=0.5, workers=[worker])
        worker.stop()

    published = published_lists(kafka.bootstrap, topics)
    del published["roller"]
    assert differences(published, truth) == []
    for item in sorted(published)[::50]:
        asked = output_of("related", item, "--state-dir", worker.state / topics.generation, "--limit", "50", "--json")
        assert json.loads(asked)["related"] == published[item]["related"]


def test_a_worker_whose_clock_is_ahead_works(kafka: Broker, tmp_path: Path) -> None:
    """Kafka refuses records that come from an hour ahead, and workers reject orders that come from a day ahead."""
    topics = made_topics(kafka.bootstrap, "ahead", purchases=1, items=1)
    records = shop_orders(0, 50)
    send(kafka, topics, [*records, (b"c", b"{")])
    options = ("--admin-token", "open")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", *options, faults="two_days_ahead") as worker:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 1)
        customer = json.loads(records[0][1])["customer_id"]
        erased = ask(worker, f"/customers/{customer}", "DELETE", headers={"Authorization": "Bearer open"})
        assert erased.status == 202, erased
        wait_until(
            "the customer is erased", lambda: ask(worker, f"/customers/{customer}").status == 404, workers=[worker]
        )
        now = Truth(kafka.bootstrap, topics, tmp_path / "now")
        wait_until("lists follow", lambda: differences(published_lists(kafka.bootstrap, topics), now) == [])
        assert worker.stop() == 0

    assert [record.value for record in read_rejected(kafka.bootstrap, topics)] == [b"{"]


def test_topics_of_earlier_versions_do_without_the_clock_of_the_broker(kafka: Broker, tmp_path: Path) -> None:
    """Their configuration is no reason to end; a worker says how to change it, and what is wrong if it cannot write."""
    topics = made_topics(kafka.bootstrap, "own-clock", purchases=1, items=1)
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    own = {**CONFIGS["co-purchases"], "message.timestamp.type": "CreateTime", "max.message.bytes": str(64 << 20)}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.co_purchases, configs=own)])
    admin.close()
    send(kafka, topics, shop_orders(0, 50))
    command = (
        f"kafka-configs.sh --alter --topic {topics.co_purchases} --add-config message.timestamp.type=LogAppendTime"
    )
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", faults="two_days_ahead")
    with worker:
        assert worker.wait() == 1
        log = worker.log.read_text()
        assert command in log
        assert "the clock of this machine is ahead" in log
        worker.faults = "none"
        worker.start()
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "truth").lines, 1)
        assert worker.stop() == 0


def test_after_a_change_of_score_every_list_is_published_again(kafka: Broker, tmp_path: Path) -> None:
    """Also a list that is empty under both scores; and the audit does not take them for lists by the default score."""
    topics = made_topics(kafka.bootstrap, "rescored", purchases=1, items=1)
    send(kafka, topics, shop_orders(0, 200))
    lines = Truth(kafka.bootstrap, topics, tmp_path / "truth").lines
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        wait_until_current([worker], lines, 1)
        assert worker.stop() == 0
    before = published_lists(kafka.bootstrap, topics)
    worker.options += ["--score", "lift"]
    with worker:
        wait_until_current([worker], lines, 1)
        assert worker.stop() == 0

    after = published_lists(kafka.bootstrap, topics)
    assert after.keys() == before.keys()
    assert {document["score"] for document in before.values()} == {"blend"}
    assert {document["score"] for document in after.values()} == {"lift"}
    directory = worker.state / topics.generation
    item = max(after)
    by_lift = output_of("related", item, "--state-dir", directory, "--score", "lift", "--limit", "50", "--json")
    assert json.loads(by_lift)["related"] == after[item]["related"]
    assert json.loads(output_of("audit", "--state-dir", directory, "--json"))["differences"] == 0


def test_a_log_that_begins_after_the_state_is_refused(kafka: Broker, tmp_path: Path) -> None:
    """Records that were never counted must not be skipped silently."""
    topics = made_topics(kafka.bootstrap, "cut", purchases=1)
    send(kafka, topics, shop_orders(0, 100))
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_records({TopicPartition(topics.purchases, 0): 40})
    admin.close()

    message = refusal(WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker"))

    assert "begins at offset 40, the state of ingest ends at 0: the records between were deleted" in message


def test_a_worker_ends_if_the_log_loses_records_while_it_is_read(kafka: Broker, tmp_path: Path) -> None:
    """With too short a retention, records are deleted while a worker is paused."""
    topics = made_topics(kafka.bootstrap, "shrunk", purchases=1)
    send(kafka, topics, shop_orders(0, 50))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", "--session-timeout-ms", "30000") as worker:
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "truth").lines, 2)
        worker.signal(signal.SIGSTOP)
        send(kafka, topics, shop_orders(50, 60))  # satisfy the fetch that was open when the worker was paused
        send(kafka, topics, shop_orders(60, 200))
        admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        admin.delete_records({TopicPartition(topics.purchases, 0): 190})
        admin.close()
        worker.signal(signal.SIGCONT)
        assert worker.wait() == 1

    assert "begins at offset 190, the state of ingest ends at " in worker.log.read_text()


def test_a_worker_refuses_to_start_where_its_counts_would_go_wrong(kafka: Broker, tmp_path: Path) -> None:
    """Other settings, a second worker on the same state, topics that lose records: each refusal says what to do."""
    topics = made_topics(kafka.bootstrap, "refusals", purchases=1, items=1)
    send(kafka, topics, shop_orders(0, 50))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        lines = Truth(kafka.bootstrap, topics, tmp_path / "truth").lines
        wait_until_current([worker], lines, 1)
        rival = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
        rival.log = tmp_path / "rival.txt"
        assert "is in use by another worker; stop it, or give this one" in refusal(rival)
        on_port = WorkerProcess(kafka.bootstrap, topics, tmp_path / "other", "--admin", worker.admin)
        assert "give this worker another --admin" in refusal(on_port)
        worker.stop()

    others = made_topics(kafka.bootstrap, "refusals-other", purchases=1, items=1)
    shorter = refusal(WorkerProcess(kafka.bootstrap, others, tmp_path / "worker"))
    assert "was counted from another topic purchases: it was deleted and made again, or is of another broker" in shorter
    assert "start a new --generation" in shorter
    more = made_topics(kafka.bootstrap, "refusals-more", purchases=1, items=2)
    divided = refusal(WorkerProcess(kafka.bootstrap, more, tmp_path / "worker"))
    assert "was written with item partitions 1, this run has 2" in divided
    wide = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", "--pair-window", "7")
    assert "was written with pair window 100, this run has 7" in refusal(wide)

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    forgetful = {"retention.ms": "1000"}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.co_purchases, configs=forgetful)])
    admin.close()
    message = refusal(WorkerProcess(kafka.bootstrap, topics, tmp_path / "strict"))
    assert f"topic {topics.co_purchases} has retention.ms=1000, it must be -1: kafka-configs.sh --alter" in message

    missing = refusal(WorkerProcess(kafka.bootstrap, Topics("never made", topics.prefix), tmp_path / "missing"))
    assert "there is no topic" in missing
    assert "alsobought topics --partitions N" in missing


def test_a_worker_without_a_broker_reports_it_and_ends(tmp_path: Path) -> None:
    """It retries with longer and longer pauses, since workers and broker may be started together."""
    with WorkerProcess("127.0.0.1:1", Topics(), tmp_path, "--broker-timeout", "2") as worker:
        assert worker.wait() == 1

    message = worker.log.read_text()
    assert "no Kafka broker answers at 127.0.0.1:1 (Connection refused); tried for 2 s" in message
    assert 3 <= message.count("trying again") <= 5  # after 0.1, 0.2, 0.4 and 0.8 s, each a little more or less


@pytest.mark.parametrize("line", ["topics", "generate --orders 1", "rejected", "rejected --replay"])
def test_every_command_without_a_broker_reports_it_and_ends(line: str) -> None:
    done = ran(*line.split(), "--broker", "127.0.0.1:1", "--broker-timeout", "0.1")

    assert done.returncode == 1
    assert "no Kafka broker answers at 127.0.0.1:1 (Connection refused); tried for 0.1 s" in done.stderr
    assert "Traceback" not in done.stderr
