"""Prequential scoring in a worker: its own recommendations right before an order, compared with the order."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from streams.endpoint.answers import NotReady
from streams.endpoint.customers import HeldIds
from streams.quality.prequential import AT, HitCounts, Offer, count_hits, visits
from streams.recommendations.recommend import Blend, choose_seeds, recommend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from producers.orders import Orders
    from state.history_store import HistoryStore
    from state.history_table import HistoryTable
    from streams.engine.histories import NumberedOrders
    from streams.quality.prequential import Visit
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.answering.seed_lists import SeedListReader

MOST_PER_COMMIT = 2
"""Orders scored per commit, the first of the sample: under load a commit must not wait for more."""
SCORING_TIMEOUT_S = 0.5
"""Orders that take longer are not scored: counting comes first."""


class OrderScoring:
    """Scores a sample of the orders that stage A is about to count, with the lists and assortment it answers from.

    Nothing is scored if lists are not available in time, or if this worker has no open item partition.

    Args:
        items: the item partitions open in this worker.
        lists: reads lists, also from other workers.
        pair_window: that of the counts.
        one_in: the sample is one order in this many.
    """

    def __init__(self, items: LocalItems, lists: SeedListReader, pair_window: int, one_in: int) -> None:
        self._items = items
        self._lists = lists
        self._pair_window = pair_window
        self._one_in = one_in

    def scorer(self, store: HistoryStore) -> Callable[[Orders, NumberedOrders, HistoryTable], dict[int, HitCounts]]:
        """A function that scores orders of a partition in a thread, with answers from this event loop."""
        return partial(self._score, store, asyncio.get_running_loop())

    def _score(
        self,
        store: HistoryStore,
        loop: asyncio.AbstractEventLoop,
        orders: Orders,
        numbered: NumberedOrders,
        table: HistoryTable,
    ) -> dict[int, HitCounts]:
        sample = visits(orders, numbered, table, self._pair_window, self._one_in)[:MOST_PER_COMMIT]
        if not sample:
            return {}
        by_id = [
            (visit, HeldIds.of(visit.held, store.items), store.items.texts(visit.new.tolist())) for visit in sample
        ]
        scored = asyncio.run_coroutine_threadsafe(self._count_hits(by_id), loop)
        try:
            return scored.result(SCORING_TIMEOUT_S)
        except (TimeoutError, NotReady):
            scored.cancel()
            return {}

    async def _count_hits(self, by_id: Sequence[tuple[Visit, HeldIds, list[str]]]) -> dict[int, HitCounts]:
        """The hit counts of visits, each with the items held and the ids of the new items."""
        home = self._items.home()
        names = home.answers.names
        assortment = home.answers.live.assortment()
        scored, offers = [], []
        for visit, held_ids, new_ids in by_id:
            held = held_ids.numbered(names)
            seeds = choose_seeds(held)
            lists = await self._lists.read(home, seeds.item.tolist())
            admitted = assortment.available.copy()
            admitted[held.item[held.item < assortment.bought]] = False
            recommendations = recommend(held, seeds, lists, assortment, admitted, AT, Blend(), 1)
            recommended = np.array([recommendation.item for recommendation in recommendations], np.int64)
            offers.append(Offer(recommended, assortment.fillers("recent", admitted, AT)))
            scored.append(visit._replace(new=np.array([names.get(item_id, -1) for item_id in new_ids], np.int64)))
        return count_hits(scored, offers)
