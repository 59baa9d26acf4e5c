"""Related lists as published, in memory while there is room, and as the counts have them now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from state.related_store import StoredList
from streams.lists import Ranker
from streams.stages import item_partition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from state.count_store import CountStore
    from streams.lists import Scoring

LISTS_IN_MEMORY = 32_768  # 70 MB of full lists


class PublishedLists:
    """Lists by item number, read once and kept while there is room.

    Args:
        read: (item number) reads a list that is not in memory; None if there is none.
        room: lists to keep; when it is full, those read first go.
    """

    def __init__(self, read: Callable[[int], StoredList | None], room: int = LISTS_IN_MEMORY) -> None:
        self._read = read
        self._room = room
        self._lists: dict[int, StoredList | None] = {}

    def get(self, number: int) -> StoredList | None:
        """An item's list, or None if none was published."""
        try:
            return self._lists[number]
        except KeyError:
            stored = self._read(number)
            self.put(number, stored)
            return stored

    def put(self, number: int, stored: StoredList | None) -> None:
        """Take note of a list that was just published."""
        if len(self._lists) >= self._room:
            for old in list(self._lists)[: self._room // 8]:
                del self._lists[old]
        self._lists[number] = stored

    def forget(self) -> None:
        """Read every list anew when it is next asked for."""
        self._lists.clear()


class FreshLists:
    """Lists computed from the counts as they are now.

    Args:
        counts: every item partition, in order; items have the same number in each.
        scoring: by what to rank.
    """

    def __init__(self, counts: Sequence[CountStore], scoring: Scoring) -> None:
        self._counts = counts
        self._scoring = scoring
        self._rankers: dict[int, tuple[int, Ranker]] = {}

    def list_of(self, number: int) -> StoredList:
        """An item's list; the first of a commit costs a pass over all items' popularity, the others little."""
        counts = self._counts[item_partition(self._counts[0].names.text(number), len(self._counts))]
        commit, ranker = self._rankers.get(counts.partition, (-1, None))
        if ranker is None or commit != counts.journal.commit:
            ranker = Ranker(counts, self._scoring)
            self._rankers[counts.partition] = (counts.journal.commit, ranker)
        _, lists = ranker.lists(np.array([number], np.uint32))
        shown = slice(int(lists.length[0]))
        return StoredList(
            lists.item[0, shown],
            lists.score[0, shown],
            lists.together[0, shown],
            lists.expected[0, shown],
            lists.trend[0, shown],
        )
