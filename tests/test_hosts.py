"""Requests that name another host are refused, whatever they ask for: such requests come from other sites' pages."""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from streams.endpoint.handlers import AdminSettings
from tests.live_shop import TOKEN, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator


ANYWHERE = "0.0.0.0"  # noqa: S104 - as of --admin 0.0.0.0:6066; browsers take it for this machine
OWN = ["127.0.0.1", "localhost", "LOCALHOST:6066", "[::1]:6066", "shop.example", "Shop.Example.:443"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = AdminSettings(TOKEN, hosts=("shop.example", ANYWHERE))
    with open_shop(tmp_path_factory.mktemp("state"), settings=settings) as shop:
        yield shop


def status(shop: Shop, path: str, *hosts: str, method: str = "GET") -> int:
    """The status of a request with these Host headers."""
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=30)
    try:
        connection.putrequest(method, path, skip_host=True)
        for host in hosts:
            connection.putheader("Host", host)
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    "path", ["/", "/customers/c1", "/search?q=c1", "/events", "/metrics", "/page/app.js", "/nothing", "/openapi.json"]
)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:6066", "127.0.0.1.evil.example", "10.9.8.7", ANYWHERE])
def test_a_page_of_another_site_reads_nothing(shop: Shop, path: str, host: str) -> None:
    """Its name may resolve to this machine, but it stays its name."""
    assert status(shop, path, host) == 421


def test_not_even_with_the_token_is_anything_written(shop: Shop) -> None:
    assert status(shop, "/customers/c1", "evil.example", method="DELETE") == 421
    assert status(shop, "/customers/c1", "localhost") == 200


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST:6066",
        "[::1]:6066",
        "shop.example",
        "Shop.Example.:443",
        socket.gethostname(),
    ],
)
def test_names_of_its_own_are_answered(shop: Shop, host: str) -> None:
    assert status(shop, "/items/tea", host) == 200


@pytest.mark.parametrize("hosts", [(), ("localhost", "evil.example"), ("localhost", "localhost")])
def test_a_request_names_one_host(shop: Shop, hosts: tuple[str, ...]) -> None:
    """Of two, a proxy may have read the other one."""
    assert status(shop, "/items/tea", *hosts) == 400


@pytest.mark.parametrize("host", ["", "user@localhost", "localhost/", "localhost evil", "[::1", "localhost:port"])
def test_a_host_in_no_valid_form_is_nobody(shop: Shop, host: str) -> None:
    assert status(shop, "/items/tea", host) in {400, 421}
