"""The page in a real browser: narrow and wide, light and dark, on a shop that receives orders."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.browsers import choose_colours, needs_chromium, save_screenshot, watched_page
from tests.live_shop import HOSTILE_IDS, TOKEN, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state")) as shop:
        yield shop


@pytest.fixture(scope="module")
def browser(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with watched_page(tmp_path_factory.mktemp("profile"), lambda: shop.url) as page:
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
    browser.locator("#found .none").wait_for()


def test_the_lamp_is_lit_while_orders_are_counted_only(
    shop: Shop, browser: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    for standing, lamp in (("live", "on"), ("following", "on"), ("stopped", "off")):
        monkeypatch.setattr(shop.answers, "standing", standing)
        browser.goto("about:blank")
        browser.goto(shop.url)
        # a page that opens at once may be told first what stood up to a second ago
        browser.locator(".state .value", has_text=standing).locator(f".dot.{lamp}").wait_for()
