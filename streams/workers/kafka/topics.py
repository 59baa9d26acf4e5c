"""The topics: their names, how they must be configured, how they are made and checked."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from producers.connection import admin_client

if TYPE_CHECKING:
    from kafka import KafkaAdminClient

logger = logging.getLogger(__name__)

LARGEST_DELTAS_BYTES = 64 << 20
LARGEST_ORDER_BYTES = 1 << 20
SETTLING_S = 10.0

_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
CONFIGS = {
    # an order is judged by the broker's clock when it arrived, so that judging it again gives the same
    "purchases": {
        **_FOR_EVER,
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(LARGEST_ORDER_BYTES),
    },
    "co-purchases": {**_FOR_EVER, "max.message.bytes": str(LARGEST_DELTAS_BYTES)},
    "related-items": {"cleanup.policy": "compact"},
    # a rejected order comes back whole, with its headers
    "purchases-rejected": {**_FOR_EVER, "max.message.bytes": str(2 * LARGEST_ORDER_BYTES)},
    "items": {"cleanup.policy": "compact"},
}
CATALOGUE_PARTITIONS = 1
"""Every worker reads all of the catalogue; more partitions do no harm."""


class TopicsUnfit(Exception):
    """Topics are missing or configured in a way that would lose or change counts."""


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
    """Before every name, so that several shops, or tests, share a broker."""

    @property
    def purchases(self) -> str:
        """Orders, by customer."""
        return f"{self.prefix}purchases"

    @property
    def rejected(self) -> str:
        """Records that are no orders we can count."""
        return f"{self.prefix}purchases-rejected"

    @property
    def co_purchases(self) -> str:
        """Deltas of the counts, by item partition."""
        return f"{self.prefix}co-purchases.{self.generation}"

    @property
    def related_items(self) -> str:
        """Related lists, by item."""
        return f"{self.prefix}related-items.{self.generation}"

    @property
    def items(self) -> str:
        """The catalogue: what is known of items besides who bought them, by item."""
        return f"{self.prefix}items"

    def group(self, stage: str) -> str:
        """The consumer group of a stage."""
        return f"{self.prefix}alsobought-{stage}.{self.generation}"

    def configs(self) -> dict[str, dict[str, str]]:
        """The configuration that each topic must have."""
        names = (self.purchases, self.co_purchases, self.related_items, self.rejected, self.items)
        return dict(zip(names, CONFIGS.values(), strict=True))


@dataclass(frozen=True, slots=True)
class Partitions:
    """How many partitions there are."""

    purchases: int
    items: int


def create_topics(
    broker: str, topics: Topics, partitions: Partitions, *, replication: int = 1, timeout_s: float = 30
) -> list[str]:
    """Make the topics that are missing, and check those that are there.

    Returns:
        The names of the topics made.

    Raises:
        TopicsUnfit: one that is there has another configuration, or number of partitions.
        BrokerUnavailable: no broker answers.
    """
    counts = {
        topics.purchases: partitions.purchases,
        topics.rejected: partitions.purchases,
        topics.co_purchases: partitions.items,
        topics.related_items: partitions.items,
    }
    with admin_client(broker, timeout_s) as admin:
        there = set(admin.list_topics())
        made = []
        for name, configs in topics.configs().items():
            if name in there:
                continue
            count = counts.get(name, CATALOGUE_PARTITIONS)
            try:
                admin.create_topics([NewTopic(name, count, replication, topic_configs=configs)])
                made.append(name)
            except TopicAlreadyExistsError:
                continue  # another process was faster
            except KafkaError as error:
                raise TopicsUnfit(f"topic {name} cannot be made: {error}") from None
        _await(admin, made)
        _check(admin, topics, counts)
    return made


def check_topics(broker: str, topics: Topics, *, timeout_s: float = 30) -> Partitions:
    """How many partitions the topics have, once they are known to be fit.

    Raises:
        TopicsUnfit: one is missing, or configured otherwise; the message says what to do.
        BrokerUnavailable: no broker answers.
    """
    with admin_client(broker, timeout_s) as admin:
        return _check(admin, topics, {})


def _await(admin: KafkaAdminClient, names: list[str]) -> None:
    """Return once the broker tells of topics just made, which takes it a moment, or after SETTLING_S."""
    deadline = time.monotonic() + SETTLING_S
    while not set(names) <= set(admin.list_topics()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _check(admin: KafkaAdminClient, topics: Topics, counts: dict[str, int]) -> Partitions:
    there = set(admin.list_topics())
    missing = [name for name in topics.configs() if name not in there]
    if missing:
        raise TopicsUnfit(
            f"there is no topic {', '.join(missing)}; make what is missing: alsobought topics --partitions N"
        )
    found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(topics.configs()))}
    for name, wanted in counts.items():
        if found[name] != wanted:
            raise TopicsUnfit(
                f"topic {name} has {found[name]} partitions, {wanted} were asked for: "
                "counts are divided by partition, so another number needs a new generation of topics"
            )
    _check_configs(admin, topics)
    if found[topics.co_purchases] != found[topics.related_items]:
        raise TopicsUnfit(
            f"topic {topics.co_purchases} has {found[topics.co_purchases]} partitions and {topics.related_items} has "
            f"{found[topics.related_items]}: they must be equal, start a new --generation"
        )
    if found[topics.purchases] != found[topics.rejected]:
        raise TopicsUnfit(
            f"topic {topics.purchases} has {found[topics.purchases]} partitions and {topics.rejected} has "
            f"{found[topics.rejected]}: they must be equal, add partitions to {topics.rejected}"
        )
    return Partitions(found[topics.purchases], found[topics.co_purchases])


def _check_configs(admin: KafkaAdminClient, topics: Topics) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics.configs()]
    described = admin.describe_configs(resources)["topic"]
    if not any(described.values()):
        logger.warning("the broker tells no configuration of topics: they are taken to be as they must be")
        return
    for name, configs in topics.configs().items():
        for key, wanted_value in configs.items():
            value = described[name][key]["value"]
            if value != wanted_value:
                raise TopicsUnfit(
                    f"topic {name} has {key}={value}, it must be {wanted_value}: "
                    f"kafka-configs.sh --alter --topic {name} --add-config {key}={wanted_value}"
                )
