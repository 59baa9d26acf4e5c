"""The fault suite: some of its kinds on real workers and a real broker, and proof that it notices what is wrong."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from contextlib import closing, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from producers.publish import Publisher
from producers.wire import encode_order
from tests.faults.__main__ import read
from tests.faults.checks import check
from tests.faults.load import BEGIN_MS
from tests.faults.proxy import TO_WORKER, Condition, Proxy
from tests.faults.registry import FAULTS, dealt
from tests.faults.rounds import Plan, run_world
from tests.faults.table import counted, table
from tests.faults.world import Site, World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = frozenset(
    {
        "connections reset",
        "garbage requests",
        "network cut towards the worker",
        "oversized records",
        "poison in co-purchases",
        "poison in items",
        "poison in purchases",
        "store of earlier",
        "table damaged",
        "transactions aborted",
        "worker killed",
    }
)
"""Of every module of faults some that are over soon."""


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if shutil.which("java") is None or shutil.which("mvn") is None:
        pytest.skip("needs Java and Maven")
    with Site(tmp_path_factory.mktemp("broker")) as site:
        yield site


def test_a_round_of_faults_ends_exact(site: Site, tmp_path: Path) -> None:
    """The rest by hand: python -m tests.faults."""
    results: list[dict[str, Any]] = []

    run_world(site, tmp_path / "world", Plan(1, QUICK, per_round=8, most=8), 1, results.append)

    missed = sum(result.get("happened") is False for result in results)
    assert counted(results) + missed == 8
    assert [result["outcome"] for result in results if "outcome" in result] == ["exact", "exact", "exact"]
    assert not (tmp_path / "world").exists()


def test_what_is_wrong_is_noticed(site: Site, tmp_path: Path) -> None:
    """An order that workers count, and the truth does not know, differs from everything that is compared."""
    with World(site, tmp_path, "wrong", "faults-wrong", workers=1) as world:
        world.load.start()
        world.load.stop()
        world.calm()
        assert check(world) == 0
        with Publisher(site.broker.bootstrap, world.topics.purchases) as publisher:
            key = b"one more"
            record = encode_order(key.decode(), BEGIN_MS, [("item-1", 1), ("item-2", 1)])
            publisher.send(key, record, partition=publisher.partition_of(key))
        world.until("it is counted", lambda: lines(world) == world.truth.lines + 2)

        with pytest.raises(AssertionError, match="histories differ"):
            check(world)


def lines(world: World) -> int:
    """Order lines that the first worker has counted."""
    status = world.wanted[0].status() or {"tally": {"lines": {}}}
    return max(status["tally"]["lines"].values(), default=0)


def test_a_seed_deals_the_same_faults_again() -> None:
    one, again, other = (dealt(Random(seed), set(), fatal=False) for seed in ("1-1", "1-1", "1-2"))  # noqa: S311

    assert one == again
    assert one != other
    assert sorted(one) == sorted(other)
    assert len(FAULTS) >= 20


def test_results_go_on_where_they_ended(tmp_path: Path) -> None:
    """A run that is stopped while it writes leaves half a line."""
    where = {"seed": 1, "world": 1, "round": 1}
    results = [
        {**where, "kind": "worker killed", "what": "worker 0", "happened": True, "seconds": 0.5},
        {**where, "kind": "worker replaced", "what": "no room", "happened": False, "seconds": 0.1},
        {**where, "faults": [], "outcome": "exact", "seconds": 60.0},
    ]
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(result) + "\n" for result in results) + '{"seed": 1, "wor')

    assert counted(read(file)) == 1
    assert "| worker killed | 1 | 1 | 0.5 |" in table(read(file))
    assert "| **all** | **1** | **1** | |" in table(read(file))


def echo(listener: socket.socket) -> None:
    """Send back what arrives, on one connection, until that is reset."""
    connection, _ = listener.accept()
    with connection, suppress(ConnectionError):
        while received := connection.recv(100):
            connection.sendall(received)


def test_a_cut_network_holds_back_what_is_sent() -> None:
    """Else half of the faults would do nothing."""
    with Proxy() as proxy, closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        proxy.lead_to(listener.getsockname()[1])
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=0.3) as client:
            client.sendall(b"before")
            assert client.recv(100) == b"before"
            proxy.condition = Condition(cut=(TO_WORKER,))
            client.sendall(b"meanwhile")
            with pytest.raises(TimeoutError):
                client.recv(100)
            proxy.condition = Condition(delay_s=0.05)
            assert client.recv(100) == b"meanwhile"
            begun = time.monotonic()
            client.sendall(b"late")
            assert client.recv(100) == b"late"
            assert time.monotonic() - begun >= 0.1
            proxy.reset()
            with pytest.raises(ConnectionError):
                client.recv(100)
