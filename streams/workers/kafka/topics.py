"""The topics: their names and configurations; creates the missing ones and checks those that exist."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from producers.connection import admin_client
from state.log_identity import LogIdentity
from streams.workers.kafka.errors import TopicsUnfit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafka import KafkaAdminClient

logger = logging.getLogger(__name__)

LARGEST_DELTAS_BYTES = 64 << 20
LARGEST_ORDER_BYTES = 1 << 20
VISIBLE_WITHIN_S = 10.0  # a broker takes a moment until it lists a topic that it has just created

_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
CONFIGS = {
    # orders from the future are rejected by the broker's clock when they arrived, so that a recount rejects the same
    "purchases": {
        **_FOR_EVER,
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(LARGEST_ORDER_BYTES),
    },
    "co-purchases": {**_FOR_EVER, "max.message.bytes": str(LARGEST_DELTAS_BYTES)},
    "related-items": {"cleanup.policy": "compact"},
    # holds the whole rejected record, and headers
    "purchases-rejected": {**_FOR_EVER, "max.message.bytes": str(2 * LARGEST_ORDER_BYTES)},
    "items": {"cleanup.policy": "compact"},
}
CLOCK = {"message.timestamp.type": "LogAppendTime"}
"""Topics are created with it: else Kafka refuses records of a worker whose clock is an hour ahead. It changes no count,
so topics of earlier versions may lack it."""
CATALOGUE_PARTITIONS = 1
"""Every worker reads the whole catalogue; more partitions do no harm."""


@dataclass(frozen=True, slots=True)
class Topics:
    """Names of topics and consumer groups.

    >>> topics = Topics(generation="2025")
    >>> topics.purchases, topics.co_purchases, topics.related_items, topics.rejected, topics.items
    ('purchases', 'co-purchases.2025', 'related-items.2025', 'purchases-rejected', 'items')
    >>> topics.group("ingest")
    'alsobought-ingest.2025'
    """

    generation: str = "live"
    prefix: str = ""
    """Precedes every name, so that several shops, or tests, can share a broker."""

    @property
    def purchases(self) -> str:
        """Orders, keyed by customer."""
        return f"{self.prefix}purchases"

    @property
    def rejected(self) -> str:
        """Records of which at least one line was not counted."""
        return f"{self.prefix}purchases-rejected"

    @property
    def co_purchases(self) -> str:
        """Deltas of the counts, one topic partition per item partition."""
        return f"{self.prefix}co-purchases.{self.generation}"

    @property
    def related_items(self) -> str:
        """Related lists, keyed by item."""
        return f"{self.prefix}related-items.{self.generation}"

    @property
    def items(self) -> str:
        """The catalogue, keyed by item: titles, categories, availability."""
        return f"{self.prefix}items"

    def group(self, stage: str) -> str:
        """The consumer group of a stage."""
        return f"{self.prefix}alsobought-{stage}.{self.generation}"

    def configs(self) -> dict[str, dict[str, str]]:
        """The configuration that each topic must have."""
        return {name: CONFIGS[role] for role, name in self.names().items()}

    def names(self) -> dict[str, str]:
        """Each topic's name by its role, a key of `CONFIGS`."""
        names = (self.purchases, self.co_purchases, self.related_items, self.rejected, self.items)
        return dict(zip(CONFIGS, names, strict=True))


@dataclass(frozen=True, slots=True)
class Partitions:
    """Numbers of partitions."""

    purchases: int
    items: int


def create_topics(
    broker: str, topics: Topics, partitions: Partitions, *, replication: int = 1, timeout_s: float = 30
) -> list[str]:
    """Create the topics that are missing, and check those that exist.

    Returns:
        The names of the topics created.

    Raises:
        TopicsUnfit: one that exists has another configuration or number of partitions.
        BrokerUnavailable: no broker answers.
    """
    counts = {
        topics.purchases: partitions.purchases,
        topics.rejected: partitions.purchases,
        topics.co_purchases: partitions.items,
        topics.related_items: partitions.items,
    }
    with admin_client(broker, timeout_s) as admin:
        existing = set(admin.list_topics())
        created = []
        for name, configs in topics.configs().items():
            if name in existing:
                continue
            count = counts.get(name, CATALOGUE_PARTITIONS)
            try:
                admin.create_topics([NewTopic(name, count, replication, topic_configs=configs | CLOCK)])
                created.append(name)
            except TopicAlreadyExistsError:
                continue  # another process was faster
            except KafkaError as error:
                raise TopicsUnfit(f"topic {name} cannot be created: {error}") from None
        _wait_until_listed(admin, created)
        _check(admin, topics, counts)
    return created


def check_topics(broker: str, topics: Topics, *, timeout_s: float = 30) -> Partitions:
    """Check that the topics exist and are configured as they must be; return their numbers of partitions.

    Raises:
        TopicsUnfit: one is missing, or has another configuration; the message says what to do.
        BrokerUnavailable: no broker answers.
    """
    with admin_client(broker, timeout_s) as admin:
        return _check(admin, topics, {})


def read_identities(broker: str, topics: Topics, *, timeout_s: float = 30) -> dict[str, LogIdentity]:
    """`identify_topics` through a connection of its own.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    with admin_client(broker, timeout_s) as admin:
        return identify_topics(admin, topics)


def identify_topics(admin: KafkaAdminClient, topics: Topics) -> dict[str, LogIdentity]:
    """The identity of each topic that exists, by role; brokers of before 2.8 give topics no ids."""
    roles = {name: role for role, name in topics.names().items()}
    found = {}
    for described in admin.describe_topics(list(roles)):
        if described["error_code"] == 0:
            topic_id = str(described["topic_id"] or "")
            known = topic_id.strip("0-") != ""
            found[roles[described["name"]]] = LogIdentity(topic_id if known else "", len(described["partitions"]))
        elif described["error_code"] != UnknownTopicOrPartitionError.errno:
            raise for_code(described["error_code"])(f"topic {described['name']}")
    return found


def _wait_until_listed(admin: KafkaAdminClient, names: list[str]) -> None:
    """Return once the broker lists topics that were just created, or after VISIBLE_WITHIN_S."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while not set(names) <= set(admin.list_topics()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _check(admin: KafkaAdminClient, topics: Topics, counts: dict[str, int]) -> Partitions:
    existing = set(admin.list_topics())
    missing = [name for name in topics.configs() if name not in existing]
    if missing:
        raise TopicsUnfit(
            f"there is no topic {', '.join(missing)}; create what is missing: alsobought topics --partitions N"
        )
    found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(topics.configs()))}
    for name, wanted in counts.items():
        if found[name] != wanted:
            raise TopicsUnfit(
                f"topic {name} has {found[name]} partitions, not {wanted}: "
                "counts are kept by partition, so another number needs a new generation of topics (--generation)"
            )
    _check_configs(admin, topics)
    if found[topics.co_purchases] != found[topics.related_items]:
        raise TopicsUnfit(
            f"topic {topics.co_purchases} has {found[topics.co_purchases]} partitions and {topics.related_items} has "
            f"{found[topics.related_items]}: they must be equal, start a new --generation"
        )
    if found[topics.purchases] > found[topics.rejected]:
        raise TopicsUnfit(
            f"topic {topics.purchases} has {found[topics.purchases]} partitions and {topics.rejected} has "
            f"{found[topics.rejected]}, too few. If partitions were added to {topics.purchases}, orders of "
            "a customer are in two of them: send all orders again to new topics (another --topic-prefix), and start a "
            f"new --generation on them. If nothing was counted yet, add partitions to {topics.rejected}"
        )
    return Partitions(found[topics.purchases], found[topics.co_purchases])


def _check_configs(admin: KafkaAdminClient, topics: Topics) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics.configs()]
    described = admin.describe_configs(resources)["topic"]
    if not any(described.values()):
        logger.warning("the broker does not report the configuration of topics: we assume that it is as required")
        return
    for name, configs in topics.configs().items():
        for key, wanted_value in configs.items():
            value = _value(described[name], key)
            if value != wanted_value:
                raise TopicsUnfit(
                    f"topic {name} has {key}={value}, it must be {wanted_value}: {_altered(name, {key: wanted_value})}"
                )
        if any(_value(described[name], key) != value for key, value in CLOCK.items()):
            logger.warning(
                "topic %s takes the time of its records from the clocks of workers: one that is an hour ahead could "
                "write nothing. Let it take the broker's: %s",
                name,
                _altered(name, CLOCK),
            )


def _value(described: Mapping[str, Any], key: str) -> str:
    """The value of a topic's configuration; the client leaves out those that the topic takes from the broker."""
    return str(described[key]["value"]) if key in described else "the broker's default"


def _altered(topic: str, configs: Mapping[str, str]) -> str:
    """The command that sets configurations of a topic."""
    settings = ",".join(f"{key}={value}" for key, value in configs.items())
    return f"kafka-configs.sh --alter --topic {topic} --add-config {settings}"
