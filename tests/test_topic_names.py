"""Topics that have other names than ours, and what else they are created with."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ACLOperation, ConfigResource, ConfigResourceType, ResourceType

from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.topics import NAMED_ROLES, Topics
from tests.commands import called, output_of, refused
from tests.kafka_truth import Truth, differences
from tests.secured_kafka import written
from tests.workers import WorkerProcess, published_lists, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker
    from tests.secured_kafka import SecuredKafka

ORDERS = 60
NAMES = {
    "purchases": "shop.orders.v2",
    "co-purchases": "shop.deltas.live",
    "related-items": "shop-also-bought-live",
    "purchases-rejected": "shop.orders.invalid",
    "items": "shop_articles",
}


def test_every_command_uses_the_names_that_it_is_given(kafka: Broker, tmp_path: Path) -> None:
    topics = Topics(prefix="named-", renamed=NAMES)
    where = ("--broker", kafka.bootstrap, *topics.options)
    (tmp_path / "items.csv").write_text("item_id,title\nitem-1,Tea\n")

    made = output_of("topics", *where, "--partitions", "2", "--topic-config", "min.insync.replicas=1")
    assert called("generate", "--orders", str(ORDERS), *where).exit_code == 0
    output_of("catalogue", str(tmp_path / "items.csv"), *where)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(NAMES["purchases"], b"no order").get(timeout=30)
    producer.close()
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    rejected = [json.loads(line) for line in output_of("rejected", *where).splitlines()]

    truth.check([worker.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert [(record["topic"], record["value"]) for record in rejected] == [("shop.orders.v2", "no order")]
    assert {line.split(":")[0] for line in made.splitlines()} == set(NAMES.values())
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        assert [name for name in admin.list_topics() if name.startswith("named-")] == []
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in NAMES.values()]
        for configs in admin.describe_configs(resources)["topic"].values():
            assert configs["min.insync.replicas"]["value"] == "1"


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["purchase=orders"], "there is no topic for 'purchase': did you mean purchases? Topics are for purchases, "),
        (["co_purchases=a.live"], "did you mean co-purchases?"),
        (["catalogue=items"], "there is no topic for 'catalogue'"),
        (["purchases"], "--topic is 'purchases', not ROLE=NAME"),
        (["items="], "--topic is 'items=', not ROLE=NAME"),
        (["items=a b"], "the topic for items cannot be called 'a b': Kafka's names have up to 249 letters"),
        (["items=.."], "the topic for items cannot be called '..'"),
        (["items=a", "items=b"], "--topic names items twice: a and b"),
        (["items=a", "purchases=a"], "the topics for purchases and items are both called a: each needs one of its own"),
        (["items=purchases-by-customer"], "the topics for purchases-by-customer and items are both called"),
        (["co-purchases=deltas"], "does not end in the name of the generation"),
        (["related-items=olive"], "Call it olive.live, or give the generation the name in which it ends"),
    ],
)
@pytest.mark.parametrize("command", ["topics", "rejected"])
def test_names_that_cannot_be_are_refused_before_a_broker_is_asked(command: str, names: list[str], why: str) -> None:
    options = [word for name in names for word in ("--topic", name)]

    assert why in refused(command, "--broker", "127.0.0.1:1", *options)


def test_names_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALSOBOUGHT_TOPIC", "items=a purchases=a")

    for command in ("topics", "rejected", "worker --state-dir s", "generate --orders 1", "catalogue --remove x"):
        assert "the topics for purchases and items are both called a" in refused(
            *command.split(), "--broker", "127.0.0.1:1"
        )


def test_a_generation_has_topics_of_its_own() -> None:
    """With one topic of deltas, two generations would count what the other has counted."""
    names = {"co-purchases": "shop.deltas.v2"}

    assert Topics("v2", renamed=names).co_purchases == "shop.deltas.v2"
    with pytest.raises(TopicsUnfit, match=r"Call it shop\.deltas\.v2\.v3"):
        Topics("v3", renamed=names)


def test_each_role_can_be_named() -> None:
    names = {role: f"{number}.live" for number, role in enumerate(NAMED_ROLES)}

    assert sorted(Topics(rekey=True, renamed=names).names().values()) == sorted(names.values())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--topic-config", "retention.ms=1000"], "retention.ms cannot be set: counts depend on it"),
        (["--topic-config", "cleanup.policy=compact"], "cleanup.policy cannot be set"),
        (["--topic-config", "message.timestamp.type=CreateTime"], "message.timestamp.type cannot be set"),
        (["--topic-config", "unclean.leader.election.enable=TRUE"], "cannot be TRUE: an acknowledged record"),
        (["--topic-config", "min.insync.replica=2"], "cannot be created: "),
        (["--topic-config", "max.message.bytes=5000000"], "has max.message.bytes=5000000, it must be"),
        (["--replication-factor", "9"], "cannot be created: "),
    ],
)
def test_configurations_that_counts_depend_on_are_decided(kafka: Broker, options: list[str], why: str) -> None:
    done = called("topics", "--broker", kafka.bootstrap, "--topic-prefix", f"decided{len(why)}-", *options)

    assert done.exit_code == 1
    assert why in " ".join(done.stderr.split())


def test_a_missing_right_is_named_with_the_topic_that_was_given(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    user = secured_kafka.add_user()
    names = {role: f"{user}.{name}" for role, name in NAMES.items()}
    topics = Topics(prefix=f"{user}-", renamed=names)
    output_of("topics", "--broker", secured_kafka.bootstrap, *topics.options)
    secured_kafka.grant(user, ResourceType.TOPIC, names["items"], ACLOperation.READ, ACLOperation.DESCRIBE_CONFIGS)
    file = written(tmp_path / "client.properties", secured_kafka.by_password(user))
    worker = WorkerProcess(
        f"127.0.0.1:{secured_kafka.password_port}", topics, tmp_path / "worker", "--kafka-config", str(file)
    )

    with worker:
        assert worker.wait() == 1
        log = worker.log.read_text()

    for role, name in names.items():
        assert (f"--topic {name}\n" in log) == (role != "items"), log
