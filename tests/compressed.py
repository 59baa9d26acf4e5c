"""Batches of records that are compressed, by all codecs that Kafka has, and brokers that receive them."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.brokers import Broker

CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def compressed(
    values: Sequence[bytes | None],
    codec: str,
    *,
    keys: Sequence[bytes] | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    xerial: bool = True,
) -> bytes:
    """A batch as a producer sends it.

    Args:
        values: of its records.
        codec: a key of CODECS.
        keys: of its records; by default `key 0` and so on.
        headers: of each of its records.
        xerial: snappy's blocks as Java's client divides them; else one block.
    """
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, 0, 1 << 30)
    for number, value in enumerate(values):
        builder.append(
            number, 1_700_000_000_000 + number, keys[number] if keys else b"key %d" % number, value, list(headers)
        )
    batch = bytes(builder.build())
    records = batch[61:]
    if codec == "lz4":
        payload = _lz4_frame(records)
    elif codec == "snappy" and xerial:  # as Java's client does
        blocks = [pa.compress(records[at : at + 32768], "snappy", asbytes=True) for at in range(0, len(records), 32768)]
        payload = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
        payload += b"".join(struct.pack(">i", len(block)) + block for block in blocks)
    else:
        payload = pa.compress(records, codec, asbytes=True)
    return sealed(batch[:61] + payload, CODECS[codec])


def _lz4_frame(data: bytes) -> bytes:
    """In blocks of 4 MiB that do not depend on each other, as Kafka demands."""
    descriptor = b"\x60\x70"
    frame = b"\x04\x22\x4d\x18" + descriptor + bytes([xxhash.xxh32(descriptor).intdigest() >> 8 & 0xFF])
    for at in range(0, len(data), 4 << 20):
        block = pa.compress(data[at : at + (4 << 20)], "lz4_raw", asbytes=True)
        frame += struct.pack("<I", len(block)) + block
    return frame + bytes(4)


def sealed(batch: bytes, codec: int) -> bytes:
    """With the length, codec and checksum that fit what is in it."""
    whole = bytearray(batch)
    struct.pack_into(">i", whole, 8, len(whole) - 12)
    struct.pack_into(">h", whole, 21, codec)
    struct.pack_into(">I", whole, 17, calc_crc32c(memoryview(whole)[21:]))
    return bytes(whole)


def send_batches(broker: Broker, topic: str, batches: Sequence[bytes], partition: int = 0) -> None:
    """Append batches to a topic as they are."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all") as producer:
            for batch in batches:
                builder: Any = producer.create_batch()
                builder.close()
                builder._buffer, builder._relative_offset = bytearray(batch), struct.unpack_from(">i", batch, 57)[0]
                await (await producer.send_batch(builder, topic, partition=partition))

    asyncio.run(send())
