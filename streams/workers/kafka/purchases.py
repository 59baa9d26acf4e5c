"""Records of the topic `purchases` -> orders, and the records that are none.

The same records give the same orders whenever they are read: an order is judged by the time at which the broker
appended it, never by our clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from producers.connection import quieten_client, wait_for_broker
from producers.fields import as_text
from producers.orders import DAY_MS, OrderError, Orders, Rejection
from producers.publish import Publisher
from producers.timestamps import TimestampReader
from producers.wire import OrderDecoder
from streams.workers.kafka.producers import OutgoingRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streams.workers.kafka.topics import Topics

LARGEST_RECORD_BYTES = 512 << 10
NOT_HELD_REASON = "returns an item that the customer does not hold"

_decoder = OrderDecoder()


def read_orders(records: Sequence[Any]) -> tuple[Orders, list[Rejection]]:
    """The orders in Kafka records, one each, and the records that are none, in their order.

    Args:
        records: of one partition, by rising offset.
    """
    latest = _latest(records)
    small = [record for record in records if len(record.value or b"") <= LARGEST_RECORD_BYTES]
    rejected = [_too_large(record) for record in records if len(record.value or b"") > LARGEST_RECORD_BYTES]
    decoded = _decode(small, None)
    if len(decoded[0].time) and decoded[0].time.max() > latest:
        early, late = _by_lateness(small, decoded[0])
        decoded = _decode(early, None)
        for record in late:
            decoded[1].extend(_decode([record], record.timestamp + DAY_MS)[1])
    return decoded[0], sorted([*rejected, *decoded[1]])


def _decode(records: Sequence[Any], latest_ms: int | None) -> tuple[Orders, list[Rejection]]:
    values = [record.value or b"" for record in records]
    offsets = [record.offset for record in records]
    orders, _, rejected = _decoder.decode(values, offsets, TimestampReader(latest_ms))
    return orders, rejected


def _latest(records: Sequence[Any]) -> int:
    """The event time that none of the records may exceed, if none of them is late: a quick test for most stretches."""
    return min((record.timestamp for record in records), default=0) + DAY_MS


def _by_lateness(records: Sequence[Any], orders: Orders) -> tuple[list[Any], list[Any]]:
    """Records whose order happened at most a day after they were appended, and the others."""
    appended = {record.offset: record.timestamp for record in records}
    offsets = orders.after - 1
    limits = np.array([appended[offset] for offset in offsets.tolist()], np.int64) + DAY_MS
    late = set(offsets[orders.time > limits].tolist())
    return [record for record in records if record.offset not in late], [
        record for record in records if record.offset in late
    ]


def _too_large(record: Any) -> Rejection:  # noqa: ANN401 - the client's records have no types
    reason = f"record has {len(record.value):,} bytes, more than {LARGEST_RECORD_BYTES:,}"
    return Rejection(record.offset, reason, as_text(record.value))


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


def outgoing(record: Any, reason: str, topics: Topics) -> OutgoingRecord:  # noqa: ANN401 - the client's records have no types
    """A Kafka record of the topic `purchases` as its rejection."""
    headers = {
        REASON: reason,
        TOPIC: topics.purchases,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
        GENERATION: topics.generation,
    }
    encoded = tuple((name, text.encode()) for name, text in headers.items())
    return OutgoingRecord(topics.rejected, record.partition, record.key, record.value or b"", encoded)


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
