"""Rejected records: kept whole on a topic of their own, with where they stood and why; listed, and sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from producers.connection import quieten_client, wait_for_broker
from producers.orders import OrderError
from producers.publish import Publisher
from streams.workers.producing import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.workers.topics import Topics

REASON, TOPIC, PARTITION, OFFSET, GENERATION = HEADERS = ("reason", "topic", "partition", "offset", "generation")
_SILENCE_MS = 10_000


class Rejected(NamedTuple):
    """A record that was not counted, or not all of it."""

    reason: str
    topic: str
    partition: int
    offset: int
    """Where it stood."""
    generation: str
    """Which generation rejected it."""
    key: bytes | None
    value: bytes
    """The record, byte for byte."""


def outgoing(record: Any, reason: str, topics: Topics) -> Outgoing:  # noqa: ANN401 - the client's records have no types
    """A Kafka record of the topic `purchases` as its rejection."""
    headers = {
        REASON: reason,
        TOPIC: topics.purchases,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        GENERATION: topics.generation,
    }
    encoded = tuple((name, text.encode()) for name, text in headers.items())
    return Outgoing(topics.rejected, record.partition, record.key, record.value or b"", encoded)


def read_rejected(broker: str, topics: Topics, timeout_s: float = 30) -> Iterator[Rejected]:
    """Everything on the topic of rejections, partition by partition.

    Raises:
        BrokerUnavailable: no broker answers.
        OrderError: the topic is not there.
    """
    wait_for_broker(broker, timeout_s)
    quieten_client()
    consumer = KafkaConsumer(
        bootstrap_servers=broker.split(","),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        consumer_timeout_ms=_SILENCE_MS,
    )
    try:
        partitions = consumer.partitions_for_topic(topics.rejected)
        if not partitions:
            raise OrderError(f"there is no topic {topics.rejected} at {broker}: alsobought topics makes it")
        for number in sorted(partitions):
            place = TopicPartition(topics.rejected, number)
            consumer.assign([place])
            end = consumer.end_offsets([place])[place]
            consumer.seek_to_beginning(place)
            while consumer.position(place) < end:
                for records in consumer.poll(timeout_ms=500).values():
                    yield from (_rejected(record) for record in records if record.offset < end)
    finally:
        consumer.close()


def _rejected(record: Any) -> Rejected:  # noqa: ANN401
    headers = {name: value.decode() for name, value in record.headers}
    return Rejected(
        headers[REASON],
        headers[TOPIC],
        int(headers[PARTITION]),
        int(headers[OFFSET]),
        headers[GENERATION],
        record.key,
        record.value or b"",
    )


def send_again(broker: str, topics: Topics, timeout_s: float = 30) -> int:
    """Send every rejected record to the topic `purchases` again, once each; return how many.

    They stay on the topic of rejections. A record that is still bad is rejected again, with its new offset.
    """
    seen: set[tuple[int, int]] = set()
    with Publisher(broker, topics.purchases, timeout_s) as publisher:
        for rejected in read_rejected(broker, topics, timeout_s):
            place = (rejected.partition, rejected.offset)
            if place not in seen:  # several generations may have rejected it
                seen.add(place)
                publisher.send(rejected.key, rejected.value, partition=rejected.partition)
    return len(seen)
