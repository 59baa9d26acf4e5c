"""Orders that arrive while things go wrong: purchases, returns, erasures, repeated and invalid records."""

from __future__ import annotations

import threading
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Self

from producers.partitioning import customer_partition
from producers.publish import Publisher
from tests.batch_definition import DAY_MS, Line, Order
from tests.simulation.shop import encoded

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics

BEGIN_MS = 19_770 * DAY_MS
CUSTOMERS = 120
ITEMS = 70
PATIENCE_S = 120.0
_ACTIONS = ("buy",) * 16 + ("return",) * 2 + ("repeat",) * 2 + ("same id",) + ("invalid",)
_INVALID = (b"not JSON", b"", b'{"customer_id":"c1","timestamp":"2017-13-01","item_id":"x"}', b"[]", b"\xff\xfe")
_PAUSE_S = 0.05
_AT_ONCE = 6


class Load:
    """Sends orders from a thread, from `start` to `stop`; it is closed at the end of a `with` block.

    Args:
        broker: host:port.
        topics: where to.
        seed: of what is sent.

    Attributes:
        meant: what each valid record means, by its value.
    """

    def __init__(self, broker: str, topics: Topics, seed: str) -> None:
        self.meant: dict[bytes, Order] = {}
        self._chance = Random(seed)
        self._publisher = Publisher(broker, topics.purchases, PATIENCE_S)
        self._numbers = count()
        self._clock = BEGIN_MS
        self._sent: list[Order] = []
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._publisher._producer.close(timeout=1)

    def start(self) -> None:
        """Begin to send."""
        self._over.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send a last order to each partition, valid and new, and return when the broker has everything.

        Whoever has counted as many lines as the topic has by then has read every partition to its end.
        """
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        if self._error is not None:
            raise self._error
        for partition in range(self._publisher.partitions):
            number = next(self._numbers)
            names = (f"last-{number}-{attempt}" for attempt in count())
            name = next(name for name in names if self._place(name) == partition)
            self._send(Order(name, self._clock, (Line(f"item-{number % ITEMS}"),), f"last-{number}"))
        self._publisher.flush()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                for _ in range(_AT_ONCE):
                    self._send_one()
                self._publisher.flush()
                self._over.wait(_PAUSE_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, `stop` raises it
            self._error = error

    def _place(self, customer_id: str) -> int:
        return customer_partition(customer_id.encode(), self._publisher.partitions)

    def _send_one(self) -> None:
        chance = self._chance
        self._clock += chance.choice((0, 1000, 60_000, 3_600_000))
        action = chance.choice(_ACTIONS)
        if action == "invalid":
            partition = chance.randrange(self._publisher.partitions)
            self._publisher.send(None, chance.choice(_INVALID), partition=partition)
            return
        earlier = chance.choice(self._sent[-300:]) if self._sent else None
        if action == "buy" or earlier is None:
            order = self._purchase(f"c{chance.randrange(CUSTOMERS)}")
        elif action == "repeat":
            order = earlier
        elif action == "same id":
            order = Order(earlier.customer_id, self._clock, self._lines(), earlier.order_id)
        else:  # the second time, it returns what is not held any more
            order = Order(earlier.customer_id, self._clock, earlier.lines[:1], None, "return")
        if chance.random() < 0.004:
            order = Order(order.customer_id, self._clock, (), None, "erase")
        self._send(order)

    def _purchase(self, customer_id: str) -> Order:
        late = self._chance.choice((0, 0, 0, self._chance.randrange(40 * DAY_MS)))
        return Order(customer_id, self._clock - late, self._lines(), f"o{next(self._numbers)}")

    def _lines(self) -> tuple[Line, ...]:
        chance = self._chance
        # the lower an item's number, the more often it is bought
        items = {int(ITEMS * chance.random() ** 2) for _ in range(chance.randint(1, 5))}
        return tuple(Line(f"item-{item}", chance.choice((1, 1, 2))) for item in sorted(items))

    def _send(self, order: Order) -> None:
        value = encoded(order)
        self.meant[value] = order
        if order.type == "purchase":
            self._sent.append(order)
        self._publisher.send(order.customer_id.encode(), value, partition=self._place(order.customer_id))
