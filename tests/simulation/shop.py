"""Orders of a small shop in which everything happens, drawn by a seed, and what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producers.partitioning import customer_partition
from streams.workers.kafka.producers import OutgoingRecord
from tests.batch_definition import DAY_MS, Line, Order
from tests.log_strategies import BEGIN_MS, CUSTOMERS, ITEMS, Step, as_order

if TYPE_CHECKING:
    from random import Random

_ACTIONS = ("buy",) * 9 + ("give back",) * 3 + ("redeliver", "part again", "same id") * 2 + ("erase",)
_INVALID = (b"", b"{", b'{"customer_id":"ann"}', b'{"customer_id":"bob","timestamp":1,"lines":[]}', b"\xff\xfe", b"[]")


class Shop:
    """Makes records of `purchases`.

    Args:
        random: the source of chance.
        partitions: of the topic.

    Attributes:
        meant: the order of each valid record, by partition, in the order in which they were made.
        invalid: values of the records that are none.
    """

    def __init__(self, random: Random, partitions: int) -> None:
        self.meant: list[list[Order]] = [[] for _ in range(partitions)]
        self.invalid: list[bytes] = []
        self._random = random
        self._partitions = partitions
        self._orders: dict[str, list[Order]] = {customer: [] for customer in CUSTOMERS}
        self._clock = BEGIN_MS

    def record(self, topic: str) -> OutgoingRecord:
        """The next record."""
        random = self._random
        if random.random() < 0.05:
            value = random.choice(_INVALID)
            self.invalid.append(value)
            return OutgoingRecord(topic, random.randrange(self._partitions), None, value)
        self._clock += random.choice((0, 1, DAY_MS, random.randrange(3 * DAY_MS), random.randrange(45 * DAY_MS)))
        number = random.randrange(len(CUSTOMERS))
        before = self._orders[CUSTOMERS[number]]
        step = Step(
            random.choice(_ACTIONS),
            number,
            tuple((random.randrange(len(ITEMS)), random.randint(1, 3)) for _ in range(random.randint(1, 5))),
            random.choice((None, f"o{random.randrange(10)}")),
            0,
            random.choice((0, 0, 0, random.randrange(70 * DAY_MS))),
            random.randrange(20),
        )
        order = as_order(step, self._clock, before)
        before.append(order)
        key = order.customer_id.encode()
        partition = customer_partition(key, self._partitions)
        self.meant[partition].append(order)
        return OutgoingRecord(topic, partition, key, encoded(order))


def encoded(order: Order) -> bytes:
    """An order as a record of `purchases`."""
    fields: dict[str, Any] = {"customer_id": order.customer_id, "timestamp": order.time, "type": order.type}
    if order.order_id is not None:
        fields["order_id"] = order.order_id
    if order.type != "erase":
        fields["lines"] = [_line(line) for line in order.lines]
    return msgspec.json.encode(fields)


def _line(line: Line) -> dict[str, Any]:
    return {"item_id": line.item_id, "quantity": line.quantity}
