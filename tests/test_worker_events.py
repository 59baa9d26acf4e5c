"""Watching a worker: changes at other workers are seen as well."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.live_shop import TOKEN
from tests.live_workers import ask, live_shop, of_item, post

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.brokers import Broker
    from tests.workers import WorkerProcess


def events(worker: WorkerProcess, item_id: str, seconds: float) -> Generator[tuple[str, dict[str, Any]]]:
    """The events that a worker sends within some seconds."""
    connection = http.client.HTTPConnection(worker.admin, timeout=10)
    connection.request("GET", f"/events?item_id={item_id}")
    response = connection.getresponse()
    deadline = time.monotonic() + seconds
    with closing(connection), response:
        while time.monotonic() < deadline:
            line = response.readline().decode()
            if line.startswith("event: "):
                yield line[7:-1], json.loads(response.readline()[6:])


@pytest.mark.parametrize("which", ["the owner", "another worker"])
def test_watchers_are_notified_when_a_list_changes(kafka: Broker, tmp_path: Path, which: str) -> None:
    with live_shop(kafka.bootstrap, f"events-{which[:3].strip()}", tmp_path) as shop:
        owner = ask(shop.workers[0], of_item("milk")).document["worker"]
        (worker,) = [each for each in shop.workers if (each.admin == owner) == (which == "the owner")]
        together = None
        begun = None
        with closing(events(worker, "milk", 20)) as stream:
            for kind, document in stream:
                if kind == "status" and begun is None:
                    begun = time.monotonic()
                    entries = ask(worker, of_item("milk", "related")).document["related"]
                    before = {entry["item_id"]: entry["bought_together"] for entry in entries}
                    order = {
                        "customer_id": "eve",
                        "timestamp": 1_709_000_000,
                        "lines": [{"item_id": "milk"}, {"item_id": "tea"}],
                    }
                    assert post(shop.workers[0], "/orders", order, TOKEN).status == 202
                if kind == "related":
                    together = {entry["item_id"]: entry["bought_together"] for entry in document["related"]}
                    if together["tea"] == before["tea"] + 1:
                        break

        assert together is not None
        assert together["tea"] == before["tea"] + 1
        assert begun is not None
        assert time.monotonic() - begun < 5
