"""Search for items by id or title, fast enough for each keystroke, whatever the query.

The text of an item is the bytes of its id and its title, in lower case. Each item has a signature: a bit for each run
of one, two and three bytes in its text, chosen by a hash. An item can only contain a word if it has the bits of the
runs in the word, so a few machine words decide about most items. The texts of the others are compared.

Items stand in the order in which they are found, the most bought first, so a search ends with the last item that it
returns. It runs in a thread of its own, without the GIL, and ends when its time is used up.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled, compiled_nogil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment

    Bytes = npt.NDArray[np.uint8]
    Offsets = npt.NDArray[np.int64]
    Signatures = npt.NDArray[np.uint64]

INDEX_VALID_S = 5.0
BUILDING_SHARE = 20
"""An index is used for at least this many times as long as it took to build."""
SEARCH_TIME_S = 0.05
"""Processor time of a search, after which it returns what it has found."""
MOST_WAITING = 32
"""Searches that wait for their turn, or run."""
NICER = 10
"""Searches have a tenth of the processor while it is wanted for anything else."""
_LONGEST_RUN = 3
_BYTES_OF_TEXT_PER_WORD = 6  # 64 bits for six bytes with some fifteen runs: an eighth to a fifth of the bits are set
_MOST_WORDS = 64  # of a signature, for texts of 400 bytes and more
_SORTED_AT_A_TIME = 4096
_STEPS_AT_A_TIME = 2_000_000  # a millisecond or two


class Found(NamedTuple):
    """The result of a search."""

    numbers: list[int]
    """Of items: the one with exactly that id first, then the most bought."""
    complete: bool
    """Whether all items were looked at that could be among these; False if the time was used up."""


class TooManySearches(Exception):
    """More searches wait than can be answered soon."""


class ItemSearch:
    """Finds items whose id or title contains every word of a query, ignoring case.

    Args:
        ids: item ids by number.
        titles: item titles by number; None for items without a title.
        purchases: (n,) purchases by number: the most bought are found first.

    >>> search = ItemSearch(["1", "2", "3"], ["Green Tea", None, "Black tea"], np.array([1, 9, 5]))
    >>> search.find("tea", 10), search.find("2", 10)
    (Found(numbers=[2, 0], complete=True), Found(numbers=[1], complete=True))
    """

    def __init__(self, ids: Sequence[str], titles: Sequence[str | None], purchases: npt.NDArray[np.int64]) -> None:
        order = _ordered(ids, purchases)
        self._numbers = order
        self._ids = ids
        self._rank_of = {ids[number]: rank for rank, number in enumerate(order)}
        texts = [f"{ids[number]}\n{titles[number] or ''}".lower().encode() for number in order]
        self._text, self._starts = _packed(texts)
        size = len(self._text) // max(len(texts), 1) // _BYTES_OF_TEXT_PER_WORD
        words = 1 << max(3, min(size, _MOST_WORDS).bit_length())
        self._signatures = _sign(self._text, self._starts, min(words, _MOST_WORDS))

    def find(self, text: str, limit: int, time_s: float = SEARCH_TIME_S) -> Found:
        """The items found, at most `limit`, with about `time_s` of the processor; it may run in a thread."""
        words = _words(text)
        if not words:
            return Found([], complete=True)
        packed, starts = _packed(words)
        wanted = np.bitwise_or.reduce(_sign(packed, starts, self._signatures.shape[1]), axis=0)
        exact = self._rank_of.get(text.strip())
        ranks = [] if exact is None else [exact]
        found = np.zeros(limit, np.int64)
        count, rank = 0, 0
        deadline = time.thread_time() + time_s
        while rank < len(self._numbers) and count < limit and time.thread_time() < deadline:
            count, rank = _find(
                self._signatures, wanted, self._text, self._starts, packed, starts, rank, found, count, _STEPS_AT_A_TIME
            )
        ranks += [other for other in found[:count].tolist() if other != exact]
        complete = rank >= len(self._numbers) or count >= limit
        return Found([self._numbers[rank] for rank in ranks[:limit]], complete)


def _ordered(ids: Sequence[str], purchases: npt.NDArray[np.int64]) -> list[int]:
    """Numbers of items, the most bought first, ties by id; sorted in parts, since a sort holds the GIL to its end."""
    keys = list(zip((-purchases).tolist(), ids, range(len(ids)), strict=True))
    parts = [sorted(keys[begin : begin + _SORTED_AT_A_TIME]) for begin in range(0, len(keys), _SORTED_AT_A_TIME)]
    return [number for _, _, number in heapq.merge(*parts)]


def _words(text: str) -> list[bytes]:
    """The words of a query, each once, without those that another one contains; the longest first."""
    words: list[bytes] = []
    joined = b""
    for word in sorted({word.encode() for word in text.lower().split()}, key=lambda word: (-len(word), word)):
        if word not in joined:
            words.append(word)
            joined += b" " + word
    return words


def _packed(texts: Sequence[bytes]) -> tuple[Bytes, Offsets]:
    """Texts one after the other, and (n + 1,) where each begins."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
    return np.frombuffer(b"".join(texts), np.uint8), starts


@compiled
def _bit_of(run: int, bits: int) -> int:
    """The bit of a run of bytes, by Fibonacci hashing."""
    mixed = np.uint64(run) * np.uint64(0x9E3779B97F4A7C15)
    return int(mixed >> np.uint64(40)) % bits


@compiled_nogil
def _sign(text: Bytes, starts: Offsets, words: int) -> Signatures:
    """(n, words) signatures of texts."""
    signatures = np.zeros((len(starts) - 1, words), np.uint64)
    bits = words * 64
    for number in range(len(starts) - 1):
        for begin in range(starts[number], starts[number + 1]):
            run = 0
            for end in range(begin, min(begin + _LONGEST_RUN, starts[number + 1])):
                run = run * 257 + int(text[end]) + 1
                bit = _bit_of(run, bits)
                signatures[number, bit >> 6] |= np.uint64(1) << np.uint64(bit & 63)
    return signatures


@compiled
def _contains(text: Bytes, begin: int, end: int, words: Bytes, first: int, last: int) -> tuple[bool, int]:
    """Whether text[begin:end] contains words[first:last], and how many bytes were compared."""
    size = last - first
    steps = 0
    for at in range(begin, end - size + 1):
        same = 0
        while same < size and text[at + same] == words[first + same]:
            same += 1
        steps += same + 1
        if same == size:
            return True, steps
    return False, steps


@compiled_nogil
def _find(
    signatures: Signatures,
    wanted: Signatures,
    text: Bytes,
    starts: Offsets,
    words: Bytes,
    word_starts: Offsets,
    rank: int,
    found: Offsets,
    count: int,
    most_steps: int,
) -> tuple[int, int]:
    """Go on with a search from an item, for so many steps; the number of items found so far, and the next item."""
    steps = 0
    used = np.flatnonzero(wanted)
    while rank < len(starts) - 1 and count < len(found) and steps < most_steps:
        candidate = True
        for word in used:
            steps += 1
            if signatures[rank, word] & wanted[word] != wanted[word]:
                candidate = False
                break
        if candidate:
            for number in range(len(word_starts) - 1):
                contained, compared = _contains(
                    text, starts[rank], starts[rank + 1], words, word_starts[number], word_starts[number + 1]
                )
                steps += compared
                if not contained:
                    candidate = False
                    break
            if candidate:
                found[count] = rank
                count += 1
        rank += 1
    return count, rank


class _Index(NamedTuple):
    built_at: float
    valid_s: float
    version: tuple[int, int]
    assortment: Assortment
    search: ItemSearch


class SearchResult(NamedTuple):
    """Items found."""

    items: list[tuple[str, int]]
    """Ids and purchases, best first."""
    complete: bool
    """Whether every item was looked at that could be among these."""


def _give_way() -> None:
    """Let this thread run when no other answer is waiting for the processor."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)


class LiveSearch:
    """A search over items as of a few seconds ago, in a thread of its own.

    While a new index is built, searches use the previous one.

    Args:
        assortment: returns the current assortment.
        catalogue: titles.
    """

    def __init__(self, assortment: Callable[[], Assortment], catalogue: Catalogue) -> None:
        self._assortment = assortment
        self._catalogue = catalogue
        self._index: _Index | None = None
        # one thread: however many searches are asked for, the other cores are free to count
        self._thread = ThreadPoolExecutor(1, "search", _give_way)
        self._waiting = 0

    async def find(self, text: str, limit: int) -> SearchResult:
        """The items found.

        Raises:
            TooManySearches: too many wait already.
        """
        if self._waiting >= MOST_WAITING:
            raise TooManySearches(f"{MOST_WAITING} searches wait already")
        self._waiting += 1
        try:
            index = await self._current()
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._thread, index.search.find, text, limit)
        finally:
            self._waiting -= 1
        ids, purchases = index.assortment.ids, index.assortment.purchases
        return SearchResult([(ids[number], int(purchases[number])) for number in found.numbers], found.complete)

    async def _current(self) -> _Index:
        """The index to use; the first search, and the first after a while, builds it."""
        index = self._index
        assortment = self._assortment()
        version, now = (len(assortment.ids), self._catalogue.version), time.monotonic()
        if index is not None and (index.version == version or now - index.built_at < index.valid_s):
            return index
        if index is not None:
            self._index = index._replace(built_at=now)
        titles_of = self._catalogue.get

        def build() -> ItemSearch:
            ids = list(assortment.ids)
            titles = [titles_of(item_id).title for item_id in ids]
            return ItemSearch(ids, titles, assortment.purchases)

        search = await asyncio.to_thread(build)
        valid_s = max(INDEX_VALID_S, BUILDING_SHARE * (time.monotonic() - now))
        self._index = _Index(time.monotonic(), valid_s, version, assortment, search)
        return self._index
