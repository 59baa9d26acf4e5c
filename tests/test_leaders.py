"""The leaders equal those of a full sort, and lists in memory equal those written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from state.related_store import StoredList
from streams.endpoint.changes import Change, Changes
from streams.endpoint.published import PublishedLists
from streams.recommendations.assortment import Assortment
from streams.recommendations.leaders import distinct_leaders, leaders

if TYPE_CHECKING:
    from collections.abc import Mapping

scores = st.sampled_from([0.0, 0.5, 1.0, 2.0])


@given(rows=st.lists(st.tuples(scores, st.integers(0, 2)), max_size=30), count=st.integers(0, 12))
def test_the_best_few_are_those_of_a_full_sort(rows: list[tuple[float, int]], count: int) -> None:
    """Ties are common in a new shop: purchases break them, then ids, never chance."""
    ids = [f"{number * 7 % 31}" for number in range(len(rows))]
    items = np.arange(len(rows))
    score, purchases = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], np.int64)

    found = leaders(items, score, purchases, ids, count).tolist()

    assert found == sorted(items.tolist(), key=lambda at: (-score[at], -purchases[at], ids[at]))[:count]


@given(
    rows=st.lists(st.tuples(scores, st.sampled_from(["", "a", "b", "c"])), max_size=30),
    count=st.integers(0, 12),
)
def test_of_each_group_there_is_the_best(rows: list[tuple[float, str]], count: int) -> None:
    """However many of a group are among the best: others take their places."""
    score, items = np.array([row[0] for row in rows]), np.arange(len(rows))
    groups = {number: group for number, (_, group) in enumerate(rows) if group}
    ids = [f"{number * 7 % 31}" for number in range(len(rows))]

    found = distinct_leaders(items, score, np.zeros(len(rows), np.int64), ids, count, groups.get).tolist()

    ranked = sorted(items.tolist(), key=lambda at: (-score[at], ids[at]))
    assert found == distinct(ranked, groups)[:count]


def distinct(numbers: list[int], groups: Mapping[int, str]) -> list[int]:
    """Those of which no earlier one has the same group."""
    best_of = {groups[number]: number for number in reversed(numbers) if number in groups}
    return [number for number in numbers if number not in groups or best_of[groups[number]] == number]


@given(
    popularity=st.lists(st.integers(0, 3), min_size=1, max_size=3000),
    count=st.integers(1, 20),
    random=st.randoms(use_true_random=False),
    grouped=st.booleans(),
)
def test_the_front_fills_up_like_a_full_sort(popularity: list[int], count: int, random: object, grouped: bool) -> None:
    """A front of 1,024 items avoids a full sort; if too few of them are admitted, all items are searched."""
    size = len(popularity)
    values = np.array(popularity, np.float64)
    zeros = np.zeros(size, np.int64)
    ids = [f"{number:05}" for number in range(size)]
    groups = {number: f"{number % 5}" for number in range(0, size, 2)} if grouped else {}
    assortment = Assortment(ids, size, values, zeros, zeros, np.ones(size, np.bool_), groups.get)
    admitted = np.arange(size) % 997 < 3 if hash(random) % 2 else np.ones(size, np.bool_)

    found = assortment.fillers("popularity", admitted, count).tolist()

    ranked = sorted(np.flatnonzero(admitted).tolist(), key=lambda at: (-values[at], ids[at]))
    assert found == distinct(ranked, groups)[:count]


@example([("get", 3), ("get", 2), ("seeds", 0), ("seeds", 3)])
@given(st.lists(st.tuples(st.sampled_from(["get", "seeds", "put", "forget"]), st.integers(0, 9)), max_size=60))
def test_lists_in_memory_are_those_last_published_whatever_was_dropped(steps: list[tuple[str, int]]) -> None:
    """With room for four lists of ten items, slots are reused all the time."""
    stored = {number: _list(number, 0) for number in range(9)}
    lists = PublishedLists(stored.get, room=4)
    for turn, (step, number) in enumerate(steps):
        if step == "put":
            stored[number] = _list(number, turn)
            lists.put(number, stored[number])
        elif step == "forget":
            lists.forget()
        elif step == "get":
            wanted = stored.get(number)
            found = lists.get(number)
            assert found.item.tolist() == ([] if wanted is None else wanted.item.tolist())
            assert found.trend.tolist() == ([] if wanted is None else wanted.trend.tolist())
        else:
            numbers = [number, (number + 1) % 10]
            seeds = lists.of_seeds(numbers)
            for row, seed in enumerate(numbers):
                wanted = stored.get(seed)
                shown = slice(int(seeds.length[row]))
                assert seeds.score[row, shown].tolist() == ([] if wanted is None else wanted.score.tolist())


def _list(number: int, turn: int) -> StoredList:
    length = number % 4
    values = np.array([at + 100.0 * number + turn for at in range(length)], np.float64)
    return StoredList(np.arange(length, dtype=np.uint32), values, values, values, values)


def test_a_slow_watcher_loses_the_oldest_changes_and_nobody_waits() -> None:
    async def watch() -> list[Change]:
        changes = Changes()
        watcher = changes.watch("tea")
        for number in range(100):
            changes.notify(Change("related", "tea", {"number": number}))
            changes.notify(Change("related", "milk", {"number": number}))
        changes.close()
        found = []
        while (change := await watcher.next(0.01)) is not None:
            found.append(change)
        return found

    found = asyncio.run(watch())

    assert len(found) == 64
    assert found[-1] == Change("end", None, {})
    assert all(change.item_id in ("tea", None) for change in found)


def test_a_change_is_encoded_once_for_all_watchers() -> None:
    """Two hundred may watch, and orders come five hundred a second."""

    async def watch() -> list[bytes]:
        changes = Changes()
        watchers = [changes.watch(None) for _ in range(3)]
        changes.notify(Change("orders", None, {"items": []}))
        received = [await watcher.next(0.01) for watcher in watchers]
        return [change.event for change in received if change is not None]

    first, *others = asyncio.run(watch())

    assert first == b'event: orders\ndata: {"items":[]}\n\n'
    assert [event is first for event in others] == [True, True]
