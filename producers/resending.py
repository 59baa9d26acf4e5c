"""Rejected lines and records that are sent to a topic again, each once.

What is sent again names in a header what it stands for, so that the topic itself knows what it has. To find out, the
headers of its records are read, from where the first such record can be. What has expired there may be in a copy.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from producers.connection import polled, quieten_client, wait_for_broker
from producers.errors import BrokerUnavailable
from producers.kafka_config import client_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger(__name__)

AGAIN_HEADER, LOG_HEADER = "again", "log"
_AT_ONCE = 5000


class SentBefore(NamedTuple):
    """What a topic has."""

    ids: set[str]
    """Of what was sent again."""
    logs: set[str]
    """That were sent to it, as `Published.log`."""


def sent_before(
    broker: str, topic: str, copy: str, begin: Mapping[int, int] | None = None, timeout_s: float = 30
) -> SentBefore:
    """What was sent to a topic, by the headers of its records.

    Args:
        broker: host:port.
        topic: of the orders.
        copy: the topic to which they are copied, if there is one: it is looked at if some have expired.
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
            **client_options(broker, aio=False), enable_auto_commit=False, max_poll_records=_AT_ONCE
        )
        try:
            numbers = consumer.partitions_for_topic(topic) or set()
            wanted = dict.fromkeys(numbers, 0) if begin is None else begin
            places = [TopicPartition(topic, number) for number in sorted(numbers & wanted.keys())]
            lost = [_look_at(consumer, place, wanted[place.partition], found) for place in places]
            if any(lost):
                _look_at_copy(consumer, topic, copy, found)
        finally:
            consumer.close()
    except KafkaError as error:
        raise BrokerUnavailable(f"{broker}: {error}") from None
    return found


def _look_at_copy(consumer: KafkaConsumer, topic: str, copy: str, found: SentBefore) -> None:
    numbers = (consumer.partitions_for_topic(copy) or set()) if copy in consumer.topics() else set()
    lost = [_look_at(consumer, TopicPartition(copy, number), 0, found) for number in sorted(numbers)]
    if any(lost) or not numbers:
        logger.warning("topic %s has lost its first records: what was sent again before may be sent twice", topic)


def _look_at(consumer: KafkaConsumer, partition: TopicPartition, begin: int, found: SentBefore) -> bool:
    """Add what a partition has from an offset on; return whether it has lost some of it."""
    consumer.assign([partition])
    first, end = consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition]
    consumer.seek(partition, max(first, begin))
    for record in polled(consumer, partition, end):
        for name, value in record.headers:
            if name == AGAIN_HEADER:
                found.ids.update(value.decode("utf-8", "replace").split(","))
            elif name == LOG_HEADER:
                found.logs.add("-".join(value.decode("utf-8", "replace").split("-")[:3]))
    return bool(first > begin)


def again_headers(ids: Iterable[str]) -> list[tuple[str, bytes]]:
    """The headers of a record that stands for what was rejected.

    >>> again_headers(["a", "b"])
    [('again', b'a,b')]
    """
    return [(AGAIN_HEADER, ",".join(ids).encode())]
