"""Rejected lines and records that are sent to a topic again, each once.

What is sent again names in a header what it stands for, so that the topic itself knows what it has. To find out, the
headers of its records are read, from where the first such record can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from producers.connection import polled, quieten_client, wait_for_broker
from producers.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

AGAIN_HEADER, LOG_HEADER = "again", "log"
_AT_ONCE = 5000


class SentBefore(NamedTuple):
    """What a topic has."""

    ids: set[str]
    """Of what was sent again."""
    logs: set[str]
    """That were sent to it, as `Published.log`."""


def sent_before(broker: str, topic: str, begin: Mapping[int, int] | None = None, timeout_s: float = 30) -> SentBefore:
    """What was sent to a topic, by the headers of its records.

    Args:
        broker: host:port.
        topic: of the orders.
        begin: by partition, the first offset to look at; others are not looked at. None: all of the topic.
        timeout_s: how long to wait for a broker.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    wait_for_broker(broker, timeout_s)
    quieten_client()
    found = SentBefore(set(), set())
    try:
        consumer = KafkaConsumer(
            bootstrap_servers=broker.split(","), enable_auto_commit=False, max_poll_records=_AT_ONCE
        )
        try:
            numbers = consumer.partitions_for_topic(topic) or set()
            for number in sorted(numbers if begin is None else numbers & begin.keys()):
                partition = TopicPartition(topic, number)
                consumer.assign([partition])
                first = consumer.beginning_offsets([partition])[partition]
                _look_at(consumer, partition, max(first, 0 if begin is None else begin[number]), found)
        finally:
            consumer.close()
    except KafkaError as error:
        raise BrokerUnavailable(f"{broker}: {error}") from None
    return found


def _look_at(consumer: KafkaConsumer, partition: TopicPartition, begin: int, found: SentBefore) -> None:
    end = consumer.end_offsets([partition])[partition]
    consumer.seek(partition, begin)
    for record in polled(consumer, partition, end):
        for name, value in record.headers:
            if name == AGAIN_HEADER:
                found.ids.update(value.decode("utf-8", "replace").split(","))
            elif name == LOG_HEADER:
                found.logs.add("-".join(value.decode("utf-8", "replace").split("-")[:3]))


def again_headers(ids: Iterable[str]) -> list[tuple[str, bytes]]:
    """The headers of a record that stands for what was rejected.

    >>> again_headers(["a", "b"])
    [('again', b'a,b')]
    """
    return [(AGAIN_HEADER, ",".join(ids).encode())]
