"""Copies of orders by customer: their records, and up to where a partition of the topic was copied.

Producers that key orders otherwise than by customer spread a customer over partitions. Each record of `purchases`, or
of a topic that is imported to it, is copied to the partition of its customer; one without a customer that can be told
to the partition of its own number. Its value stays as it is, so whoever reads the copy counts or rejects what it would
have counted or rejected there. Records that are no orders of ours are read as such first; what cannot be read is copied
all the same, with a header that says why, and rejected by whoever reads the copy.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition

from producers.connection import quieten_client
from producers.errors import OrderError, RegistryError, UnknownSchema
from producers.fields import FieldReader
from producers.kafka_config import client_options
from producers.partitioning import PARTITIONERS
from producers.wire import customer_of
from streams.workers.kafka.inflation import CUT, Cut
from streams.workers.kafka.producers import OutgoingRecord
from streams.workers.kafka.purchases import KEPT_BYTES, LARGEST_KEPT_BYTES, too_large
from streams.workers.kafka.sources import IMPORTED, SOURCE, Imported, Original, Source, imported_from, source_of
from streams.workers.kafka.topics import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafka.structs import OffsetAndMetadata

    from producers.records.mapping import RecordReader
    from streams.workers.kafka.reading import TopicReader

PARTITIONER = "murmur2"
"""By which the copy places customers, a key of `PARTITIONERS`."""
_HEADER_BYTES = 10  # at most, of the lengths of a header
_OWN_BYTES = 1 << 10
"""At most, of our header and of the batch that holds a copy."""
_CUSTOMERS = 1 << 16

_reader = FieldReader()


class Copied(NamedTuple):
    """The copies of some records."""

    records: list[OutgoingRecord]
    skipped: int
    """How many have no copy, since they are no orders."""


class Copies(NamedTuple):
    """The copies of a topic of orders in the partitions of their customers: what they are, and how they are known."""

    source: str
    """The topic that is copied."""
    log_id: str
    """Of the topic that is copied."""
    target: str
    """The topic of the copies, perhaps among other records."""
    partitions: int
    """Of the topic of the copies."""
    partitioner: str = PARTITIONER
    """By which customers are placed there, a key of `PARTITIONERS`."""
    importer: str | None = None
    """By which imported records are known, of whatever topic; None: they are the copy of `purchases`."""
    reader: RecordReader | None = None
    """What reads records as orders; None: they are orders."""

    def of(self, records: Sequence[Any]) -> Copied:
        """The copies of some records of a partition, in the order of their offsets.

        Raises:
            RegistryError: they cannot be read, whatever they hold.
        """
        if self.reader is None:
            return Copied([self._copy(record) for record in records], 0)
        orders = self._orders(records, self.reader)
        return Copied([self._copy(order) for some in orders for order in some], orders.count([]))

    def _orders(self, records: Sequence[Any], reader: RecordReader) -> list[list[Any]]:
        """For each record what it is as an order, or several; what is none or too large for one stays as it is."""
        large = {record.offset for record in records if too_large(record) is not None}
        small = [record for record in records if record.offset not in large]
        try:
            read = iter(reader.read([record.value for record in small]))
        except UnknownSchema as error:
            first = small[error.index]
            place = f"record {first.offset} of topic {self.source} partition {first.partition}"
            raise RegistryError(f"{place}: {error}") from None
        return [[each] if each.offset in large else _as_orders(each, next(read)) for each in records]

    def source_of(self, record: Any) -> Source | None:  # noqa: ANN401
        """Where the record stands of which another is our copy; None: it is none."""
        if self.importer is None:
            return source_of(record)
        found = imported_from(record)
        return found.source if found is not None and found.importer == self.importer else None

    def _copy(self, record: Any) -> OutgoingRecord:  # noqa: ANN401
        key, value = record.key and record.key[:KEPT_BYTES], record.value
        partition = record.partition % self.partitions
        headers = tuple(record.headers)
        if (rejection := too_large(record)) is None:
            customer_id = customer_of(value or b"", _reader)
            if customer_id is not None:
                key, partition = customer_id.encode(), _partition_of(customer_id, self.partitions, self.partitioner)
        elif len(key or b"") + len(value) > LARGEST_KEPT_BYTES:
            cut = Cut(rejection.reason, len(value), hashlib.sha256(value).hexdigest(), 1)
            headers, value = ((CUT, msgspec.json.encode(cut)),), value[:KEPT_BYTES]
        header_bytes = sum(len(name.encode()) + len(of or b"") + _HEADER_BYTES for name, of in headers)
        if header_bytes + len(key or b"") + len(value or b"") > RECORD_BYTES - _OWN_BYTES:
            # a record that was compressed may have more than the copy takes
            headers = tuple(header for header in headers if header[0] == CUT)
        return OutgoingRecord(self.target, partition, key, value, (*headers, self._header(record)))

    def _header(self, record: Any) -> tuple[str, bytes]:  # noqa: ANN401
        source = Source(self.log_id, record.partition, record.offset, record.timestamp)
        if self.importer is None:
            return SOURCE, msgspec.json.encode(source)
        return IMPORTED, msgspec.json.encode(Imported(self.importer, self.source, source))


def _as_orders(record: Any, orders: list[bytes] | OrderError) -> list[Original]:  # noqa: ANN401
    """A record with the orders in it as its value; or as it is, with a header that says why it is none."""
    headers = tuple(record.headers)
    if isinstance(orders, OrderError):
        orders, reason = [record.value], str(orders)
        headers = ((CUT, msgspec.json.encode(Cut(reason, len(record.value), None, 1))), *headers)
    return [
        Original(record.partition, record.offset, record.timestamp, record.key, order, headers, None)
        for order in orders
    ]


@lru_cache(_CUSTOMERS)
def _partition_of(customer_id: str, partitions: int, partitioner: str) -> int:
    return PARTITIONERS[partitioner](customer_id.encode(), partitions)


async def last_copied(reader: TopicReader, copies: Copies, number: int) -> Source | None:
    """The last record of a partition that was copied; None: none was. It may read all of the topic of the copies.

    Args:
        reader: of committed records.
        copies: of the topic.
        number: of the partition of the topic that is copied.
    """

    def is_wanted(record: Any) -> bool:  # noqa: ANN401
        found = copies.source_of(record)
        return found is not None and found.partition == number

    found = [await reader.last(copies.target, partition, is_wanted) for partition in range(copies.partitions)]
    sources = [copies.source_of(record) for record in found if record is not None]
    return max((each for each in sources if each is not None), key=lambda each: each.offset, default=None)


def committed_offset(broker: str, group: str, topic: str, partition: int) -> OffsetAndMetadata | None:
    """The offset of a consumer group, once no transaction is about to change it; None: it has none.

    Raises:
        KafkaError: the broker does not tell.
    """
    quieten_client()
    options = {"group_id": group, "enable_auto_commit": False, "isolation_level": "read_committed"}
    with closing(KafkaConsumer(**client_options(broker, aio=False), **options)) as consumer:
        return consumer.committed(TopicPartition(topic, partition), metadata=True)
