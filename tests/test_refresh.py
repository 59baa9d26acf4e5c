"""The order in which lists are refreshed: a purchase shows at once, and nothing waits for ever."""

from __future__ import annotations

import numpy as np

from streams.workers.publishing.refresh import MOST_BOUGHT, SHARDS, RefreshQueue


def swept(refresh: RefreshQueue, *, exactly: bool) -> list[int]:
    """Refresh shards until none is due."""
    order = []
    while (number := refresh.inexact() if exactly else refresh.oldest()) is not None:
        refresh.looked_at(number, exactly=exactly)
        order.append(number)
    return order


def test_every_shard_is_refreshed_however_many_commits_arrive() -> None:
    """The list of an item that nobody buys drifts with popularity; it must be refreshed too."""
    refresh = RefreshQueue(now=0.0)
    seen = []
    for commit in range(SHARDS):
        refresh.changed(np.array([1], np.uint32), commit + 1, float(commit))
        number = refresh.oldest()
        assert number is not None
        refresh.looked_at(number, exactly=False)
        seen.append(number)

    assert sorted(seen) == list(range(SHARDS))


def test_the_age_is_that_of_the_oldest_change_that_waits() -> None:
    refresh = RefreshQueue(now=0.0)
    swept(refresh, exactly=False)
    assert refresh.age_s(100.0) == 0.0

    refresh.changed(np.array([1], np.uint32), 1, 100.0)
    refresh.changed(np.array([1], np.uint32), 2, 101.0)

    assert refresh.age_s(103.0) == 3.0


def test_a_sweep_makes_everything_exact_and_a_commit_makes_it_inexact() -> None:
    refresh = RefreshQueue(now=0.0)
    refresh.changed(np.array([1], np.uint32), 1, 1.0)
    assert len(swept(refresh, exactly=True)) == SHARDS
    assert swept(refresh, exactly=True) == []

    refresh.changed(np.array([1], np.uint32), 2, 2.0)

    assert len(swept(refresh, exactly=True)) == SHARDS


def test_too_many_items_bought_are_left_to_the_shards() -> None:
    """While a whole log is counted, nearly every item was just bought."""
    refresh = RefreshQueue(now=0.0)

    refresh.changed(np.arange(MOST_BOUGHT + 1, dtype=np.uint32), 1, 1.0)

    assert len(refresh) == 0
    assert refresh.oldest() is not None
