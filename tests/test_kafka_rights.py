"""What a worker must be allowed to do at a broker that grants rights, and what it says when it may not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from kafka.admin import ACLOperation, ResourceType

from producers.synthetic import SyntheticShop
from tests.commands import ran
from tests.secured_kafka import PASSWORDS, written
from tests.workers import WorkerProcess, made_topics, send_orders, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.secured_kafka import SecuredKafka

RIGHTS = [
    (ResourceType.TOPIC, "purchases", "READ"),
    (ResourceType.TOPIC, "purchases", "DESCRIBE_CONFIGS"),
    (ResourceType.TOPIC, "purchases-rejected", "WRITE"),
    (ResourceType.TOPIC, "purchases-rejected", "DESCRIBE_CONFIGS"),
    (ResourceType.TOPIC, "co-purchases.live", "READ"),
    (ResourceType.TOPIC, "co-purchases.live", "WRITE"),
    (ResourceType.TOPIC, "co-purchases.live", "DESCRIBE_CONFIGS"),
    (ResourceType.TOPIC, "related-items.live", "READ"),
    (ResourceType.TOPIC, "related-items.live", "WRITE"),
    (ResourceType.TOPIC, "related-items.live", "DESCRIBE_CONFIGS"),
    (ResourceType.TOPIC, "items", "READ"),
    (ResourceType.TOPIC, "items", "DESCRIBE_CONFIGS"),
    (ResourceType.GROUP, "alsobought-", "READ"),
    (ResourceType.TRANSACTIONAL_ID, "alsobought-", "WRITE"),
]
"""All that docs/kafka.md says a worker needs."""


def worker_of(user: str, secured_kafka: SecuredKafka, topics: Topics, directory: Path) -> WorkerProcess:
    directory.mkdir()
    file = written(directory / "client.properties", secured_kafka.by_password(user))
    return WorkerProcess(f"127.0.0.1:{secured_kafka.password_port}", topics, directory, "--kafka-config", str(file))


def test_a_worker_needs_what_the_documentation_says_and_no_more(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    topics = made_topics(secured_kafka.bootstrap, "granted", 1, 1)
    orders = list(SyntheticShop(seed=8).orders(60))
    for what, name, operation in RIGHTS:
        secured_kafka.grant("clerk", what, topics.prefix + name, ACLOperation[operation])
    send_orders(secured_kafka, topics, 0, 60)

    with worker_of("clerk", secured_kafka, topics, tmp_path / "clerk") as worker:
        wait_until_current([worker], sum(len(order.items) for order in orders), 1)
        log = worker.log.read_text()

    assert PASSWORDS["clerk"] not in log
    assert "ERROR" not in log


@pytest.mark.parametrize("left_out", RIGHTS, ids=lambda right: f"{right[2]} {right[1]}")
def test_a_right_that_is_missing_is_named(
    left_out: tuple[ResourceType, str, str], secured_kafka: SecuredKafka, tmp_path: Path
) -> None:
    what, name, operation = left_out
    user = secured_kafka.add_user()
    topics = made_topics(secured_kafka.bootstrap, user, 1, 1)
    for right in RIGHTS:
        if right != left_out:
            secured_kafka.grant(user, right[0], topics.prefix + right[1], ACLOperation[right[2]])

    with worker_of(user, secured_kafka, topics, tmp_path / user) as worker:
        assert worker.wait() == 1
        log = worker.log.read_text()

    resource = what.name.lower().replace("_", "-")
    words = rf"--operation {operation.title().replace('_', '')}( --operation \w+)*"
    assert re.search(rf"{words} --{resource} {re.escape(topics.prefix + name)}", log), log


def test_commands_that_send_name_the_right_they_lack(secured_kafka: SecuredKafka, tmp_path: Path) -> None:
    user = secured_kafka.add_user()
    topics = made_topics(secured_kafka.bootstrap, user, 1, 1)
    file = written(tmp_path / "client.properties", secured_kafka.by_password(user))

    done = ran("generate", "--orders", "1", "--kafka-config", file, "--topic-prefix", topics.prefix)

    assert done.returncode == 1
    assert f"--operation Write --topic {topics.purchases}" in done.stderr
