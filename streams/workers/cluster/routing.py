"""Where a question is answered: here, or by the worker that owns the partition it is about."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

from streams.endpoint.answers import NotReady, PartitionNotLocal, forwarded
from streams.workers.cluster.owners import StagePartition
from streams.workers.cluster.peers import PeerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.workers.cluster.owners import PartitionOwners

    Local = Callable[[], Awaitable["T"]]
    """Answers a question here, or raises PartitionNotLocal."""
    Remote = Callable[[str], Awaitable["T"]]
    """(address) has a worker answer it, or raises PeerUnavailable."""

T = TypeVar("T")

PATIENCE_S = 1.0
_PAUSE_S = 0.1


class Router:
    """Finds who answers a question.

    Args:
        address: of this worker.
        owners: of all partitions.
    """

    def __init__(self, address: str, owners: PartitionOwners) -> None:
        self._address = address
        self._owners = owners

    async def ask(self, place: StagePartition, local: Local[T], remote: Remote[T], *, own: bool = False) -> T:
        """Have a question about a partition answered; while nobody can, wait for up to a second.

        Args:
            place: the partition.
            local: answers here.
            remote: has the owner answer.
            own: this worker asks the question itself, though perhaps to answer one that was forwarded to it.

        Raises:
            NotReady: nobody can answer; or the question was forwarded here, and this worker cannot answer it.
        """

        async def try_once() -> T:
            try:
                return await local()
            except PartitionNotLocal as error:
                self._check_may_forward(error, own=own)
            return await self._ask_owner(place, await self._owners.of(place), remote)

        return await self._retry(try_once)

    async def ask_any(self, stage: str, local: Local[T], remote: Remote[T], *, own: bool = False) -> T:
        """Have a question answered that any worker with a partition of a stage can answer; otherwise as `ask`."""

        async def try_once() -> T:
            try:
                return await local()
            except PartitionNotLocal as error:
                self._check_may_forward(error, own=own)
            owners = await self._owners.of_all()
            others = (place for place in owners if place.stage == stage and owners[place] != self._address)
            place = min(others, default=StagePartition(stage, 0))
            return await self._ask_owner(place, owners.get(place), remote)

        return await self._retry(try_once)

    def _check_may_forward(self, error: PartitionNotLocal, *, own: bool) -> None:
        if forwarded.get() and not own:
            raise NotReady(f"{error} at {self._address}") from error

    async def _ask_owner(self, place: StagePartition, owner: str | None, remote: Remote[T]) -> T:
        if owner is None:
            raise PeerUnavailable(f"{place} has no owner")
        if owner == self._address:
            raise PeerUnavailable(f"{place} is being opened at {owner}")
        return await remote(owner)

    async def _retry(self, try_once: Local[T]) -> T:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return await try_once()
            except PeerUnavailable as error:
                self._owners.forget()
                if time.monotonic() > deadline:
                    raise NotReady(f"{error}; partitions may be moving: ask again") from error
            await asyncio.sleep(_PAUSE_S)
