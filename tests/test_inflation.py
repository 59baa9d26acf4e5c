"""Compressed batches, however much they inflate to: what is read of them is bounded, and nothing is lost unnoticed."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise
from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords

from streams.workers.kafka.inflation import CUT, CUT_BYTES, LEAST_BOUND_BYTES, bound_of, cut_of, inflated, is_compressed
from streams.workers.kafka.purchases import read_orders
from tests.compressed import CODECS, compressed, sealed

MIB = 1 << 20


def read(batches: bytes) -> list[Any]:
    """Read batches as the client does."""
    records = []
    source = MemoryRecords(batches)
    while source.has_next():
        batch: Any = source.next_batch()
        assert batch.validate_crc()
        records += list(batch)
    return records


@pytest.mark.parametrize("xerial", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_records_are_what_was_sent(codec: str, xerial: bool) -> None:
    """Whatever codec a shop's producers use; Kafka's Python clients read gzip only."""
    values = [b"one", None, b"", b"x" * (3 * MIB)]
    batch = compressed(values, codec, xerial=xerial)

    found = read(inflated(batch + batch))

    assert is_compressed(batch)
    assert not is_compressed(inflated(batch))
    assert [record.value for record in found] == values * 2
    assert [record.key for record in found[:4]] == [b"key %d" % number for number in range(4)]
    assert [record.timestamp - 1_700_000_000_000 for record in found] == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("codec", CODECS)
def test_of_a_bomb_the_first_bytes_stay(codec: str) -> None:
    bomb = bytes(80 * MIB)
    batch = compressed([b"before", bomb, b"after"], codec, headers=[("name", b"value")])

    found = read(inflated(batch, lambda _: LEAST_BOUND_BYTES))

    assert [(record.offset, len(record.value)) for record in found] == [(0, 6), (1, CUT_BYTES), (2, 5)]
    assert [cut_of(record) is None for record in found] == [True, False, True]
    cut = cut_of(found[1])
    assert cut is not None
    assert (cut.length, cut.sha256, cut.offsets) == (len(bomb), hashlib.sha256(bomb).hexdigest(), 1)
    assert found[1].key == b"key 1"
    assert found[2].headers == [("name", b"value")]


def test_what_cannot_be_looked_at_is_one_record() -> None:
    """Ordinary records that are many times too large together; and what is behind the most that is inflated at all."""
    many = read(inflated(compressed([b"y" * (MIB // 2)] * 100, "zstd")))
    huge = read(inflated(compressed([bytes(300 * MIB), b"after"], "zstd")))
    tiny = read(inflated(compressed([b""] * 100_000, "gzip"), lambda _: MIB))

    assert sum(len(record.value) for record in many) <= LEAST_BOUND_BYTES
    for records, count in ((many, 100), (huge, 2), (tiny, 100_000)):
        cut = cut_of(records[-1])
        assert cut is not None
        assert [after.offset - before.offset for before, after in pairwise(records)] == [1] * (len(records) - 1)
        assert records[-1].offset + cut.offsets == count
        assert cut.sha256 is None
        assert f"its last {cut.offsets} records are left out" in cut.reason
    assert cut_of(huge[0]) is not None


@pytest.mark.parametrize("codec", [*CODECS, "unknown"])
def test_a_batch_that_cannot_be_inflated_is_one_record(codec: str) -> None:
    """A broker checks what it is sent, but nobody has to believe that."""
    batch = compressed([b"some value %d" % number for number in range(100)], "zstd")

    (record,) = read(inflated(sealed(batch[:61] + b"\xff" * 50, CODECS.get(codec, 7))))

    cut = cut_of(record)
    assert cut is not None
    assert "its batch of 100 records cannot be inflated" in cut.reason
    assert cut.offsets == 100


def test_no_bytes_do_harm() -> None:
    """A stream that is cut or changed anywhere gives records or a rejection; the checksum is not what protects us."""
    random_bytes = random.Random(5)  # noqa: S311 - a seed, so that a failure repeats
    for codec, number in CODECS.items():
        batch = compressed([b"some value %d" % each for each in range(50)], codec)
        for _ in range(300):
            changed = bytearray(batch)
            changed[random_bytes.randrange(61, len(batch))] ^= random_bytes.randrange(1, 256)
            inflated(sealed(bytes(changed), number), lambda _: random_bytes.choice([100, 1000, LEAST_BOUND_BYTES]))


def test_what_the_network_damaged_is_left_to_the_client() -> None:
    """It sees that the checksum is wrong, and fetches it again."""
    batch = bytearray(compressed([b"value"], "lz4"))
    batch[-1] ^= 1

    assert inflated(bytes(batch)) == batch


def test_a_response_is_bounded_too() -> None:
    """It may have hundreds of batches that just fit."""
    batch = compressed([b"z" * MIB] * 15, "zstd")

    assert len(read(inflated(batch * 50))) == 30


def test_a_record_that_was_cut_is_rejected_whatever_is_left_of_it() -> None:
    """The first bytes of an order with spaces behind it are an order."""
    order = b'{"customer_id": "ann", "timestamp": 1600000000, "lines": [{"item_id": "tea"}]}'
    batch = compressed([order, order + b" " * (80 * MIB)], "gzip")

    orders, rejections, _ = read_orders(read(inflated(batch)))

    assert len(orders.customer) == 1
    assert [rejection.position for rejection in rejections] == [1]
    assert "bytes, more than 1,048,576" in rejections[0].reason


def test_a_header_of_the_same_name_does_no_harm() -> None:
    (record,) = read(inflated(compressed([b"value"], "gzip", headers=[(CUT, b"[1, 2")])))

    assert cut_of(record) is None


def test_the_bound_grows_with_what_was_sent() -> None:
    """The broker may compress deltas of 64 MiB, if it is told to."""
    assert bound_of(1000) == LEAST_BOUND_BYTES
    assert bound_of(64 * MIB) > 64 * MIB
