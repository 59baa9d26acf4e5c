"""A worker keeps what its OpenAPI document promises, whatever it is sent, also for questions that it forwards."""

from __future__ import annotations

import importlib
import json
import time
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from streams.endpoint.live_assortment import SNAPSHOT_VALID_S
from streams.endpoint.openapi import describe
from streams.endpoint.routes import ROUTES
from streams.workers.answering.worker_routes import worker_routes
from tests.generated_clients import compiled, complaints, generate, printed
from tests.live_shop import TOKEN
from tests.live_workers import LiveShop, ask, live_shop, post
from tests.test_openapi import CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def test_redocly_recommends_nothing_else(shop: LiveShop, tmp_path: Path) -> None:
    """Of the document as workers serve it; its rules are those that portals and generators are made for."""
    assert complaints(ask(shop.workers[0], "/openapi.json").document, tmp_path) == []


def expected(shop: LiveShop) -> dict[str, Any]:
    """What every client must get, as plain requests do."""
    worker = shop.workers[0]
    basket = {"basket": ["tea", "soap"], "limit": 3}
    recommended = post(worker, "/v1/recommendations", basket).document["recommendations"]
    related = ask(worker, "/v1/items/tea/related", limit=2).document["related"]
    items = [entry["item_id"] for entry in recommended]
    return {
        "related": [[entry["item_id"], entry["bought_together"], None] for entry in related],
        "batch": [related[0]["item_id"], "urn:alsobought:problem:not-known"],
        "recommended": items,
        "posted": items,
        "scores": pytest.approx([entry["score"] for entry in recommended]),
        "shares": pytest.approx([entry["score"] for entry in recommended]),
        "several": [["c1", 1], ["c2", 1]],
        "accepted": True,
        "unknown": ask(worker, "/v1/items/no%20such%20item/related").document,
        "invalid": ask(worker, "/v1/items/tea/related", where="colour").document,
    }


def check(shop: LiveShop, ask_by_client: Callable[[], object]) -> None:
    """Compare what a client gets with what it must get; again if orders were counted in between."""
    for _ in range(10):
        wanted = expected(shop)
        found = ask_by_client()
        if found == wanted:
            return
        time.sleep(SNAPSHOT_VALID_S)
    assert found == wanted


def test_a_typescript_client_is_generated_from_the_document(shop: LiveShop, tmp_path: Path) -> None:
    """It is checked strictly, and so is what uses it: an answer of another type would not compile, or not be read."""
    client = generate("typescript-fetch", ask(shop.workers[0], "/openapi.json").document, tmp_path)
    program = compiled(client, Path(__file__).parent / "shop_client.ts")

    check(shop, lambda: printed(program, f"http://{shop.workers[0].admin}", TOKEN))


def test_a_python_client_is_generated_from_the_document(
    shop: LiveShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(generate("python", ask(shop.workers[0], "/openapi.json").document, tmp_path))
    made = importlib.import_module("openapi_client")
    configuration = made.Configuration(host=f"http://{shop.workers[0].admin}", access_token=TOKEN)

    with made.ApiClient(configuration) as client:
        check(shop, lambda: asked_in_python(made, client))


def asked_in_python(made: Any, client: object) -> dict[str, Any]:  # noqa: ANN401 - the module that was generated
    """What shop_client.ts asks."""
    items, visitors = made.ItemsApi(client), made.VisitorsApi(client)
    listed = items.related("tea", limit=2, fields=["title", "price"])
    batch = items.related_lists(made.RelatedListsRequest(items=["tea", "no such item"], limit=1))
    asked = visitors.recommend_visitor(basket=["tea", "soap"], limit=3)
    posted = visitors.recommend_basket(made.RecommendationsRequest(basket=["tea", "soap"], limit=3)).actual_instance
    several = visitors.recommend_basket(made.RecommendationsRequest(customers=["c1", "c2"], limit=1)).actual_instance
    returned = {"customer_id": "nobody", "timestamp": 1_709_208_000, "type": "return"}
    order = made.Order.from_dict({**returned, "lines": [{"item_id": "tea", "quantity": 1}]})

    def problem_of(ask_for: Callable[[], object]) -> dict[str, Any]:
        with pytest.raises(made.ApiException) as error:
            ask_for()
        return {**json.loads(error.value.body), "status": error.value.status}

    return {
        "related": [[entry.item_id, entry.bought_together, entry.price] for entry in listed.related],
        "batch": [one.answer.related[0].item_id if one.answer else one.problem.type for one in batch.results],
        "recommended": [entry.item_id for entry in asked.recommendations],
        "posted": [entry.item_id for entry in posted.recommendations],
        "scores": [entry.score for entry in posted.recommendations],
        "shares": [sum(part.share for part in entry.because) for entry in posted.recommendations],
        "several": [[one.customer_id, len(one.answer.recommendations)] for one in several.results],
        "accepted": made.LogApi(client).order(order).offset >= 0,
        "unknown": problem_of(lambda: items.related("no such item")),
        "invalid": problem_of(lambda: items.related("tea", where=["colour"])),
    }


def test_every_answer_of_a_worker_has_a_schema() -> None:
    """Clients generated from the document must know what they get."""
    document = describe((*ROUTES, *worker_routes(cast("Any", None))), "0")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is not None and path != "/openapi.json":
                    schemas = content["schema"].get("oneOf", [content["schema"]])
                    assert all("$ref" in one for one in schemas), f"{method} {path} {status}"
