"""Records of the topic `purchases`: decoded into orders, or rejected and kept with the reason.

The same records give the same orders whenever they are read: an order's timestamp is compared with the time at which
the broker appended it, never with our clock. A rejected record goes to the topic `purchases-rejected` byte for byte,
from which it can be listed, or sent to `purchases` again once its cause is fixed.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from producers.connection import polled, quieten_client, wait_for_broker
from producers.errors import TopicMissing
from producers.fields import FieldReader
from producers.kafka_config import client_options
from producers.log_format import LogFormat
from producers.orders import DAY_MS, ERASE, Orders, Rejection, compacted
from producers.values import as_text
from producers.wire import LARGEST_RECORD_BYTES, OrderDecoder
from streams.workers.kafka.inflation import cut_of
from streams.workers.kafka.producers import OutgoingRecord
from streams.workers.kafka.sources import imported_from
from streams.workers.kafka.topics import RECORD_BYTES

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streams.workers.kafka.topics import Topics

NOT_HELD_REASON = "returns an item that the customer does not hold"
REASON, TOPIC, PARTITION, OFFSET, GENERATION = HEADERS = ("reason", "topic", "partition", "offset", "generation")
LENGTH, DIGEST, OFFSETS = CUT_HEADERS = ("length", "sha256", "offsets")
"""Of a record that is kept in part."""
SOURCE_HEADERS = ("source-topic", "source-partition", "source-offset")
"""Of a record that was imported: where from."""
LARGEST_KEPT_BYTES = RECORD_BYTES - (64 << 10)
"""Of key and value; the rest is for headers. A record may be larger than the topic of rejected records takes."""
KEPT_BYTES = 64 << 10
"""How much is kept of a larger one: its first bytes, and of its key as many."""
logger = logging.getLogger(__name__)
_SILENCE_MS = 10_000  # without a record for this long, reading ends

_decoder = OrderDecoder()


class ReadOrders(NamedTuple):
    """What some records are."""

    orders: Orders
    rejected: list[Rejection]
    """The invalid records with their reasons, in the order of the records."""
    types: Counter[str]
    """How many records were skipped, by their type, which is not counted."""


def read_orders(
    records: Sequence[Any],
    misplaced: Callable[[list[str]], Mapping[str, str]] = lambda _: {},
    log_format: LogFormat = LogFormat(),  # noqa: B008 - frozen
) -> ReadOrders:
    """Decode Kafka records, one order each.

    Args:
        records: of one partition, by rising offset.
        misplaced: called with customer ids; returns those that do not belong to the partition, with the reason.
        log_format: says which events are read.
    """
    latest = _latest(records)
    rejected = [rejection for record in records if (rejection := too_large(record)) is not None]
    large = {rejection.position for rejection in rejected}
    small = [record for record in records if record.offset not in large] if large else records
    decoded = _decode(small, FieldReader(log_format))
    if len(decoded.orders.time) and decoded.orders.time.max() > latest:
        small, premature = _by_event_time(small, decoded.orders)
        decoded = _decode(small, FieldReader(log_format))
        for record in premature:
            rejected.extend(_decode([record], FieldReader(log_format, record.timestamp + DAY_MS)).rejected)
    reasons = misplaced(compacted(decoded.orders).customers)
    if reasons:
        at = _offsets_of(decoded.orders, reasons)
        wrong = [record for record in small if record.offset in at]
        rejected += [Rejection(record.offset, at[record.offset], as_text(record.value)) for record in wrong]
        decoded = _decode([record for record in small if record.offset not in at], FieldReader(log_format))
    return decoded._replace(rejected=sorted([*rejected, *decoded.rejected]))


def _offsets_of(orders: Orders, reasons: Mapping[str, str]) -> dict[int, str]:
    """The offset of each order of some customers, with the customer's reason."""
    by_code = [reasons.get(customer_id) for customer_id in orders.customers]
    pairs = zip((orders.after - 1).tolist(), orders.customer.tolist(), strict=True)
    return {offset: reason for offset, code in pairs if (reason := by_code[code]) is not None}


def is_erasure(record: bytes) -> bool:
    """Whether a valid record erases its customer."""
    return bool((_decoder.decode([record], [0], FieldReader()).orders.kind == ERASE).any())


def _decode(records: Sequence[Any], reader: FieldReader) -> ReadOrders:
    values = [record.value or b"" for record in records]
    offsets = [record.offset for record in records]
    orders, _, rejected = _decoder.decode(values, offsets, reader)
    return ReadOrders(orders, rejected, reader.types)


def _latest(records: Sequence[Any]) -> int:
    """An event time that every record may have: unless an order exceeds it, none needs to be looked at by itself."""
    return min((record.timestamp for record in records), default=0) + DAY_MS


def _by_event_time(records: Sequence[Any], orders: Orders) -> tuple[list[Any], list[Any]]:
    """Records whose event time is at most a day after the broker appended them, and the others."""
    appended = {record.offset: record.timestamp for record in records}
    offsets = orders.after - 1
    limits = np.array([appended[offset] for offset in offsets.tolist()], np.int64) + DAY_MS
    premature = set(offsets[orders.time > limits].tolist())
    return [record for record in records if record.offset not in premature], [
        record for record in records if record.offset in premature
    ]


def too_large(record: Any) -> Rejection | None:  # noqa: ANN401 - the client's records have no types
    """The rejection of a record that is too large, or was when it was inflated."""
    value, cut = record.value or b"", cut_of(record)
    if cut is not None:
        return Rejection(record.offset, cut.reason, as_text(value))
    if len(value) <= LARGEST_RECORD_BYTES:
        return None
    reason = f"record has {len(value):,} bytes, more than {LARGEST_RECORD_BYTES:,}"
    return Rejection(record.offset, reason, as_text(value[:KEPT_BYTES]))


class Rejected(NamedTuple):
    """A record of which at least one line was not counted."""

    reason: str
    topic: str
    partition: int
    offset: int
    """Of the record in `topic`."""
    generation: str
    """The generation that rejected it."""
    key: bytes | None
    value: bytes
    """The record, byte for byte; its first bytes if `length` says that it is longer."""
    length: int
    """Of the record's value, in bytes."""
    sha256: str | None
    """Of the record's value, in hexadecimal, if only its first bytes are kept; None also if it was never whole here."""
    offsets: int
    """How many it stands for, from its own on: more than one if the rest of a compressed batch was left out."""
    source: tuple[str, int, int] | None = None
    """Topic, partition and offset from which it was imported; None: it was not."""

    @property
    def is_whole(self) -> bool:
        """Whether all of the record is kept, and it is one."""
        return self.sha256 is None and self.length == len(self.value) and self.offsets == 1


def rejection_record(
    record: Any,  # noqa: ANN401 - the client's records have no types
    reason: str,
    topics: Topics,
    line: str | None = None,
) -> OutgoingRecord:
    """The record that rejects a Kafka record of the topic `purchases`, or one `line` of it, as a record of its own.

    Of a copy it names the place of the original; see `streams.workers.kafka.sources.Original`.
    """
    source = getattr(record, "source", None)
    place = record if source is None else source
    headers = {
        REASON: reason,
        TOPIC: topics.log if source is None else topics.purchases,
        PARTITION: str(place.partition),
        OFFSET: str(place.offset),
        GENERATION: topics.generation,
    }
    imported = imported_from(record)
    if imported is not None:
        where = (imported.topic, str(imported.source.partition), str(imported.source.offset))
        headers |= dict(zip(SOURCE_HEADERS, where, strict=True))
    key, value = record.key, record.value or b"" if line is None else line.encode()
    cut = cut_of(record)
    if cut is not None:
        headers |= {LENGTH: str(cut.length), OFFSETS: str(cut.offsets)}
        headers |= {} if cut.sha256 is None else {DIGEST: cut.sha256}
    elif len(key or b"") + len(value) > LARGEST_KEPT_BYTES:
        headers |= {LENGTH: str(len(value)), DIGEST: hashlib.sha256(value).hexdigest()}
        key, value = key and key[:KEPT_BYTES], value[:KEPT_BYTES]
    encoded = tuple((name, text.encode()) for name, text in headers.items())
    return OutgoingRecord(topics.rejected, record.partition, key, value, encoded)


def read_rejected(broker: str, topics: Topics, timeout_s: float = 30) -> Iterator[Rejected]:
    """Everything on the topic `purchases-rejected`, partition by partition.

    Raises:
        BrokerUnavailable: no broker answers.
        TopicMissing: the topic does not exist.
    """
    wait_for_broker(broker, timeout_s)
    quieten_client()
    consumer = KafkaConsumer(
        **client_options(broker, aio=False),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        consumer_timeout_ms=_SILENCE_MS,
    )
    try:
        partitions = consumer.partitions_for_topic(topics.rejected)
        if not partitions:
            raise TopicMissing(
                f"there is no topic {topics.rejected} at {broker}; create it: alsobought topics --partitions N"
            )
        for number in sorted(partitions):
            partition = TopicPartition(topics.rejected, number)
            consumer.assign([partition])
            end = consumer.end_offsets([partition])[partition]
            consumer.seek_to_beginning(partition)
            found = (_rejected(record) for record in polled(consumer, partition, end) if record.offset < end)
            yield from (rejected for rejected in found if rejected is not None)
    finally:
        consumer.close()


def _rejected(record: Any) -> Rejected | None:  # noqa: ANN401
    """A record of the topic, with its reason; None: no worker wrote it."""
    try:
        known = HEADERS + CUT_HEADERS + SOURCE_HEADERS
        headers = {name: value.decode() for name, value in record.headers if name in known}
        source = None
        if SOURCE_HEADERS[0] in headers:
            topic, partition, offset = (headers[name] for name in SOURCE_HEADERS)
            source = (topic, int(partition), int(offset))
        return Rejected(
            headers[REASON],
            headers[TOPIC],
            int(headers[PARTITION]),
            int(headers[OFFSET]),
            headers[GENERATION],
            record.key,
            record.value or b"",
            int(headers.get(LENGTH, len(record.value or b""))),
            headers.get(DIGEST),
            int(headers.get(OFFSETS, 1)),
            source,
        )
    except (KeyError, ValueError, AttributeError):
        logger.warning(
            "record %d of topic %s partition %d is skipped: no worker wrote it",
            record.offset,
            record.topic,
            record.partition,
        )
        return None
