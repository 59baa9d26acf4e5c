"""Answers from one count store, the same for a stored state and for a worker.

Facts about an item are read while another thread may be counting: each number is from before or after that commit.
Whatever takes a pass over all items comes from a `LiveAssortment`, a snapshot of one commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.popularity_table import DAYS
from streams.endpoint.answer_documents import bestseller_entries, item_facts, recommendation_entries, titled
from streams.endpoint.answers import NotKnown, NotReady, RelatedListAnswer
from streams.endpoint.list_entries import ListEntries
from streams.endpoint.live_assortment import LiveAssortment
from streams.engine.documents import as_of, day_text
from streams.recommendations.bestsellers import bestsellers
from streams.recommendations.recommend import Blend, Held, Seeds, choose_seeds, recommend
from streams.recommendations.search import LiveSearch, TooManySearches

if TYPE_CHECKING:
    from state.count_store import CountStore
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.endpoint.list_entries import Entries
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
        self._search = LiveSearch(self.live.assortment, catalogue)

    def known(self, item_id: str) -> int | None:
        """An item's number; None if only the catalogue knows it.

        Raises:
            NotKnown: no state and no catalogue has this item.
        """
        number = self.names.get(item_id, -1)
        if number >= 0 and self._volume(number)["purchases"]:
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
                {"day": day_text(day), "purchases": 0 if number is None else int(daily[day % DAYS, number])}
                for day in days
            ],
            **self.stamp(),
        }

    def listed(self, item_id: str, entries: Entries, *, exact: bool) -> RelatedListAnswer:
        """The document of a related list with these entries."""
        number = self.names.get(item_id, -1)
        document = {
            **titled(item_id, self._catalogue),
            **self._volume(None if number < 0 else number),
            "score": self._score,
            "exact": exact,
            "related": entries.document,
            **self.stamp(),
        }
        return RelatedListAnswer(document, entries.version)

    def unlisted(self, item_id: str) -> RelatedListAnswer:
        """The document of an item without a list, which only the catalogue knows."""
        return self.listed(item_id, self.entries.entries(None, None, 0), exact=True)

    def computed(self, item_id: str, number: int, stored: StoredList, limit: int) -> RelatedListAnswer:
        """The document of a list that was computed for this answer."""
        return self.listed(item_id, self.entries.entries(number, stored, limit), exact=True)

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
        held = Held(*[column[held.item < bought] for column in held])
        ignored = [item_id for item_id in request.basket if item_id not in basket]
        basket_numbers = list(basket.values())
        return Visitor(held, basket_numbers, ignored, choose_seeds(held, basket_numbers))

    def recommended(self, visitor: Visitor, lists: SeedLists, request: RecommendationRequest) -> dict[str, Any]:
        """The document of a visitor's recommendations; `lists` are the related lists of the visitor's seeds."""
        assortment = self.live.assortment()
        admitted = self.live.admitted(request.category)
        excluded = [self.live.number(item_id) for item_id in request.exclude]
        admitted[[number for number in excluded if number is not None]] = False
        if not (request.keep_held or request.repeats_share > 0):
            owned = np.concatenate([visitor.held.item, np.array(visitor.basket, np.int64)])
            admitted[owned[owned < assortment.bought]] = False
        blend = Blend(request.popularity_share, request.repeats_share)
        recommendations = recommend(
            visitor.held, visitor.seeds, lists, assortment, admitted, request.limit, blend, request.reasons
        )
        document: dict[str, Any] = {} if request.customer_id is None else {"customer_id": request.customer_id}
        document["known"] = len(visitor.seeds.item) > 0
        if visitor.ignored:
            document["ignored"] = visitor.ignored
        document["recommendations"] = recommendation_entries(recommendations, assortment, self._catalogue)
        return {**document, **self.stamp()}

    def bestsellers(self, days: int, category: str | None, limit: int) -> dict[str, Any] | None:
        """The bestsellers of the last days; None if the purchases of this many days must be counted first."""
        recent = self.live.recent(days)
        if recent is None:
            return None
        assortment = self.live.assortment()
        best = bestsellers(recent, assortment, self.live.admitted(category), limit)
        entries = bestseller_entries(best, assortment, self._catalogue)
        return {"days": days, "category": category, "bestsellers": entries, **self.stamp()}

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
        return {"as_of": as_of(self._counts), "worker": self._worker}

    def _volume(self, number: int | None) -> dict[str, int]:
        """The number of customers who hold an item, and of its purchases."""
        table = self._counts.popularity
        return {
            # a copy: a thread that counts may add columns and lengthen them
            name: 0
            if number is None
            else sum(int(column[number]) for column in list(columns.values()) if number < len(column))
            for name, columns in (("buyers", table.holders), ("purchases", table.purchases))
        }
