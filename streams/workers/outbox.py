"""Sending what stage A has committed: in order, behind the commits, and again after a crash."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streams.workers.producing import Outgoing, Producer

MOST_WAITING = 8


class Delivery(NamedTuple):
    """What one commit has to tell others."""

    commit: int
    end: int
    """Log position up to which it counted."""
    records: list[Outgoing]


class Deliveries:
    """Writes deliveries in the order in which they are put, while the caller goes on with the next commits.

    Args:
        producer: writes them, as many as wait at once.
        acknowledge: (commits) called once the broker has them for good.
    """

    def __init__(self, producer: Producer, acknowledge: Callable[[Sequence[int]], None]) -> None:
        self._producer = producer
        self._acknowledge = acknowledge
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue(MOST_WAITING)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            taken = [await self._waiting.get()]
            while not self._waiting.empty():
                taken.append(self._waiting.get_nowait())
            await self._producer.write([record for delivery in taken for record in delivery.records])
            self._acknowledge([delivery.commit for delivery in taken])
            for _ in taken:
                self._waiting.task_done()

    async def put(self, delivery: Delivery) -> None:
        """Leave a delivery; waits while MOST_WAITING are on their way.

        Raises:
            ProducingFailed: an earlier one could not be written.
        """
        await self._unless_failed(self._waiting.put(delivery))

    async def settle(self) -> None:
        """Return once everything put was acknowledged.

        Raises:
            ProducingFailed: it could not be written.
        """
        await self._unless_failed(self._waiting.join())

    def check(self) -> None:
        """Raise what ended the sending, if anything did."""
        if self._task.done():
            self._task.result()

    async def _unless_failed(self, step: object) -> None:
        waiting = asyncio.ensure_future(step)  # type: ignore[call-overload]
        await asyncio.wait([waiting, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            self._task.result()

    async def close(self) -> None:
        """Stop sending; what was not acknowledged stays in the store's outbox."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._producer.close()
