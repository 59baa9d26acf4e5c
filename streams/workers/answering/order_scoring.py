"""Prequential scoring in a worker: what it would have answered before an order, against what the order brings."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from streams.endpoint.answers import NotReady
from streams.quality.prequential import AT, HitCounts, Offer, count_hits, visits
from streams.recommendations.recommend import Blend, choose_seeds, recommend
from streams.workers.cluster.peers import HeldIds
from streams.workers.cluster.routing import PartitionNotLocal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.orders import Orders
    from state.history_store import HistoryStore
    from state.history_table import HistoryTable
    from streams.engine.histories import NumberedOrders
    from streams.quality.prequential import Visit
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.answering.seed_lists import SeedListReader

MOST_A_COMMIT = 2
"""Orders scored of one commit, the first of the sample: under load a commit must not wait for more."""
PATIENCE_S = 0.5
"""A question that takes longer is not scored: counting comes first."""


class OrderScoring:
    """Scores a sample of the orders that stage A is about to count, by the lists and the stock from which it answers.

    Where lists can't be had in time, or no item partition is open here, nothing is scored.

    Args:
        items: the item partitions open here.
        lists: reads lists, wherever they are.
        pair_window: that of the counts.
        one_in: how many orders one of the sample stands for.
    """

    def __init__(self, items: LocalItems, lists: SeedListReader, pair_window: int, one_in: int) -> None:
        self._items = items
        self._lists = lists
        self._pair_window = pair_window
        self._one_in = one_in

    def scorer(self, store: HistoryStore) -> Callable[[Orders, NumberedOrders, HistoryTable], dict[int, HitCounts]]:
        """What scores orders of a partition from a thread, while this event loop answers."""
        return partial(self._score, store, asyncio.get_running_loop())

    def _score(
        self,
        store: HistoryStore,
        loop: asyncio.AbstractEventLoop,
        orders: Orders,
        numbered: NumberedOrders,
        table: HistoryTable,
    ) -> dict[int, HitCounts]:
        found = visits(orders, numbered, table, self._pair_window, self._one_in)[:MOST_A_COMMIT]
        if not found:
            return {}
        asked = [(visit, _held_ids(store, visit), store.items.texts(visit.new.tolist())) for visit in found]
        answer = asyncio.run_coroutine_threadsafe(self._count_hits(asked), loop)
        try:
            return answer.result(PATIENCE_S)
        except (TimeoutError, PartitionNotLocal, NotReady):
            answer.cancel()
            return {}

    async def _count_hits(self, asked: Sequence[tuple[Visit, HeldIds, list[str]]]) -> dict[int, HitCounts]:
        """What becomes of visits, of which what is held and what is new is known by id."""
        home = self._items.home()
        stock = home.answers.live.assortment()
        scored, offers = [], []
        for visit, held_ids, new_ids in asked:
            held = home.held(held_ids)
            seeds = choose_seeds(held)
            lists = await self._lists.read(home, seeds.item.tolist())
            admitted = stock.available.copy()
            admitted[held.item[held.item < stock.bought]] = False
            chosen = recommend(held, seeds, lists, stock, admitted, AT, Blend(), 1)
            recommended = np.array([entry.item for entry in chosen], np.int64)
            offers.append(Offer(recommended, stock.fillers("recent", admitted, AT)))
            get = home.answers.names.get
            scored.append(visit._replace(new=np.array([get(item_id, -1) for item_id in new_ids], np.int64)))
        return count_hits(scored, offers)


def _held_ids(store: HistoryStore, visit: Visit) -> HeldIds:
    held = visit.held
    return HeldIds(
        store.items.texts(held.item.tolist()), held.last.tolist(), held.seq.tolist(), held.purchases.tolist()
    )
