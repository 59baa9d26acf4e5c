"""The related lists of a visitor's seeds, from wherever they are, in arrays with one numbering of items."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from state.names import NOWHERE
from streams.endpoint.answers import PartitionNotLocal
from streams.engine.ranking import LIST_LENGTH
from streams.recommendations.merge import SeedLists
from streams.workers.cluster.peers import LISTS_PATH, MSGPACK, ListsQuestion, PeerUnavailable, decode_lists, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.endpoint.item_partitions import ItemPartitionView
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.cluster.owners import PartitionOwners, StagePartition
    from streams.workers.cluster.peers import PeerClient, PublishedList
    from streams.workers.cluster.routing import Router


class SeedListReader:
    """Reads lists that are open here from memory, and asks every other owner once for all of its lists.

    Args:
        items: the partitions open here.
        router: finds who has the others.
        owners: of all partitions.
        peers: asks other workers.
    """

    def __init__(self, items: LocalItems, router: Router, owners: PartitionOwners, peers: PeerClient) -> None:
        self._items = items
        self._router = router
        self._owners = owners
        self._peers = peers

    async def read(self, home: ItemPartitionView, seeds: Sequence[int]) -> SeedLists:
        """The lists of seeds; they and the items in the lists have the numbers of `home`.

        Raises:
            NotReady: a partition has no owner that answers.
        """
        ids = home.answers.names.texts(seeds)
        rows_of: dict[StagePartition, list[int]] = {}
        for row, item_id in enumerate(ids):
            rows_of.setdefault(self._items.partition_of(item_id), []).append(row)
        lists = empty_lists(len(ids))
        remote: dict[StagePartition, list[int]] = {}
        for place, rows in rows_of.items():
            try:
                self._copy(home, self._items.view(place.partition), [ids[row] for row in rows], rows, lists)
            except PartitionNotLocal:
                remote[place] = rows
        if remote:
            await self._fetch(home, ids, remote, lists)
        return lists

    def _copy(
        self, home: ItemPartitionView, view: ItemPartitionView, ids: list[str], rows: list[int], lists: SeedLists
    ) -> None:
        """Copy the lists of items of one open partition into `rows`."""
        names = view.answers.names
        translation = self._items.translation(view, home)
        if view is not home and translation is None:  # it was opened a moment ago
            _put(home, self._items.published_lists(ids), rows, lists)
            return
        known = [index for index, item_id in enumerate(ids) if item_id in names]
        if not known:
            return
        found = view.published.of_seeds([names[ids[index]] for index in known])
        targets = [rows[index] for index in known]
        lists.item[targets] = found.item if translation is None else translation(found.item)
        for column, values in zip(lists[1:], found[1:], strict=True):
            column[targets] = values

    async def _fetch(
        self, home: ItemPartitionView, ids: list[str], remote: dict[StagePartition, list[int]], lists: SeedLists
    ) -> None:
        """Ask all owners at once, each for everything; partitions that one no longer has are routed one by one."""
        owners = await self._owners.of_all()
        partitions_of: dict[str | None, list[StagePartition]] = {}
        for place in remote:
            partitions_of.setdefault(owners.get(place), []).append(place)

        async def from_partition(place: StagePartition) -> None:
            item_ids = [ids[row] for row in remote[place]]

            async def read_local() -> list[PublishedList]:
                return self._items.published_lists(item_ids)

            async def ask_owner(owner: str) -> list[PublishedList]:
                return await self._ask(owner, item_ids)

            _put(home, await self._router.ask(place, read_local, ask_owner, own=True), remote[place], lists)

        async def from_owner(owner: str | None, places: list[StagePartition]) -> None:
            rows = [row for place in places for row in remote[place]]
            try:
                found = None if owner is None else await self._ask(owner, [ids[row] for row in rows])
            except PeerUnavailable:
                found = None
            if found is not None:
                _put(home, found, rows, lists)
                return
            self._owners.forget()
            await asyncio.gather(*[from_partition(place) for place in places])

        await asyncio.gather(*[from_owner(owner, places) for owner, places in partitions_of.items()])

    async def _ask(self, owner: str, item_ids: list[str]) -> list[PublishedList]:
        reply = await self._peers.post(owner, LISTS_PATH, encode(ListsQuestion(item_ids)), MSGPACK)
        return decode_lists(reply.body)


def empty_lists(seeds: int) -> SeedLists:
    """Empty lists of so many seeds, with room for entries."""
    score, together, expected = (np.zeros((seeds, LIST_LENGTH)) for _ in range(3))
    return SeedLists(np.full((seeds, LIST_LENGTH), NOWHERE), score, together, expected, np.zeros(seeds, np.int64))


def _put(home: ItemPartitionView, published: list[PublishedList], rows: list[int], lists: SeedLists) -> None:
    """Write published lists into `rows`, in the numbers of `home`."""
    get = home.answers.names.get
    for row, entries in zip(rows, published, strict=True):
        size = len(entries.item_ids)
        lists.item[row, :size] = [get(item_id, int(NOWHERE)) for item_id in entries.item_ids]
        lists.score[row, :size], lists.together[row, :size], lists.expected[row, :size] = entries.columns()
        lists.length[row] = size
