"""The admin endpoint: its answers, and the requests it rejects, with reasons."""

from __future__ import annotations

import http.client
import json
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode, urlsplit

import pytest

from streams.endpoint.answers import NotReady
from streams.endpoint.handlers import AdminSettings
from streams.endpoint.local_answers import COLLECTED_S, MOST_COLLECTED
from streams.endpoint.openapi import describe
from streams.endpoint.problems import NOT_KNOWN, PROBLEM_TYPES
from streams.endpoint.routes import ROUTES
from streams.workers.answering.worker_routes import worker_routes
from tests.live_shop import HOSTILE_IDS, TOKEN, Shop, open_shop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streams.endpoint.requests import Parameter
    from streams.endpoint.routes import Route

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(tmp_path_factory.mktemp("state"), settings=AdminSettings(TOKEN, largest_body_bytes=4096)) as shop:
        yield shop


class Response:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.body)
        return document


def ask(
    shop: Shop,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    **query: object,
) -> Response:
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=30)
    try:
        text = f"?{urlencode(query, doseq=True)}" if query else ""
        connection.request(method, path + text, body, headers or {})
        return Response(connection.getresponse())
    finally:
        connection.close()


def post(shop: Shop, path: str, document: object, token: str | None = None) -> Response:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return ask(shop, path, "POST", json.dumps(document).encode(), headers)


def refused(response: Response, status: int, *words: str) -> None:
    """Assert that it is a problem document with this status, whose detail contains these words."""
    assert response.status == status
    assert response.headers["Content-Type"].startswith("application/problem+json")
    problem = response.document
    assert problem["status"] == status
    assert problem.keys() >= {"type", "title", "detail", "instance"}
    assert HTTPStatus(status) in {kind.status for kind in PROBLEM_TYPES if kind.uri == problem["type"]}
    for word in words:
        assert word in problem["detail"]


def test_an_item_has_its_facts_and_its_sixty_days(shop: Shop) -> None:
    document = ask(shop, "/items/tea").document

    assert (document["title"], document["category"], document["available"]) == ("Green tea", "drinks", True)
    assert document["buyers"] == 27
    assert sum(day["purchases"] for day in document["daily_purchases"]) == document["purchases"] == 27
    assert document["as_of"]["lines"] > 0
    assert document["worker"] == "shop"


def test_a_related_list_has_what_its_scores_are_made_of(shop: Shop) -> None:
    document = ask(shop, "/items/tea/related").document
    first = ask(shop, "/items/tea/related", limit=1).document

    assert document["exact"]
    assert "milk" in [entry["item_id"] for entry in document["related"]]
    assert first["related"] == document["related"][:1]
    for entry in document["related"]:
        assert entry["bought_together"] > entry["expected"] > 0
        assert entry["score"] > 0


def test_a_list_of_other_pairs_is_not_passed_off_as_one(shop: Shop) -> None:
    """Who asks for complements must not get substitutes; the answer says how to get what was asked for."""
    document = ask(shop, "/v1/items/tea/related", pairs="customer").document
    assert document["pairs"] == "customer"

    refusal = ask(shop, "/v1/items/tea/related", pairs="order")
    refused(refusal, 404, "pairs of customers are counted here, not of orders", "--pairs order")
    assert refusal.document["type"].endswith(":other-pairs")
    assert refusal.document["parameter"] == "pairs"
    (result,) = post(shop, "/v1/related", {"items": ["tea"], "pairs": "order"}).document["results"]
    assert result["problem"]["type"] == refusal.document["type"]
    refused(ask(shop, "/v1/items/tea/related", pairs="day"), 400, "parameter pairs is 'day', not customer or order")


def test_a_list_can_be_rendered_without_another_request(shop: Shop) -> None:
    """A site needs titles, addresses and pictures of what it shows; it names what it needs, and gets no more."""
    fields = "title,url,image,price,colour"
    answers = {
        "related": ask(shop, f"/v1/items/tea/related?fields={fields}"),
        "recommendations": post(shop, "/v1/recommendations", {"basket": ["tea"], "fields": fields.split(",")}),
        "bestsellers": ask(shop, f"/v1/bestsellers?fields={fields}"),
    }

    for name, response in answers.items():
        (milk,) = [entry for entry in response.document[name] if entry["item_id"] == "milk"]
        shown = {field: milk[field] for field in ("title", "url", "image", "price", "attributes")}
        assert shown == {
            "title": "Whole milk",
            "url": "https://shop.example/milk",
            "image": "https://shop.example/milk.jpg",
            "price": "1.09 EUR",
            "attributes": {"colour": "white"},
        }
        assert "brand" not in milk
    (plain,) = [entry for entry in ask(shop, "/v1/items/tea/related").document["related"] if entry["item_id"] == "milk"]
    assert plain.keys() == {"item_id", "title", "score", "bought_together", "expected", "trend"}
    (sized,) = [
        entry
        for entry in ask(shop, "/v1/items/tea/related?fields=size").document["related"]
        if entry["item_id"] == "milk"
    ]
    assert sized["attributes"] == {"size": "1 l"}


def test_lists_asked_for_together_are_those_asked_for_alone(shop: Shop) -> None:
    items = ["tea", "nothing", "honey", *HOSTILE_IDS, "tea"]
    kind = {"limit": 3, "fields": ["title", "image"]}

    results = post(shop, "/v1/related", {"items": items, **kind}).document["results"]

    assert [result["item_id"] for result in results] == items
    for item_id, result in zip(items, results, strict=True):
        alone = ask(shop, f"/v1/items/{quote(item_id, safe='')}/related", limit=3, fields="title,image").document
        assert result == {"item_id": item_id, "problem" if "status" in alone else "answer": alone}
    assert [result["problem"]["type"] for result in results if "problem" in result] == [NOT_KNOWN.uri]


def test_recommendations_for_several_are_those_for_each(shop: Shop) -> None:
    customers = ["c2", "nobody", "c3", *HOSTILE_IDS[:4], "c2"]
    kind = {"limit": 4, "basket": ["soap"], "fields": ["title"]}

    response = post(shop, "/v1/recommendations", {"customers": customers, **kind})

    assert response.headers["Cache-Control"] == "no-store"
    results = response.document["results"]
    assert [result["customer_id"] for result in results] == customers
    for customer_id, result in zip(customers, results, strict=True):
        alone = post(shop, "/v1/recommendations", {"customer_id": customer_id, **kind}).document
        assert result == {"customer_id": customer_id, "answer": alone}


@pytest.mark.parametrize(
    ("path", "document", "words"),
    [
        ("/v1/related", {"items": []}, "items"),
        ("/v1/related", {"items": ["tea"] * 201}, "<= 200"),
        ("/v1/related", {"items": ["tea"], "limit": 51}, "limit"),
        ("/v1/recommendations", {"customers": ["c"] * 101}, "<= 100"),
        ("/v1/recommendations", {"customers": ["c1"], "customer_id": "c2"}, "both given"),
    ],
)
def test_too_many_at_once_are_refused(shop: Shop, path: str, document: dict[str, Any], words: str) -> None:
    refused(post(shop, path, document), 400, words)


def test_results_that_have_no_room_say_so_in_their_place(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.endpoint.handlers.LARGEST_RESULTS_BYTES", 3_000)

    results = post(shop, "/v1/related", {"items": ["tea", "milk", "soap", "nothing"], "limit": 10}).document["results"]

    assert "answer" in results[0]
    assert [result.get("problem", {}).get("type") for result in results[2:]] == [
        "urn:alsobought:problem:answer",
        NOT_KNOWN.uri,
    ]


def test_old_paths_are_those_of_the_first_version(shop: Shop) -> None:
    """Clients that were written before paths had a version go on."""
    for path in ("/items/tea", "/items/tea/related", "/customers/c2", "/bestsellers", "/search?q=tea", "/quality"):
        assert ask(shop, path).document == ask(shop, f"/v1{path}").document
    assert ask(shop, "/v1/health/live").status == 404
    assert not [path for path in ask(shop, "/openapi.json").document["paths"] if path.startswith("/items")]


def test_a_comma_separates_values_and_one_within_a_value_is_encoded(shop: Shop) -> None:
    name = "a+b;c=d,e"
    both = f"basket=tea,{quote(name, safe='')}"

    for query in (both, "basket=tea&basket=a%2Bb;c=d%2Ce"):
        document = ask(shop, f"/v1/customers/nobody/recommendations?{query}").document
        assert document["known"]
        assert "ignored" not in document


def test_an_answer_has_a_size(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long titles and addresses are: memory of a worker and of its client are bounded."""
    monkeypatch.setattr("streams.endpoint.handlers.LARGEST_ANSWER_BYTES", 200)

    response = ask(shop, "/v1/items/tea/related")

    refused(response, 400, "fewer entries")
    assert response.document["type"] == "urn:alsobought:problem:answer"
    assert ask(shop, "/v1/items/tea/related?limit=1").status == 400
    assert ask(shop, "/health/live").status == 200


def test_problems_are_told_apart_by_their_type(shop: Shop) -> None:
    """That an item is unknown is an answer; that a path is, is a mistake of the client."""
    assert ask(shop, "/v1/items/nothing").document["type"] == NOT_KNOWN.uri
    assert ask(shop, "/v1/nothing").document["type"] == "urn:alsobought:problem:no-route"


def test_every_problem_type_has_an_anchor_in_the_documentation() -> None:
    text = (DOCS / "admin.md").read_text()
    rows = re.findall(r'^\| <a id="problem-([\w-]+)"></a>`([\w-]+)` \| (\d+) \|', text, re.MULTILINE)

    assert {(name, int(status)) for _, name, status in rows} == {(kind.name, kind.status) for kind in PROBLEM_TYPES}
    assert all(anchor == name for anchor, name, _ in rows)


def test_a_published_list_is_the_fresh_one_when_all_were_published(shop: Shop) -> None:
    published = ask(shop, "/items/tea/related").document
    fresh = ask(shop, "/items/tea/related", fresh="true").document

    assert published == fresh


def test_an_unchanged_list_is_not_sent_again(shop: Shop) -> None:
    tag = ask(shop, "/items/milk/related").headers["ETag"]

    again = ask(shop, "/items/milk/related", headers={"If-None-Match": tag})
    other = ask(shop, "/items/milk/related", headers={"If-None-Match": 'W/"another"'})

    assert (again.status, again.body) == (304, b"")
    assert other.status == 200


def test_recommendations_name_their_seeds(shop: Shop) -> None:
    document = ask(shop, "/customers/c2/recommendations", limit=3).document

    assert document["known"]
    assert len(document["recommendations"]) == 3
    for entry in document["recommendations"]:
        assert sum(reason["share"] for reason in entry["because"]) == pytest.approx(entry["score"])


def test_a_stranger_gets_bestsellers(shop: Shop) -> None:
    """A new customer must see neither an empty page nor an error."""
    document = ask(shop, "/customers/nobody/recommendations", limit=5).document
    best = ask(shop, "/bestsellers", limit=5).document["bestsellers"]

    assert not document["known"]
    assert [entry["item_id"] for entry in document["recommendations"]] == [entry["item_id"] for entry in best]


def test_a_basket_is_recommended_for(shop: Shop) -> None:
    response = post(shop, "/recommendations", {"basket": ["tea", "never heard of"], "limit": 4, "exclude": ["soap"]})

    document = response.document
    assert document["ignored"] == ["never heard of"]
    assert not {"tea", "soap"} & {entry["item_id"] for entry in document["recommendations"]}
    assert {"tea"} == {
        reason["item_id"] for entry in document["recommendations"] for reason in entry["because"] if "item_id" in reason
    }


def test_an_unavailable_item_is_gone_from_every_answer_at_once(shop: Shop) -> None:
    """Unavailable items must not be advertised, even if stored lists contain them."""

    def everywhere() -> list[str]:
        answers = [
            ask(shop, "/items/tea/related"),
            ask(shop, "/customers/c2/recommendations", limit=100, keep_held="true"),
            ask(shop, "/bestsellers", limit=100),
            post(shop, "/recommendations", {"basket": ["tea"], "limit": 100}),
        ]
        entries = [
            entry for one in answers for part in one.document.values() if isinstance(part, list) for entry in part
        ]
        return [entry["item_id"] for entry in entries]

    async def put(available: bool) -> None:
        shop.catalogue.put("odd0", shop.catalogue.get("odd0").__class__(available=available))

    assert "odd0" in everywhere()
    shop.run(put(available=False))
    assert "odd0" not in everywhere()
    shop.run(put(available=True))
    assert "odd0" in everywhere()


def test_a_category_holds_for_bestsellers_and_recommendations(shop: Shop) -> None:
    best = ask(shop, "/bestsellers", category="drinks").document["bestsellers"]
    chosen = ask(shop, "/customers/c2/recommendations", category="bath & body", keep_held="true").document

    assert {entry["item_id"] for entry in best} == {"tea", "milk"}
    assert [entry["item_id"] for entry in chosen["recommendations"]] == ["soap"]


@pytest.mark.parametrize(
    ("text", "first"), [("GREEN", "tea"), ("whole mil", "milk"), ("odd3", "odd3"), ("honey", "honey")]
)
def test_items_are_found_by_id_and_title(shop: Shop, text: str, first: str) -> None:
    assert ask(shop, "/search", q=text).document["items"][0]["item_id"] == first


def test_a_customer_is_found_by_id(shop: Shop) -> None:
    assert ask(shop, "/search", q="c7").document["customers"] == ["c7"]
    assert ask(shop, "/search", q="c").document["customers"] == []


@pytest.mark.parametrize("name", HOSTILE_IDS)
def test_ids_may_be_anything(shop: Shop, name: str) -> None:
    """No part of a request reaches HTML, a shell or a file name; whatever was bought under an id is found under it."""
    path = quote(name, safe="")

    assert ask(shop, f"/items/{path}").document["item_id"] == name
    related = ask(shop, f"/items/{path}/related").document
    assert related["item_id"] == name
    assert "tea" in [entry["item_id"] for entry in related["related"]]
    assert ask(shop, f"/customers/{path}").document["customer_id"] == name
    assert ask(shop, f"/customers/{path}/recommendations").document["known"]
    assert name not in [
        entry["item_id"]
        for entry in ask(shop, "/customers/nobody/recommendations", exclude=name, limit=500).document["recommendations"]
    ]
    words = name.lower().split()
    assert any(
        all(word in entry["item_id"].lower() for word in words)
        for entry in ask(shop, "/search", q=name).document["items"]
    )


@pytest.mark.parametrize(
    ("path", "query", "name"),
    [
        ("/items/tea/related", {"limit": "many"}, "limit"),
        ("/items/tea/related", {"limit": 0}, "limit"),
        ("/items/tea/related", {"limit": 51}, "limit"),
        ("/items/tea/related", {"limit": [1, 2]}, "limit"),
        ("/items/tea/related", {"fresh": "yes"}, "fresh"),
        ("/items/tea/related", {"frsh": "true"}, "frsh"),
        ("/items/tea/related", {"fields": ""}, "fields"),
        ("/items/tea/related", {"fields": "x" * 61}, "fields"),
        ("/items/tea/related", {"fields": ["title"] * 21}, "fields"),
        ("/items/tea", {"limit": 1}, "limit"),
        ("/customers/c1/recommendations", {"popularity_share": "nan"}, "popularity_share"),
        ("/customers/c1/recommendations", {"repeats_share": 1.5}, "repeats_share"),
        ("/customers/c1/recommendations", {"exclude": ""}, "exclude"),
        ("/bestsellers", {"days": 61}, "days"),
        ("/bestsellers", {"days": "1_0"}, "days"),
        ("/search", {}, "q"),
        ("/search", {"q": ""}, "q"),
        ("/events", {"item_id": "x" * 513}, "item_id"),
        (f"/items/{'x' * 513}", {}, "item_id"),
    ],
)
def test_a_bad_parameter_is_named(shop: Shop, path: str, query: dict[str, Any], name: str) -> None:
    response = ask(shop, path, **query)

    refused(response, 400, name)
    assert response.document["parameter"] == name


def test_the_longest_query_is_answered(shop: Shop) -> None:
    """Twenty basket ids and twenty excluded ids, all of maximal length."""
    ids = [f"{number:02}" + "\U0001f36e" * 510 for number in range(20)]

    response = ask(shop, "/customers/c2/recommendations", basket=ids, exclude=ids, category="\U0001f36e" * 1000)

    assert response.status == 200
    assert response.document["ignored"] == ids


@pytest.mark.parametrize(
    "path", ["/items/Tea", "/items/Tea/related", "/customers/C1", "/items/%00", "/items/%2E%2E%2Fetc"]
)
def test_the_unknown_is_404_with_a_hint(shop: Shop, path: str) -> None:
    refused(ask(shop, path), 404, "compared exactly")


def test_an_item_only_in_the_catalogue_has_an_empty_list(shop: Shop) -> None:
    """A new product in the basket is not an error."""
    assert ask(shop, "/items/honey").document["purchases"] == 0
    assert ask(shop, "/items/honey/related").document["related"] == []


@pytest.mark.parametrize(
    "path", ["/nothing", "/items", "/items//related", "/page/../admin.py", "/page/admin.py", "/page/%2e%2e%2fadmin.py"]
)
def test_no_other_path_leads_anywhere(shop: Shop, path: str) -> None:
    refused(ask(shop, path), 404)


def test_other_methods_are_refused(shop: Shop) -> None:
    response = ask(shop, "/items/tea", "DELETE")

    refused(response, 405)
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"basket": 3}',
        b'{"baskett": []}',
        b'{"limit": 0}',
        b"\xff\xfe",
        b'{"basket": [""]}',
        b"[" * 3000,
    ],
)
def test_a_bad_body_is_explained(shop: Shop, body: bytes) -> None:
    refused(ask(shop, "/recommendations", "POST", body, {"Content-Type": "application/json"}), 400, "body")


def test_a_body_of_another_kind_is_415(shop: Shop) -> None:
    refused(
        ask(shop, "/recommendations", "POST", b"basket=tea", {"Content-Type": "text/plain"}), 415, "application/json"
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_is_413(shop: Shop, chunked: bool) -> None:
    """Memory is bounded by what is read, not by what a client declares."""
    body = b'{"category": "' + b"x" * 5000 + b'"}'
    headers = {"Content-Type": "application/json"}
    if chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    refused(ask(shop, "/recommendations", "POST", body, headers), 413, "4096")


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xff"]
)
def test_a_wrong_token_is_401(shop: Shop, header: str | None) -> None:
    headers = {"Content-Type": "application/json"} | ({} if header is None else {"Authorization": header})

    erased = ask(shop, "/customers/c1", "DELETE", headers=headers)
    ordered = ask(shop, "/orders", "POST", b"{}", headers)

    for response in (erased, ordered):
        refused(response, 401, "Authorization")
        assert "Bearer" in response.headers["WWW-Authenticate"]
        assert TOKEN not in response.body.decode()
    right = ask(shop, "/customers/nobody", "DELETE", headers={"Authorization": f"Bearer {TOKEN}"})
    assert right.status == 404, "and the failures are forgotten"


def test_an_order_is_counted_and_an_erasure_leaves_no_trace(shop: Shop) -> None:
    order = {"customer_id": "new", "timestamp": 1_709_000_000, "lines": [{"item_id": "tea"}, {"item_id": "rare"}]}

    accepted = post(shop, "/orders", order, TOKEN)
    assert accepted.status == 202
    assert accepted.document.keys() >= {"partition", "offset", "worker"}
    assert ask(shop, "/customers/new").document["items_held"] == 2
    assert [entry["item_id"] for entry in ask(shop, "/items/rare/related").document["related"]] == ["tea"]

    erased = ask(shop, "/customers/new", "DELETE", headers={"Authorization": f"Bearer {TOKEN}"})
    assert erased.status == 202
    refused(ask(shop, "/customers/new"), 404)
    assert ask(shop, "/items/rare/related").document["related"] == []
    assert ask(shop, "/items/rare").document["buyers"] == 0
    refused(ask(shop, "/customers/new", "DELETE", headers={"Authorization": f"Bearer {TOKEN}"}), 404)


def test_an_order_that_cannot_be_counted_is_refused_with_the_reason(shop: Shop) -> None:
    refused(
        post(shop, "/orders", {"customer_id": "x", "timestamp": "yesterday", "item_id": "tea"}, TOKEN), 400, "yesterday"
    )


def test_a_process_that_only_reads_says_so(tmp_path: Path) -> None:
    with open_shop(tmp_path) as shop:
        shop.answers.writable = False
        headers = {"Authorization": "Bearer whatever"}
        refused(ask(shop, "/customers/c1", "DELETE", headers=headers), 409, "read-only")
        refused(
            post(shop, "/orders", {"customer_id": "x", "timestamp": 1_709_000_000, "item_id": "tea"}, TOKEN),
            409,
            "read-only",
        )


def test_without_a_token_nothing_is_written(tmp_path: Path) -> None:
    with open_shop(tmp_path, settings=AdminSettings()) as shop:
        refused(ask(shop, "/customers/c1", "DELETE", headers={"Authorization": "Bearer None"}), 403, "--admin-token")


def test_who_cannot_answer_now_says_when(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that moves must look like a pause, not like an unknown item."""

    async def absent(_: str) -> dict[str, Any]:
        raise NotReady("purchases partition 3 has no owner", 2)

    monkeypatch.setattr(shop.answers, "item", absent)
    monkeypatch.setattr(shop.answers, "ready", lambda: "no partition was assigned yet")

    response = ask(shop, "/items/tea")
    refused(response, 503, "no owner")
    assert response.headers["Retry-After"] == "2"
    refused(ask(shop, "/health/ready"), 503, "assigned")
    assert ask(shop, "/health/live").status == 200


def test_a_fault_of_ours_tells_nothing_of_the_inside(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_: str) -> dict[str, Any]:
        raise RuntimeError("the secret path /var/state")

    monkeypatch.setattr(shop.answers, "item", broken)

    response = ask(shop, "/items/tea")

    refused(response, 500)
    assert "secret" not in response.body.decode()
    assert "the secret path" in caplog.text


def test_metrics_say_how_the_worker_stands_and_answers(shop: Shop) -> None:
    ask(shop, "/items/tea/related")

    text = ask(shop, "/metrics").body.decode()

    for name in (
        "lines_total",
        "commits_total",
        "rejects_total",
        "lag_records",
        "refresh_age_seconds",
        "lists",
        "state_bytes",
    ):
        assert re.search(rf"^alsobought_{name}(\{{.*\}})? \d", text, re.MULTILINE), name
    assert 'alsobought_request_seconds_count{route="/v1/items/{item_id}/related",status="200"}' in text


def test_quality_tells_what_became_of_the_orders_that_were_scored(shop: Shop) -> None:
    """An order of a customer with a history is scored before it is counted; a new customer's is not."""
    before = ask(shop, "/quality").document
    for customer, item in (("c3", "odd5"), ("newcomer", "tea")):
        body = json.dumps({"customer_id": customer, "item_id": item, "timestamp": 1_709_300_000}).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        assert ask(shop, "/orders", "POST", body, headers).status == 202

    quality = ask(shop, "/quality").document

    assert quality["orders"] == before["orders"] + 1
    assert [day["day"] for day in quality["days"]][-1] == "2024-03-01"
    last = quality["days"][-1]
    assert last["orders"] >= last["hits"] >= 0
    metrics = ask(shop, "/metrics").body.decode()
    assert f"alsobought_scored_orders_total {quality['orders']:.1f}" in metrics
    assert f"alsobought_scored_hits_total {quality['hits']:.1f}" in metrics
    assert f"alsobought_scored_bestseller_hits_total {quality['bestseller_hits']:.1f}" in metrics


def test_partitions_tell_offset_lag_and_size(shop: Shop) -> None:
    partitions = ask(shop, "/partitions").document["partitions"]

    assert {partition["kind"] for partition in partitions} == {"purchases", "items"}
    assert all(
        partition["offset"] > 0 and partition["state_bytes"] > 0 and partition["owner"] == "shop"
        for partition in partitions
    )


def test_events_tell_the_state_every_second_and_the_watched_list_as_it_changes(shop: Shop) -> None:
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=10)
    connection.request("GET", "/events?item_id=milk")
    response = connection.getresponse()
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.readline() == b"event: status\n"
    begun = time.monotonic()
    post(
        shop,
        "/orders",
        {"customer_id": "live", "timestamp": 1_709_000_000, "lines": [{"item_id": "milk"}, {"item_id": "soap"}]},
        TOKEN,
    )

    found: dict[str, Any] = {}
    while found.keys() < {"orders", "related", "status"} and time.monotonic() < begun + 5:
        line = response.readline().decode()
        if line.startswith("event: "):
            kind = line[7:-1]
            found[kind] = json.loads(response.readline()[6:])
    connection.close()

    assert {item["item_id"] for item in found["orders"]["items"]} == {"milk", "soap"}
    assert found["related"]["item_id"] == "milk"
    assert found["status"]["lag"] == 0
    deadline = time.monotonic() + 5
    while len(shop.answers.changes) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(shop.answers.changes) == 0, "who leaves is forgotten"


def test_watchers_are_told_of_many_orders_together(shop: Shop) -> None:
    """Writing to all of them at each commit would keep everybody else waiting."""
    items = [f"item-{number}" for number in range(3 * MOST_COLLECTED)]
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=10)
    connection.request("GET", "/events")
    response = connection.getresponse()
    begun = time.monotonic()
    for item_id in items:
        order = {"customer_id": "many", "timestamp": 1_709_000_000, "item_id": item_id}
        assert post(shop, "/orders", order, TOKEN).status == 202

    told: list[list[str]] = []
    while not told or items[-1] not in told[-1]:
        if response.readline() == b"event: orders\n":
            told.append([item["item_id"] for item in json.loads(response.readline()[6:])["items"]])
    connection.close()

    assert len(told) <= 1 + (time.monotonic() - begun) / COLLECTED_S
    assert max(map(len, told)) <= MOST_COLLECTED
    assert told[-1] == items[-len(told[-1]) :]


def test_nothing_is_kept_of_answers_about_a_person(shop: Shop) -> None:
    for path in ("/customers/c1", "/customers/c1/recommendations", "/search?q=c1"):
        assert ask(shop, path).headers["Cache-Control"] == "no-store"


def test_the_page_lets_nothing_in_from_outside(shop: Shop) -> None:
    response = ask(shop, "/")

    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    for name in re.findall(r'(?:src|href)="(/page/[^"]+)"', response.body.decode()):
        assert ask(shop, name).status == 200


def test_every_route_is_in_openapi_and_in_the_documentation(shop: Shop) -> None:
    """Nobody finds an undocumented route; a documented route that does not exist is worse."""
    described = ask(shop, "/openapi.json").document
    served = {f"{route.method} {route.path}" for route in ROUTES}
    of_workers = {f"{route.method} {route.path}" for route in worker_routes(cast("Any", None))}

    assert described["openapi"] == "3.1.0"
    found = {f"{method.upper()} {path}" for path, methods in described["paths"].items() for method in methods}
    assert found == served - {"GET /", "GET /page/{file}"}
    documented = set(re.findall(r"^### `((?:GET|POST|DELETE) \S+)`$", (DOCS / "admin.md").read_text(), re.MULTILINE))
    assert documented == served | of_workers


def test_every_parameter_is_in_the_documentation() -> None:
    text = (DOCS / "admin.md").read_text()
    sections = dict(re.findall(r"^### `((?:GET|POST|DELETE) \S+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))

    for route in ROUTES:
        for parameter in route.parameters:
            assert f"`{parameter.name}`" in sections[f"{route.method} {route.path}"], (
                f"{parameter.name} of {route.path}"
            )
    assert describe(ROUTES, "1")["info"]["version"] == "1"


ROUTES_OF_WORKERS = (*ROUTES, *worker_routes(cast("Any", None)))


def sections() -> dict[str, str]:
    """The text of the documentation on each route."""
    text = (DOCS / "admin.md").read_text()
    return dict(re.findall(r"^### `((?:GET|POST|DELETE) \S+)`\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))


def default_text(parameter: Parameter) -> str:
    """A parameter's default as the documentation writes it."""
    if parameter.required:
        return "required"
    if parameter.kind == "boolean":
        return str(parameter.default).lower()
    return f"{parameter.default:g}" if parameter.kind in {"integer", "number"} else ""


@pytest.mark.parametrize("route", ROUTES_OF_WORKERS, ids=lambda route: f"{route.method} {route.path}")
def test_documented_parameters_are_those_served_with_their_defaults(route: Route) -> None:
    section = sections()[f"{route.method} {route.path}"]
    documented = dict(re.findall(r"^- `(\w+)`(?: \(([^)]+)\))?:", section, re.MULTILINE))

    assert documented == {parameter.name: default_text(parameter) for parameter in route.parameters}


def test_every_field_that_the_documentation_names_exists() -> None:
    """In the schema of some answer or body, or as a parameter."""
    schemas = describe(ROUTES_OF_WORKERS, "1")["components"]["schemas"].values()
    fields = {field for schema in schemas for field in schema["properties"]}
    parameters = {parameter.name for route in ROUTES for parameter in route.parameters}
    named = {name for section in sections().values() for name in re.findall(r"`(?:\w+\.)?(\w+)`", section)}

    assert named - fields - parameters - {"true"} == set()
