"""Orders that were sent to this process, on their way through the log into the counts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from streams.endpoint.answers import NotReady

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from producers.orders import Orders

MOST_TOGETHER = 1000
"""Orders that are written, synced and counted together."""
MOST_WAITING = 10_000
logger = logging.getLogger(__name__)


class OrderSink(Protocol):
    """The log, and the state that counts it."""

    @property
    def offset(self) -> int:
        """Log position up to which orders are counted."""

    def prepare(self, record: bytes) -> bytes:
        """An order that can be counted, as it is written to the log."""

    def append(self, records: Sequence[bytes]) -> None:
        """Write orders; they are on the disk when this returns. It is called in a thread.

        Raises:
            OSError: none of them is in the log.
            Exception: nobody knows.
        """

    def count(self, records: Sequence[bytes]) -> Orders:
        """Count the orders that were just appended."""

    def refuse(self, record: bytes, reason: str) -> None:
        """Keep an order that cannot be counted."""


class _Waiting(NamedTuple):
    record: bytes
    place: asyncio.Future[dict[str, Any]]


class OrderQueue:
    """Appends orders to the log and counts them, those together that arrive while others are written.

    Args:
        sink: the log, which nobody else uses while this runs.

    Attributes:
        on_counted: called with the ids of the items of orders that were just counted.
    """

    def __init__(self, sink: OrderSink) -> None:
        self.on_counted: Callable[[Iterable[str]], None] = lambda _: None
        self._sink = sink
        self._waiting: list[_Waiting] = []
        self._arrived = asyncio.Event()
        self._ended = False

    async def append(self, _customer_id: str, record: bytes) -> dict[str, Any]:
        """Append an order that can be counted to the log, and count it.

        Returns:
            Where it stands in the log.

        Raises:
            NotReady: it cannot be written, or too many wait; it is not in the log.
        """
        if self._ended or len(self._waiting) >= MOST_WAITING:
            raise NotReady("this process is stopping" if self._ended else f"{MOST_WAITING} orders wait: ask again")
        waiting = _Waiting(self._sink.prepare(record), asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._arrived.set()
        return await waiting.place

    def refuse(self, record: bytes, reason: str) -> None:
        """Keep an order that cannot be counted."""
        self._sink.refuse(record, reason)

    async def run(self) -> None:
        """Append and count until `end` is called.

        Raises:
            Exception: the log or the state failed. Orders that were not answered may be counted when it is opened next.
        """
        while self._waiting or not self._ended:
            await self._arrived.wait()
            some, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            if not self._waiting and not self._ended:
                self._arrived.clear()
            try:
                await self._take(some)
            except Exception:
                self._ended = True
                for each in (*some, *self._waiting):
                    _refuse(each, "the log or the state failed: it may have the order, or not; this process ends")
                raise

    def end(self) -> None:
        """Have `run` end once everything is counted that waits."""
        self._ended = True
        self._arrived.set()

    async def _take(self, some: Sequence[_Waiting]) -> None:
        if not some:
            return
        records = [each.record for each in some]
        try:
            await asyncio.to_thread(self._sink.append, records)
        except OSError as error:
            logger.warning("%s", error)
            for each in some:
                _refuse(each, str(error))
            return
        begin = self._sink.offset
        orders = self._sink.count(records)
        for offset, each in enumerate(some, begin):
            if not each.place.done():  # its client may have left
                each.place.set_result({"partition": 0, "offset": offset})
        self.on_counted(orders.items)


def _refuse(waiting: _Waiting, why: str) -> None:
    if not waiting.place.done():
        waiting.place.set_exception(NotReady(why, retry_after_s=10))
