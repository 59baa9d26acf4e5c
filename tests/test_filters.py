"""Filters, boosts and pages of lists: what they admit, that lists are full, and that scores stay those of the lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from state.settings import CountingSettings
from streams.catalogue.catalogue import Catalogue, CatalogueItem, decode_item, encode_item, from_fields
from streams.catalogue.files import shown_records
from streams.endpoint.published import FreshLists
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import SCORES, Scoring
from tests.batch_definition import DAY_MS, Line, Order
from tests.live_shop import BEGIN_MS, TOKEN, Shop, open_shop
from tests.log_strategies import as_orders
from tests.test_admin import ask, post, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from state.related_store import StoredList
    from streams.engine.ranking import RelatedItem

ITEMS = 130
OLD = ("relic", "antique")


def log() -> list[Order]:
    """Everyone who buys the hub buys some of many other items; two items were bought once, ten months before."""
    generator = np.random.default_rng(7)
    orders = [Order("ancestor", BEGIN_MS - 300 * DAY_MS, tuple(map(Line, OLD)), "old")]
    for number in range(260):
        lines = [Line(f"i{item}") for item in generator.choice(ITEMS, 6, replace=False)]
        if number % 2:
            lines = [Line("hub"), *[Line(f"i{item}") for item in generator.choice(ITEMS // 2, 4, replace=False)]]
        orders.append(Order(f"c{number}", BEGIN_MS + number * DAY_MS // 20, tuple(lines), f"o{number}"))
    return orders


def item_of(number: int) -> CatalogueItem:
    return CatalogueItem(
        title=f"Item {number}",
        category="even" if number % 2 == 0 else "odd",
        brand=f"b{number % 5}",
        price=f"{number}.50 EUR",
        in_stock=number % 10 != 3,
        available=number % 10 != 7,
        attributes={"colour": "red" if number % 3 == 0 else "blue"},
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state"), log()) as shop:

        async def fill() -> None:
            for item_id in list(shop.catalogue.items):
                shop.catalogue.put(item_id, None)
            for number in range(ITEMS):
                shop.catalogue.put(f"i{number}", item_of(number))
            for item_id in OLD:
                shop.catalogue.put(item_id, CatalogueItem(category="old"))

        shop.run(fill())
        yield shop


def related(shop: Shop, **query: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - parameters
    entries: list[dict[str, Any]] = ask(shop, "/v1/items/hub/related", **query).document["related"]
    return entries


def number_of(entry: dict[str, Any]) -> int:
    return int(entry["item_id"][1:])


CONDITIONS: dict[str, Callable[[int], bool]] = {
    "category:odd": lambda number: number % 2 == 1,
    "brand:b1": lambda number: number % 5 == 1,
    "colour:red": lambda number: number % 3 == 0,
    "price:20..60.5": lambda number: 20 <= number + 0.5 <= 60.5,
    "price:..9.5": lambda number: number + 0.5 <= 9.5,
}


@pytest.mark.parametrize("text", CONDITIONS)
@pytest.mark.parametrize("negated", [False, True])
def test_lists_have_only_what_is_asked_for(shop: Shop, text: str, negated: bool) -> None:
    """Related lists, recommendations and bestsellers alike."""
    holds = CONDITIONS[text]
    kind: dict[str, Any] = {"where_not" if negated else "where": [text], "limit": 20}
    lists = {
        "related": related(shop, **kind),
        "recommendations": post(shop, "/v1/recommendations", {"basket": ["hub"], **kind}).document["recommendations"],
        "bestsellers": ask(shop, "/v1/bestsellers", **kind).document["bestsellers"],
    }

    for name, entries in lists.items():
        numbers = [number_of(entry) for entry in entries if entry["item_id"] not in {"hub", *OLD}]
        assert numbers, name
        assert all(holds(number) != negated for number in numbers), name
        assert all(number % 10 not in {3, 7} for number in numbers), name


def test_fields_all_hold_and_one_value_of_each_is_enough(shop: Shop) -> None:
    entries = related(shop, where=["brand:b1", "brand:b2", "colour:red"], category="even", limit=50)

    assert entries
    for entry in entries:
        number = number_of(entry)
        assert number % 5 in {1, 2}
        assert number % 3 == 0
        assert number % 2 == 0


def test_a_filtered_list_is_full_and_agrees_with_the_published_one(shop: Shop) -> None:
    """Items beyond the fifty that are published fill it up, below those that are."""
    whole = related(shop, in_stock="false", limit=50)
    assert len(whole) == 50
    for text, holds in CONDITIONS.items():
        filtered = related(shop, where=text, limit=50, in_stock="false")
        listed = [entry for entry in whole if holds(number_of(entry))]
        assert filtered[: len(listed)] == listed
        assert [entry["score"] for entry in filtered] == sorted((entry["score"] for entry in filtered), reverse=True)
    beyond = related(shop, where="colour:blue", in_stock="false", limit=50)
    assert len(beyond) > sum(number_of(entry) % 3 != 0 for entry in whole)


def test_a_list_that_had_to_be_computed_is_kept_until_it_changes(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site asks for the same filters again and again, and computing waits for the counts."""
    computed: list[int] = []
    list_of = FreshLists.list_of

    def counted(lists: FreshLists, number: int, *by: Any) -> StoredList:  # noqa: ANN401
        computed.append(number)
        return list_of(lists, number, *by)

    monkeypatch.setattr(FreshLists, "list_of", counted)
    first = related(shop, where="brand:b4", limit=40)
    for _ in range(3):
        assert related(shop, where="brand:b4", limit=40) == first
    assert len(computed) == 1
    assert related(shop, where="brand:b4", limit=39) == first[:39]
    best = first[0]["item_id"]
    order = {"customer_id": "new", "timestamp": 1_709_000_000, "lines": [{"item_id": "hub"}, {"item_id": best}]}
    assert post(shop, "/v1/orders", order, TOKEN).status == 202
    again = {entry["item_id"]: entry for entry in related(shop, where="brand:b4", limit=40)}
    assert again[best]["bought_together"] == first[0]["bought_together"] + 1

    async def put(item: CatalogueItem) -> None:
        shop.catalogue.put(best, item)

    shop.run(put(CatalogueItem(title="Renamed", brand="b4")))
    assert "Renamed" in [entry.get("title") for entry in related(shop, where="brand:b4", limit=40)]
    shop.run(put(item_of(int(best[1:]))))


def test_a_list_is_full_although_items_are_hidden(shop: Shop) -> None:
    """Some of the published fifty cannot be had: others take their places, below those that are left."""
    published = shop.run(published_list(shop))["related"]
    entries = related(shop)

    assert entries[: len(published)] == published
    assert 30 < len(published) < len(entries)


async def published_list(shop: Shop) -> dict[str, Any]:
    """The list as watchers get it when it is published."""
    view = shop.answers._open_items.home()
    document: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(view.published_list("hub", view.answers.names["hub"]).document)
    )
    return document


def test_what_is_sold_out_is_shown_to_whoever_asks_and_what_is_hidden_to_nobody(shop: Shop) -> None:
    body = {"basket": ["hub"], "limit": 200, "keep_held": True}
    some = post(shop, "/v1/recommendations", body).document["recommendations"]
    more = post(shop, "/v1/recommendations", {**body, "in_stock": False}).document["recommendations"]

    def last_digits(entries: list[dict[str, Any]]) -> set[int]:
        return {number_of(entry) % 10 for entry in entries if entry["item_id"] not in {"hub", *OLD}}

    assert last_digits(some) == {0, 1, 2, 4, 5, 6, 8, 9}
    assert last_digits(more) == last_digits(some) | {3}
    assert {number_of(entry) % 10 for entry in related(shop, in_stock="false", where="in_stock:false")} == {3}
    assert ask(shop, "/v1/items/i3").document["in_stock"] is False
    assert ask(shop, "/v1/items/i3").document["available"] is False


def test_a_boost_multiplies_scores_and_ranks_by_them(shop: Shop) -> None:
    plain = {entry["item_id"]: entry["score"] for entry in related(shop, limit=50)}
    boosted = related(shop, boost="colour:red^3", limit=50)

    assert [entry["score"] for entry in boosted] == sorted((entry["score"] for entry in boosted), reverse=True)
    assert sum(number_of(entry) % 3 == 0 for entry in boosted[:10]) > 5
    for entry in boosted:
        if entry["item_id"] in plain:
            factor = 3 if number_of(entry) % 3 == 0 else 1
            assert entry["score"] == pytest.approx(factor * plain[entry["item_id"]])
    body = {"basket": ["hub"], "limit": 30, "boost": ["colour:red^3"]}
    for entry in post(shop, "/v1/recommendations", body).document["recommendations"]:
        assert sum(reason["share"] for reason in entry["because"]) == pytest.approx(entry["score"])


def test_pages_follow_each_other(shop: Shop) -> None:
    """Without gaps and repeats, as long as nothing is counted in between."""
    for path, name, most in (
        ("/v1/items/hub/related", "related", 50),
        ("/v1/customers/c1/recommendations", "recommendations", 60),
        ("/v1/customers/nobody/recommendations", "recommendations", 60),
        ("/v1/bestsellers", "bestsellers", 60),
    ):
        whole = ask(shop, path, limit=most).document[name]
        pages: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None and offset < most:
            document = ask(shop, path, limit=min(25, most - offset), offset=offset).document
            pages += document[name]
            offset = document.get("next_offset")
        assert pages == whole, path
    assert ask(shop, "/v1/items/hub/related", offset=50).document["related"] == []


@pytest.mark.parametrize(
    ("parameter", "text", "words"),
    [
        ("where", "colour", "FIELD:VALUE"),
        ("where", "price:ten", "price:LOW..HIGH"),
        ("where", "price:20..10", "price:LOW..HIGH"),
        ("where", "title:Tea", "attributes only"),
        ("where_not", "in_stock:maybe", "in_stock:true"),
        ("boost", "colour:red", "CONDITION^FACTOR"),
        ("boost", "colour:red^0", "from 0.001 to 1000"),
        ("offset", "1001", "1000"),
    ],
)
def test_a_condition_that_cannot_be_read_is_named(shop: Shop, parameter: str, text: str, words: str) -> None:
    query: dict[str, Any] = {parameter: text}
    response = ask(shop, "/v1/items/hub/related", **query)

    refused(response, 400, parameter, words)
    assert response.document["parameter"] == parameter
    if parameter != "offset":
        refused(post(shop, "/v1/related", {"items": ["hub"], parameter: [text]}), 400, words)


def test_a_category_bought_long_ago_has_bestsellers(shop: Shop) -> None:
    """The answer says how far it went back."""
    document = ask(shop, "/v1/bestsellers", category="old").document

    assert {entry["item_id"] for entry in document["bestsellers"]} == set(OLD)
    assert document["days"] == 14
    assert 300 <= document["widened_to_days"] <= 345
    assert "widened_to_days" not in ask(shop, "/v1/bestsellers", category="even").document
    assert ask(shop, "/v1/bestsellers", category="nothing").document["bestsellers"] == []


def test_a_basket_may_be_in_the_query(shop: Shop) -> None:
    """So that a page can ask without a body, and its browser cache the answer as it may."""
    kind = {"limit": 5, "where": "colour:red"}

    asked = ask(shop, "/v1/recommendations?basket=hub,i4", headers={}).document
    filtered = ask(shop, "/v1/recommendations?basket=hub&basket=i4&limit=5&where=colour:red").document

    assert (
        asked["recommendations"]
        == post(shop, "/v1/recommendations", {"basket": ["hub", "i4"]}).document["recommendations"]
    )
    body = {"basket": ["hub", "i4"], "limit": 5, "where": [kind["where"]]}
    assert filtered["recommendations"] == post(shop, "/v1/recommendations", body).document["recommendations"]
    assert not ask(shop, "/v1/recommendations").document["known"]


def test_what_fills_a_list_up_says_so(shop: Shop) -> None:
    for path in ("/v1/customers/nobody/recommendations", "/v1/customers/c1/recommendations"):
        entries = ask(shop, path, category="old", popularity_share=0).document["recommendations"]
        assert [entry["because"] for entry in entries] == [[{"filler": 1, "share": 0.0}]] * 2
        assert [entry["score"] for entry in entries] == [0.0, 0.0]


def entries_of(ranker: Ranker, embedded: Embedded, number: int, weight: np.ndarray) -> list[RelatedItem]:
    _, lists = ranker.lists(np.array([number], np.uint32), weight)
    return lists.entries(0, embedded.counts[0].names)


@pytest.mark.parametrize("score", SCORES)
def test_a_weighted_list_is_the_best_of_all_that_may_be_listed(tmp_path: Path, score: str) -> None:
    """Whatever the bounds skip: lists without what was listed before follow each other; weights multiply scores."""
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(as_orders(log()), len(log()))
    names = embedded.counts[0].names
    ranker = Ranker(embedded.counts[0], Scoring(score))
    hub = names["hub"]
    nothing = np.zeros(0)
    plain = entries_of(ranker, embedded, hub, nothing)
    assert entries_of(ranker, embedded, hub, np.ones(len(names))) == plain

    weight = np.ones(len(names))
    everything: list[RelatedItem] = []
    while page := entries_of(ranker, embedded, hub, weight):
        everything += page
        weight[[names[entry.item_id] for entry in page]] = 0
    assert everything[: len(plain)] == plain
    assert [entry.score for entry in everything] == sorted((entry.score for entry in everything), reverse=True)
    assert len(everything) > 50

    factors = np.random.default_rng(3).choice([0.0, 0.5, 1.0, 4.0], len(names))
    expected = {entry.item_id: entry.score * factors[names[entry.item_id]] for entry in everything}
    weighted = entries_of(ranker, embedded, hub, factors)
    best = sorted((value for value in expected.values() if value > 0), reverse=True)[:50]
    assert [entry.score for entry in weighted] == pytest.approx(best)
    assert all(entry.score == pytest.approx(expected[entry.item_id]) for entry in weighted)
    embedded.close()


@pytest.mark.parametrize(
    ("value", "available", "in_stock"),
    [("out of stock", True, False), ("0", True, False), ("discontinued", False, True), ("in stock", True, True)],
)
def test_sold_out_is_not_gone(value: str, available: bool, in_stock: bool) -> None:
    _, item = from_fields({"item_id": "tea", "available": value})

    assert (item.available, item.in_stock) == (available, in_stock)
    catalogue = Catalogue({"tea": item})
    assert catalogue.hidden("tea") != (available and in_stock)
    ((_, record),) = shown_records({"tea": encode_item(item)}, {"tea": True})
    assert not Catalogue({"tea": decode_item(record)}).hidden("tea"), "--available shows it again"
