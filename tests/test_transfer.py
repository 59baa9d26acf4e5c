"""Who may ask, and how answers travel: the token of readers, pages of other origins, compression."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from streams.cli import main
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.routes import ROUTES
from streams.endpoint.tokens import FREE_FAILURES
from streams.endpoint.transfer import COMPRESSED_FROM_BYTES
from tests.browsers import needs_chromium, watched_page
from tests.live_shop import TOKEN, Shop, open_shop
from tests.test_admin import ask, refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


READER = "only-to-read"
ORIGIN = "https://shop.example"
AS_READER = {"Authorization": f"Bearer {READER}"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = AdminSettings(TOKEN, read_token=READER, origins=(ORIGIN, "http://localhost:3000"))
    with open_shop(tmp_path_factory.mktemp("state"), settings=settings) as shop:
        yield shop


OPEN = {"/", "/page/{file}", "/openapi.json", "/health/live", "/health/ready"}


def test_whoever_reads_needs_the_token_but_for_health_and_the_page(shop: Shop) -> None:
    """Every route, so that none is forgotten."""
    values = {"item_id": "tea", "other": "milk", "customer_id": "c1", "file": "app.js"}
    for route in ROUTES:
        if route.method != "GET" or route.path == "/v1/events":
            continue
        for path in route.paths:
            concrete = path.format(**values) + ("?q=tea" if route.path == "/v1/search" else "")
            assert ask(shop, concrete).status == (200 if route.path in OPEN else 401), path
            assert ask(shop, concrete, headers=AS_READER).status == 200, path
    for path in ("/v1/related", "/v1/recommendations", "/recommendations"):
        assert ask(shop, path, "POST", b"{}", {"Content-Type": "application/json"}).status == 401
    assert ask(shop, "/v1/events").status == 401
    assert "--read-token" in ask(shop, "/v1/items/tea").document["detail"]
    assert ask(shop, "/v1/items/nothing").status == 401, "nor is it told what there is"


def test_neither_token_does_what_the_other_is_for(shop: Shop) -> None:
    refused(ask(shop, "/v1/customers/c1", "DELETE", headers=AS_READER), 401, "--admin-token")
    refused(ask(shop, "/v1/items/tea", headers={"Authorization": f"Bearer {TOKEN}"}), 401, "--read-token")
    assert ask(shop, "/v1/items/tea", headers=AS_READER).status == 200


def test_guessing_the_token_of_readers_is_slowed_down(tmp_path: Path) -> None:
    with open_shop(tmp_path, settings=AdminSettings(read_token=READER)) as shop:
        for number in range(FREE_FAILURES):
            assert ask(shop, "/v1/items/tea", headers={"Authorization": f"Bearer {number}"}).status == 401
        waits = ask(shop, "/v1/items/tea", headers=AS_READER)
        refused(waits, 429, "wrong tokens")
        assert waits.document["type"] == "urn:alsobought:problem:wait"
        assert ask(shop, "/health/ready").status == 200


@pytest.mark.parametrize("option", [[], ["--token", READER], ["--token", "wrong"]])
def test_commands_that_ask_a_worker_take_the_token(shop: Shop, option: list[str]) -> None:
    result = CliRunner().invoke(main, ["related", "tea", "--url", shop.url, *option])

    assert result.exit_code == (0 if READER in option else 2), result.output
    assert ("Whole milk" if READER in option else "--read-token") in result.output


def test_a_page_of_a_named_origin_may_ask(shop: Shop) -> None:
    for origin in (ORIGIN, "http://localhost:3000"):
        response = ask(shop, "/v1/items/tea", headers={**AS_READER, "Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "Origin" in ", ".join(response.headers.get_all("Vary", []))
        assert "Access-Control-Allow-Credentials" not in response.headers
        failed = ask(shop, "/v1/items/nothing", headers={**AS_READER, "Origin": origin})
        assert failed.headers["Access-Control-Allow-Origin"] == origin, "a page must be able to read what is wrong"


@pytest.mark.parametrize("origin", ["https://shop.example.evil", "https://evil", "http://shop.example", "null", ""])
def test_a_page_of_another_origin_may_not(shop: Shop, origin: str) -> None:
    response = ask(shop, "/v1/items/tea", headers={**AS_READER, "Origin": origin})

    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in ", ".join(response.headers.get_all("Vary", [])), "caches must not give it to others"


def test_a_browser_is_told_what_it_may_ask(shop: Shop) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"}

    told = ask(shop, "/v1/related", "OPTIONS", headers={**asks, "Origin": ORIGIN})
    other = ask(shop, "/v1/related", "OPTIONS", headers={**asks, "Origin": "https://evil"})

    assert told.status == other.status == 204
    assert told.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert told.headers["Access-Control-Allow-Methods"] == "POST"
    assert {"Authorization", "Content-Type"} <= set(told.headers["Access-Control-Allow-Headers"].split(", "))
    assert "Access-Control-Allow-Origin" not in other.headers
    both = ask(shop, "/v1/recommendations", "OPTIONS", headers={**asks, "Origin": ORIGIN})
    assert both.headers["Access-Control-Allow-Methods"] == "GET, POST"


@pytest.mark.parametrize("path", ["/v1/orders", "/health/ready", "/metrics", "/"])
def test_no_page_of_another_origin_writes_or_looks_inside(shop: Shop, path: str) -> None:
    response = ask(shop, path, "OPTIONS", headers={"Origin": ORIGIN, "Access-Control-Request-Method": "POST"})

    assert response.status == 405
    assert "Access-Control-Allow-Origin" not in response.headers
    allowed = ask(shop, "/v1/customers/c1", "OPTIONS", headers={"Origin": ORIGIN}).headers
    assert allowed["Access-Control-Allow-Methods"] == "GET"


def test_without_the_option_no_page_of_another_origin_may_ask(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        response = ask(shop, "/v1/items/tea", headers={"Origin": ORIGIN})
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert ask(shop, "/v1/items/tea", "OPTIONS", headers={"Origin": ORIGIN}).status == 405


def test_all_origins_are_allowed_without_credentials(tmp_path: Path) -> None:
    with open_shop(tmp_path, settings=AdminSettings(origins=("*",))) as shop:
        headers = ask(shop, "/v1/items/tea", headers={"Origin": "https://anywhere"}).headers
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    "origin", ["shop.example", "https://shop.example/", "https://Shop.example", "ftp://a", "https://"]
)
def test_an_origin_is_what_browsers_send(origin: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--state-dir", "nowhere", "--cors-origin", origin])

    assert result.exit_code == 2
    assert "is not an origin" in result.output


def test_large_answers_are_compressed_for_who_accepts_that(shop: Shop) -> None:
    plain = ask(shop, "/v1/items/tea/related", headers=AS_READER)
    small = ask(shop, "/v1/items/tea/related?limit=1", headers={**AS_READER, "Accept-Encoding": "gzip"})
    compressed = ask(shop, "/v1/items/tea/related", headers={**AS_READER, "Accept-Encoding": "br, gzip;q=0.5"})
    unwanted = ask(shop, "/v1/items/tea/related", headers={**AS_READER, "Accept-Encoding": "gzip;q=0, *"})

    assert len(plain.body) > COMPRESSED_FROM_BYTES
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body
    assert compressed.headers["ETag"] == plain.headers["ETag"]
    for response in (plain, small, unwanted):
        assert "Content-Encoding" not in response.headers
    assert unwanted.body == plain.body
    assert "Accept-Encoding" in plain.headers.get_all("Vary", [])


@needs_chromium
def test_the_page_asks_for_the_token_of_readers_once(tmp_path: Path) -> None:
    """It is kept until the tab is closed, and sent with every request, the stream of changes included."""
    settings = AdminSettings(TOKEN, read_token=READER)
    with (
        open_shop(tmp_path / "state", settings=settings) as shop,
        watched_page(tmp_path / "profile", lambda: shop.url, unless="401") as page,
    ):
        page.goto(shop.url)
        page.locator("#token").fill(READER)
        page.locator("#token").press("Enter")
        page.locator(".seller").first.wait_for()
        page.locator(".dot.on").wait_for()
        page.goto(f"{shop.url}/#/customers/c2")
        page.locator(".recommended .row").first.wait_for()
        page.reload()
        page.locator(".recommended .row").first.wait_for()
