"""Nothing that visitors ask for is kept without a bound: a walk through all that the endpoint holds."""

from __future__ import annotations

import gc
import sys
from collections import deque
from types import FrameType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

from streams.catalogue.catalogue import CatalogueItem
from streams.endpoint.list_entries import ListEntries
from streams.endpoint.live_assortment import VALUES_IN_MEMORY
from streams.endpoint.requests import BestsellersRequest, RelatedRequest
from streams.recommendations.request import ListRequest, RecommendationRequest
from tests.live_shop import Shop, open_shop
from tests.test_admin import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

ITEMS = 30_000
CATEGORIES = 1_500
MADE_UP = 8_000
MOST_GROWTH = 1_200
"""Entries that any one container may gain: above the bounds of caches, far below the number of values asked for."""
MOST_GROWTH_BYTES = 24 << 20


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state")) as shop:
        shop.run(fill(shop))
        yield shop


async def fill(shop: Shop) -> None:
    """Put items into the catalogue; masks of all of them would be 30 KB for each category."""
    for number in range(ITEMS):
        shop.catalogue.put(f"p{number}", CatalogueItem(title=f"Product {number}", category=f"c{number % CATEGORIES}"))
    shop.answers._open_items.home().answers.live.show(shop.answers._open_items.home().answers.live.take_snapshot())


def containers(*roots: object) -> Iterator[tuple[str, Any]]:
    """Every container and array that can be reached, with the types that lead to it; not of modules and classes."""
    outside = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, ModuleType)}
    seen = set(outside)
    waiting = deque((type(root).__name__, root) for root in roots)
    while waiting:
        path, found = waiting.popleft()
        if id(found) in seen or isinstance(found, ModuleType | type | FrameType | str | bytes | int | float):
            continue
        seen.add(id(found))
        if isinstance(found, dict | list | set | deque | np.ndarray):
            yield path, found
        following = list(found.__closure__ or ()) if isinstance(found, FunctionType) else gc.get_referents(found)
        waiting.extend((f"{path[-200:]} > {type(one).__name__}", one) for one in following)


def sizes(shop: Shop) -> dict[int, tuple[str, int]]:
    gc.collect()
    found_in = containers(shop.answers, shop.app)
    return {id(found): (path, len(found)) for path, found in found_in if not isinstance(found, np.ndarray)}


def bestsellers_of(days: int, category: str) -> BestsellersRequest:
    return BestsellersRequest(days=days, category=category, limit=1)


async def storm(shop: Shop) -> None:
    """Ask about values of which no two are alike."""
    for number in range(MADE_UP):
        await shop.answers.bestsellers(bestsellers_of(1 + number % 60, f"made up {number}"))
    for number in range(CATEGORIES):
        await shop.answers.bestsellers(bestsellers_of(14, f"c{number}"))
    for number in range(2 * MOST_GROWTH):
        request = RecommendationRequest(customer_id=f"nobody {number}", category=f"none {number}", limit=1)
        await shop.answers.recommendations(request)
    for number in range(2 * MOST_GROWTH):
        await shop.answers.search(f"product {number}", 1)
    for limit in range(1, 51):
        for item_id in ("tea", "milk", "soap", *(f"odd{number}" for number in range(7))):
            await shop.answers.related(item_id, RelatedRequest(limit=limit))
            await shop.answers.related(
                item_id, RelatedRequest(where=(f"colour:{limit}",), fields=(f"made up {limit}",))
            )


def test_no_container_grows_with_what_is_asked(shop: Shop) -> None:
    """8,000 categories that nobody has once took 500 MB."""
    shop.run(storm_once(shop))
    before, memory = sizes(shop), psutil.Process().memory_info().rss

    shop.run(storm(shop))
    for number in range(300):
        ask(shop, f"/items/unknown{number}/related")
        ask(shop, f"/unknown/{number}")
        ask(shop, "/items/tea", headers={"Host": f"{number}.example"})
        ask(shop, f"/customers/c{number}", "DELETE", headers={"Authorization": "Bearer x"})

    grown = psutil.Process().memory_info().rss - memory
    after = sizes(shop)
    growth = {path: size - before.get(key, ("", 0))[1] for key, (path, size) in after.items()}
    assert len(before) > 500, "the walk reaches the caches"
    assert {path: more for path, more in growth.items() if more > MOST_GROWTH} == {}
    assert grown < MOST_GROWTH_BYTES


async def storm_once(shop: Shop) -> None:
    """One question of each kind, so that what is made once is there."""
    await shop.answers.bestsellers(bestsellers_of(14, "c1"))
    await shop.answers.search("product", 1)
    await shop.answers.related("tea", RelatedRequest())


def test_the_walk_finds_a_cache_that_is_not_bounded(shop: Shop) -> None:
    """Wherever it is: a test that cannot fail proves nothing."""
    before = sizes(shop)
    shop.answers._open_items.home().answers.live.leak = dict.fromkeys(range(2 * MOST_GROWTH))  # type: ignore[attr-defined]

    after = sizes(shop)

    del shop.answers._open_items.home().answers.live.leak  # type: ignore[attr-defined]
    assert max(size - before.get(key, ("", 0))[1] for key, (_, size) in after.items()) == 2 * MOST_GROWTH


def test_categories_that_exist_are_kept_for_a_while(shop: Shop) -> None:
    live = shop.answers._open_items.home().answers.live
    for number in range(CATEGORIES):
        admitted = live.chosen(ListRequest(category=f"c{number}")).admitted
        assert admitted.sum() == ITEMS // CATEGORIES
        assert all(admitted[live.number(item)] for item in shop.catalogue.having["category"][f"c{number}"])

    assert len(live._valued) == VALUES_IN_MEMORY
    assert not live.chosen(ListRequest(category="made up")).admitted.any()


def test_lists_as_json_are_kept_up_to_a_size(shop: Shop) -> None:
    """An item has fifty lists, one for each limit."""
    view = shop.answers._open_items.home()
    entries = ListEntries(view.answers.names, shop.catalogue, room_bytes=300_000)
    numbers = [view.answers.names[item_id] for item_id in ("tea", "milk", "soap", "odd1")]
    for number in numbers:
        for limit in range(1, 51):
            request = RelatedRequest(limit=limit)
            entries.keep(number, request, entries.of_admitted(number, view.published.get(number), request))
            sized = sum(
                1000 + memoryview(one.document).nbytes for by in entries._cached.values() for one in by.values()
            )
            assert entries._cached_bytes == sized <= 300_000
    assert entries.cached(numbers[0], RelatedRequest(limit=50)) is None
    assert entries.cached(numbers[-1], RelatedRequest(limit=50)) is not None
    entries.forget(numbers[-1])
    entries.forget_all()
    assert entries._cached_bytes == 0


def test_availability_follows_the_catalogue(shop: Shop) -> None:
    """Also within a category whose numbers are kept."""
    live = shop.answers._open_items.home().answers.live
    number = live.number("p7")
    assert live.chosen(ListRequest(category="c7")).admitted[number]

    async def put(*, available: bool) -> None:
        shop.catalogue.put("p7", CatalogueItem(category="c7", available=available))

    shop.run(put(available=False))
    assert not live.chosen(ListRequest(category="c7")).admitted[number]
    assert not live.chosen(ListRequest()).admitted[number]
    shop.run(put(available=True))
    assert live.chosen(ListRequest(category="c7")).admitted[number]
    assert np.flatnonzero(live.chosen(ListRequest(category="c7")).admitted).size == ITEMS // CATEGORIES
