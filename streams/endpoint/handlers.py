"""Handlers of the endpoint: each turns an HTTP request into a question, and the answer into JSON."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from producers.orders import DAY_MS
from producers.wire import LARGEST_RECORD_BYTES, decode_alone
from streams.endpoint.bodies import ARRIVING_S, LARGEST_BODY_BYTES, read_body
from streams.endpoint.metrics import METRICS_TYPE
from streams.endpoint.problems import ANSWER_TOO_LARGE, Problem
from streams.endpoint.requests import RelatedListsRequest
from streams.endpoint.results import LISTED, RECOMMENDED
from streams.endpoint.tokens import check_usable
from streams.engine.documents import timestamp_text
from streams.quality.rates import quality_entries
from streams.recommendations.request import RecommendationsRequest

if TYPE_CHECKING:
    from streams.endpoint.answer_documents import Document
    from streams.endpoint.answers import Answers, Status
    from streams.endpoint.metrics import Metrics
    from streams.endpoint.rates import Rates
    from streams.endpoint.requests import CategoriesRequest, CustomerRequest, SearchRequest

JSON = "application/json"
LARGEST_ANSWER_BYTES = 16 << 20
LARGEST_RESULTS_BYTES = LARGEST_ANSWER_BYTES - (1 << 20)
"""Of results that are answers; the rest is for problems in their place."""
_encode = msgspec.json.Encoder().encode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """Settings of the endpoint.

    Attributes:
        token: bearer token that DELETE, POST /orders and POST /snapshot require; None rejects them.
        hosts: names or IP addresses that requests may call this process by, besides localhost and the address reached.
        largest_body_bytes: larger bodies are rejected, also if they are larger only when inflated.
        body_arriving_s: bodies that take longer to arrive are rejected.
        version: version of this software.
        read_token: bearer token that requests that read require, but for those whether the process is live, and for the
            page's files; None: they need none.
        origins: web pages of these origins may ask, such as https://shop.example; `*`: all.

    Raises:
        ValueError: a token is empty, or no request can send it.
    """

    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    largest_body_bytes: int = LARGEST_BODY_BYTES
    body_arriving_s: float = ARRIVING_S
    version: str = "0"
    read_token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_usable(self.token)
        check_usable(self.read_token)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request, and what a handler needs to answer it.

    Attributes:
        request: the HTTP request.
        query: the route's request type, with values from query and path; None if the route has none.
        answers: answers the question.
        settings: settings of the endpoint.
        metrics: metrics of this process.
        rates: what this process did in the last hour.
        description: the OpenAPI document.
    """

    request: web.Request
    query: Any
    answers: Answers
    settings: AdminSettings
    metrics: Metrics
    rates: Rates
    description: bytes

    def part(self, name: str) -> str:
        """A variable part of the path, decoded."""
        return self.request.match_info[name]


def answer(document: Document, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A document as a response that caches must revalidate.

    Raises:
        Problem: it is larger than answers may be.
    """
    body = _encode(document)
    if len(body) > LARGEST_ANSWER_BYTES:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"the answer would have {len(body)} bytes, more than {LARGEST_ANSWER_BYTES}: ask for fewer entries, fields "
            "or reasons",
            kind=ANSWER_TOO_LARGE,
        )
    return web.Response(
        body=body,
        status=status,
        content_type=JSON,
        headers={"Cache-Control": "no-cache", **(headers or {})},
    )


def private(document: Document, status: int = 200) -> web.Response:
    """A document about a person, as a response that must not be cached."""
    return answer(document, status, {"Cache-Control": "no-store"})


async def item(context: RequestContext) -> web.StreamResponse:
    """GET /v1/items/{item_id}."""
    return answer(await context.answers.item(context.part("item_id")))


async def related(context: RequestContext) -> web.StreamResponse:
    """GET /v1/items/{item_id}/related."""
    related_list = await context.answers.related(context.part("item_id"), context.query)
    tag = f'W/"{related_list.version}"'
    known = context.request.if_none_match
    if known and any(etag.value in (related_list.version, "*") for etag in known):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag, "Cache-Control": "no-cache"})
    return answer(related_list.document, headers={"ETag": tag})


async def related_lists(context: RequestContext) -> web.StreamResponse:
    """POST /v1/related."""
    request = await read_document(context, RelatedListsRequest)
    results = await context.answers.related_lists(request)
    return answer({"results": LISTED.within(results, LARGEST_RESULTS_BYTES)})


async def pair(context: RequestContext) -> web.StreamResponse:
    """GET /v1/items/{item_id}/related/{other}."""
    return answer(await context.answers.pair(context.part("item_id"), context.part("other")))


async def customer(context: RequestContext) -> web.StreamResponse:
    """GET /v1/customers/{customer_id}."""
    query: CustomerRequest = context.query
    return private(await context.answers.customer(context.part("customer_id"), query.limit))


async def recommend_customer(context: RequestContext) -> web.StreamResponse:
    """GET /v1/customers/{customer_id}/recommendations."""
    return private(await context.answers.recommendations(context.query))


async def recommend_visitor(context: RequestContext) -> web.StreamResponse:
    """GET /v1/recommendations."""
    return private(await context.answers.recommendations(context.query))


async def recommend_basket(context: RequestContext) -> web.StreamResponse:
    """POST /v1/recommendations."""
    request = await read_document(context, RecommendationsRequest)
    if not request.customers:
        return private(await context.answers.recommendations(request.of_customer(request.customer_id)))
    results = await context.answers.recommendations_of(request)
    return private({"results": RECOMMENDED.within(results, LARGEST_RESULTS_BYTES)})


async def bestsellers(context: RequestContext) -> web.StreamResponse:
    """GET /v1/bestsellers."""
    return answer(await context.answers.bestsellers(context.query))


async def catalogue(context: RequestContext) -> web.StreamResponse:
    """GET /v1/catalogue."""
    return answer(await context.answers.catalogue(context.query))


async def categories(context: RequestContext) -> web.StreamResponse:
    """GET /v1/categories."""
    query: CategoriesRequest = context.query
    return answer(await context.answers.categories(query.limit))


async def search(context: RequestContext) -> web.StreamResponse:
    """GET /v1/search."""
    query: SearchRequest = context.query
    return private(await context.answers.search(query.q, query.limit))


async def partitions(context: RequestContext) -> web.StreamResponse:
    """GET /v1/partitions."""
    return answer(await context.answers.partitions())


async def quality(context: RequestContext) -> web.StreamResponse:
    """GET /v1/quality."""
    status = context.answers.status()
    return answer({**quality_entries(status.hit_counts), **_stamp(context, status)})


async def rates(context: RequestContext) -> web.StreamResponse:
    """GET /v1/rates."""
    status = context.answers.status()
    context.rates.read(status)
    return answer({"minutes": context.rates.entries(), **_stamp(context, status)})


def _stamp(context: RequestContext, status: Status) -> dict[str, Any]:
    """The log prefix that this process has counted, and its name."""
    as_of = {"timestamp": timestamp_text(status.newest_ms), "lines": status.lines}
    return {"as_of": as_of, "worker": context.answers.worker}


async def erase(context: RequestContext) -> web.StreamResponse:
    """DELETE /v1/customers/{customer_id}."""
    return private(await context.answers.erase(context.part("customer_id")), HTTPStatus.ACCEPTED)


async def order(context: RequestContext) -> web.StreamResponse:
    """POST /v1/orders."""
    body = await read_json(context)
    if len(body) > LARGEST_RECORD_BYTES:
        raise web.HTTPRequestEntityTooLarge(LARGEST_RECORD_BYTES, len(body))
    latest_ms = time.time_ns() // 1_000_000 + DAY_MS  # as when it is counted
    decoded, _ = decode_alone(body, latest_ms)  # other generations may count it, if this one does not
    if decoded.rejected:
        context.answers.refused(body, decoded.rejected[0].reason)
        raise Problem(HTTPStatus.BAD_REQUEST, f"the order cannot be counted: {decoded.rejected[0].reason}")
    (customer_id,) = decoded.orders.customers
    return private(await context.answers.order(customer_id, body), HTTPStatus.ACCEPTED)


async def live(context: RequestContext) -> web.StreamResponse:
    """GET /health/live."""
    return answer({"status": "live", "worker": context.answers.worker})


async def ready(context: RequestContext) -> web.StreamResponse:
    """GET /health/ready."""
    missing = context.answers.ready()
    if missing is not None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, missing, {"Retry-After": "1"})
    return answer({"status": "ready", "worker": context.answers.worker})


async def metrics(context: RequestContext) -> web.StreamResponse:
    """GET /metrics."""
    return web.Response(body=context.metrics.text(), headers={"Content-Type": METRICS_TYPE})


async def openapi(context: RequestContext) -> web.StreamResponse:
    """GET /openapi.json."""
    return web.Response(body=context.description, content_type=JSON)


async def read_document(context: RequestContext, document: type[T]) -> T:
    """The document in a JSON body.

    Raises:
        Problem: the body cannot be read, is not JSON, or not of that type.
    """
    body = await read_json(context)
    try:
        return msgspec.json.decode(body, type=document)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not as described at /openapi.json: {error}") from None


async def read_json(context: RequestContext) -> bytes:
    """A body whose content type is JSON.

    Raises:
        Problem: it has another content type, or cannot be read.
    """
    if context.request.content_type != JSON:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type of the body is {context.request.content_type[:60]}: send {JSON}",
            {"Accept-Post": JSON},
        )
    return await read_body(context.request, context.settings.largest_body_bytes, context.settings.body_arriving_s)
