"""The same records give the same orders whenever they are read: a rebuilt state must not depend on the clock."""

from __future__ import annotations

from typing import NamedTuple

from producers.orders import DAY_MS
from producers.wire import LARGEST_RECORD_BYTES, encode_order
from streams.workers.kafka.purchases import read_orders

APPENDED = 1_700_000_000_000


class Record(NamedTuple):
    """The parts of a Kafka record that we read."""

    offset: int
    value: bytes | None
    timestamp: int = APPENDED


def order(time_ms: int = APPENDED) -> bytes:
    return encode_order("ann", time_ms, [("tea", 1), ("milk", 2)])


def test_an_order_from_the_future_is_rejected_by_the_time_at_which_the_broker_appended_it() -> None:
    """A year later its timestamp is in the past, but it stays rejected."""
    records = [
        Record(3, order(APPENDED + DAY_MS)),
        Record(4, order(APPENDED + DAY_MS + 1)),
        Record(7, order(APPENDED + 2 * DAY_MS), APPENDED + DAY_MS),
    ]

    orders, rejections, _ = read_orders(records)

    assert (orders.after - 1).tolist() == [3, 7]
    assert [rejection.position for rejection in rejections] == [4]
    assert "later than an order can be" in rejections[0].reason


def test_rejections_of_every_kind_come_in_the_order_of_the_log() -> None:
    records = [
        Record(0, None),
        Record(1, order()),
        Record(2, b"x" * (LARGEST_RECORD_BYTES + 1)),
        Record(3, order(APPENDED + 3 * DAY_MS)),
        Record(4, b"{}"),
    ]

    orders, rejections, _ = read_orders(records)

    assert (orders.after - 1).tolist() == [1]
    assert [rejection.position for rejection in rejections] == [0, 2, 3, 4]


def test_no_records_are_no_orders() -> None:
    orders, rejections, _ = read_orders([])

    assert len(orders) == 0
    assert rejections == []
