"""Bodies of requests: one limit, before and after they are inflated; inflated in a thread; read within a time."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from streams.endpoint import bodies
from streams.endpoint.bodies import LARGEST_BODY_BYTES, inflate
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.problems import Problem
from tests.live_shop import TOKEN, Shop, open_shop
from tests.test_admin import Response, ask, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

BASKET = json.dumps({"basket": ["tea"], "limit": 3}).encode()
BOMB = gzip.compress(bytes(200 << 20), 9)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    settings = AdminSettings(TOKEN, body_arriving_s=0.5)
    with open_shop(tmp_path_factory.mktemp("state"), settings=settings) as shop:
        yield shop


def post(shop: Shop, body: bytes, encoding: str | None) -> Response:
    headers = {"Content-Type": "application/json"} | ({} if encoding is None else {"Content-Encoding": encoding})
    return ask(shop, "/recommendations", "POST", body, headers)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, BASKET),
        ("identity", BASKET),
        ("gzip", gzip.compress(BASKET)),
        ("x-gzip", gzip.compress(BASKET)),
        ("deflate", zlib.compress(BASKET)),
    ],
    ids=["plain", "identity", "gzip", "x-gzip", "deflate"],
)
def test_a_body_may_be_compressed(shop: Shop, encoding: str | None, body: bytes) -> None:
    assert len(post(shop, body, encoding).document["recommendations"]) == 3


@pytest.mark.parametrize(
    ("encoding", "body", "status"),
    [
        ("br", BASKET, 415),
        ("gzip, gzip", gzip.compress(gzip.compress(BASKET)), 415),
        ("gzip", BASKET, 400),
        ("gzip", gzip.compress(BASKET)[:-6], 400),
        ("gzip", gzip.compress(BASKET) + gzip.compress(BASKET), 400),
        ("deflate", zlib.compress(BASKET)[2:-4], 400),
        ("gzip", b"", 400),
    ],
    ids=["brotli", "gzip twice", "not gzip", "cut short", "two members", "no zlib header", "nothing"],
)
def test_a_body_that_is_not_what_its_header_says_is_refused(
    shop: Shop, encoding: str, body: bytes, status: int
) -> None:
    refused(post(shop, body, encoding), status, "body")


def test_a_bomb_is_refused_at_the_limit(shop: Shop) -> None:
    """200 MiB in 200 KB: what counts is what it would become."""
    assert len(BOMB) < LARGEST_BODY_BYTES

    refused(post(shop, BOMB, "gzip"), 413, str(LARGEST_BODY_BYTES))
    refused(post(shop, b" " * (LARGEST_BODY_BYTES + 1), None), 413, str(LARGEST_BODY_BYTES))


def test_no_more_than_the_limit_is_inflated() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Problem, match="too large"):
            inflate(BOMB, LARGEST_BODY_BYTES)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 4 * LARGEST_BODY_BYTES


def test_bodies_are_inflated_beside_the_event_loop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither aiohttp, which would do it on the loop, nor we."""
    threads = []

    def inflated(body: bytes, largest_bytes: int) -> bytes:
        threads.append(threading.get_ident())
        return inflate(body, largest_bytes)

    async def loops_thread() -> int:
        return threading.get_ident()

    monkeypatch.setattr(bodies, "inflate", inflated)
    assert post(shop, gzip.compress(BASKET), "gzip").status == 200

    assert len(threads) == 1
    assert threads[0] != shop.run(loops_thread())


def test_a_body_that_does_not_arrive_is_given_up(shop: Shop) -> None:
    begun = time.monotonic()
    with socket.create_connection(shop.address, timeout=10) as connection:
        connection.sendall(
            b"POST /recommendations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 408
        assert "only 1 bytes" in json.loads(response.read())["detail"]
        assert connection.recv(1) == b"", "and the connection is closed"

    assert time.monotonic() - begun < 5
