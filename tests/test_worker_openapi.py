"""A worker keeps what its OpenAPI document promises, whatever it is sent, also for questions that it forwards."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from streams.endpoint.openapi import describe
from streams.endpoint.routes import ROUTES
from streams.workers.answering.worker_routes import worker_routes
from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, live_shop
from tests.test_openapi import CHECKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.brokers import Broker

_NUMBERS = count()
# without /events, a stream that never ends
schema = schemathesis.openapi.from_dict(describe((*ROUTES, *worker_routes(cast("Any", None))), "0")).exclude(
    path="/v1/events"
)


@pytest.fixture(scope="module")
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    below = ("--snapshot-root", str(tmp_path_factory.getbasetemp()))
    with live_shop(kafka.bootstrap, "promises", tmp_path_factory.mktemp("workers"), more=below) as shop:
        yield shop


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_request_makes_a_worker_break_its_promise(
    case: schemathesis.Case[Any], shop: LiveShop, tmp_path: Path
) -> None:
    if case.path == "/snapshot":
        keep_snapshots_in(tmp_path, case)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    case.call_and_validate(f"http://{shop.workers[0].admin}", checks=CHECKS, headers=headers)


def keep_snapshots_in(directory: Path, case: schemathesis.Case[Any]) -> None:
    """Move the directory of a valid snapshot request into `directory`; invalid requests stay as they are."""
    body: Any = case.body
    to = body.get("to") if isinstance(body, dict) else None
    if isinstance(to, str) and 0 < len(to) <= 4096:
        body["to"] = str(directory / f"snapshot {next(_NUMBERS)} {to.replace('/', '_')}")


def test_every_answer_of_a_worker_has_a_schema() -> None:
    """Clients generated from the document must know what they get."""
    document = describe((*ROUTES, *worker_routes(cast("Any", None))), "0")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is not None and path != "/openapi.json":
                    schemas = content["schema"].get("anyOf", [content["schema"]])
                    assert all("$ref" in one for one in schemas), f"{method} {path} {status}"
