"""Connections: idle, slow and greedy clients take no place from others, and no file descriptor from the stores."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest

from state.settings import CountingSettings
from streams.endpoint import changes
from streams.endpoint.connections import (
    FEWEST_CONNECTIONS,
    MOST_CONNECTIONS,
    SHARE_OF_DESCRIPTORS,
    ConnectionLimits,
    affordable_connections,
)
from streams.engine.embedded import Embedded
from tests.commands import COMMAND
from tests.live_shop import Shop, open_shop, shop_log
from tests.log_strategies import as_orders
from tests.test_admin import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.batch_definition import Order

LIMITS = ConnectionLimits(most=32, waiting_s=1.0, stalled_s=1.0)
OF_CLIENT = 16
WHOLE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state"), limits=LIMITS) as shop:
        yield shop


def connected(shop: Shop, source: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of this machine."""
    connection = socket.create_connection(shop.address, timeout=10, source_address=(source, 0))
    time.sleep(0.003)  # eight wait to be accepted; what comes before that happens tries again in a second
    return connection


def closed_after_s(connection: socket.socket) -> float:
    """Seconds until the other side has closed it."""
    begun = time.monotonic()
    try:
        while connection.recv(1 << 16):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - begun


@pytest.mark.parametrize("sent", [b"", b"GET /items/tea HTTP/1.1\r\nHost: local", WHOLE])
def test_a_connection_without_a_whole_header_is_closed(shop: Shop, sent: bytes) -> None:
    """New, in the middle of a header, or after an answer."""
    with connected(shop) as connection:
        connection.sendall(sent)
        assert 0.5 < closed_after_s(connection) < 6


def test_a_header_that_trickles_in_is_not_waited_for(shop: Shop) -> None:
    """A byte now and then does not keep a connection open."""

    def trickle(connection: socket.socket) -> None:
        for byte in WHOLE[:-1]:
            connection.sendall(bytes([byte]))
            time.sleep(0.2)

    begun = time.monotonic()
    with connected(shop) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        trickle(connection)
    assert time.monotonic() - begun < 6


def test_who_does_not_read_the_answer_is_cut_off(shop: Shop) -> None:
    """What is to be sent stays in memory until it is taken."""
    pipelined = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000

    def ask_on(connection: socket.socket) -> None:
        while time.monotonic() - begun < 20:
            connection.send(pipelined)

    begun = time.monotonic()
    with connected(shop) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        ask_on(connection)
    assert time.monotonic() - begun < 10


def test_the_connection_that_has_waited_longest_makes_room(shop: Shop) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(connected(shop)) for _ in range(OF_CLIENT)]
        newest = stack.enter_context(connected(shop))
        newest.sendall(WHOLE)

        assert newest.recv(1 << 16).startswith(b"HTTP/1.1 200")
        waiting[0].settimeout(5)
        assert closed_after_s(waiting[0]) < 0.5
        waiting[-1].sendall(WHOLE)
        assert waiting[-1].recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_many_idle_connections_do_not_keep_anybody_out(shop: Shop) -> None:
    """Ten times as many as there are places, of several clients."""
    with ExitStack() as stack:
        for number in range(10 * OF_CLIENT):
            stack.enter_context(connected(shop, f"127.0.0.{2 + number % 4}"))
        for _ in range(20):
            assert ask(shop, "/items/tea/related").status == 200


def test_who_has_asked_keeps_the_connection_beside_those_who_never_do(tmp_path: Path) -> None:
    """It would otherwise be the one that has waited longest, for a flood is always fresh."""
    asking = b"GET /items/tea HTTP/1.1\r\nHost: localhost\r\n\r\n"
    patient = replace(LIMITS, waiting_s=20.0)  # a flood may take longer than a second
    with open_shop(tmp_path, limits=patient) as shop, ExitStack() as stack:
        kept = stack.enter_context(connected(shop, "127.0.0.2"))
        kept.sendall(asking)
        assert kept.recv(1 << 16).startswith(b"HTTP/1.1 200")
        for number in range(4 * OF_CLIENT):
            stack.enter_context(connected(shop, f"127.0.0.{2 + number % 4}"))
        kept.sendall(asking)
        assert kept.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_a_client_has_half_of_the_places(shop: Shop) -> None:
    """Requests in progress are not cut off: one more is refused, another client's is answered."""
    watching = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(OF_CLIENT):
            connection = stack.enter_context(connected(shop, "127.0.0.9"))
            connection.sendall(watching)
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200")
        refused = stack.enter_context(connected(shop, "127.0.0.9"))
        assert refused.recv(1 << 16).startswith(b"HTTP/1.1 503")
        assert ask(shop, "/items/tea").status == 200


def test_a_client_has_half_of_the_places_of_watchers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changes.MOST_WATCHERS_OF_CLIENT * 2 == changes.MOST_WATCHERS
    monkeypatch.setattr("streams.endpoint.events.MOST_WATCHERS_OF_CLIENT", 3)
    watching = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        statuses = []
        for client in ("127.0.0.7", "127.0.0.8"):
            for _ in range(4):
                connection = stack.enter_context(connected(shop, client))
                connection.sendall(watching)
                statuses.append(connection.recv(1 << 16)[9:12])

    assert statuses == [*[b"200"] * 3, b"503"] * 2


def test_places_follow_the_limit_on_file_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    for limits, places in [
        ((1024, 1024), 256),
        ((1 << 20, 1 << 20), MOST_CONNECTIONS),
        ((8, 8), FEWEST_CONNECTIONS),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), MOST_CONNECTIONS),
    ]:
        monkeypatch.setattr(resource, "getrlimit", lambda _, limits=limits: limits)
        assert affordable_connections() == places


def test_descriptors_stay_free_whatever_visitors_do(tmp_path: Path) -> None:
    """990 idle connections once took the last one: RocksDB could open no file, and the process ended."""
    limit, idle = 256, 600
    count_into(tmp_path, shop_log())
    command = f"ulimit -n {limit}; exec {COMMAND} serve --state-dir {tmp_path} --admin 127.0.0.1:0"
    with subprocess.Popen(
        ["/bin/sh", "-c", command], env={**os.environ, "PYTHONUNBUFFERED": "1"}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
            held = []
            with ExitStack() as stack:
                for number in range(idle):
                    source = (f"127.0.1.{1 + number % 200}", 0)
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), 10, source))
                    if number % 50 == 0:
                        held.append(psutil.Process(process.pid).num_fds())
                with socket.create_connection(("127.0.0.1", port), 10) as last:
                    last.sendall(WHOLE)
                    assert last.recv(1 << 16).startswith(b"HTTP/1.1 200")
        finally:
            process.terminate()
    assert limit // SHARE_OF_DESCRIPTORS < max(held) < limit * 3 // 4


def count_into(state_dir: Path, log: list[Order]) -> None:
    """Count a log into a state directory."""
    embedded = Embedded(state_dir, CountingSettings())
    embedded.count(as_orders(log), len(log))
    list(embedded.publish())
    embedded.close()
