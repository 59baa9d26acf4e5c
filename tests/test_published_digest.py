"""Which lists are published again."""

from __future__ import annotations

import numpy as np
import pytest

from state.related_store import StoredList
from streams.engine.ranking import LIST_LENGTH, RelatedLists
from streams.workers.publishing.published_digest import PublishedDigests


def lists_of(*scores: list[float], first: int = 5) -> RelatedLists:
    """Lists of the items `first`, `first` + 1 and so on, with these scores."""
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
    """The published lists while there are none."""
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
        ([2.0, 1.0], [2.0, 0.97], 0.05, False),
        ([2.0, 1.0], [2.0, 0.94], 0.05, True),
        ([2.0, 1e-12], [2.0, 1.1e-12], 0.05, True),
        ([2.0, 1.0], [2.0, 0.01], 1.5, False),
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


def test_with_tolerance_zero_the_smallest_change_of_any_column_is_a_difference() -> None:
    """An idle worker promises that readers of the topic have exactly the lists of its counts."""
    digests = PublishedDigests(nothing)
    digests.record(ITEMS[:1], lists_of([2.0, 1.0]), np.array([0]))
    for column in range(1, 5):
        lists = lists_of([2.0, 1.0])
        lists[column][0, 1] = np.nextafter(lists[column][0, 1], np.inf)

        assert digests.differing(ITEMS[:1], lists, 0.0).tolist() == [0]


def test_lists_published_before_the_worker_started_are_read_from_the_store() -> None:
    lists = lists_of([2.0, 1.0], [3.0])
    stored = {7: StoredList(*lists.cut(0, 2))}

    digests = PublishedDigests(lambda items: [stored.get(item) for item in items])

    assert digests.differing(ITEMS, lists, 0.0).tolist() == [1]
    assert digests.differing(ITEMS, lists, 0.05).tolist() == [1]


def test_an_item_whose_list_was_never_published_differs_even_if_its_list_is_empty() -> None:
    """Readers must be able to tell an item without related items from an unknown one."""
    assert PublishedDigests(nothing).differing(ITEMS, lists_of([], []), 0.0).tolist() == [0, 1]


def test_items_of_other_partitions_take_little() -> None:
    """Every partition numbers all items, and has the lists of its own."""
    digests = PublishedDigests(nothing)
    items = np.arange(0, 400_000, 400, dtype=np.uint32)
    digests.record(items, lists_of(*[[1.0]] * len(items)), np.arange(len(items)))

    arrays = [array for array in vars(digests).values() if isinstance(array, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 4 * 1.5 * 400_000 + 1.5 * 120 * len(items)
    assert digests.differing(items, lists_of(*[[1.0]] * len(items)), 0.0).tolist() == []
