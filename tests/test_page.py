"""The page in a real browser: narrow and wide, light and dark, on a shop that receives orders."""

from __future__ import annotations

import csv
import json
import urllib.request
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from streams.catalogue.catalogue import CatalogueItem
from tests.browsers import check_accessible, choose_colours, needs_chromium, save_screenshot, watched_page
from tests.live_shop import HOSTILE_IDS, TOKEN, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page, Route

pytestmark = needs_chromium
EXPECTED = "the server responded with a status of"
"""In the errors of the console about answers that tests ask for: 404, and 500 of a fault that they make."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state")) as shop:
        yield shop


@pytest.fixture(scope="module")
def browser(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with watched_page(tmp_path_factory.mktemp("profile"), lambda: shop.url, unless=EXPECTED) as page:
        yield page


def order(shop: Shop, customer_id: str, *items: str, time_s: int = 1_709_200_000) -> None:
    """Send an order of a customer."""
    body = {"customer_id": customer_id, "timestamp": time_s, "lines": [{"item_id": item} for item in items]}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{shop.url}/orders", json.dumps(body).encode(), headers)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own
        assert response.status == 202


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_one_finds_an_item_sees_its_list_change_and_opens_a_customer(
    shop: Shop, browser: Page, width: int, colours: str
) -> None:
    name = f"{width}-{colours}"
    browser.set_viewport_size({"width": width, "height": 900})
    browser.emulate_media(color_scheme="light")
    browser.goto("about:blank")
    browser.goto(shop.url)
    browser.evaluate("localStorage.clear()")
    browser.reload()
    browser.locator(".seller").first.wait_for()
    browser.locator(".dot.on").wait_for()
    choose_colours(browser, colours)
    save_screenshot(browser, f"start-{name}")

    browser.locator("#search").fill("green")
    browser.locator("#found [role=option]").first.wait_for()
    save_screenshot(browser, f"search-{name}")
    browser.locator("#search").press("Enter")
    browser.locator("h1", has_text="Green tea").wait_for()
    milk = browser.locator('#related .row[data-item="milk"]')
    before = milk.locator(".figures b").first.inner_text()
    browser.wait_for_timeout(300)  # until the event stream is open
    order(shop, f"new-{name}", "tea", "milk", "<script>alert(1)</script>")
    browser.locator(".feed li", has_text=f"{before} → {int(before) + 1} together").first.wait_for()
    assert milk.locator(".figures b").first.inner_text() == str(int(before) + 1)
    save_screenshot(browser, f"item-{name}")

    browser.locator("#search").fill("c2")
    browser.locator("#found [role=option]", has_text="Customer c2").wait_for()
    browser.locator("#search").press("Enter")
    browser.locator(".recommended .because li").first.wait_for()
    assert browser.locator("h1").inner_text() == "c2"
    assert (
        browser.locator(".history .row").count()
        == json.load(urllib.request.urlopen(f"{shop.url}/customers/c2"))["items_held"]  # noqa: S310 - our own
    )
    save_screenshot(browser, f"customer-{name}")
    browser.locator("button", has_text="With repeats").click()
    browser.locator(".stack .repeats").first.wait_for()

    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(16, 19, 19)") == (colours == "dark")


def test_the_systems_colours_are_worn_unless_one_chooses(shop: Shop, browser: Page) -> None:
    browser.emulate_media(color_scheme="dark")
    browser.goto(shop.url)
    browser.evaluate("localStorage.clear()")
    browser.reload()

    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 19)"


@pytest.mark.parametrize("item", HOSTILE_IDS)
def test_any_id_is_shown_as_it_is(shop: Shop, browser: Page, item: str) -> None:
    """An id is text, wherever it comes from: a shop's feed may contain anything."""
    browser.set_viewport_size({"width": 360, "height": 740})
    browser.goto("about:blank")
    browser.goto(f"{shop.url}/#/items/{quote(item, safe='')}")
    browser.locator("h1").wait_for()

    assert browser.locator("h1").evaluate("element => element.textContent") == item
    assert browser.locator("#related .row").count() > 0
    assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    browser.goto(f"{shop.url}/#/customers/{quote(item, safe='')}")
    browser.locator(".eyebrow", has_text="customer").wait_for()
    assert browser.locator("h1").evaluate("element => element.textContent") == item
    assert browser.locator("script:not([src])").count() == 0


def test_the_keyboard_suffices(shop: Shop, browser: Page) -> None:
    browser.goto("about:blank")
    browser.goto(shop.url)
    browser.locator(".seller").first.wait_for()
    browser.keyboard.press("/")
    browser.keyboard.type("odd")
    browser.locator("#found [role=option]").first.wait_for()
    second = browser.locator("#found [role=option] .name").nth(1).inner_text()
    browser.keyboard.press("ArrowDown")
    browser.locator("#found [role=option][aria-selected=true]", has_text=second).wait_for()
    browser.keyboard.press("Escape")
    assert browser.locator("#found").is_hidden()


def test_curves_show_the_hit_rates_of_scored_orders(shop: Shop, browser: Page) -> None:
    for number, items in enumerate([("tea",), ("odd6", "odd5"), ("milk", "odd3")]):
        order(shop, f"c{8 + number}", *items, time_s=1_709_200_000 + number * 86_400)
    scored = json.load(urllib.request.urlopen(f"{shop.url}/quality"))  # noqa: S310 - our own

    for width in (360, 1440):
        browser.set_viewport_size({"width": width, "height": 900})
        browser.goto("about:blank")
        browser.goto(shop.url)
        browser.locator(".quality").wait_for()
        save_screenshot(browser, f"quality-{width}")

    assert f"before they are counted: {scored['orders']} so far" in browser.locator(".quality .hint").inner_text()
    for curve in ("recommended", "bestsellers"):
        drawn = browser.locator(f".curves .{curve}").get_attribute("d")
        assert drawn is not None
        assert drawn.count("L") == len(scored["days"]) - 1 >= 2


def test_what_is_not_there_is_said(shop: Shop, browser: Page) -> None:
    browser.goto("about:blank")
    browser.goto(f"{shop.url}/#/items/honey")
    browser.locator(".quiet", has_text="more often than chance").wait_for()

    browser.locator("#search").fill("nothing of the kind")
    browser.locator("#remark", has_text="No item has this").wait_for()


def test_the_lamp_is_lit_while_orders_are_counted_only(
    shop: Shop, browser: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    for standing, lamp in (("live", "on"), ("following", "on"), ("stopped", "off")):
        monkeypatch.setattr(shop.answers, "standing", standing)
        browser.goto("about:blank")
        browser.goto(shop.url)
        # a page that opens at once may be told first what stood up to a second ago
        browser.locator(".state .value", has_text=standing).locator(f".dot.{lamp}").wait_for()


VIEWS = {
    "start": "",
    "item": "#/items/tea",
    "compared": "#/items/tea",
    "pair": "#/items/tea/related/milk",
    "customer": "#/customers/c2",
    "catalogue": "#/catalogue",
    "operations": "#/operations",
    "nothing": "#/items/nothing",
}


def opened(shop: Shop, browser: Page, fragment: str) -> None:
    """Open a view in a page that was left, and wait until it is there."""
    browser.goto("about:blank")
    browser.goto(f"{shop.url}/{fragment}")
    browser.locator("main:not([aria-busy]) h1").first.wait_for()


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing(shop: Shop, browser: Page, name: str, width: int) -> None:
    """Whoever reads with a screen reader, without a mouse, or on a poor screen can use every view."""
    browser.set_viewport_size({"width": width, "height": 900})
    opened(shop, browser, VIEWS[name])
    if name == "compared":
        browser.locator("#score").select_option("raw")
        browser.locator(".compared [data-item]").first.wait_for()
    save_screenshot(browser, f"{name}-{width}")

    check_accessible(browser, f"{name} at {width}")


def test_each_view_is_called_by_what_it_shows(shop: Shop, browser: Page) -> None:
    """Tabs and histories of browsers show titles, not ids."""
    titles = {
        "": "alsobought",
        "#/items/tea": "Green tea · alsobought",
        "#/items/odd1": "odd1 · alsobought",
        "#/items/tea/related/milk": "Green tea and Whole milk · alsobought",
        "#/customers/c2": "Customer c2 · alsobought",
        "#/catalogue/drinks": "drinks · alsobought",
        "#/operations": "Operations · alsobought",
        "#/items/nothing": "Not found · alsobought",
    }
    for fragment, title in titles.items():
        opened(shop, browser, fragment)
        assert browser.title() == title


def test_focus_follows_the_view(shop: Shop, browser: Page) -> None:
    """A keyboard goes on where the reader is: at the head of the view that a link led to."""
    opened(shop, browser, "#/items/tea")
    browser.keyboard.press("Tab")
    assert browser.evaluate("document.activeElement.textContent") == "Skip to content"
    browser.keyboard.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "view"
    assert browser.url.endswith("#/items/tea")

    browser.locator('#related a[href="#/items/milk"]').press("Enter")
    browser.locator("h1:focus", has_text="Whole milk").wait_for()
    browser.locator(".views a", has_text="Catalogue").press("Enter")
    browser.locator("h1:focus", has_text="Catalogue").wait_for()
    assert browser.locator(".views [aria-current]").inner_text() == "Catalogue"


def test_bestsellers_move_as_orders_are_counted(shop: Shop, browser: Page) -> None:
    browser.set_viewport_size({"width": 1440, "height": 900})
    opened(shop, browser, "")
    browser.locator(".dot.on").wait_for()
    row = browser.locator('.seller[data-item="odd6"]')
    before = int(row.locator(".figures b").inner_text())
    above = int(row.locator(".rank").inner_text())
    for number in range(12):
        order(shop, f"keen {number}", "odd6")

    browser.locator('.seller[data-item="odd6"]', has_text=str(before + 12)).wait_for()
    assert int(row.locator(".rank").inner_text()) < above


def test_a_pair_has_a_story(shop: Shop, browser: Page) -> None:
    opened(shop, browser, "#/items/tea")
    figures = browser.locator('#related [data-item="milk"] .counts')
    together = figures.locator("b").inner_text()
    figures.click()
    browser.locator("h1", has_text="Green tea and Whole milk").wait_for()

    assert browser.locator(".facts b").first.inner_text() == together
    last = browser.locator("tbody tr").first
    assert last.locator("th").inner_text() == "Feb 17, 2024"
    assert last.locator("td").nth(2).inner_text() == together
    browser.locator("h1 a", has_text="Whole milk").click()
    browser.locator(".eyebrow", has_text="drinks").wait_for()


def test_lists_by_two_scores_stand_side_by_side(shop: Shop, browser: Page) -> None:
    browser.set_viewport_size({"width": 1440, "height": 900})
    opened(shop, browser, "#/items/tea")
    browser.locator("#score").select_option("raw")
    browser.locator(".compared [data-item]").first.wait_for()
    ranked = json.load(urllib.request.urlopen(f"{shop.url}/v1/items/tea/related?score=raw"))["related"]  # noqa: S310 - our own

    shown = browser.locator(".compared [data-item]").evaluate_all("rows => rows.map(row => row.dataset.item)")
    assert shown == [entry["item_id"] for entry in ranked]
    left, right = (browser.locator(place).bounding_box() for place in ("#related", ".compared"))
    assert left is not None
    assert right is not None
    assert left["x"] + left["width"] < right["x"]
    browser.locator("#score").select_option("")
    browser.locator("h2", has_text="Live changes").wait_for()


def test_the_catalogue_is_looked_through_by_category(shop: Shop, browser: Page) -> None:
    opened(shop, browser, "#/catalogue")
    assert browser.locator(".seller").count() > 20
    browser.locator("#category").select_option("drinks")
    browser.locator(".hint", has_text="2 items").wait_for()
    assert browser.locator(".seller .name").all_inner_texts() == ["Whole milk", "Green tea"]
    assert browser.evaluate("document.activeElement.id") in {"category", ""}

    browser.reload()
    browser.locator(".hint", has_text="2 items").wait_for()
    assert browser.locator("#category").input_value() == "drinks"
    opened(shop, browser, "#/catalogue/nothing")
    browser.locator(".quiet", has_text="No item of this category").wait_for()


def test_operations_say_what_waits_and_why(shop: Shop, browser: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(shop, browser, "#/operations")
    browser.locator(".reasons .fine").wait_for()
    assert browser.locator("tbody tr").count() == 2
    lines = json.load(urllib.request.urlopen(f"{shop.url}/v1/rates"))["minutes"][-1]["lines"]  # noqa: S310 - our own
    order(shop, "operator", "tea", "milk")
    minutes = json.load(urllib.request.urlopen(f"{shop.url}/v1/rates"))["minutes"]  # noqa: S310 - our own
    assert sum(minute["lines"] for minute in minutes[-2:]) >= lines + 2

    status = shop.answers.status()
    purchases, items = status.partitions
    waiting = [purchases._replace(lag=70), items._replace(oldest_unpublished_ms=3200)]
    monkeypatch.setattr(shop.answers, "status", lambda: replace(status, partitions=waiting))
    monkeypatch.setattr(shop.answers, "ready", lambda: "items 0: not open yet")
    reasons = browser.locator(".reasons li")
    stuck = reasons.filter(has_text="its offset has not moved since the last look")
    stuck.filter(has_text="70 records wait to be counted in purchases 0, at shop").wait_for()
    reasons.filter(has_text="the oldest change that none reflects is 3.2 s old").wait_for()
    reasons.filter(has_text="cannot answer yet: items 0: not open yet").wait_for()


def test_what_is_listed_is_saved_as_csv(shop: Shop, browser: Page, tmp_path: Path) -> None:
    """Any title is one cell of text, also one that a spreadsheet would compute."""
    shop.catalogue.put("odd5", CatalogueItem(title='=1+1, "quoted"'))
    try:
        opened(shop, browser, "#/catalogue")
        with browser.expect_download() as saving:
            browser.locator("button", has_text="CSV").click()
        saving.value.save_as(tmp_path / "catalogue.csv")
        assert saving.value.suggested_filename == "catalogue.csv"
        with (tmp_path / "catalogue.csv").open(newline="", encoding="utf-8") as file:
            rows = {row["item_id"]: row for row in csv.DictReader(file)}
    finally:
        shop.catalogue.put("odd5", None)

    assert rows.keys() >= {"tea", "honey", *HOSTILE_IDS}
    assert (rows["milk"]["title"], rows["milk"]["price"]) == ("Whole milk", "1.09 EUR")
    assert rows["odd5"]["title"] == '\'=1+1, "quoted"'


def test_what_could_not_be_loaded_can_be_tried_again(
    shop: Shop, browser: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while it is on its way, the page says so."""

    async def fail(_: object) -> None:
        raise RuntimeError("out of order")

    with monkeypatch.context() as broken:
        broken.setattr(shop.answers, "catalogue", fail)
        opened(shop, browser, "#/catalogue")
        browser.locator("h1", has_text="could not be loaded").wait_for()
    browser.locator("button", has_text="Try again").click()
    browser.locator(".seller").first.wait_for()

    held: list[Route] = []
    browser.route("**/v1/catalogue*", lambda route: held.append(route))  # noqa: PLW0108 - playwright marks it
    browser.goto("about:blank")
    browser.goto(f"{shop.url}/#/catalogue")
    browser.locator(".loading", has_text="Loading").wait_for()
    for route in held:
        route.continue_()
    browser.unroute("**/v1/catalogue*")
    browser.locator(".seller").first.wait_for()
