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
        keyed: whether each customer's orders are in one partition.
    """

    def __init__(self, random: Random, partitions: int, *, keyed: bool) -> None:
        self._keyed = keyed
        self._random = random
        self._partitions = partitions
        self._orders: dict[str, list[Order]] = {customer: [] for customer in CUSTOMERS}
        self._clock = BEGIN_MS

    def record(self, topic: str) -> tuple[OutgoingRecord, Order | None]:
        """The next record, and the order that it means; None: it is invalid."""
        random = self._random
        if random.random() < 0.05:
            return OutgoingRecord(topic, random.randrange(self._partitions), None, random.choice(_INVALID)), None
        if random.random() < 0.3:
            self._clock += random.choice((1, DAY_MS, random.randrange(3 * DAY_MS), random.randrange(45 * DAY_MS)))
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
        anywhere = random.randrange(self._partitions)
        partition = customer_partition(key, self._partitions) if self._keyed else anywhere
        return OutgoingRecord(topic, partition, key if self._keyed else None, encoded(order)), order


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
