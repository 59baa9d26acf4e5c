"""The page in a real browser, on live workers: it shows orders as they are counted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from producers.publish import Publisher
from producers.wire import encode_order
from tests.browsers import choose_colours, needs_chromium, save_screenshot, watched_page
from tests.live_workers import ask, live_shop, of_customer, of_item

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.brokers import Broker
    from tests.live_workers import LiveShop

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    with live_shop(kafka.bootstrap, "page", tmp_path_factory.mktemp("workers")) as shop:
        yield shop


@pytest.fixture(scope="module")
def browser(shop: LiveShop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with watched_page(tmp_path_factory.mktemp("profile"), lambda: f"http://{shop.workers[0].admin}") as page:
        yield page


def produce(shop: LiveShop, customer_id: str, *items: str) -> None:
    """Send a purchase to the topic, as the shop's own systems do."""
    with Publisher(shop.broker, shop.topics.purchases) as publisher:
        key = customer_id.encode()
        record = encode_order(customer_id, 1_709_200_000_000, [(item, 1) for item in items])
        publisher.send(key, record, partition=publisher.partition_of(key))


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("item", ["tea", "milk", "soap"])
def test_one_finds_an_item_sees_its_list_change_and_opens_a_customer(
    shop: LiveShop, browser: Page, width: int, colours: str, item: str
) -> None:
    """Also for an item whose list another worker publishes."""
    worker, name = shop.workers[0], f"worker-{item}-{width}-{colours}"
    browser.set_viewport_size({"width": width, "height": 900})
    browser.emulate_media(color_scheme="light")
    browser.goto("about:blank")
    browser.goto(f"http://{worker.admin}")
    browser.evaluate("localStorage.clear()")
    browser.reload()
    browser.locator(".seller").first.wait_for()
    browser.locator(".dot.on").wait_for()
    choose_colours(browser, colours)

    browser.locator("#search").fill(item)
    browser.locator("#found [role=option]").first.wait_for()
    browser.locator("#search").press("Enter")
    browser.locator("h1", has_text=item).wait_for()
    beside = ask(worker, of_item(item, "related")).document["related"][0]["item_id"]
    row = browser.locator(f'#related .row[data-item="{beside}"]')
    before = int(row.locator(".figures b").first.inner_text())
    browser.wait_for_timeout(700)  # until the event stream is open and the other worker has been polled
    produce(shop, f"new {name} {time.time_ns()}", item, beside)
    browser.locator(".feed li", has_text=f"{before} → {before + 1} together").first.wait_for()
    assert row.locator(".figures b").first.inner_text() == str(before + 1)
    save_screenshot(browser, name)

    browser.locator("#search").fill("c2")
    browser.locator("#found [role=option]", has_text="Customer c2").wait_for()
    browser.locator("#search").press("Enter")
    browser.locator(".recommended .because li").first.wait_for()
    assert browser.locator("h1").inner_text() == "c2"
    held = json.loads(ask(worker, of_customer("c2")).body)["items_held"]
    assert browser.locator(".history .row").count() == held
    ground = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(16, 19, 19)") == (colours == "dark")
