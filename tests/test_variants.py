"""Variants of a product: no answer shows two of one group, nor the siblings of what it is about."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from state.settings import CountingSettings
from streams.catalogue.catalogue import Catalogue, CatalogueItem
from streams.catalogue.files import read_catalogue
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.requests import RelatedRequest
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from tests.batch_definition import DAY_MS, Line, Order
from tests.live_shop import BEGIN_MS, Shop, open_shop
from tests.log_strategies import as_orders
from tests.test_admin import ask
from tests.test_filters import entries_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.engine.ranking import RelatedItem

SEED = "hub"
ITEMS = 300
WOOCOMMERCE = "ID,Type,SKU,Name,Published,In stock?,Parent\n"


def log() -> list[Order]:
    """Whoever buys the seed buys several of many items, others two."""
    generator = np.random.default_rng(11)
    orders = []
    for number in range(300):
        bought = generator.choice(ITEMS, 8 if number % 2 else 2, replace=False)
        lines = [Line(SEED)] * (number % 2) + [Line(f"i{item}") for item in bought]
        orders.append(Order(f"c{number}", BEGIN_MS + number * DAY_MS // 20, tuple(lines), f"o{number}"))
    return orders


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """A state in which many more items are related to the seed than a list has room for."""
    embedded = Embedded(tmp_path_factory.mktemp("variants"), CountingSettings())
    embedded.count(as_orders(log()), len(log()))
    list(embedded.publish())
    yield embedded
    embedded.close()


@pytest.fixture(scope="module")
def related_to_the_seed(embedded: Embedded) -> list[RelatedItem]:
    """Every item that is related to it, best first."""
    names = embedded.counts[0].names
    ranker, weight = Ranker(embedded.counts[0], Scoring()), np.ones(len(names))
    everything: list[RelatedItem] = []
    while page := entries_of(ranker, embedded, names[SEED], weight):
        everything += page
        weight[[names[entry.item_id] for entry in page]] = 0
    assert len(everything) > 150
    return everything


def shown(entries: list[RelatedItem], catalogue: dict[str, CatalogueItem]) -> list[RelatedItem]:
    """What the definition shows: the best obtainable item of each group, and none of the seed's."""
    stocked = {item.group_id for item in catalogue.values() if item.group_id and item.available and item.in_stock}
    groups = {catalogue[SEED].group_id} - {None}
    best = []
    for entry in entries:
        item = catalogue.get(entry.item_id, CatalogueItem())
        if not item.available or not (item.in_stock or item.group_id in stocked) or item.group_id in groups:
            continue
        groups |= {item.group_id} - {None}
        best.append(entry)
    return best


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    groups=st.integers(1, 60),
    grouped=st.sampled_from([0.0, 0.3, 1.0]),
    sold_out=st.sampled_from([0.0, 0.5]),
    chance=st.integers(0, 2**32 - 1),
    limit=st.integers(1, 50),
    fresh=st.booleans(),
)
def test_a_list_has_the_best_of_each_group_and_is_full(
    embedded: Embedded,
    related_to_the_seed: list[RelatedItem],
    groups: int,
    grouped: float,
    sold_out: float,
    chance: int,
    limit: int,
    fresh: bool,
) -> None:
    """Of few large groups a list is short; the room that siblings leave is filled from far beyond the published one."""
    generator = np.random.default_rng(chance)
    catalogue = {
        item: CatalogueItem(
            group_id=f"g{generator.integers(groups)}" if generator.random() < grouped else None,
            in_stock=bool(generator.random() >= sold_out),
            available=bool(generator.random() < 0.9),
        )
        for item in (SEED, *(f"i{number}" for number in range(ITEMS)))
    }
    answers = EmbeddedAnswers(embedded, Catalogue(catalogue))
    wanted = shown(related_to_the_seed, catalogue)

    def page(offset: int) -> dict[str, Any]:
        request = RelatedRequest(limit=limit, offset=offset, fresh=fresh)
        document: dict[str, Any] = msgspec.json.decode(
            msgspec.json.encode(asyncio.run(answers.related(SEED, request)).document)
        )
        return document

    first, rest = page(0), page(limit)

    for document, part in ((first, wanted[:50][:limit]), (rest, wanted[:50][limit : 2 * limit])):
        found = [(entry["item_id"], entry["score"]) for entry in document["related"]]
        assert found == [(entry.item_id, entry.score) for entry in part]
    assert ("next_offset" in first) == (len(wanted[:50]) > limit)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state"), log()) as shop:
        yield shop


def put(shop: Shop, **items: CatalogueItem) -> None:
    async def change() -> None:
        for item_id, item in items.items():
            shop.catalogue.put(item_id, item)

    shop.run(change())


def test_a_group_is_in_stock_if_any_of_it_is(shop: Shop) -> None:
    """A visitor chooses the size on the product's page; whether that very one is there is said of the item."""
    best, second = (entry["item_id"] for entry in ask(shop, "/v1/items/hub/related", limit=2).document["related"])
    listed = partial(ask, shop, "/v1/items/hub/related", fields="group_id")

    put(shop, **{best: CatalogueItem(group_id="g", in_stock=False), second: CatalogueItem(group_id="g")})
    entries = listed().document["related"]
    assert entries[0]["item_id"] == best
    assert entries[0]["group_id"] == "g"
    assert second not in {entry["item_id"] for entry in entries}
    item = ask(shop, f"/v1/items/{best}").document
    assert (item["available"], item["in_stock"], item["group_id"]) == (True, False, "g")

    put(shop, **{second: CatalogueItem(group_id="g", in_stock=False)})
    assert {best, second}.isdisjoint(entry["item_id"] for entry in listed().document["related"])
    assert listed(in_stock="false").document["related"][0]["item_id"] == best
    assert [entry["item_id"] for entry in listed(where="group_id:g", in_stock="false").document["related"]] == [best]

    put(shop, **{SEED: CatalogueItem(group_id="g"), best: CatalogueItem(group_id="g")})
    assert {best, second}.isdisjoint(entry["item_id"] for entry in listed().document["related"])
    put(shop, **dict.fromkeys((SEED, best, second), CatalogueItem()))


def test_variants_of_what_is_held_are_not_recommended_unless_it_is(shop: Shop) -> None:
    query: dict[str, Any] = {"basket": "i1", "limit": 300}
    put(shop, i1=CatalogueItem(group_id="g"), i2=CatalogueItem(group_id="g"), i3=CatalogueItem(group_id="g"))

    recommended = ask(shop, "/v1/recommendations", **query).document["recommendations"]
    kept = ask(shop, "/v1/recommendations", **query, keep_held="true").document["recommendations"]

    assert {"i1", "i2", "i3"}.isdisjoint(entry["item_id"] for entry in recommended)
    assert len({"i1", "i2", "i3"} & {entry["item_id"] for entry in kept}) == 1
    put(shop, **dict.fromkeys(("i1", "i2", "i3"), CatalogueItem()))


@pytest.mark.parametrize(
    "content",
    [
        "item_id,title,group_id\nM-B,Blue mug,mug\nM-R,Red mug,mug\nTEA,Tea,\n",
        "id,title,link,availability,item_group_id\nM-B,,http://b,yes,mug\nM-R,,http://r,yes,mug\nTEA,,http://t,yes,\n",
        "Handle,Title,Variant SKU,Variant Price\nmug,Mug,M-B,5\nmug,,M-R,5\n,Tea,TEA,4\n",
        f"{WOOCOMMERCE}1,variable,mug,Mug,1,1,\n2,variation,M-B,,1,1,id:1\n3,variation,M-R,,1,1,mug\n4,simple,TEA,,1,1,\n",
        f"{WOOCOMMERCE}mug,variable,,Mug,1,1,\n2,variation,M-B,,1,1,id:mug\n3,variation,M-R,,1,1,id:mug\n4,,TEA,,1,1,\n",
    ],
)
def test_feeds_name_the_product_of_each_variant(tmp_path: Path, content: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(content)

    groups = {row.item_id: row.item.group_id for row in read_catalogue(path) if row.reason is None}

    assert {item: groups[item] for item in ("M-B", "M-R", "TEA")} == {"M-B": "mug", "M-R": "mug", "TEA": None}
