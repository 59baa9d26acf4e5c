"""Offers: what open count stores would recommend to customers now. For scoring, not for serving."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.engine.ranker import Ranker
from streams.engine.ranking import LIST_LENGTH
from streams.engine.scores import Scoring
from streams.quality.prequential import AT, Offer
from streams.recommendations.assortment import current_assortment
from streams.recommendations.merge import SeedLists
from streams.recommendations.recommend import Blend, Seeds, choose_seeds, recommend
from streams.recommendations.request import MOST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from state.count_store import CountStore
    from streams.quality.prequential import Visit
    from streams.recommendations.assortment import Assortment
    from streams.recommendations.recommend import Held


class Showcase(NamedTuple):
    """The inputs of the recommendations for one visit."""

    held: Held
    seeds: Seeds
    lists: SeedLists
    assortment: Assortment
    admitted: npt.NDArray[np.bool_]

    def recommended(self, blend: Blend, count: int) -> npt.NDArray[np.int64]:
        """The best `count` items under a blend, by number."""
        chosen = recommend(self.held, self.seeds, self.lists, self.assortment, self.admitted, count, blend, 1)
        return np.array([entry.item for entry in chosen], np.int64)


def offers(counts: Sequence[CountStore], visits: Sequence[Visit], seeds: int = MOST_SEEDS) -> list[Offer]:
    """The six items that each customer would be shown first, and the six bestsellers.

    Args:
        counts: every item partition, in order; items have the same number in each, and in the visits.
        visits: whom the offers are for.
        seeds: how many of the newest items held are used as seeds; ranking their lists is most of the cost.

    Returns:
        An offer for each visit; an empty list if nothing was ever bought.
    """
    return [
        Offer(showcase.recommended(Blend(), AT), showcase.assortment.fillers("recent", showcase.admitted, AT))
        for showcase in showcases(counts, visits, seeds)
    ]


def showcases(counts: Sequence[CountStore], visits: Sequence[Visit], seeds: int = MOST_SEEDS) -> Iterator[Showcase]:
    """The inputs of the recommendations for each visit; the arguments are those of `offers`."""
    assortment = current_assortment(counts[0].popularity, counts[0].names.every, [])
    bought = assortment.purchases > 0  # items known only from rejected returns have no purchases
    if not bought.any():
        return
    chosen = [_seeds(visit, bought, seeds) for visit in visits]
    row_of, lists = _lists(counts, np.unique(np.concatenate([visit_seeds.item for visit_seeds in chosen])), len(bought))
    for visit, visit_seeds in zip(visits, chosen, strict=True):
        admitted = bought.copy()
        admitted[visit.held.item[visit.held.item < len(bought)]] = False
        rows = row_of[visit_seeds.item]
        visit_lists = SeedLists(
            lists.item[rows], lists.score[rows], lists.together[rows], lists.expected[rows], lists.length[rows]
        )
        yield Showcase(visit.held, visit_seeds, visit_lists, assortment, admitted)


def _seeds(visit: Visit, bought: npt.NDArray[np.bool_], most: int) -> Seeds:
    """The newest items held, without items first bought since the last commit, which have no lists yet."""
    seeds = choose_seeds(visit.held)
    item = seeds.item[:most]
    listed = item < len(bought)
    listed[listed] = bought[item[listed]]
    return Seeds(item[listed], seeds.weight[:most][listed])


def _lists(
    counts: Sequence[CountStore], seeds: npt.NDArray[np.int64], known: int
) -> tuple[npt.NDArray[np.int64], SeedLists]:
    """The row of each item's list, by item number up to `known`, and the lists of all seeds, ranked once each."""
    row_of = np.full(known, -1, np.int64)
    parts = []
    done = 0
    for store in counts:
        owned = seeds[store.owned[seeds]]
        if len(owned):
            items, lists = Ranker(store, Scoring()).lists(owned)
            row_of[items] = np.arange(done, done + len(items))
            parts.append(SeedLists(lists.item, lists.score, lists.together, lists.expected, lists.length))
            done += len(items)
    if not parts:
        nothing = np.zeros((0, LIST_LENGTH))
        return row_of, SeedLists(nothing.astype(np.uint32), nothing, nothing, nothing, np.zeros(0, np.int64))
    return row_of, SeedLists(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
