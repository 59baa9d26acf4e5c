"""Answers from one count store, the same for a stored state and for a worker.

Facts about an item are read while another thread may be counting: each number is from before or after that commit.
Whatever takes a pass over all items comes from a `LiveAssortment`, a snapshot of one commit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.popularity_table import DAYS
from state.related_store import StoredList
from streams.endpoint.answer_documents import (
    bestseller_entries,
    described,
    item_facts,
    pair_entries,
    recommendation_entries,
    titled,
)
from streams.endpoint.answers import NotKnown, NotReady, RelatedListAnswer
from streams.endpoint.list_entries import ListEntries
from streams.endpoint.live_assortment import LiveAssortment
from streams.endpoint.requests import MOST_PAGED, RelatedRequest
from streams.engine.documents import as_of, day_text
from streams.recommendations.bestsellers import bestsellers
from streams.recommendations.recommend import Blend, Held, Seeds, choose_seeds, recommend
from streams.recommendations.search import LiveSearch, TooManySearches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from state.count_store import CountStore
    from state.popularity_table import Column
    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.list_entries import Entries
    from streams.endpoint.requests import BestsellersRequest, CatalogueRequest
    from streams.engine.pair_epochs import PairEpoch
    from streams.recommendations.bestsellers import Bestseller
    from streams.recommendations.merge import SeedLists
    from streams.recommendations.request import RecommendationRequest


class Visitor(NamedTuple):
    """A visitor who gets recommendations, in the item numbers of one count store."""

    held: Held
    basket: list[int]
    """Numbers of the items in the basket."""
    ignored: list[str]
    """Ids in the basket that belong to no item."""
    seeds: Seeds


_NO_LIST = StoredList(np.zeros(0, np.uint32), *(np.zeros(0) for _ in range(4)))


class NotCounted(Exception):
    """The purchases of the last days must be counted first, while nothing else is.

    Attributes:
        days: how many days.
    """

    def __init__(self, days: int | None) -> None:
        super().__init__(days)
        self.days = days or DAYS


class ItemAnswers:
    """Answers from the names, popularity and lists of a count store.

    Args:
        counts: any item partition; lists come from the caller.
        catalogue: titles, categories and availability; it may change at any time.
        worker: name of this process.
        score: name of the score that ranks the lists.
        refreshed: see `LiveAssortment`.

    Attributes:
        names: ids and numbers of items.
        live: what can be recommended.
        entries: lists as JSON.
    """

    def __init__(
        self, counts: CountStore, catalogue: Catalogue, worker: str, score: str, *, refreshed: bool = False
    ) -> None:
        self.names = counts.names
        self.live = LiveAssortment(counts, catalogue, refreshed=refreshed)
        self.entries = ListEntries(counts.names, catalogue)
        self._counts = counts
        self._catalogue = catalogue
        self._worker = worker
        self._score = score
        self._stamped = (-1, -1)
        self._stamp = {"as_of": as_of(counts), "worker": worker}
        self._search = LiveSearch(self.live.assortment, catalogue)

    def known(self, item_id: str) -> int | None:
        """An item's number; None if only the catalogue knows it.

        Raises:
            NotKnown: no state and no catalogue has this item.
        """
        number = self.names.get(item_id, -1)
        if number >= 0 and _sum_of(self._counts.popularity.purchases, number):
            return number
        if item_id in self._catalogue.items:
            return None
        raise NotKnown(
            f"no item {item_id[:200]!r} was ever bought; ids are compared exactly, capitals included: "
            "/search?q=TEXT finds items by id or title"
        )

    def popularity(self, item_id: str) -> float:
        """Popularity of an item, as of the last snapshot of the assortment."""
        assortment = self.live.assortment()
        number = self.names.get(item_id, -1)
        return float(assortment.popularity[number]) if 0 <= number < assortment.bought else 0.0

    def item(self, item_id: str, popularity: float) -> dict[str, Any]:
        """An item's catalogue entry, buyers, popularity, and purchases of the last sixty days."""
        number = self.known(item_id)
        table = self._counts.popularity
        newest, daily = table.newest_day, table.days
        days = range(max(newest - DAYS + 1, 0), newest + 1)
        return {
            **item_facts(item_id, self._catalogue),
            **self._volume(number),
            "popularity": popularity,
            "daily_purchases": [
                {"day": day_text(day), "purchases": 0 if number is None else int(daily[day % DAYS][number])}
                for day in days
            ],
            **self.stamp(),
        }

    def listed(
        self, item_id: str, number: int | None, entries: Entries, *, exact: bool, score: str | None = None
    ) -> RelatedListAnswer:
        """The document of a related list with these entries; `score` ranks it, if another one than the lists'."""
        document = {
            **titled(item_id, self._catalogue),
            **self._volume(number),
            "pairs": self._counts.settings.pairs,
            "score": score or self._score,
            "exact": exact,
            "related": entries.document,
            **entries.more,
            **self.stamp(),
        }
        return RelatedListAnswer(document, entries.version)

    def pair(self, item_id: str, other_id: str, epochs: Sequence[PairEpoch]) -> dict[str, Any]:
        """The document of a pair of items."""
        return {
            **titled(item_id, self._catalogue),
            **self._volume(self.known(item_id)),
            "pairs": self._counts.settings.pairs,
            "other": {**titled(other_id, self._catalogue), **self._volume(self.known(other_id))},
            "epochs": pair_entries(epochs),
            **self.stamp(),
        }

    def catalogue(self, request: CatalogueRequest) -> dict[str, Any]:
        """The items that are asked for, each variant of a product, the most bought first, and how many there are."""
        admitted, boost = self.live.chosen(request)
        assortment = replace(self.live.assortment(), groups=None)
        end = request.offset + request.limit
        page = assortment.fillers("purchases", admitted, end, boost)[request.offset :]
        matching = int(np.count_nonzero(admitted))
        items = [
            {
                **described(assortment.ids[number], self._catalogue, request.fields),
                "category": self._catalogue.get(assortment.ids[number]).category,
                "in_stock": self._catalogue.get(assortment.ids[number]).in_stock,
                "purchases": int(assortment.purchases[number]),
            }
            for number in page.tolist()
        ]
        more = {"next_offset": end} if end < min(matching, MOST_PAGED + 1) else {}
        return {"category": request.category, "matching": matching, "items": items, **more, **self.stamp()}

    def unlisted(self, item_id: str) -> RelatedListAnswer:
        """The document of an item without a list, which only the catalogue knows."""
        nothing = self.entries.of_chosen(None, _NO_LIST, RelatedRequest(), whole=True)
        return self.listed(item_id, None, nothing, exact=True)

    def visitor(self, request: RecommendationRequest, held: Held) -> Visitor:
        """The visitor of a request.

        Args:
            request: the request, with the basket.
            held: the items held, in this store's numbers.
        """
        bought = self.live.assortment().bought  # newer items are not in the snapshot
        basket = {
            item_id: self.names[item_id] for item_id in request.basket if self.names.get(item_id, bought) < bought
        }
        held = held.among(held.item < bought)
        ignored = [item_id for item_id in request.basket if item_id not in basket]
        basket_numbers = list(basket.values())

        def number(item_id: str) -> int:
            found = self.names.get(item_id, -1)
            return found if found < bought else -1

        return Visitor(held, basket_numbers, ignored, choose_seeds(held, basket_numbers, number))

    def recommended(self, visitor: Visitor, lists: SeedLists, request: RecommendationRequest) -> dict[str, Any]:
        """The document of a visitor's recommendations; `lists` are the related lists of the visitor's seeds."""
        assortment = self.live.assortment()
        admitted, boost = self.live.chosen(request)
        excluded = [self.live.number(item_id) for item_id in request.exclude]
        admitted[[number for number in excluded if number is not None]] = False
        if not (request.keep_held or request.repeats_share > 0):
            owned = np.concatenate([visitor.held.item, np.array(visitor.basket, np.int64)])
            owned = owned[owned < assortment.bought]
            admitted[owned] = False
            if assortment.groups is not None:
                admitted[self.live.variants_of(self.names.texts(owned.tolist()))] = False
        blend = Blend(request.popularity_share, request.repeats_share)
        recommendations = recommend(
            visitor.held,
            visitor.seeds,
            lists,
            assortment,
            admitted,
            request.offset + request.limit + 1,
            blend,
            request.reasons,
            boost=boost,
            offset=request.offset,
        )
        more = {"next_offset": request.offset + request.limit} if len(recommendations) > request.limit else {}
        document: dict[str, Any] = {} if request.customer_id is None else {"customer_id": request.customer_id}
        document["known"] = len(visitor.seeds.item) > 0
        if visitor.ignored:
            document["ignored"] = visitor.ignored
        document["recommendations"] = recommendation_entries(
            recommendations[: request.limit], assortment, self._catalogue, request.fields
        )
        return {**document, **more, **self.stamp()}

    def bestsellers(self, request: BestsellersRequest) -> dict[str, Any]:
        """The bestsellers of the last days, or of more if nothing that is asked for was bought in these.

        Raises:
            NotCounted: the purchases of some days must be counted first.
        """
        chosen = self.live.chosen(request)
        assortment = self.live.assortment()
        end = request.offset + request.limit
        best: list[Bestseller] = []
        document: dict[str, Any] = {"days": request.days, "category": request.category}
        for days in dict.fromkeys((request.days, DAYS, None)):
            recent = assortment.purchases[: assortment.bought] if days is None else self.live.recent(days)
            if recent is None:
                raise NotCounted(days)
            best = bestsellers(recent, assortment, chosen.admitted, end + 1, chosen.boost)
            if best:
                if days != request.days:
                    document["widened_to_days"] = self.live.days_counted() if days is None else days
                break
        entries = bestseller_entries(best[request.offset : end], assortment, self._catalogue, request.fields)
        more = {"next_offset": end} if len(best) > end else {}
        return {**document, "bestsellers": entries, **more, **self.stamp()}

    async def search(self, text: str, limit: int) -> dict[str, Any]:
        """Items whose id or title contains every word of `text`, and whether the search was complete.

        Raises:
            NotReady: too many searches wait.
        """
        try:
            found = await self._search.find(text, limit)
        except TooManySearches as error:
            raise NotReady(f"{error}: ask again") from None
        items = [{**item_facts(item_id, self._catalogue), "purchases": purchases} for item_id, purchases in found.items]
        return {"items": items, "complete": found.complete}

    def stamp(self) -> dict[str, Any]:
        """The log prefix that an answer reflects, and the worker that answers."""
        version = self._counts.newest, self._counts.lines
        if version != self._stamped:
            self._stamped, self._stamp = version, {"as_of": as_of(self._counts), "worker": self._worker}
        return self._stamp

    def _volume(self, number: int | None) -> dict[str, int]:
        """The number of customers who hold an item, or of orders that do, and of its purchases."""
        table = self._counts.popularity
        if number is None:
            return {"buyers": 0, "purchases": 0}
        return {"buyers": _sum_of(table.holders, number), "purchases": _sum_of(table.purchases, number)}


def _sum_of(columns: Mapping[int, Column], number: int) -> int:
    """The sum of an item's counts in all epochs."""
    # a copy: a thread that counts may add columns and lengthen them
    return sum([column.item(number) for column in list(columns.values()) if number < len(column)])
