"""The topics: their names and configurations; creates the missing ones and checks those that exist."""

from __future__ import annotations

import difflib
import logging
import re
import time
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from producers.connection import admin_client
from producers.rights import check_rights
from state.log_identity import LogIdentity
from streams.workers.kafka.errors import TopicsUnfit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kafka import KafkaAdminClient

logger = logging.getLogger(__name__)

RECORD_BYTES = 1 << 20
"""Of a record that a worker writes with all that belongs to it, at most; the brokers' own limit is 12 bytes above."""
LEAST_RECORD_BYTES, MOST_RECORD_BYTES = 16 << 10, 64 << 20
"""Of deltas, what it may be set to."""
_BROKER_LIMIT_BYTES = (1 << 20) + 12
VISIBLE_WITHIN_S = 10.0  # a broker takes a moment until it lists a topic that it has just created

_FOR_EVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
CONFIGS = {
    # orders from the future are rejected by the broker's clock when they arrived, so that a recount rejects the same
    "purchases": {
        **_FOR_EVER,
        "message.timestamp.type": "LogAppendTime",
    },
    "co-purchases": _FOR_EVER,
    "related-items": {"cleanup.policy": "compact"},
    "purchases-rejected": _FOR_EVER,
    "items": {"cleanup.policy": "compact"},
}
COPIED_CONFIGS = {
    # what is copied may expire, and tells when it arrived
    "source": {name: value for name, value in CONFIGS["purchases"].items() if not name.startswith("retention.")},
}
"""Of the topic of orders that is copied by customer."""
SIZE = "max.message.bytes"
OPERATIONS = {
    "source": ("READ", "DESCRIBE_CONFIGS"),
    "copy": ("READ", "WRITE", "DESCRIBE_CONFIGS"),
    "purchases": ("READ", "DESCRIBE_CONFIGS"),
    "co-purchases": ("READ", "WRITE", "DESCRIBE_CONFIGS"),
    "related-items": ("READ", "WRITE", "DESCRIBE_CONFIGS"),
    "purchases-rejected": ("WRITE", "DESCRIBE_CONFIGS"),
    "items": ("READ", "DESCRIBE_CONFIGS"),
}
NAMED_ROLES = ("purchases", "purchases-by-customer", "co-purchases", "related-items", "purchases-rejected", "items")
"""What a topic can be for; also its name, unless it is given another."""
_OF_GENERATION = ("co-purchases", "related-items")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")
_UNSAFE = {"unclean.leader.election.enable": "true"}
"""Configurations with which Kafka may lose records that it has acknowledged."""
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
    >>> Topics(rekey=True).log
    'purchases-by-customer'
    >>> Topics(renamed={"purchases": "shop.orders.v2"}).names()["purchases"]
    'shop.orders.v2'

    Raises:
        TopicsUnfit: a name is none, or two topics have the same.
    """

    generation: str = "live"
    prefix: str = ""
    """Precedes every name, so that several shops, or tests, can share a broker."""
    rekey: bool = False
    """Whether orders are copied by customer before they are counted."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names by role, one of `NAMED_ROLES`, of topics that are called otherwise; the prefix does not precede them."""

    def __post_init__(self) -> None:
        for role, name in self.renamed.items():
            if role not in NAMED_ROLES:
                nearest = difflib.get_close_matches(role, NAMED_ROLES, 1, 0)[0]
                raise TopicsUnfit(
                    f"there is no topic for '{role}': did you mean {nearest}? Topics are for {', '.join(NAMED_ROLES)}"
                )
            if not _NAME.fullmatch(name) or name in (".", ".."):
                raise TopicsUnfit(
                    f"the topic for {role} cannot be called '{name}': Kafka's names have up to 249 letters, digits, "
                    "dots, hyphens and underscores"
                )
            if role in _OF_GENERATION and not re.search(rf"[._-]{re.escape(self.generation)}$", name):
                raise TopicsUnfit(
                    f"the topic for {role} is called '{name}', which does not end in the name of the generation: "
                    f"generations that share it would count wrongly. Call it {name}.{self.generation}, or give the "
                    "generation the name in which it ends (--generation)"
                )
        by_name: dict[str, str] = {}
        for role in NAMED_ROLES:
            other = by_name.setdefault(self._name(role), role)
            if other != role:
                raise TopicsUnfit(
                    f"the topics for {other} and {role} are both called {self._name(role)}: each needs one of its own"
                )

    def _name(self, role: str) -> str:
        suffix = f".{self.generation}" if role in _OF_GENERATION else ""
        return self.renamed.get(role, f"{self.prefix}{role}{suffix}")

    @property
    def options(self) -> list[str]:
        """The options of a command that name these topics."""
        words = ["--rekey"] if self.rekey else []
        words += ["--topic-prefix", self.prefix] if self.prefix else []
        for role, name in self.renamed.items():
            words += ["--topic", f"{role}={name}"]
        return words

    @property
    def purchases(self) -> str:
        """Orders; keyed by customer, unless they are copied by customer."""
        return self._name("purchases")

    @property
    def log(self) -> str:
        """The orders that are counted, each customer's in one partition: `purchases`, or its copy."""
        return self._name("purchases-by-customer") if self.rekey else self.purchases

    @property
    def rejected(self) -> str:
        """Records of which at least one line was not counted."""
        return self._name("purchases-rejected")

    @property
    def co_purchases(self) -> str:
        """Deltas of the counts, one topic partition per item partition."""
        return self._name("co-purchases")

    @property
    def related_items(self) -> str:
        """Related lists, keyed by item."""
        return self._name("related-items")

    @property
    def items(self) -> str:
        """The catalogue, keyed by item: titles, categories, availability."""
        return self._name("items")

    def group(self, stage: str) -> str:
        """The consumer group of a stage."""
        return f"{self.prefix}alsobought-{stage}.{self.generation}"

    def import_group(self, source: str) -> str:
        """The consumer group that imports a topic, unless it is told another."""
        return f"{self.prefix}alsobought-import.{source}"

    @property
    def rekey_group(self) -> str:
        """The consumer group that copies orders by customer, for all generations."""
        return f"{self.prefix}alsobought-rekey"

    def configs(self) -> dict[str, dict[str, str]]:
        """The configuration that each topic must have."""
        configs = CONFIGS | COPIED_CONFIGS if self.rekey else CONFIGS
        return {name: configs[role] for role, name in self.names().items()}

    def sizes(self, record_bytes: int) -> dict[str, tuple[int, int | None]]:
        """What each topic may have as its largest batch, by name: at least, and at most, in bytes.

        Args:
            record_bytes: of the largest record of deltas.
        """
        orders = "source" if self.rekey else "purchases"  # a larger one is not counted, but takes memory
        sizes: dict[str, tuple[int, int | None]] = {
            "co-purchases": (record_bytes, None),
            "purchases-rejected": (RECORD_BYTES, None),
            "purchases": (RECORD_BYTES, None),
            orders: (0, _BROKER_LIMIT_BYTES),
        }
        return {name: sizes[role] for role, name in self.names().items() if role in sizes}

    def operations(self) -> dict[str, tuple[str, ...]]:
        """What a worker does with each topic, by name; who takes orders over HTTP needs WRITE of purchases too."""
        found = {name: OPERATIONS[role] for role, name in self.names().items()}
        return found | ({self.log: OPERATIONS["copy"]} if self.rekey else {})

    def names(self) -> dict[str, str]:
        """Each topic's name by its role, a key of `CONFIGS`; with `rekey` the topic `purchases` is the `source`."""
        names = (self.log, self.co_purchases, self.related_items, self.rejected, self.items)
        source = {"source": self.purchases} if self.rekey else {}
        return source | dict(zip(CONFIGS, names, strict=True))


@dataclass(frozen=True, slots=True)
class Partitions:
    """Numbers of partitions."""

    purchases: int
    items: int


def create_topics(
    broker: str,
    topics: Topics,
    partitions: Partitions,
    *,
    replication: int = 1,
    more_configs: Mapping[str, str] = MappingProxyType({}),
    timeout_s: float = 30,
) -> list[str]:
    """Create the topics that are missing, and check those that exist.

    Args:
        broker: host:port.
        topics: their names.
        partitions: how many they have.
        replication: copies of each partition.
        more_configs: configurations of the topics that are created, besides those that they must have.
        timeout_s: how long to wait for a broker.

    Returns:
        The names of the topics created.

    Raises:
        TopicsUnfit: one that exists has another configuration or number of partitions.
        BrokerUnavailable: no broker answers.
    """
    counts = {
        topics.log: partitions.purchases,
        topics.rejected: partitions.purchases,
        topics.co_purchases: partitions.items,
        topics.related_items: partitions.items,
    }
    _check_more(more_configs)
    with admin_client(broker, timeout_s) as admin:
        existing = set(admin.list_topics())
        created = []
        for role, name in topics.names().items():
            if name in existing:
                continue
            count = partitions.purchases if role == "source" else counts.get(name, CATALOGUE_PARTITIONS)
            # nothing expires unless somebody decides so
            configs = CONFIGS["purchases"] if role == "source" else topics.configs()[name]
            _, most_bytes = topics.sizes(RECORD_BYTES).get(name, (0, None))
            size = {} if most_bytes is None else {SIZE: str(RECORD_BYTES)}
            try:
                admin.create_topics(
                    [NewTopic(name, count, replication, topic_configs={**size, **more_configs, **configs, **CLOCK})]
                )
                created.append(name)
            except TopicAlreadyExistsError:
                continue  # another process was faster
            except KafkaError as error:
                raise TopicsUnfit(f"topic {name} cannot be created: {error}") from None
        _wait_until_listed(admin, created)
        _check(admin, topics, counts, record_bytes=0)  # workers look whether they may write as much as they will
    return created


def _check_more(configs: Mapping[str, str]) -> None:
    """Refuse configurations that counts depend on.

    Raises:
        TopicsUnfit: there is one.
    """
    decided = {key for of_topic in CONFIGS.values() for key in of_topic} | set(CLOCK)
    for key, value in configs.items():
        if key in decided:
            raise TopicsUnfit(
                f"{key} cannot be set: counts depend on it, and alsobought decides it for each of its topics"
            )
        if _UNSAFE.get(key) == value.lower():
            raise TopicsUnfit(f"{key} cannot be {value}: an acknowledged record that Kafka loses is lost to the counts")


def check_topics(
    broker: str,
    topics: Topics,
    *,
    groups: Iterable[str] = (),
    record_bytes: int = RECORD_BYTES,
    timeout_s: float = 30,
) -> Partitions:
    """Check that the topics exist, that a worker may use them, and that they are configured as they must be.

    Args:
        broker: host:port.
        topics: names of the topics.
        groups: consumer groups that the worker joins.
        record_bytes: of the largest record of deltas.
        timeout_s: how long to wait for a broker.

    Returns:
        Their numbers of partitions.

    Raises:
        BrokerRefuses: the broker does not let this user do what a worker does.
        TopicsUnfit: one is missing, or has another configuration; the message says what to do.
        BrokerUnavailable: no broker answers.
    """
    with admin_client(broker, timeout_s) as admin:
        check_rights(admin, admin.describe_topics(list(topics.configs())), topics.operations(), groups)
        return _check(admin, topics, {}, record_bytes)


class Named(Protocol):
    """Some topics."""

    def names(self) -> Mapping[str, str]:
        """Each topic's name by its role."""


def read_identities(broker: str, topics: Named, *, timeout_s: float = 30) -> dict[str, LogIdentity]:
    """`identify_topics` through a connection of its own.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    with admin_client(broker, timeout_s) as admin:
        return identify_topics(admin, topics)


def identify_topics(admin: KafkaAdminClient, topics: Named) -> dict[str, LogIdentity]:
    """The identity of each topic that exists, by role; brokers of before 2.8 give topics no ids."""
    roles = {name: role for role, name in topics.names().items()}
    found = {}
    for described in admin.describe_topics(list(roles)):
        if described["error_code"] == 0:
            found[roles[described["name"]]] = _identity(described)
        elif described["error_code"] != UnknownTopicOrPartitionError.errno:
            raise for_code(described["error_code"])(f"topic {described['name']}")
    return found


def _identity(described: Mapping[str, Any]) -> LogIdentity:
    topic_id = str(described["topic_id"] or "")
    known = topic_id.strip("0-") != ""
    return LogIdentity(topic_id if known else "", len(described["partitions"]))


def check_import(
    broker: str, topics: Topics, source: str, *, group: str, timeout_s: float = 30
) -> tuple[LogIdentity, LogIdentity]:
    """Check that a topic can be imported to `purchases`, and that this user may do so.

    Args:
        broker: host:port.
        topics: names of the topics.
        source: the topic to import.
        group: the consumer group.
        timeout_s: how long to wait for a broker.

    Returns:
        The identities of the topic and of `purchases`.

    Raises:
        BrokerRefuses: the broker does not let this user do what an import does.
        TopicsUnfit: one is missing, or is none to import from or to; the message says what to do.
        BrokerUnavailable: no broker answers.
    """
    if source in topics.names().values():
        raise TopicsUnfit(
            f"topic {source} is one of those that workers use: name the topic of yours that has orders. Orders in "
            f"{topics.purchases} that are keyed otherwise than by customer are counted by workers with --rekey"
        )
    operations = {source: ("READ",), topics.purchases: ("READ", "WRITE", "DESCRIBE_CONFIGS")}
    with admin_client(broker, timeout_s) as admin:
        found = {described["name"]: described for described in admin.describe_topics(list(operations))}
        check_rights(admin, found.values(), operations, [group])
        for name, advice in ((source, "name one of yours"), (topics.purchases, "create it: alsobought topics")):
            if found[name]["error_code"] != 0:
                raise TopicsUnfit(f"there is no topic {name}; {advice}")
        name = topics.purchases
        _check_configs(admin, {name: topics.configs()[name]}, {name: (RECORD_BYTES, _BROKER_LIMIT_BYTES)})
        return _identity(found[source]), _identity(found[topics.purchases])


def _wait_until_listed(admin: KafkaAdminClient, names: list[str]) -> None:
    """Return once the broker lists topics that were just created, or after VISIBLE_WITHIN_S."""
    deadline = time.monotonic() + VISIBLE_WITHIN_S
    while not set(names) <= set(admin.list_topics()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _check(admin: KafkaAdminClient, topics: Topics, counts: dict[str, int], record_bytes: int) -> Partitions:
    existing = set(admin.list_topics())
    missing = [name for name in topics.configs() if name not in existing]
    if missing:
        raise TopicsUnfit(
            f"there is no topic {', '.join(missing)}; create what is missing: "
            f"{' '.join(['alsobought topics --partitions N', *topics.options])}"
        )
    found = {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics(list(topics.configs()))}
    for name, wanted in counts.items():
        if found[name] != wanted:
            raise TopicsUnfit(
                f"topic {name} has {found[name]} partitions, not {wanted}: "
                "counts are kept by partition, so another number needs a new generation of topics (--generation)"
            )
    _check_configs(admin, topics.configs(), topics.sizes(record_bytes))
    if found[topics.co_purchases] != found[topics.related_items]:
        raise TopicsUnfit(
            f"topic {topics.co_purchases} has {found[topics.co_purchases]} partitions and {topics.related_items} has "
            f"{found[topics.related_items]}: they must be equal, start a new --generation"
        )
    if found[topics.purchases] < found[topics.log]:
        raise TopicsUnfit(
            f"topic {topics.purchases} has {found[topics.purchases]} partitions and {topics.log} has "
            f"{found[topics.log]}: orders over HTTP have no place. Add partitions to {topics.purchases}"
        )
    if found[topics.log] > found[topics.rejected]:
        raise TopicsUnfit(
            f"topic {topics.log} has {found[topics.log]} partitions and {topics.rejected} has "
            f"{found[topics.rejected]}, too few. If partitions were added to {topics.log}, orders of "
            "a customer are in two of them: send all orders again to new topics (another --topic-prefix), and start a "
            f"new --generation on them. If nothing was counted yet, add partitions to {topics.rejected}"
        )
    return Partitions(found[topics.log], found[topics.co_purchases])


def _check_configs(
    admin: KafkaAdminClient, wanted: Mapping[str, Mapping[str, str]], sizes: Mapping[str, tuple[int, int | None]]
) -> None:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    if not any(described.values()):
        logger.warning("the broker does not report the configuration of topics: we assume that it is as required")
        return
    for name, configs in wanted.items():
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
    for name, (least, most) in sizes.items():
        if SIZE in described[name]:
            _check_size(name, int(_value(described[name], SIZE)), least, most)


def _check_size(topic: str, size: int, least: int, most: int | None) -> None:
    if size < least:
        raise TopicsUnfit(
            f"topic {topic} has {SIZE}={size}, workers write records of up to {least} bytes: "
            f"{_altered(topic, {SIZE: str(least)})}. Records of deltas can be smaller, too: --record-bytes"
        )
    if most is not None and size > most:
        raise TopicsUnfit(
            f"topic {topic} has {SIZE}={size}, it must be {most} at most: a larger order is not counted, but takes "
            f"memory in every worker. {_altered(topic, {SIZE: str(RECORD_BYTES)})}"
        )


def _value(described: Mapping[str, Any], key: str) -> str:
    """The value of a topic's configuration, perhaps the broker's default; some brokers do not report all."""
    return str(described[key]["value"]) if key in described else "the broker's default"


def _altered(topic: str, configs: Mapping[str, str]) -> str:
    """The command that sets configurations of a topic."""
    settings = ",".join(f"{key}={value}" for key, value in configs.items())
    return f"kafka-configs.sh --alter --topic {topic} --add-config {settings}"
