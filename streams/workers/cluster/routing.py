"""Where a question is answered: here, or by the worker that owns the partition it is about."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from streams.endpoint.answers import NotReady, forwarded
from streams.workers.cluster.owners import StagePartition
from streams.workers.cluster.peers import PeerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.workers.cluster.owners import PartitionOwners

T = TypeVar("T")

PATIENCE_S = 1.0
_PAUSE_S = 0.1


class PartitionNotLocal(Exception):
    """A partition is not open here, or not ready to be asked; the message says which."""


class Router:
    """Finds who answers.

    Args:
        address: of this worker.
        owners: of all partitions.
    """

    def __init__(self, address: str, owners: PartitionOwners) -> None:
        self._address = address
        self._owners = owners

    async def ask(
        self,
        place: StagePartition,
        here: Callable[[], Awaitable[T]],
        there: Callable[[str], Awaitable[T]],
        *,
        own: bool = False,
    ) -> T:
        """Have a question about a partition answered; while nobody can, wait for a second.

        Args:
            place: the partition.
            here: answers it, or raises PartitionNotLocal.
            there: (address) has a worker answer it, or raises PeerUnavailable.
            own: the question arose here, though perhaps in answering one that was handed on.

        Raises:
            NotReady: nobody can; or this was handed on to us, and we cannot.
        """

        async def once() -> T:
            try:
                return await here()
            except PartitionNotLocal as absence:
                if forwarded.get() and not own:
                    raise NotReady(f"{absence} at {self._address}") from absence
            return await self._elsewhere(place, await self._owners.of(place), there)

        return await self._patiently(once)

    async def ask_any(self, stage: str, there: Callable[[str], Awaitable[T]], *, own: bool = False) -> T:
        """Have a question answered by another worker, any that has a partition of a stage.

        Raises:
            NotReady: nobody can; or this was handed on to us.
        """

        async def once() -> T:
            owners = await self._owners.of_all()
            others = (place for place in owners if place.stage == stage and owners[place] != self._address)
            place = min(others, default=StagePartition(stage, 0))
            return await self._elsewhere(place, owners.get(place), there)

        if forwarded.get() and not own:
            raise NotReady(f"{self._address} has no partition that could tell")
        return await self._patiently(once)

    async def _elsewhere(self, place: StagePartition, owner: str | None, there: Callable[[str], Awaitable[T]]) -> T:
        if owner is None:
            raise PeerUnavailable(f"{place} has no owner")
        if owner == self._address:
            raise PeerUnavailable(f"{place} is being opened at {owner}")
        return await there(owner)

    async def _patiently(self, once: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await once()
            except PeerUnavailable as error:
                self._owners.forget()
                if time.monotonic() > deadline:
                    raise NotReady(f"{error}; partitions are perhaps on the move, ask again") from error
            await asyncio.sleep(_PAUSE_S)
