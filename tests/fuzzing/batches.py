"""Fuzzed: compressed batches of Kafka records, as a broker would send them that checked nothing."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords

from streams.workers.kafka.inflation import cut_of, inflated
from tests.compressed import CODECS, sealed

MOST_BYTES = 4096
_CUT_BYTES = 140 << 10  # the first bytes of a key and a value, and what says what they were


def check_batch(data: bytes) -> None:
    """Payloads of batches: the first byte is the codec, the second the number of records."""
    if len(data) < 2:
        return
    head = struct.pack(">qiibIhiqqqhii", 0, 0, 0, 2, 0, 0, data[1], 0, 0, -1, -1, -1, data[1])
    result = inflated(sealed(head + data[2:], data[0] % (len(CODECS) + 1)), lambda _: MOST_BYTES)
    if data[0] % (len(CODECS) + 1):
        assert len(result) <= MOST_BYTES + _CUT_BYTES
    records = MemoryRecords(result)
    while records.has_next():
        batch: Any = records.next_batch()
        assert batch.validate_crc()
        assert batch.next_offset == data[1] + 1
        # its client reports records that are not what their lengths say; a broker takes none
        with contextlib.suppress(CorruptRecordException, UnicodeDecodeError):
            for record in batch:
                cut = cut_of(record)
                assert cut is None or (cut.reason and cut.length >= 0)
