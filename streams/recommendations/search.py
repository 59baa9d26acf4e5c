"""Finding items by id or title, as one types."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from streams.catalogue.catalogue import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment

INDEX_HOLDS_S = 5.0
_MOST_HITS = 5000


class ItemSearch:
    """Items whose id or title contains every word asked for, capitals aside.

    All ids and titles are one text, so that a search is one scan at the speed of memory.

    Args:
        ids: item ids by number.
        titles: their titles, None where there is none.

    >>> search = ItemSearch(["1", "2", "3"], ["Green Tea", None, "Black tea"])
    >>> search.find("tea", np.array([1, 9, 5]), 10), search.find("2", np.array([1, 9, 5]), 10)
    ([2, 0], [1])
    """

    def __init__(self, ids: Sequence[str], titles: Sequence[str | None]) -> None:
        entries = [
            f"{item_id}\n{title or ''}".lower().replace("\0", " ") for item_id, title in zip(ids, titles, strict=True)
        ]
        self._text = "\0".join(entries)
        self._entries = entries
        lengths = np.fromiter(map(len, entries), np.int64, len(entries))
        self._starts: list[int] = (np.cumsum(lengths + 1) - lengths - 1).tolist()
        self._ids = ids

    def find(self, text: str, purchases: npt.NDArray[np.int64], limit: int) -> list[int]:
        """Numbers of the items found: the one of that very id first, then the most bought."""
        words = text.lower().replace("\0", " ").split()
        if not words:
            return []
        rarest = max(words, key=len)
        found: list[int] = []
        at = self._text.find(rarest)
        while at >= 0 and len(found) < _MOST_HITS:
            number = bisect_right(self._starts, at) - 1
            entry = self._entries[number]
            if all(word in entry for word in words):
                found.append(number)
            at = self._text.find(rarest, self._starts[number] + len(entry))
        exact = text.strip()
        found.sort(key=lambda number: (self._ids[number] != exact, -int(purchases[number]), self._ids[number]))
        return found[:limit]


class _Index(NamedTuple):
    made_at: float
    state: tuple[int, int]
    stock: Assortment
    search: ItemSearch


class LiveSearch:
    """A search whose items are those of a few seconds ago.

    Building the index takes a while; meanwhile others are answered from the previous one.

    Args:
        stock: the assortment of now.
        catalogue: has the titles.
    """

    def __init__(self, stock: Callable[[], Assortment], catalogue: Catalogue) -> None:
        self._stock = stock
        self._catalogue = catalogue
        self._index: _Index | None = None

    async def find(self, text: str, limit: int) -> list[tuple[str, int]]:
        """Ids and purchases of the items found, best first."""
        index = self._index
        stock = self._stock()
        state, now = (len(stock.ids), self._catalogue.version), time.monotonic()
        if index is None or (index.state != state and now - index.made_at > INDEX_HOLDS_S):
            if index is not None:
                self._index = index._replace(made_at=now)
            items = dict(self._catalogue.items)

            def make() -> ItemSearch:
                return ItemSearch(stock.ids, [items.get(item_id, UNKNOWN).title for item_id in stock.ids])

            index = self._index = _Index(now, state, stock, await asyncio.to_thread(make))
        purchases = index.stock.purchases
        found = index.search.find(text, purchases, limit)
        return [(index.stock.ids[number], int(purchases[number])) for number in found]
