"""The related lists of a visitor's seeds, from all workers, in arrays that share one numbering of items."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from state.names import NOWHERE
from streams.endpoint.answers import PartitionNotLocal
from streams.engine.ranking import LIST_LENGTH
from streams.recommendations.merge import SeedLists
from streams.recommendations.request import MOST_SEEDS
from streams.workers.cluster.peers import (
    LISTS_PATH,
    MOST_LISTS,
    MSGPACK,
    ListsQuestion,
    PeerUnavailable,
    decode_lists,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.endpoint.item_partitions import ItemPartitionView
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.cluster.owners import PartitionOwners, StagePartition
    from streams.workers.cluster.peers import PeerClient, PublishedList
    from streams.workers.cluster.routing import Router


class SeedListReader:
    """Reads lists of local partitions from memory, and those of each other owner with one request.

    Args:
        items: the partitions open in this worker.
        router: routes requests for the others.
        owners: of all partitions.
        peers: sends requests to other workers.
    """

    def __init__(self, items: LocalItems, router: Router, owners: PartitionOwners, peers: PeerClient) -> None:
        self._items = items
        self._router = router
        self._owners = owners
        self._peers = peers

    async def read(self, home: ItemPartitionView, seeds: Sequence[int]) -> SeedLists:
        """The lists of seeds; seeds and entries have the item numbers of `home`.

        Raises:
            NotReady: a partition has no owner that answers.
        """
        ids = home.answers.names.texts(seeds)
        rows_of: dict[StagePartition, list[int]] = {}
        for row, item_id in enumerate(ids):
            rows_of.setdefault(self._items.partition_of(item_id), []).append(row)
        lists = empty_lists(len(ids))
        remote: dict[StagePartition, list[int]] = {}
        for partition, rows in rows_of.items():
            try:
                self._copy(home, self._items.view(partition.number), [ids[row] for row in rows], rows, lists)
            except PartitionNotLocal:
                remote[partition] = rows
        if remote:
            await self._fetch(home, ids, remote, lists)
        return lists

    def _copy(
        self, home: ItemPartitionView, view: ItemPartitionView, ids: list[str], rows: list[int], lists: SeedLists
    ) -> None:
        """Copy the lists of items of one open partition into `rows`."""
        names = view.answers.names
        translation = self._items.translation(view, home)
        if view is not home and translation is None:  # just opened: no translation yet
            _put(home, self._items.published_lists(ids), rows, lists)
            return
        numbers = names.find(ids)
        known = np.flatnonzero(numbers != NOWHERE).tolist()
        if not known:
            return
        for begin in range(0, len(known), MOST_SEEDS):  # so many are in memory at once
            some = known[begin : begin + MOST_SEEDS]
            local = view.published.of_seeds(numbers[some].tolist())
            targets = [rows[index] for index in some]
            lists.item[targets] = local.item if translation is None else translation(local.item)
            for column, values in zip(lists[1:], local[1:], strict=True):
                column[targets] = values

    async def _fetch(
        self, home: ItemPartitionView, ids: list[str], remote: dict[StagePartition, list[int]], lists: SeedLists
    ) -> None:
        """Ask all owners concurrently, one request each; reroute the partitions of owners that cannot answer."""
        owners = await self._owners.of_all()
        partitions_of: dict[str | None, list[StagePartition]] = {}
        for partition in remote:
            partitions_of.setdefault(owners.get(partition), []).append(partition)

        async def from_partition(partition: StagePartition) -> None:
            item_ids = [ids[row] for row in remote[partition]]

            async def read_local() -> list[PublishedList]:
                return self._items.published_lists(item_ids)

            async def ask_owner(owner: str) -> list[PublishedList]:
                return await self._ask(owner, item_ids)

            published = await self._router.ask(partition, read_local, ask_owner, own=True)
            _put(home, published, remote[partition], lists)

        async def from_owner(owner: str | None, partitions: list[StagePartition]) -> None:
            rows = [row for partition in partitions for row in remote[partition]]
            try:
                published = None if owner is None else await self._ask(owner, [ids[row] for row in rows])
            except PeerUnavailable:
                published = None
            if published is not None:
                _put(home, published, rows, lists)
                return
            self._owners.forget()
            await asyncio.gather(*[from_partition(partition) for partition in partitions])

        await asyncio.gather(*[from_owner(owner, partitions) for owner, partitions in partitions_of.items()])

    async def _ask(self, owner: str, item_ids: list[str]) -> list[PublishedList]:
        """Published lists of an owner, some hundred at a time: those of one visitor's seeds take one request."""
        lists: list[PublishedList] = []
        for begin in range(0, len(item_ids), MOST_LISTS):
            question = ListsQuestion(item_ids[begin : begin + MOST_LISTS])
            reply = await self._peers.post(owner, LISTS_PATH, encode(question), MSGPACK)
            try:
                lists += decode_lists(reply.body)
            except (ValueError, RecursionError) as error:
                raise PeerUnavailable(f"worker {owner} answers with something else than lists: {error}") from None
        if len(lists) != len(item_ids) or any(len(one.item_ids) > LIST_LENGTH for one in lists):
            raise PeerUnavailable(f"worker {owner} answers with other lists than {len(item_ids)} were asked for")
        return lists


def empty_lists(seeds: int) -> SeedLists:
    """Empty lists for this many seeds, with room for their entries."""
    score, together, expected = (np.zeros((seeds, LIST_LENGTH)) for _ in range(3))
    return SeedLists(np.full((seeds, LIST_LENGTH), NOWHERE), score, together, expected, np.zeros(seeds, np.int64))


def _put(home: ItemPartitionView, published: list[PublishedList], rows: list[int], lists: SeedLists) -> None:
    """Write published lists into `rows`, in the item numbers of `home`."""
    names = home.answers.names
    for row, entries in zip(rows, published, strict=True):
        size = len(entries.item_ids)
        lists.item[row, :size] = names.find(entries.item_ids)
        lists.score[row, :size], lists.together[row, :size], lists.expected[row, :size] = entries.columns()
        lists.length[row] = size
