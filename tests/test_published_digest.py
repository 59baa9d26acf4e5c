"""Which lists are published again."""

from __future__ import annotations

import numpy as np
import pytest

from state.related_store import StoredList
from streams.engine.ranking import LIST_LENGTH, RelatedLists
from streams.workers.publishing.published_digest import PublishedDigests


def lists_of(*scores: list[float], first: int = 5) -> RelatedLists:
    """Lists of items `first`, `first` + 1, and so on, with these scores."""
    size = len(scores), LIST_LENGTH
    lists = RelatedLists(
        item=np.zeros(size, np.uint32),
        score=np.zeros(size),
        together=np.zeros(size),
        expected=np.zeros(size),
        trend=np.zeros(size),
        length=np.array([len(row) for row in scores]),
    )
    for number, row in enumerate(scores):
        lists.item[number, : len(row)] = np.arange(first, first + len(row))
        lists.score[number, : len(row)] = row
        lists.expected[number, : len(row)] = 1.5
    return lists


def nothing(items: list[int]) -> list[StoredList | None]:
    """What readers were told before there were any."""
    return [None] * len(items)


ITEMS = np.array([7, 5000], np.uint32)


@pytest.mark.parametrize(
    ("then", "now", "tolerance", "differ"),
    [
        ([2.0, 1.0], [2.0, 1.0], 0.05, False),
        ([2.0, 1.0], [2.04, 1.0], 0.05, False),
        ([2.0, 1.0], [2.04, 1.0], 0.0, True),
        ([2.0, 1.0], [2.0, 1.0], 0.0, False),
        ([2.0, 1.0], [2.2, 1.0], 0.05, True),
        ([2.0, 1.0], [2.0], 0.05, True),
        ([], [], 0.0, False),
        ([], [1.0], 0.05, True),
    ],
)
def test_a_list_differs_by_its_members_or_by_a_score_that_moved_far(
    then: list[float], now: list[float], tolerance: float, *, differ: bool
) -> None:
    digests = PublishedDigests(nothing)
    digests.record(ITEMS, lists_of(then, [3.0]), np.array([0, 1]))

    assert digests.differing(ITEMS, lists_of(now, [3.0]), tolerance).tolist() == [0] * differ


def test_the_smallest_change_of_any_column_is_a_difference_when_everything_is_to_be_exact() -> None:
    """The sweep promises that a reader of the topic holds exactly the lists of the counts."""
    digests = PublishedDigests(nothing)
    digests.record(ITEMS[:1], lists_of([2.0, 1.0]), np.array([0]))
    for column in range(1, 5):
        lists = lists_of([2.0, 1.0])
        lists[column][0, 1] = np.nextafter(lists[column][0, 1], np.inf)

        assert digests.differing(ITEMS[:1], lists, 0.0).tolist() == [0]


def test_what_was_told_before_the_worker_started_is_read_from_the_store() -> None:
    lists = lists_of([2.0, 1.0], [3.0])
    stored = {7: StoredList(*lists.cut(0, 2))}

    digests = PublishedDigests(lambda items: [stored.get(item) for item in items])

    assert digests.differing(ITEMS, lists, 0.0).tolist() == [1]
    assert digests.differing(ITEMS, lists, 0.05).tolist() == [1]


def test_an_item_whose_list_was_never_published_differs_even_if_its_list_is_empty() -> None:
    """Readers tell an item that nothing goes with from one that they have not heard of."""
    assert PublishedDigests(nothing).differing(ITEMS, lists_of([], []), 0.0).tolist() == [0, 1]
