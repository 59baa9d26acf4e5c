"""The routes that the page is made of besides the shop's own: pairs, other scores, the catalogue, rates."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from producers.orders import DAY_MS
from streams.catalogue.catalogue import CatalogueItem
from streams.endpoint.handlers import AdminSettings
from streams.engine.scores import SCORES
from tests.live_shop import BEGIN_MS, CATALOGUE, HOSTILE_IDS, TOKEN, Shop, open_shop
from tests.test_admin import ask, post, refused

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state"), settings=AdminSettings(TOKEN)) as shop:
        yield shop


def test_a_pair_ends_where_the_list_is(shop: Shop) -> None:
    order = {"customer_id": "later", "item_id": "tea", "timestamp": (BEGIN_MS + 45 * DAY_MS) // 1000}
    for item in ("tea", "milk"):
        assert post(shop, "/orders", {**order, "item_id": item}, TOKEN).status == 202
    listed = {entry["item_id"]: entry for entry in ask(shop, "/v1/items/tea/related").document["related"]}
    pair = ask(shop, "/v1/items/tea/related/milk").document

    assert (pair["title"], pair["other"]["title"]) == ("Green tea", "Whole milk")
    first, last = pair["epochs"]
    assert (first["first_day"], first["last_day"]) == ("2024-02-17", "2024-03-17")
    assert (last["first_day"], last["new_pairs"]) == ("2024-03-18", 1)
    assert last["bought_together"] == first["bought_together"] + 1 == listed["milk"]["bought_together"]
    assert last["expected"] == pytest.approx(listed["milk"]["expected"])
    assert last["difference"] == last["bought_together"] - last["expected"]
    assert pair["as_of"] == ask(shop, "/v1/items/tea").document["as_of"]


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_a_pair_may_have_any_ids(shop: Shop, name: str) -> None:
    pair = ask(shop, f"/v1/items/{quote(name, safe='')}/related/{quote(HOSTILE_IDS[0], safe='')}").document

    assert (pair["item_id"], pair["other"]["item_id"]) == (name, HOSTILE_IDS[0])


def test_a_pair_of_what_was_never_bought_has_no_epochs(shop: Shop) -> None:
    assert ask(shop, "/v1/items/honey/related/tea").document["epochs"] == []
    assert ask(shop, "/v1/items/tea/related/honey").document["other"]["buyers"] == 0
    refused(ask(shop, "/v1/items/tea/related/nothing"), 404, "nothing", "/search")
    refused(ask(shop, "/v1/items/nothing/related/tea"), 404, "nothing")


@pytest.mark.parametrize("score", SCORES)
def test_a_list_may_be_ranked_by_any_score(shop: Shop, score: str) -> None:
    """The published list stays what it is, and is not mistaken for another one that was asked for in between."""
    published = ask(shop, "/v1/items/tea/related").document
    ranked = ask(shop, "/v1/items/tea/related", score=score).document
    together = post(shop, "/v1/related", {"items": ["tea"], "score": score}).document["results"][0]["answer"]

    assert ranked["score"] == score
    assert ranked == together
    assert ranked["related"]
    if score == "raw":
        found = {entry["item_id"]: entry["bought_together"] * entry["trend"] for entry in ranked["related"]}
        assert [entry["score"] for entry in ranked["related"]] == pytest.approx(sorted(found.values(), reverse=True))
        assert found.keys() > {entry["item_id"] for entry in published["related"]}
    assert ask(shop, "/v1/items/tea/related").document == published
    assert (ranked == published) == (score == published["score"])


def test_a_list_by_another_score_has_filters_and_pages(shop: Shop) -> None:
    whole = ask(shop, "/v1/items/tea/related", score="raw", where_not="category:drinks").document
    page = ask(shop, "/v1/items/tea/related", score="raw", where_not="category:drinks", offset=1, limit=2).document

    assert "milk" not in [entry["item_id"] for entry in whole["related"]]
    assert page["related"] == whole["related"][1:3]
    assert page["next_offset"] == 3


def test_a_score_that_there_is_not_is_refused_with_those_that_there_are(shop: Shop) -> None:
    response = ask(shop, "/v1/items/tea/related", score="best")

    refused(response, 400, "best", *SCORES)
    assert response.document["parameter"] == "score"
    refused(post(shop, "/v1/related", {"items": ["tea"], "score": "best"}), 400, "score")


def test_the_catalogue_has_every_item_on_some_page(shop: Shop) -> None:
    """Those that nobody has bought, too."""
    whole = ask(shop, "/v1/catalogue", limit=500).document
    pages = []
    offset: int | None = 0
    while offset is not None:
        page = ask(shop, "/v1/catalogue", limit=7, offset=offset).document
        pages += page["items"]
        offset = page.get("next_offset")

    assert pages == whole["items"]
    assert len(pages) == whole["matching"]
    ids = [entry["item_id"] for entry in pages]
    assert ids[0] == "soap"
    assert {"honey", *HOSTILE_IDS} <= set(ids)
    bought = [entry["purchases"] for entry in pages]
    assert bought == sorted(bought, reverse=True)
    assert bought[ids.index("honey")] == 0


def test_the_catalogue_is_filtered_and_hides_what_may_not_be_shown(shop: Shop) -> None:
    drinks = ask(shop, "/v1/catalogue", category="drinks", fields="title,brand").document
    assert [entry["item_id"] for entry in drinks["items"]] == ["milk", "tea"]
    assert drinks["matching"] == 2
    assert drinks["items"][0]["brand"] == "Meadow"
    assert ask(shop, "/v1/catalogue", category="nothing").document["items"] == []
    assert ask(shop, "/v1/catalogue", offset=5_000).document["items"] == []
    refused(ask(shop, "/v1/catalogue", offset=5_001), 400, "offset")

    shop.catalogue.put("tea", CatalogueItem(title="Green tea", category="drinks", available=False))
    shop.catalogue.put("milk", CatalogueItem(category="sold", in_stock=False))
    try:
        assert ask(shop, "/v1/catalogue", category="drinks", in_stock="false").document["items"] == []
        assert ask(shop, "/v1/catalogue", category="sold").document["items"] == []
        (milk,) = ask(shop, "/v1/catalogue", category="sold", in_stock="false").document["items"]
        assert not milk["in_stock"]
    finally:
        shop.catalogue.put("tea", CATALOGUE["tea"])
        shop.catalogue.put("milk", CATALOGUE["milk"])


def test_the_catalogue_has_every_variant_of_a_product(shop: Shop) -> None:
    for number in range(7):
        shop.catalogue.put(f"odd{number}", CatalogueItem(group_id="odd", category="odd"))
    try:
        odd = ask(shop, "/v1/catalogue", category="odd", fields="group_id").document
        assert ask(shop, "/v1/bestsellers", category="odd").document["bestsellers"][0]["item_id"] == "odd1"
    finally:
        for number in range(7):
            shop.catalogue.put(f"odd{number}", None)

    assert odd["matching"] == len(odd["items"]) == 7
    assert {entry["group_id"] for entry in odd["items"]} == {"odd"}


def test_categories_are_those_with_most_items(shop: Shop) -> None:
    whole = ask(shop, "/v1/categories").document

    assert whole["categories"] == [
        {"category": "drinks", "item_count": 2},
        {"category": "bath & body", "item_count": 1},
    ]
    first = ask(shop, "/v1/categories", limit=1).document
    assert (first["categories"], first["matching"]) == (whole["categories"][:1], 2)


def test_rates_tell_what_was_done_since_the_last_question(shop: Shop) -> None:
    def done() -> tuple[int, int]:
        minutes = ask(shop, "/v1/rates").document["minutes"]
        return sum(minute["lines"] for minute in minutes), sum(minute["commits"] for minute in minutes)

    lines, commits = done()
    order = {"customer_id": "busy", "timestamp": BEGIN_MS // 1000, "lines": [{"item_id": "tea"}, {"item_id": "soap"}]}
    assert post(shop, "/orders", order, TOKEN).status == 202

    more_lines, more_commits = done()
    assert more_lines == lines + 2
    assert more_commits > commits
    assert all(row["commits"] > 0 for row in ask(shop, "/v1/partitions").document["partitions"])
