"""What open count stores would recommend to customers now: for scoring, not for serving."""

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
    """Everything that recommendations for one visit are made of."""

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
        visits: who is asked for.
        seeds: how many of the newest items held are asked for their lists; most of the cost is in making these.

    Returns:
        An offer for each visit; none at all if nothing was ever bought.
    """
    return [
        Offer(one.recommended(Blend(), AT), one.assortment.fillers("recent", one.admitted, AT))
        for one in showcases(counts, visits, seeds)
    ]


def showcases(counts: Sequence[CountStore], visits: Sequence[Visit], seeds: int = MOST_SEEDS) -> Iterator[Showcase]:
    """What recommendations for each visit are made of; the arguments are those of `offers`."""
    stock = current_assortment(counts[0].popularity, counts[0].names.every, [])
    bought = stock.purchases > 0  # others are known from returns that were refused
    if not bought.any():
        return
    asked = [_seeds(visit, bought, seeds) for visit in visits]
    place, lists = _lists(counts, np.unique(np.concatenate([one.item for one in asked])), stock.bought)
    for visit, one in zip(visits, asked, strict=True):
        admitted = bought.copy()
        admitted[visit.held.item[visit.held.item < stock.bought]] = False
        rows = place[one.item]
        mine = SeedLists(
            lists.item[rows], lists.score[rows], lists.together[rows], lists.expected[rows], lists.length[rows]
        )
        yield Showcase(visit.held, one, mine, stock, admitted)


def _seeds(visit: Visit, bought: npt.NDArray[np.bool_], most: int) -> Seeds:
    """The newest items held, without those that nobody had bought before the last commit: they have no lists yet."""
    seeds = choose_seeds(visit.held)
    item = seeds.item[:most]
    here = item < len(bought)
    here[here] = bought[item[here]]
    return Seeds(item[here], seeds.weight[:most][here])


def _lists(
    counts: Sequence[CountStore], wanted: npt.NDArray[np.int64], known: int
) -> tuple[npt.NDArray[np.int64], SeedLists]:
    """The lists of the items wanted, each made once, and where each item's stands among them."""
    place = np.full(known, -1, np.int64)
    parts = []
    done = 0
    for store in counts:
        here = wanted[store.owned[wanted]]
        if len(here):
            items, lists = Ranker(store, Scoring()).lists(here)
            place[items] = np.arange(done, done + len(items))
            parts.append(SeedLists(lists.item, lists.score, lists.together, lists.expected, lists.length))
            done += len(items)
    if not parts:
        nothing = np.zeros((0, LIST_LENGTH))
        return place, SeedLists(nothing.astype(np.uint32), nothing, nothing, nothing, np.zeros(0, np.int64))
    return place, SeedLists(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
