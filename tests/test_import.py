"""Importing a shop's own topic of orders to `purchases`: each record once, whoever keyed it and whoever died."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ACLOperation, ConfigResource, ConfigResourceType, NewTopic, ResourceType
from kafka.structs import OffsetAndMetadata

from producers.partitioning import PARTITIONERS
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from state.log_identity import LogIdentity
from streams.workers.importing import _ImportTopics
from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.sources import imported_from
from streams.workers.kafka.topic_watch import TopicWatch
from tests.commands import output_of
from tests.kafka_truth import Truth, differences
from tests.secured_kafka import written
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
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker
    from tests.secured_kafka import SecuredKafka

SOURCE_PARTITIONS = 3
JUNK = [b"not JSON", b"", b'{"customer_id": "ann", "item_id": "tea"}', b"x" * 700_000]


def shop(first: int, last: int) -> list[bytes]:
    orders = itertools.islice(SyntheticShop(seed=6, customers=60).orders(last), first, None)
    # without order ids, so that orders counted twice are not dropped as duplicates
    return [encode_order(each.customer_id, each.time_ms, [(item, 1) for item in each.items]) for each in orders]


def made_source(broker: str, topics: Topics) -> str:
    """A topic as shops have it: keyed by order, with the times of its producers, and kept for a week."""
    name = f"{topics.prefix}shop.orders"
    configs = {"retention.ms": str(7 * 86_400_000), "message.timestamp.type": "CreateTime"}
    with closing(KafkaAdminClient(bootstrap_servers=broker)) as admin:
        admin.create_topics([NewTopic(name, SOURCE_PARTITIONS, 1, topic_configs=configs)])
    return name


def send(broker: str, source: str, values: Iterable[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=broker)
    now_ms = int(time.time() * 1000)
    for number, value in enumerate(values):
        producer.send(
            source,
            value,
            key=b"order %d" % number,
            partition=number % SOURCE_PARTITIONS,
            timestamp_ms=now_ms - 1000 * number,
        )
    producer.close()


@contextmanager
def importing(
    kafka: Broker, topics: Topics, source: str, *options: str, faults: str = "none"
) -> Iterator[subprocess.Popen[str]]:
    """An import in a process of its own, which is killed at the end."""
    command = [sys.executable, "-m", "tests.worker_driver", faults, "import", source, "--broker", kafka.bootstrap]
    command += [*topics.options, "--session-timeout-ms", "1500", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def imported(kafka: Broker, topics: Topics, source: str, *options: str, faults: str = "none") -> tuple[int, str, str]:
    """Import up to the end; return exit code, output and log."""
    with importing(kafka, topics, source, "--until-end", *options, faults=faults) as process:
        output, log = process.communicate(timeout=PATIENCE_S)
        return process.returncode, output, log


def check(kafka: Broker, topics: Topics, source: str, partitioner: str = "murmur2") -> None:
    """Each record of the topic is in `purchases` once, with its customer, in the order of its partition."""
    sent = {
        (number, record.offset): record
        for number, records in enumerate(read_topic(kafka.bootstrap, source))
        for record in records
    }
    places: Counter[tuple[int, int]] = Counter()
    streams: dict[tuple[int, int], list[int]] = {}
    purchases = read_topic(kafka.bootstrap, topics.purchases, committed=True)
    for number, records in enumerate(purchases):
        for record in records:
            found = imported_from(record)
            assert found is not None
            assert found.topic == source
            place = found.source.partition, found.source.offset
            places[place] += 1
            streams.setdefault((place[0], number), []).append(place[1])
            assert record.value == sent[place].value
            try:
                customer = json.loads(record.value)["customer_id"].encode()
            except (ValueError, TypeError, KeyError):
                continue
            assert record.key == customer
            assert number == PARTITIONERS[partitioner](customer, len(purchases))
    assert places == Counter(sent.keys())
    assert all(offsets == sorted(offsets) for offsets in streams.values())


@pytest.mark.parametrize("step", ["before-offset", "after-offset", "after-commit"])
def test_each_record_is_imported_once_whatever_dies_in_a_transaction(kafka: Broker, step: str) -> None:
    topics = made_topics(kafka.bootstrap, f"import-{step}", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    deaths = 0
    for turn in range(30):
        send(kafka.bootstrap, source, shop(30 * turn, 30 * (turn + 1)))
        code, _, log = imported(kafka, topics, source, faults=f"die_while_copying:{step}")
        deaths += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL), log
        if deaths == 2:
            break

    code, output, log = imported(kafka, topics, source, "--json")

    assert deaths == 2
    assert code == 0, log
    assert json.loads(output)["complete"]
    check(kafka, topics, source)


def test_imports_share_a_topic_and_take_over_from_the_dead(kafka: Broker, tmp_path: Path) -> None:
    """What they have written is counted, and what is invalid is rejected with its place in the shop's topic."""
    topics = made_topics(kafka.bootstrap, "import-shared", purchases=2, items=2)
    source = made_source(kafka.bootstrap, topics)
    group = topics.import_group(source)
    with importing(kafka, topics, source) as first, importing(kafka, topics, source) as second:
        wait_until("both have partitions", lambda: members(kafka, group) == 2)
        for turn in range(6):
            send(kafka.bootstrap, source, shop(40 * turn, 40 * (turn + 1)))
            if turn == 2:
                first.kill()
        send(kafka.bootstrap, source, JUNK)
        sent = sum(map(len, read_topic(kafka.bootstrap, source)))
        wait_until(
            "everything is imported",
            lambda: sum(map(len, read_topic(kafka.bootstrap, topics.purchases, committed=True))) >= sent,
        )
        second.send_signal(signal.SIGINT)
        output, log = second.communicate(timeout=PATIENCE_S)
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    rejected = [
        json.loads(line) for line in output_of("rejected", "--broker", kafka.bootstrap, *topics.options).splitlines()
    ]

    assert second.returncode == 0, log
    assert f" records imported from {source} to {topics.purchases}\n" in output
    assert "Traceback" not in log
    check(kafka, topics, source)
    truth.check([worker.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    by_place = {tuple(record["source"]): record for record in rejected}
    records = read_topic(kafka.bootstrap, source)
    assert len(by_place) == len(rejected) == len(JUNK)
    for (topic, partition, offset), record in by_place.items():
        [found] = [each for each in records[partition] if each.offset == offset]
        assert topic == source
        assert record["topic"] == topics.purchases
        assert found.value.decode() == record["value"]


def members(kafka: Broker, group: str) -> int:
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        return len(admin.describe_groups([group])[group]["members"])


def test_records_that_expired_before_they_were_imported_are_not_missed_in_silence(kafka: Broker) -> None:
    topics = made_topics(kafka.bootstrap, "import-expired", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    send(kafka.bootstrap, source, shop(0, 30))
    delete_before(kafka, source, {0: 4})  # before the first import: it begins with what is there

    assert imported(kafka, topics, source)[0] == 0
    check(kafka, topics, source)
    send(kafka.bootstrap, source, shop(30, 60))
    delete_before(kafka, source, {1: 15})
    code, _, log = imported(kafka, topics, source)

    assert code == 1
    assert f"topic {source} partition 1 begins at offset 15, and was copied up to 10" in log
    advice = (
        f"stop all imports, kafka-consumer-groups.sh --group {topics.import_group(source)} --topic {source} --reset"
    )
    assert advice in log
    place = TopicPartition(source, 1)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:  # as that command does
        admin.alter_group_offsets(topics.import_group(source), {place: OffsetAndMetadata(15, "", -1)})
    code, _, log = imported(kafka, topics, source)
    assert code == 0, log
    assert "records 10 to 14 are lost" in log


def delete_before(kafka: Broker, topic: str, offsets: dict[int, int]) -> None:
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.delete_records({TopicPartition(topic, number): offset for number, offset in offsets.items()})


def test_customers_are_placed_as_those_that_are_there(kafka: Broker) -> None:
    """Else workers would reject every order that is imported."""
    topics = made_topics(kafka.bootstrap, "import-crc32", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    send(kafka.bootstrap, source, shop(0, 60))

    assert imported(kafka, topics, source, "--partitioner", "crc32")[0] == 0
    code, _, log = imported(kafka, topics, source, "--partitioner", "murmur2")
    assert code == 1
    assert f"most orders in topic {topics.purchases} are placed by crc32" in log
    send(kafka.bootstrap, source, shop(60, 90))
    assert imported(kafka, topics, source)[0] == 0

    check(kafka, topics, source, "crc32")


def test_records_of_another_shape_are_imported_as_orders(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "import-columns", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    junk = [value for value in JUNK if not value.startswith(b"{")]
    ours = [json.loads(order) for order in shop(0, 60)]
    theirs = [
        {
            "buyer": {"id": each["customer_id"]},
            "at": each["timestamp"],
            "cart": [{"sku": line["item_id"]} for line in each["lines"]],
        }
        for each in ours
    ]
    send(kafka.bootstrap, source, [*(json.dumps(each).encode() for each in theirs), *junk])
    columns = "customer_id=buyer.id,timestamp=at,item_id=cart[].sku"

    code, _, log = imported(kafka, topics, source, "--columns", columns)

    assert code == 0, log
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    assert len(truth.refused) == len(junk)
    found = [record for records in truth.records.values() for record in records]
    lines = sorted((each["customer_id"], line["item_id"]) for each in ours for line in each["lines"])
    orders = [json.loads(record.value) for record in found if record.value not in junk]
    assert sorted((each["customer_id"], line["item_id"]) for each in orders for line in each["lines"]) == lines
    for record in found:
        if record.value not in junk:
            customer = json.loads(record.value)["customer_id"].encode()
            assert (record.key, record.partition) == (customer, PARTITIONERS["murmur2"](customer, 2))


def test_what_cannot_be_imported_is_refused(kafka: Broker) -> None:
    topics = made_topics(kafka.bootstrap, "import-refused", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)

    def refusal(name: str) -> str:
        code, _, log = imported(kafka, topics, name)
        assert code == 1
        return log

    assert f"there is no topic {source}s; name one of yours" in refusal(f"{source}s")
    assert f"topic {topics.purchases} is one of those that workers use" in refusal(topics.purchases)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        forgetful = ConfigResource(ConfigResourceType.TOPIC, topics.purchases, configs={"retention.ms": "1000"})
        admin.alter_configs([forgetful], incremental=True)
    assert f"topic {topics.purchases} has retention.ms=1000, it must be -1" in refusal(source)


def test_an_import_ends_when_its_topic_is_another() -> None:
    """The client would go on at the old offset of the new topic."""
    source, purchases = LogIdentity("old", 3), LogIdentity("purchases", 2)
    watch = TopicWatch(
        "nowhere:1", _ImportTopics("shop.orders", "purchases"), {"imported": source, "purchases": purchases}
    )

    watch.compare({"imported": source._replace(partitions=5), "purchases": purchases}, 0.0)  # it may be enlarged

    with pytest.raises(TopicsUnfit, match=r"shop\.orders was deleted and made again: .*another --group"):
        watch.compare({"imported": source._replace(log_id="new"), "purchases": purchases}, 0.0)
    with pytest.raises(TopicsUnfit, match="deleted and made again"):
        watch.compare({"imported": source, "purchases": purchases._replace(log_id="new")}, 0.0)


RIGHTS: list[tuple[ResourceType, str, tuple[str, ...]]] = [
    (ResourceType.TOPIC, "shop.orders", ("READ",)),
    (ResourceType.TOPIC, "purchases", ("READ", "WRITE", "DESCRIBE_CONFIGS")),
    (ResourceType.GROUP, "alsobought-import.", ("READ",)),
    (ResourceType.TRANSACTIONAL_ID, "alsobought-import.", ("WRITE",)),
]
"""All that docs/kafka.md says an import needs."""


@pytest.mark.parametrize("left_out", [None, *range(len(RIGHTS))])
def test_an_import_needs_what_the_documentation_says_and_no_more(
    secured_kafka: SecuredKafka, tmp_path: Path, left_out: int | None
) -> None:
    user = secured_kafka.add_user()
    topics = made_topics(secured_kafka.bootstrap, user, 1, 1)
    source = made_source(secured_kafka.bootstrap, topics)
    send(secured_kafka.bootstrap, source, shop(0, 20))
    for number, (what, name, operations) in enumerate(RIGHTS):
        if number != left_out:
            secured_kafka.grant(user, what, topics.prefix + name, *[ACLOperation[each] for each in operations])
    file = written(tmp_path / "client.properties", secured_kafka.by_password(user))
    command = [sys.executable, "-m", "streams.commands.kafka", "import", source, "--until-end", *topics.options]

    done: Any = subprocess.run(
        [*command, "--kafka-config", str(file)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )

    if left_out is None:
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("20 records imported")
    else:
        what, name, operations = RIGHTS[left_out]
        words = " ".join(f"--operation {each.title().replace('_', '')}" for each in operations)
        assert done.returncode == 1
        assert f"{words} --{what.name.lower().replace('_', '-')} {topics.prefix}{name}" in done.stderr, done.stderr
