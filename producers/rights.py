"""What a user may do at a broker that grants rights, and how a right is granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafka.errors import GroupAuthorizationFailedError, KafkaError, TopicAuthorizationFailedError

from producers.errors import BrokerRefuses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kafka import KafkaAdminClient


def missing_operations(described: Mapping[str, Any], needed: Iterable[str]) -> list[str]:
    """Which operations on a topic are not granted; none if the broker does not tell.

    Args:
        described: the topic, as `KafkaAdminClient.describe_topics` gives it.
        needed: operations: READ, WRITE, ...
    """
    allowed = described["authorized_operations"]
    if described["error_code"] == TopicAuthorizationFailedError.errno:
        allowed = ()
    return [] if allowed is None else [operation for operation in needed if operation not in allowed]


def grant(operations: Iterable[str], what: str, name: str) -> str:
    """The command that grants operations.

    >>> grant(["DESCRIBE_CONFIGS"], "topic", "purchases")
    'kafka-acls.sh --add --allow-principal User:NAME --operation DescribeConfigs --topic purchases'
    """
    words = " ".join(f"--operation {operation.title().replace('_', '')}" for operation in operations)
    return f"kafka-acls.sh --add --allow-principal User:NAME {words} --{what} {name}"


def check_rights(
    admin: KafkaAdminClient,
    described: Iterable[Mapping[str, Any]],
    needed: Mapping[str, Iterable[str]],
    groups: Iterable[str],
) -> None:
    """Check that a worker may do what it must, before it starts.

    Otherwise each missing right shows when it is first needed, that to keep rejected records perhaps after a month.

    Args:
        admin: a client of the broker.
        described: of each topic, as `describe_topics` gives it.
        needed: topic -> operations that a worker needs.
        groups: names of the consumer groups.

    Raises:
        BrokerRefuses: something is not granted; the message has all that can be seen, with the commands that grant it.
    """
    missing = [(missing_operations(topic, needed[topic["name"]]), "topic", topic["name"]) for topic in described]
    missing += [([] if _may_join(admin, group) else ["READ"], "group", group) for group in groups]
    commands = [f"  {grant(*each)}" for each in missing if each[0]]
    if commands:
        raise BrokerRefuses("\n".join(["this user lacks rights at the broker. Grant them:", *commands]))


def _may_join(admin: KafkaAdminClient, group: str) -> bool:
    """Whether a worker may join a group, as far as the broker tells: it does not of a group that it never had."""
    try:
        described = admin.describe_groups([group])[group]
    except GroupAuthorizationFailedError:
        return False
    except (KafkaError, ValueError):  # it makes room for groups, or tells of operations that the client does not know
        return True
    return bool(described["error"]) or "READ" in (described["authorized_operations"] or ["READ"])
