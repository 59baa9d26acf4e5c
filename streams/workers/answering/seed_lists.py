"""The related lists of a visitor's seeds, from wherever they are, side by side in one numbering."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from state.names import NOWHERE
from streams.engine.ranking import LIST_LENGTH
from streams.recommendations.merge import SeedLists
from streams.workers.cluster.peers import LISTS_PATH, MSGPACK, ListsQuestion, PeerUnavailable, decode_lists, encode
from streams.workers.cluster.routing import PartitionNotLocal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.workers.answering.local_items import ItemPartitionView, LocalItems
    from streams.workers.cluster.owners import PartitionOwners, StagePartition
    from streams.workers.cluster.peers import PeerClient, PublishedList
    from streams.workers.cluster.routing import Router


class SeedListReader:
    """Reads lists that are open here from memory, and asks each other owner once for all of its own.

    Args:
        items: the partitions open here.
        router: finds who has the others.
        owners: of all partitions.
        peers: asks them.
    """

    def __init__(self, items: LocalItems, router: Router, owners: PartitionOwners, peers: PeerClient) -> None:
        self._items = items
        self._router = router
        self._owners = owners
        self._peers = peers

    async def read(self, home: ItemPartitionView, seeds: Sequence[int]) -> SeedLists:
        """The lists of seeds, which are numbered as in `home`, as are the lists' items.

        Raises:
            NotReady: a partition has no owner who answers.
        """
        ids = home.answers.names.texts(seeds)
        by_place: dict[StagePartition, list[int]] = {}
        for row, item_id in enumerate(ids):
            by_place.setdefault(self._items.place(item_id), []).append(row)
        lists = empty_lists(len(ids))
        away: dict[StagePartition, list[int]] = {}
        for place, rows in by_place.items():
            try:
                self._copy(home, self._items.view(place.partition), [ids[row] for row in rows], rows, lists)
            except PartitionNotLocal:
                away[place] = rows
        if away:
            await self._fetch(home, ids, away, lists)
        return lists

    def _copy(
        self, home: ItemPartitionView, view: ItemPartitionView, ids: list[str], rows: list[int], lists: SeedLists
    ) -> None:
        names = view.answers.names
        translation = view.translation
        if view is not home and (translation is None or translation.target is not home.answers.names):
            _put(home, self._items.lists(ids), rows, lists)  # it was opened a moment ago
            return
        known = [place for place, item_id in enumerate(ids) if item_id in names]
        if not known:
            return
        found = view.published.of_seeds([names[ids[place]] for place in known])
        here = [rows[place] for place in known]
        lists.item[here] = found.item if view is home or translation is None else translation(found.item)
        for column, values in zip(lists[1:], found[1:], strict=True):
            column[here] = values

    async def _fetch(
        self, home: ItemPartitionView, ids: list[str], away: dict[StagePartition, list[int]], lists: SeedLists
    ) -> None:
        """Ask the owners, all at once and each for everything; what one no longer has is looked for by itself."""
        owners = await self._owners.of_all()
        groups: dict[str | None, list[StagePartition]] = {}
        for place in away:
            groups.setdefault(owners.get(place), []).append(place)

        async def of_place(place: StagePartition) -> None:
            wanted = [ids[row] for row in away[place]]

            async def here() -> list[PublishedList]:
                return self._items.lists(wanted)

            async def there(owner: str) -> list[PublishedList]:
                return await self._asked(owner, wanted)

            _put(home, await self._router.ask(place, here, there, own=True), away[place], lists)

        async def of_owner(owner: str | None, places: list[StagePartition]) -> None:
            rows = [row for place in places for row in away[place]]
            try:
                found = None if owner is None else await self._asked(owner, [ids[row] for row in rows])
            except PeerUnavailable:
                found = None
            if found is not None:
                _put(home, found, rows, lists)
                return
            self._owners.forget()
            await asyncio.gather(*[of_place(place) for place in places])

        await asyncio.gather(*[of_owner(owner, places) for owner, places in groups.items()])

    async def _asked(self, owner: str, item_ids: list[str]) -> list[PublishedList]:
        reply = await self._peers.post(owner, LISTS_PATH, encode(ListsQuestion(item_ids)), MSGPACK)
        return decode_lists(reply.body)


def empty_lists(seeds: int) -> SeedLists:
    """No entries for so many seeds, and room for them."""
    score, together, expected = (np.zeros((seeds, LIST_LENGTH)) for _ in range(3))
    return SeedLists(np.full((seeds, LIST_LENGTH), NOWHERE), score, together, expected, np.zeros(seeds, np.int64))


def _put(home: ItemPartitionView, found: list[PublishedList], rows: list[int], lists: SeedLists) -> None:
    get = home.answers.names.get
    for row, one in zip(rows, found, strict=True):
        size = len(one.item_ids)
        lists.item[row, :size] = [get(item_id, int(NOWHERE)) for item_id in one.item_ids]
        lists.score[row, :size], lists.together[row, :size], lists.expected[row, :size] = one.columns()
        lists.length[row] = size
