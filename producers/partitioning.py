"""Which partition of a topic a customer or an item belongs to: the one definition that every process shares."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def customer_partition(key: bytes, partitions: int) -> int:
    """The partition of `purchases` for a record's key, the customer id in UTF-8, as Kafka's own clients have it.

    >>> [customer_partition(b"ann", partitions) for partitions in (1, 4, 12)]
    [0, 2, 2]
    """
    from kafka.partitioner.default import murmur2  # noqa: PLC0415 - the engine needs no Kafka client

    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def librdkafka_partition(key: bytes, partitions: int) -> int:
    """The partition for a record's key, as librdkafka has it unless configured otherwise (`consistent_random`).

    >>> [librdkafka_partition(b"ann", partitions) for partitions in (1, 4, 12)]
    [0, 3, 3]
    """
    return zlib.crc32(key) % partitions


PARTITIONERS: dict[str, Callable[[bytes, int], int]] = {"murmur2": customer_partition, "crc32": librdkafka_partition}
"""The partitioners of Kafka's clients, by the names of their hashes."""


def item_partition(item_id: str, partitions: int) -> int:
    """The partition that keeps an item's counts; the same on every machine.

    >>> [item_partition("tea", partitions) for partitions in (1, 4, 12)]
    [0, 2, 6]
    """
    return zlib.crc32(item_id.encode(errors="surrogateescape")) % partitions
