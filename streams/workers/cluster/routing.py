"""Routing: a question is answered by this worker, or by the one that owns the partition it is about."""

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
    """Answers from this worker's partitions, or raises PartitionNotLocal."""
    Remote = Callable[[str], Awaitable["T"]]
    """(address) asks another worker, or raises PeerUnavailable."""

T = TypeVar("T")

RETRY_FOR_S = 1.0
PAUSE_S = 0.1


class Router:
    """Has questions answered by whichever worker can.

    Args:
        address: of this worker.
        owners: of all partitions.
    """

    def __init__(self, address: str, owners: PartitionOwners) -> None:
        self._address = address
        self._owners = owners

    async def ask(self, partition: StagePartition, local: Local[T], remote: Remote[T], *, own: bool = False) -> T:
        """Answer a question about a partition; while no worker can, retry for up to a second.

        Args:
            partition: what the question is about.
            local: answers from this worker's partitions.
            remote: asks the owner.
            own: whether the question is this worker's own, perhaps in the course of answering a forwarded one. Only
                then may it be sent to another worker although the request at hand was forwarded.

        Raises:
            NotReady: no worker can answer, or the question was forwarded to this worker and it cannot answer.
        """

        async def try_once() -> T:
            try:
                return await local()
            except PartitionNotLocal as error:
                self._check_may_forward(error, own=own)
            return await self._ask_owner(partition, await self._owners.of(partition), remote)

        return await self._retry(try_once)

    async def ask_any(self, stage: str, local: Local[T], remote: Remote[T], *, own: bool = False) -> T:
        """Answer a question that any worker with a partition of a stage can answer; otherwise like `ask`."""

        async def try_once() -> T:
            try:
                return await local()
            except PartitionNotLocal as error:
                self._check_may_forward(error, own=own)
            owners = await self._owners.of_all()
            elsewhere = (
                partition for partition, owner in owners.items() if partition.stage == stage and owner != self._address
            )
            partition = min(elsewhere, default=StagePartition(stage, 0))
            return await self._ask_owner(partition, owners.get(partition), remote)

        return await self._retry(try_once)

    def _check_may_forward(self, error: PartitionNotLocal, *, own: bool) -> None:
        if forwarded.get() and not own:
            raise NotReady(f"{error} at {self._address}") from error

    async def _ask_owner(self, partition: StagePartition, owner: str | None, remote: Remote[T]) -> T:
        if owner is None:
            raise PeerUnavailable(f"{partition} has no owner")
        if owner == self._address:
            raise PeerUnavailable(f"{partition} is being opened at {owner}")
        return await remote(owner)

    async def _retry(self, try_once: Local[T]) -> T:
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            try:
                return await try_once()
            except PeerUnavailable as error:
                self._owners.forget()
                if time.monotonic() > deadline:
                    raise NotReady(f"{error}; partitions may be moving: ask again") from error
            await asyncio.sleep(PAUSE_S)
