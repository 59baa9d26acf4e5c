"""Related lists: as published, cached in memory, and as computed from the counts now."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.related_store import StoredList
from streams.engine.ranker import Ranker
from streams.engine.ranking import LIST_LENGTH, NO_WEIGHT
from streams.engine.scores import Scoring
from streams.recommendations.merge import SeedLists

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from state.count_store import CountStore
    from streams.engine.relatedness import Floats

LISTS_IN_MEMORY = 32_768  # 59 MB once all are in use


class PublishedLists:
    """Published lists by item number, cached in arrays, from which the lists of many seeds are gathered at once.

    Args:
        read: (item number) reads a list that is not in memory; None if there is none.
        room: lists to cache; the oldest are replaced first.
    """

    def __init__(self, read: Callable[[int], StoredList | None], room: int = LISTS_IN_MEMORY) -> None:
        self._read = read
        self._room = room
        self._slots: dict[int, int] = {}
        self._numbers = [-1] * room
        self._next = 0
        self._item = np.zeros((room, LIST_LENGTH), np.uint32)
        self._score, self._together, self._expected, self._trend = (np.zeros((room, LIST_LENGTH)) for _ in range(4))
        self._length = np.zeros(room, np.int64)

    def get(self, number: int) -> StoredList:
        """An item's list, empty if none was published; valid until the next call."""
        slot = self._slot(number)
        shown = slice(self._length[slot])
        return StoredList(
            self._item[slot, shown],
            self._score[slot, shown],
            self._together[slot, shown],
            self._expected[slot, shown],
            self._trend[slot, shown],
        )

    def of_seeds(self, numbers: Sequence[int]) -> SeedLists:
        """The lists of several items, fewer than `room`."""
        slots = [self._slots.get(number, -1) for number in numbers]
        while -1 in slots:
            for number in numbers:
                self._slot(number)
            # later reads may have replaced earlier ones; the next pass reads those into the slots that follow
            slots = [self._slots.get(number, -1) for number in numbers]
        return SeedLists(
            self._item[slots], self._score[slots], self._together[slots], self._expected[slots], self._length[slots]
        )

    def put(self, number: int, stored: StoredList | None) -> int:
        """Cache a list; return its slot."""
        slot = self._slots.get(number, -1)
        if slot < 0:
            slot, self._next = self._next, (self._next + 1) % self._room
            self._slots.pop(self._numbers[slot], None)
            self._numbers[slot] = number
            self._slots[number] = slot
        length = 0 if stored is None else len(stored.item)
        self._length[slot] = length
        if stored is not None:
            self._item[slot, :length] = stored.item
            self._score[slot, :length] = stored.score
            self._together[slot, :length] = stored.together
            self._expected[slot, :length] = stored.expected
            self._trend[slot, :length] = stored.trend
        return slot

    def __contains__(self, number: int) -> bool:
        return number in self._slots

    def discard(self, number: int) -> None:
        """Drop a list; it is read again when next asked for."""
        slot = self._slots.pop(number, None)
        if slot is not None:
            self._numbers[slot] = -1

    def forget(self) -> None:
        """Drop all lists."""
        self._slots.clear()
        self._numbers = [-1] * self._room

    def _slot(self, number: int) -> int:
        slot = self._slots.get(number, -1)
        return self.put(number, self._read(number)) if slot < 0 else slot


class FreshLists:
    """Lists of a partition's items, computed from the current counts.

    Args:
        counts: counts of the partition.
        scoring: what to rank by.
    """

    def __init__(self, counts: CountStore, scoring: Scoring) -> None:
        self._counts = counts
        self._scoring = scoring
        self._own: _Ranking | None = None
        self._other: _Ranking | None = None

    def list_of(self, number: int, weight: Floats = NO_WEIGHT, score: str | None = None) -> StoredList:
        """An item's list.

        The first of a commit takes a pass over the popularity of all items; others are cheap.

        Args:
            number: of the item.
            weight: as of `Ranker.lists`.
            score: another score to rank by, without a half-life; None: the scoring of these lists.
        """
        if score is None:
            ranking = self._own = self._current(self._own, self._scoring)
        else:  # one is kept: whoever compares two scores looks at one item after the other
            ranking = self._other = self._current(self._other, Scoring(score, trend=self._scoring.trend))
        _, lists = ranking.ranker.lists(np.array([number], np.uint32), weight)
        return StoredList(*lists.cut(0, int(lists.length[0])))

    def _current(self, ranking: _Ranking | None, scoring: Scoring) -> _Ranking:
        """A ranking as of the last commit: this one, if it still is."""
        commit = self._counts.journal.commit
        if ranking is None or (ranking.scoring, ranking.commit) != (scoring, commit):
            return _Ranking(scoring, commit, Ranker(self._counts, scoring))
        return ranking


class _Ranking(NamedTuple):
    """What ranks lists, as of a commit."""

    scoring: Scoring
    commit: int
    ranker: Ranker
