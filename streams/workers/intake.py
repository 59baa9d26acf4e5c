"""Records of the topic `purchases` -> orders, and the records that are none.

The same records give the same orders whenever they are read: an order is judged by the time at which the broker
appended it, never by our clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from producers.fields import as_text
from producers.orders import DAY_MS, Orders, Rejection
from producers.timestamps import TimestampReader
from producers.wire import OrderDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

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
