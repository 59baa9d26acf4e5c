"""Search for items by id or title, fast enough for each keystroke."""

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

INDEX_VALID_S = 5.0
_MOST_HITS = 5000


class ItemSearch:
    """Finds items whose id or title contains every word of a query, ignoring case.

    All ids and titles form one text, so that a search is one scan at memory speed.

    Args:
        ids: item ids by number.
        titles: item titles by number; None for items without a title.

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
        """Numbers of the items found: the one with exactly that id first, then the most bought."""
        words = text.lower().replace("\0", " ").split()
        if not words:
            return []
        longest = max(words, key=len)
        hits: list[int] = []
        position = self._text.find(longest)
        while position >= 0 and len(hits) < _MOST_HITS:
            number = bisect_right(self._starts, position) - 1
            entry = self._entries[number]
            if all(word in entry for word in words):
                hits.append(number)
            position = self._text.find(longest, self._starts[number] + len(entry))
        exact = text.strip()
        hits.sort(key=lambda number: (self._ids[number] != exact, -int(purchases[number]), self._ids[number]))
        return hits[:limit]


class _Index(NamedTuple):
    built_at: float
    version: tuple[int, int]
    assortment: Assortment
    search: ItemSearch


class LiveSearch:
    """A search over items as of a few seconds ago.

    While a new index is built, searches use the previous one.

    Args:
        assortment: returns the current assortment.
        catalogue: titles.
    """

    def __init__(self, assortment: Callable[[], Assortment], catalogue: Catalogue) -> None:
        self._assortment = assortment
        self._catalogue = catalogue
        self._index: _Index | None = None

    async def find(self, text: str, limit: int) -> list[tuple[str, int]]:
        """Ids and purchases of the items found, best first."""
        index = self._index
        assortment = self._assortment()
        version, now = (len(assortment.ids), self._catalogue.version), time.monotonic()
        if index is None or (index.version != version and now - index.built_at > INDEX_VALID_S):
            if index is not None:
                self._index = index._replace(built_at=now)
            items = dict(self._catalogue.items)

            def build() -> ItemSearch:
                titles = [items.get(item_id, UNKNOWN).title for item_id in assortment.ids]
                return ItemSearch(assortment.ids, titles)

            index = self._index = _Index(now, version, assortment, await asyncio.to_thread(build))
        ids, purchases = index.assortment.ids, index.assortment.purchases
        return [(ids[number], int(purchases[number])) for number in index.search.find(text, purchases, limit)]
