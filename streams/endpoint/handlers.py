"""Handlers of the admin endpoint: a question in HTTP, the answer as JSON."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from producers.fields import FieldReader
from producers.orders import DAY_MS
from producers.wire import LARGEST_RECORD_BYTES, OrderDecoder
from streams.endpoint.answers import READS_ONLY, NotWritable, Wishes
from streams.endpoint.metrics import METRICS_TYPE
from streams.endpoint.problems import Problem, bad_parameter
from streams.endpoint.schemas import RecommendationRequest
from streams.engine.documents import timestamp_text
from streams.quality.rates import quality_entries
from streams.recommendations.recommend import Blend

if TYPE_CHECKING:
    from streams.endpoint.answers import Answers, Document
    from streams.endpoint.metrics import Metrics

JSON = "application/json"
_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(RecommendationRequest).decode


@dataclass(frozen=True, slots=True)
class AdminSettings:
    """How the endpoint is served.

    Attributes:
        token: what DELETE and POST /orders need; None: they are refused.
        largest_body_bytes: larger bodies are refused.
        version: of this software.
    """

    token: str | None = field(default=None, repr=False)
    largest_body_bytes: int = 1 << 20
    version: str = "0"


@dataclass(frozen=True, slots=True)
class RequestContext:
    """A request with what is needed to answer it.

    Attributes:
        request: as it came.
        query: its parameters, read.
        answers: who is asked.
        settings: of the endpoint.
        instruments: the metrics.
        description: the OpenAPI document.
    """

    request: web.Request
    query: dict[str, Any]
    answers: Answers
    settings: AdminSettings
    instruments: Metrics
    description: bytes

    def part(self, name: str) -> str:
        """A part of the path, decoded."""
        return self.request.match_info[name]


def answer(document: Document, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A document as a response; what is kept must be asked about again before it is used again."""
    return web.Response(
        body=_encode(document),
        status=status,
        content_type=JSON,
        headers={"Cache-Control": "no-cache", **(headers or {})},
    )


def private(document: Document, status: int = 200) -> web.Response:
    """A document about a person as a response, to be kept by nobody."""
    return answer(document, status, {"Cache-Control": "no-store"})


async def item(context: RequestContext) -> web.StreamResponse:
    """GET /items/{item_id}."""
    return answer(await context.answers.item(context.part("item_id")))


async def related(context: RequestContext) -> web.StreamResponse:
    """GET /items/{item_id}/related."""
    limit, fresh = context.query["limit"], context.query["fresh"]
    listed = await context.answers.related(context.part("item_id"), limit, fresh=fresh)
    tag = f'W/"{listed.version}"'
    wanted = context.request.if_none_match
    if wanted and any(known.value in (listed.version, "*") for known in wanted):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag, "Cache-Control": "no-cache"})
    return answer(listed.document, headers={"ETag": tag})


async def customer(context: RequestContext) -> web.StreamResponse:
    """GET /customers/{customer_id}."""
    return private(await context.answers.customer(context.part("customer_id"), context.query["limit"]))


async def recommendations(context: RequestContext) -> web.StreamResponse:
    """GET /customers/{customer_id}/recommendations."""
    query = context.query
    wishes = Wishes(
        limit=query["limit"],
        basket=query["basket"],
        exclude=query["exclude"],
        category=query["category"],
        keep_held=query["keep_held"],
        blend=Blend(query["popularity_share"], query["repeats_share"]),
        reasons=query["reasons"],
    )
    return private(await context.answers.recommendations(context.part("customer_id"), wishes))


async def recommend_basket(context: RequestContext) -> web.StreamResponse:
    """POST /recommendations."""
    body = await read_json(context)
    try:
        wanted = _decode_request(body)
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not as described at /openapi.json: {error}") from None
    wishes = Wishes(
        limit=wanted.limit,
        basket=tuple(wanted.basket),
        exclude=tuple(wanted.exclude),
        category=wanted.category,
        keep_held=wanted.keep_held,
        blend=Blend(wanted.popularity_share, wanted.repeats_share),
        reasons=wanted.reasons,
    )
    return private(await context.answers.recommendations(wanted.customer_id, wishes))


async def bestsellers(context: RequestContext) -> web.StreamResponse:
    """GET /bestsellers."""
    query = context.query
    return answer(await context.answers.bestsellers(query["days"], query["category"], query["limit"]))


async def search(context: RequestContext) -> web.StreamResponse:
    """GET /search."""
    return private(await context.answers.search(context.query["q"], context.query["limit"]))


async def partitions(context: RequestContext) -> web.StreamResponse:
    """GET /partitions."""
    return answer(await context.answers.partitions())


async def quality(context: RequestContext) -> web.StreamResponse:
    """GET /quality."""
    status = context.answers.status()
    stamp = {"as_of": {"timestamp": timestamp_text(status.newest_ms), "lines": status.lines}}
    return answer({**quality_entries(status.hit_counts), **stamp, "worker": context.answers.worker})


async def erase(context: RequestContext) -> web.StreamResponse:
    """DELETE /customers/{customer_id}."""
    return private(await context.answers.erase(context.part("customer_id")), HTTPStatus.ACCEPTED)


async def order(context: RequestContext) -> web.StreamResponse:
    """POST /orders."""
    body = await read_json(context)
    if len(body) > LARGEST_RECORD_BYTES:
        raise web.HTTPRequestEntityTooLarge(LARGEST_RECORD_BYTES, len(body))
    latest_ms = time.time_ns() // 1_000_000 + DAY_MS  # as it will be judged when it has arrived
    rejected = OrderDecoder().decode([body], [0], FieldReader(latest_ms=latest_ms)).rejected
    if rejected:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the order cannot be counted: {rejected[0].reason}")
    return private(await context.answers.order(body), HTTPStatus.ACCEPTED)


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
    return web.Response(body=context.instruments.text(), headers={"Content-Type": METRICS_TYPE})


async def openapi(context: RequestContext) -> web.StreamResponse:
    """GET /openapi.json."""
    return web.Response(body=context.description, content_type=JSON)


async def read_json(context: RequestContext) -> bytes:
    """A body that says it is JSON.

    Raises:
        Problem: it says something else.
        web.HTTPRequestEntityTooLarge: it is larger than allowed.
    """
    if context.request.content_type != JSON:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is {context.request.content_type[:60]}: send {JSON}",
            {"Accept-Post": JSON},
        )
    limit = context.settings.largest_body_bytes
    body = bytearray()
    async for chunk in context.request.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > limit:
            raise web.HTTPRequestEntityTooLarge(limit, len(body))
    return bytes(body)


def check_token(context: RequestContext) -> None:
    """Let only those with the token pass; comparing takes as long however much of a token is right.

    Raises:
        NotWritable: nobody can write here.
        Problem: the token is missing or wrong, or there is none to have.
    """
    if not context.answers.writable:
        raise NotWritable(READS_ONLY)
    if context.settings.token is None:
        raise Problem(
            HTTPStatus.FORBIDDEN, "this process was started without --admin-token, which this request would need"
        )
    scheme, _, token = context.request.headers.get("Authorization", "").partition(" ")
    right = hmac.compare_digest(token.strip().encode(errors="surrogateescape"), context.settings.token.encode())
    if scheme.lower() != "bearer" or not right:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "this request needs the header Authorization: Bearer TOKEN, with the worker's --admin-token",
            {"WWW-Authenticate": 'Bearer realm="alsobought"'},
        )


def check_part(name: str, value: str) -> None:
    """Check an id that stands in the path.

    Raises:
        Problem: no item or customer has such an id.
    """
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise bad_parameter(name, "is not UTF-8") from None
    if size > 512:
        raise bad_parameter(name, f"has {size} bytes; no id has more than 512")
