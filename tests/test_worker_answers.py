"""The admin endpoint of workers: every worker gives the same answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from producers.partitioning import customer_partition
from state.settings import CountingSettings
from streams.catalogue.catalogue import Catalogue
from streams.endpoint.answers import FORWARDED_BY
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.requests import BestsellersRequest, CatalogueRequest, RelatedListsRequest, RelatedRequest
from streams.engine.embedded import Embedded
from streams.engine.scores import Scoring
from streams.recommendations.request import RecommendationRequest, RecommendationsRequest
from streams.workers.answering.local_customers import LocalCustomers
from streams.workers.answering.local_items import LocalItems
from streams.workers.answering.worker_answers import WorkerAnswers
from streams.workers.kafka.placement import Placement, PlacementReader
from streams.workers.kafka.stage_service import Membership
from streams.workers.kafka.topics import Topics
from streams.workers.status import WorkerStatus
from tests.live_shop import HOSTILE_IDS, TOKEN, shop_log
from tests.live_workers import AUTHORIZED, LiveShop, ask, live_shop, of_customer, of_item, post
from tests.log_strategies import as_orders
from tests.workers import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.brokers import Broker
    from tests.live_workers import Response
    from tests.workers import WorkerProcess

ITEMS = sorted({line.item_id for order in shop_log() for line in order.lines})
CUSTOMERS = sorted({order.customer_id for order in shop_log()})
BASKET = {"basket": ["tea", "odd1", "never heard of"], "limit": 20, "exclude": ["soap"]}


@pytest.fixture(scope="module")
def shop(kafka: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveShop]:
    """Two workers that share the shop; tests do not change its state."""
    with live_shop(kafka.bootstrap, "answers", tmp_path_factory.mktemp("workers")) as shop:
        yield shop


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAnswers]:
    """One process that has counted the shop's whole log."""
    embedded = Embedded(tmp_path_factory.mktemp("whole"), CountingSettings())
    embedded.count(as_orders(shop_log()), len(shop_log()))
    list(embedded.publish())
    yield EmbeddedAnswers(embedded)
    embedded.close()


def said(response: Response) -> dict[str, Any]:
    """An answer without the name of the worker."""
    assert response.status == 200, response.body
    return {name: value for name, value in response.document.items() if name != "worker"}


def meant(document: Any) -> dict[str, Any]:  # noqa: ANN401 - of any question
    """The answer of the one process, as JSON."""
    decoded: dict[str, Any] = json.loads(msgspec.json.encode(document))
    return {name: value for name, value in decoded.items() if name != "worker"}


def test_each_worker_has_some_of_the_partitions_and_knows_who_has_the_others(shop: LiveShop) -> None:
    """Otherwise the tests below would prove nothing."""
    first, second = (said(ask(worker, "/partitions"))["partitions"] for worker in shop.two)

    assert [(row["kind"], row["partition"], row["owner"]) for row in first] == [
        (row["kind"], row["partition"], row["owner"]) for row in second
    ]
    assert len(first) == 6
    for kind in ("purchases", "items"):
        assert {row["owner"] for row in first if row["kind"] == kind} == {worker.admin for worker in shop.two}
    assert all(row["offset"] > 0 and row["state_bytes"] > 0 and row["lag"] == 0 for row in first)


def test_items_are_what_one_process_says_of_them(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    for item_id in ITEMS:
        expected = meant(asyncio.run(whole.item(item_id)))
        listed = asyncio.run(whole.related(item_id, RelatedRequest()))
        for worker in shop.two:
            assert said(ask(worker, of_item(item_id))) == expected
            assert said(ask(worker, of_item(item_id, "related"))) == meant(listed.document)


def test_pairs_are_what_one_process_says_of_them(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    for item_id, other_id in (("tea", "milk"), ("milk", "tea"), ("soap", HOSTILE_IDS[0]), (HOSTILE_IDS[0], "tea")):
        expected = meant(asyncio.run(whole.pair(item_id, other_id)))
        assert expected["epochs"]
        for worker in shop.two:
            assert said(ask(worker, of_item(item_id, "related", other_id))) == expected


def test_customers_are_what_one_process_says_of_them(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    for customer_id in CUSTOMERS:
        expected = meant(asyncio.run(whole.customer(customer_id, 5)))
        chosen = meant(asyncio.run(whole.recommendations(RecommendationRequest(customer_id=customer_id, limit=20))))
        for worker in shop.two:
            assert said(ask(worker, of_customer(customer_id), limit=5)) == expected
            assert said(ask(worker, of_customer(customer_id, "recommendations"), limit=20)) == chosen


def test_what_is_about_no_partition_is_the_same_at_each(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    request = RecommendationRequest(limit=20, basket=("tea", "odd1", "never heard of"), exclude=("soap",))
    of_c3 = msgspec.structs.replace(request, customer_id="c3")
    best = meant(asyncio.run(whole.bestsellers(BestsellersRequest(days=7, limit=5))))
    basket = meant(asyncio.run(whole.recommendations(request)))
    known = meant(asyncio.run(whole.recommendations(of_c3)))
    found = meant(asyncio.run(whole.search("c3", 12)))
    listed = meant(asyncio.run(whole.catalogue(CatalogueRequest(offset=3, limit=5))))

    for worker in shop.two:
        assert said(ask(worker, "/bestsellers", days=7, limit=5)) == best
        assert said(post(worker, "/recommendations", BASKET)) == basket
        assert said(post(worker, "/recommendations", {**BASKET, "customer_id": "c3"})) == known
        assert said(ask(worker, "/search", q="c3")) == found
        assert said(ask(worker, "/catalogue", offset=3, limit=5)) == listed
        assert ask(worker, "/rates").document["worker"] == worker.admin
        assert found["customers"] == ["c3"]


def without_worker(value: Any) -> Any:  # noqa: ANN401 - any part of an answer
    """The same, whoever answered."""
    if isinstance(value, dict):
        return {name: without_worker(part) for name, part in value.items() if name != "worker"}
    return [without_worker(part) for part in value] if isinstance(value, list) else value


def test_lists_asked_for_together_are_those_asked_for_alone_at_each(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    """Whichever worker has them, and each other worker is asked once."""
    items = [*ITEMS, "nothing", ITEMS[0]]
    request = RelatedListsRequest(items=tuple(items), limit=5)
    expected = [json.loads(msgspec.json.encode(one)) for one in asyncio.run(whole.related_lists(request))]
    for worker, other in (shop.two, shop.two[::-1]):
        before = requests_of(other, "/v1/related")
        results = post(worker, "/v1/related", {"items": items, "limit": 5}).document["results"]
        assert without_worker(results) == without_worker(expected)
        assert {result["answer"]["worker"] for result in results if "answer" in result} == {
            worker.admin for worker in shop.two
        }
        assert requests_of(other, "/v1/related") == before + 1


def test_recommendations_for_several_are_those_for_each_at_each(shop: LiveShop, whole: EmbeddedAnswers) -> None:
    customers = [*CUSTOMERS, "nobody", CUSTOMERS[0]]
    request = RecommendationsRequest(customers=tuple(customers), limit=5, exclude=("soap",))
    expected = [json.loads(msgspec.json.encode(one)) for one in asyncio.run(whole.recommendations_of(request))]
    body = {"customers": customers, "limit": 5, "exclude": ["soap"]}
    for worker, other in (shop.two, shop.two[::-1]):
        before = requests_of(other, "/v1/recommendations")
        results = post(worker, "/v1/recommendations", body).document["results"]
        assert without_worker(results) == without_worker(expected)
        assert requests_of(other, "/v1/recommendations") == before + 1


@pytest.mark.parametrize(
    "kind",
    [
        {"offset": 2, "limit": 3},
        {"where_not": ["a,b:c", "d:e"]},
        {"in_stock": False},
        {"where": ["price:..2"]},
        {"score": "raw"},
    ],
)
def test_filters_and_pages_travel_to_the_owner(shop: LiveShop, whole: EmbeddedAnswers, kind: dict[str, Any]) -> None:
    query: dict[str, Any] = {
        name: str(value).lower() if isinstance(value, bool) else value for name, value in kind.items()
    }
    request = msgspec.convert(kind, RelatedRequest, strict=False)
    for item_id in ("tea", "milk", "soap"):
        listed = meant(asyncio.run(whole.related(item_id, request)).document)
        assert ("where" in kind) == (listed["related"] == [])
        for worker in shop.two:
            assert said(ask(worker, of_item(item_id, "related"), **query)) == listed


def requests_of(worker: WorkerProcess, route: str) -> int:
    """How many requests of a route a worker has answered."""
    text = ask(worker, "/metrics").body.decode()
    counts = re.findall(rf'alsobought_request_seconds_count{{route="{route}",status="200"}} (\S+)', text)
    return int(float(counts[0])) if counts else 0


def test_what_is_handed_on_in_vain_is_reported_in_its_place(shop: LiveShop) -> None:
    """A forwarded request is answered as far as it can be, and not handed on again."""
    headers = {FORWARDED_BY: "another", "Content-Type": "application/json"}
    body = json.dumps({"items": ITEMS, "limit": 1}).encode()
    for worker in shop.two:
        results = ask(worker, "/v1/related", "POST", body, headers).document["results"]
        assert {result["answer"]["worker"] for result in results if "answer" in result} == {worker.admin}
        missing = [result["problem"]["status"] for result in results if "problem" in result]
        assert 0 < len(missing) < len(ITEMS)
        assert set(missing) == {503}


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_ids_may_be_anything_at_each(shop: LiveShop, name: str) -> None:
    """A forwarded request must arrive as it was sent."""
    for path in (of_item(name), of_item(name, "related"), of_customer(name), of_customer(name, "recommendations")):
        first, second = (ask(worker, path) for worker in shop.two)
        assert first.status == 200
        assert first.body == second.body
    for worker in shop.two:
        assert ask(worker, of_item(name)).document["item_id"] == name
        assert ask(worker, "/search", q=name).document["customers"] == ([] if name != name.strip() else [name])


@pytest.mark.parametrize("path", [of_item("Tea"), of_item("Tea", "related"), of_customer("C1")])
def test_the_unknown_is_404_at_each(shop: LiveShop, path: str) -> None:
    for worker in shop.two:
        response = ask(worker, path)
        assert response.status == 404
        assert "compared exactly" in response.document["detail"]


def test_a_fresh_list_is_the_published_one_when_all_were_published(shop: LiveShop) -> None:
    for item_id in ITEMS:
        published = said(ask(shop.workers[0], of_item(item_id, "related")))
        for worker in shop.two:
            assert said(ask(worker, of_item(item_id, "related"), fresh="true")) == published


def test_an_unchanged_list_is_not_sent_again_whoever_has_it(shop: LiveShop) -> None:
    for item_id in ("tea", "milk", "soap", "odd1"):
        first, second = (ask(worker, of_item(item_id, "related")).headers["ETag"] for worker in shop.two)
        assert first == second
        for worker in shop.two:
            again = ask(worker, of_item(item_id, "related"), headers={"If-None-Match": first})
            assert (again.status, again.body) == (304, b"")


def test_what_was_handed_on_is_never_handed_on_again(shop: LiveShop) -> None:
    """Two workers that each take the other for the owner must not forward a request back and forth."""
    owners = {row["partition"]: row["owner"] for row in said(ask(shop.workers[0], "/partitions"))["partitions"][3:]}
    assert set(owners) == {0, 1, 2}
    for item_id in ("tea", "milk", "soap", "odd1"):
        owner = ask(shop.workers[0], of_item(item_id)).document["worker"]
        for worker in shop.two:
            begun = time.monotonic()
            response = ask(worker, of_item(item_id), headers={FORWARDED_BY: "another"})
            assert response.status == (200 if worker.admin == owner else 503)
            if response.status == 503:
                assert response.headers["Retry-After"] == "1"
                assert time.monotonic() - begun < 0.5


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_the_token_nothing_is_written(shop: LiveShop, token: str | None) -> None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    order = {"customer_id": "x", "timestamp": 1_709_000_000, "item_id": "tea"}

    for worker in shop.two:
        assert ask(worker, "/customers/c1", "DELETE", headers=headers).status == 401
        assert post(worker, "/orders", order, token).status == 401
        assert post(worker, "/snapshot", {"to": "/tmp/nowhere"}, token).status == 401  # noqa: S108 - not written
        assert worker.status() is not None


def test_an_order_that_could_not_be_counted_is_refused(shop: LiveShop) -> None:
    """The worker counts every order that the endpoint accepts."""
    worker = shop.workers[0]
    late = {"customer_id": "x", "timestamp": int(time.time()) + 2 * 86_400, "item_id": "tea"}
    large = {"customer_id": "x", "timestamp": 1_709_000_000, "lines": [{"item_id": "x" * 500}] * 1200}

    assert post(worker, "/orders", late, TOKEN).status == 400
    assert post(worker, "/orders", large, TOKEN).status == 413
    assert ask(worker, "/customers/nobody", "DELETE", headers=AUTHORIZED).status == 404


def test_metrics_say_how_a_worker_stands(shop: LiveShop) -> None:
    for worker in shop.two:
        text = ask(worker, "/metrics").body.decode()
        figures = dict(re.findall(r"^alsobought_(\w+(?:\{kind[^}]*\})?) (\S+)$", text, re.MULTILINE))
        assert float(figures["lines_total"]) == shop.lines
        assert float(figures["commits_total"]) > 0
        assert float(figures["lists"]) > 0
        assert {name for name in figures if name.startswith("lag_records")} > set()
        assert all(float(figures[name]) == 0 for name in figures if name.startswith("lag_records"))
        assert all(float(figures[name]) > 0 for name in figures if name.startswith("state_bytes"))


def test_a_worker_describes_its_own_routes_too(shop: LiveShop) -> None:
    described = ask(shop.workers[0], "/openapi.json").document

    assert {"/status", "/snapshot", "/v1/items/{item_id}"} <= described["paths"].keys()
    assert "adminToken" in described["paths"]["/snapshot"]["post"]["security"][0]
    assert not [path for path in described["paths"] if path.startswith("/internal")]
    assert ask(shop.workers[0], "/router").status == 404, "Faust's own routes are not served"


def test_an_order_is_appended_as_it_came() -> None:
    """The endpoint decodes it to validate it, which also yields the customer."""
    appended = []

    class Log:
        async def append(self, customer_id: str, partition: int, record: bytes) -> dict[str, int]:
            appended.append((customer_id, partition, record))
            return {"partition": partition, "offset": 7}

    nobody: Any = None
    placement = Placement(4)
    placement.decide("murmur2", "co-purchases")
    status = WorkerStatus("here", "live", None, None, {"ingest": Membership(), "tally": Membership()})
    answers = WorkerAnswers(
        "here",
        Catalogue(),
        LocalCustomers(None, Membership(), placement),
        PlacementReader("nowhere:1", Topics(), placement),
        LocalItems(None, Membership(), 4, Catalogue(), "here", Scoring()),
        nobody,
        nobody,
        nobody,
        cast("Any", Log()),
        status,
    )

    accepted = asyncio.run(answers.order("ann", b"whatever was validated"))

    partition = customer_partition(b"ann", 4)
    assert appended == [("ann", partition, b"whatever was validated")]
    assert accepted == {"partition": partition, "offset": 7, "worker": "here"}


def wait_404(worker: WorkerProcess, path: str) -> float:
    """Seconds until a path answers 404."""
    begun = time.monotonic()
    wait_until(f"{path} is gone", lambda: ask(worker, path).status == 404, pause_s=0.01)
    return time.monotonic() - begun


def test_orders_and_erasures_go_through_the_log_and_erasing_leaves_no_trace(kafka: Broker, tmp_path: Path) -> None:
    """Within a second on an idle worker: from histories, counts, holders and lists."""
    with live_shop(kafka.bootstrap, "erasing", tmp_path) as shop:
        first, second = shop.two
        before = {item_id: said(ask(first, of_item(item_id, "related")))["related"] for item_id in ITEMS}
        for number in range(3):
            customer = f"new {number}"
            lines = [{"item_id": "tea"}, {"item_id": "milk"}, {"item_id": f"rare{number}"}]
            order = {"customer_id": customer, "timestamp": 1_709_000_000, "lines": lines}
            accepted = post(shop.workers[number % 2], "/orders", order, TOKEN)
            assert accepted.status == 202
            assert accepted.document.keys() == {"partition", "offset", "worker"}
        shop.wait_until_counted(shop.lines + 9)
        for worker in shop.two:
            assert ask(worker, of_customer("new 1")).document["items_held"] == 3
            assert {entry["item_id"] for entry in ask(worker, of_item("rare0", "related")).document["related"]} == {
                "tea",
                "milk",
            }

        begun = time.monotonic()
        erased = ask(second, of_customer("new 0"), "DELETE", headers=AUTHORIZED)
        assert erased.status == 202
        gone = wait_404(first, of_customer("new 0"))
        wait_until(
            "nothing is left in the list of what only the customer bought",
            lambda: ask(second, of_item("rare0", "related")).document["related"] == [],
            pause_s=0.01,
        )
        assert ask(first, of_item("rare0")).document["buyers"] == 0
        wait_until(
            "nor in the lists of what the customer bought beside it",
            lambda: (
                not any(
                    entry["item_id"] == "rare0"
                    for item_id in ("tea", "milk")
                    for entry in ask(first, of_item(item_id, "related")).document["related"]
                )
            ),
            pause_s=0.01,
        )
        assert gone < 1
        assert time.monotonic() - begun < 1
        for number in (1, 2):
            assert ask(first, of_customer(f"new {number}"), "DELETE", headers=AUTHORIZED).status == 202
            wait_404(second, of_customer(f"new {number}"))
        shop.wait_until_counted(shop.lines + 9)
        after = {item_id: said(ask(second, of_item(item_id, "related")))["related"] for item_id in ITEMS}
        counted = [
            {
                item_id: [(entry["item_id"], entry["bought_together"]) for entry in entries]
                for item_id, entries in one.items()
            }
            for one in (before, after)
        ]
        for item_id in ITEMS:  # popularity remembers that something was bought, and may change an order
            assert sorted(counted[0][item_id])[:1] == sorted(counted[1][item_id])[:1]
            assert not [entry for entry in counted[1][item_id] if entry[0].startswith("rare")]
        assert ask(first, of_customer("new 0"), "DELETE", headers=AUTHORIZED).status == 404


def test_the_partitions_of_a_worker_that_was_killed_are_answered_for_after_takeover(
    kafka: Broker, tmp_path: Path
) -> None:
    paths = [of_item(item_id, "related") for item_id in ITEMS] + [
        of_customer(one, "recommendations") for one in CUSTOMERS
    ]
    with live_shop(kafka.bootstrap, "outlived", tmp_path) as shop:
        dead, alive = shop.two
        before = {path: said(ask(alive, path)) for path in paths}
        dead.kill()

        statuses = set()
        begun = time.monotonic()
        for path in paths:
            response = ask(alive, path)
            statuses.add(response.status)
            if response.status == 503:
                assert response.headers["Retry-After"]
                break
        assert time.monotonic() - begun < 10
        assert statuses <= {200, 503}
        wait_until("every question is answered again", lambda: all(ask(alive, path).status == 200 for path in paths))
        # the assortment and its popularity are refreshed once a second
        wait_until("and as before", lambda: {path: said(ask(alive, path)) for path in paths} == before)
        assert {row["owner"] for row in said(ask(alive, "/partitions"))["partitions"]} == {alive.admin}

        dead.start()
        shop.wait_until_counted(shop.lines)
        assert {path: said(ask(dead, path)) for path in paths} == before


def test_stages_may_run_apart(kafka: Broker, tmp_path: Path, whole: EmbeddedAnswers) -> None:
    """A worker without item partitions asks for recommendations, one without customers for histories."""
    with live_shop(kafka.bootstrap, "apart", tmp_path, stages=("ingest", "tally", "tally")) as shop:
        for worker in shop.workers:
            for customer_id in ("c3", "c6", "nobody", HOSTILE_IDS[0]):
                chosen = meant(
                    asyncio.run(whole.recommendations(RecommendationRequest(customer_id=customer_id, limit=20)))
                )
                assert said(ask(worker, of_customer(customer_id, "recommendations"), limit=20)) == chosen
            assert said(ask(worker, "/bestsellers")) == meant(asyncio.run(whole.bestsellers(BestsellersRequest())))
            assert said(ask(worker, "/search", q="c3")) == meant(asyncio.run(whole.search("c3", 12)))
            several = RecommendationsRequest(customers=("c3", "c6", "nobody"), limit=20)
            each = json.loads(msgspec.json.encode(asyncio.run(whole.recommendations_of(several))))
            results = post(worker, "/v1/recommendations", {"customers": several.customers, "limit": 20})
            assert without_worker(results.document["results"]) == without_worker(each)
            assert ask(worker, of_item("tea")).status == 200
            assert ask(worker, of_customer("c3")).status == 200
            assert said(post(worker, "/recommendations", BASKET))["known"]


def test_workers_ask_each_other_without_the_token(kafka: Broker, tmp_path: Path) -> None:
    """They sign what they ask; whoever cannot is a reader, also at /internal/."""
    reader, origin = "only-to-read", "https://shop.example"
    as_reader = {"Authorization": f"Bearer {reader}"}
    options = ("--read-token", reader, "--cors-origin", origin)
    with live_shop(kafka.bootstrap, "readers", tmp_path, more=options) as shop:
        for worker in shop.two:
            body = json.dumps({"items": ["tea", "milk", "soap", "odd1", "odd2", "odd3"]}).encode()
            headers = {**as_reader, "Content-Type": "application/json", "Origin": origin, "Accept-Encoding": "gzip"}
            response = ask(worker, "/v1/related", "POST", body, headers)
            results = json.loads(gzip.decompress(response.body))["results"]
            assert {result["answer"]["worker"] for result in results} == {one.admin for one in shop.two}
            assert response.headers["Access-Control-Allow-Origin"] == origin
            assert ask(worker, "/v1/partitions", headers=as_reader).document["partitions"]
            for customer_id in ("c1", "c2", "c3", "c4"):
                path = f"/v1/customers/{customer_id}/recommendations"
                assert ask(worker, path, headers=as_reader).document["known"]
                assert ask(worker, path).status == 401
            assert ask(worker, "/status").status == 401
            assert ask(worker, "/health/ready").status == 200
            assert post(worker, "/v1/recommendations", {"basket": ["tea"]}).status == 401
            forged = {"Alsobought-Forwarded-By": "another", "Alsobought-Signature": "0.0"}
            assert ask(worker, "/v1/items/tea", headers=forged).status == 401
