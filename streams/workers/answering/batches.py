"""Several questions at once: each worker is asked once about all that it owns the partitions of."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from streams.endpoint.answer_documents import Results
from streams.endpoint.answers import NotReady, forwarded
from streams.endpoint.results import is_passing
from streams.workers.cluster.peers import COMPUTING_S, PeerUnavailable
from streams.workers.cluster.routing import PAUSE_S, RETRY_FOR_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.endpoint.answer_documents import Result
    from streams.endpoint.results import Questions
    from streams.workers.cluster.owners import PartitionOwners, StagePartition
    from streams.workers.cluster.peers import PeerClient

    Local = Callable[[Sequence[str]], Awaitable[dict[str, Result]]]
    """(ids) results of those that this worker can answer."""

decode_results = msgspec.json.Decoder(Results).decode


class BatchRouter:
    """Has many questions answered, each by the owner of its partition.

    Args:
        address: of this worker.
        owners: of all partitions.
        peers: sends requests to other workers.
    """

    def __init__(self, address: str, owners: PartitionOwners, peers: PeerClient) -> None:
        self._address = address
        self._owners = owners
        self._peers = peers

    async def ask(
        self,
        questions: Questions,
        ids: Sequence[str],
        partition_of: Callable[[str], StagePartition],
        local: Local,
        path: str,
        body_of: Callable[[Sequence[str]], bytes],
    ) -> list[Result]:
        """The results of questions in the order of `ids`; those that no worker answers within a second have failed.

        Args:
            questions: their kind.
            ids: what each is about; one that comes twice is asked about once.
            partition_of: the partition that a question is about.
            local: answers what this worker can.
            path: of the request to others.
            body_of: makes the body of that request.
        """
        results: dict[str, Result] = {}
        waiting = list(dict.fromkeys(ids))
        deadline = time.monotonic() + RETRY_FOR_S
        while True:
            results |= await local(waiting)
            waiting = [about for about in waiting if about not in results or is_passing(results[about])]
            if waiting and not forwarded.get():
                results |= await self._ask_owners(waiting, partition_of, path, body_of)
                waiting = [about for about in waiting if about not in results or is_passing(results[about])]
            if not waiting or forwarded.get() or time.monotonic() > deadline:
                break
            self._owners.forget()
            await asyncio.sleep(PAUSE_S)
        for about in waiting:
            error = NotReady(f"{partition_of(about)} is not answered for at {self._address}: ask again")
            results.setdefault(about, questions.failed(about, error))
        return [results[about] for about in ids]

    async def _ask_owners(
        self,
        ids: Sequence[str],
        partition_of: Callable[[str], StagePartition],
        path: str,
        body_of: Callable[[Sequence[str]], bytes],
    ) -> dict[str, Result]:
        """Ask all owners concurrently, one request each; nothing of those that cannot answer."""
        owners = await self._owners.of_all()
        ids_of: dict[str, list[str]] = {}
        for about in ids:
            owner = owners.get(partition_of(about))
            if owner is not None and owner != self._address:
                ids_of.setdefault(owner, []).append(about)

        async def ask(owner: str, asked: list[str]) -> dict[str, Result]:
            try:
                reply = await self._peers.post(owner, path, body_of(asked), timeout_s=COMPUTING_S)
                results = decode_results(reply.body).results
            except (PeerUnavailable, ValueError, RecursionError):
                return {}
            return dict(zip(asked, results, strict=True)) if len(results) == len(asked) else {}

        replies = await asyncio.gather(*[ask(owner, asked) for owner, asked in ids_of.items()])
        return {about: result for reply in replies for about, result in reply.items()}
