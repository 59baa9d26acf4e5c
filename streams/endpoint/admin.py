"""The endpoint as an aiohttp application, for any implementation of `Answers`."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from streams.endpoint.answers import (
    FORWARDED_BY,
    READS_ONLY,
    AnswerError,
    NotWritable,
    forwarded,
)
from streams.endpoint.handlers import AdminSettings, RequestContext
from streams.endpoint.hosts import AllowedHosts
from streams.endpoint.metrics import Metrics
from streams.endpoint.openapi import describe
from streams.endpoint.parameters import check_path_part, read_query
from streams.endpoint.problems import Problem, problem_of
from streams.endpoint.rates import Rates
from streams.endpoint.routes import ROUTES
from streams.endpoint.tokens import FROM_WORKER, TokenGuard
from streams.endpoint.transfer import allow_origin, compress, preflights
from streams.recommendations.request import BadCondition

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.endpoint.answers import Answers
    from streams.endpoint.routes import Route

    Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Middleware = Callable[[web.Request, Handle], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(answers: Answers, settings: AdminSettings = AdminSettings()) -> web.Application:  # noqa: B008 - frozen
    """The endpoint as its own application."""
    app = web.Application(**application_options(settings))
    add_routes(app, answers, settings)
    return app


def application_options(settings: AdminSettings) -> dict[str, Any]:
    """Arguments for an application that serves the endpoint.

    It refuses requests that name another host, and answers unroutable requests with problem documents.
    """
    return {"middlewares": [_known_by(settings.hosts), _explain], "client_max_size": settings.largest_body_bytes}


def add_routes(
    app: web.Application, answers: Answers, settings: AdminSettings, routes: Sequence[Route] = ROUTES
) -> None:
    """Add the endpoint to an application, which may have other routes as well.

    Args:
        app: the application; it is not running yet.
        answers: where answers come from.
        settings: settings of the endpoint.
        routes: the routes to serve and describe.
    """
    metrics = Metrics(answers.status, settings.version)
    rates = Rates()
    description = msgspec.json.encode(describe(routes, settings.version))
    writers = TokenGuard(settings.token)
    readers = None if settings.read_token is None else TokenGuard(settings.read_token, option="--read-token")

    def handler(route: Route) -> Handle:
        return _handle(route, answers, settings, metrics, rates, description, writers if route.guarded else readers)

    app.router.add_routes(
        [
            web.route(route.method, path, handle)
            for route in routes
            for handle in [handler(route)]
            for path in route.paths
        ]
    )

    methods: dict[str, list[str]] = {}
    for route in routes:
        for path in route.paths if route.shared else ():
            methods.setdefault(path, []).append(route.method)
    app.router.add_routes(preflights(methods, settings.origins))

    async def close_watchers(_: web.Application) -> None:
        answers.changes.close()

    app.on_shutdown.append(close_watchers)
    app.cleanup_ctx.append(rates.reading(answers.status))


def _handle(
    route: Route,
    answers: Answers,
    settings: AdminSettings,
    metrics: Metrics,
    rates: Rates,
    description: bytes,
    tokens: TokenGuard | None,
) -> Handle:
    """The aiohttp handler of a route: reads the request, calls the handler, answers errors, measures the latency."""

    async def handle(request: web.Request) -> web.StreamResponse:
        begun = time.perf_counter()
        forwarded.set(FORWARDED_BY in request.headers)
        try:
            if tokens is not None and not (route.guarded or route.open or request.get(FROM_WORKER, False)):
                tokens.check(request)
            query = _read_request(route, request)
            context = RequestContext(request, query, answers, settings, metrics, rates, description)
            if route.guarded and tokens is not None:
                _check_may_write(request, answers, tokens)
            response = await route.handler(context)
        except Exception as error:  # noqa: BLE001 - aiohttp would answer it with HTML
            response = _problem(error, request).response(request.path[:1024])
        if not response.prepared:
            response.headers.update(_HEADERS)
            if route.shared:
                allow_origin(request, response, settings.origins)
            if isinstance(response, web.Response) and not request.get(FROM_WORKER, False):
                compress(request, response)
        metrics.answered(route.path, response.status, time.perf_counter() - begun)
        return response

    return handle


def _check_may_write(request: web.Request, answers: Answers, tokens: TokenGuard) -> None:
    """Raises NotWritable if this process only reads, or Problem unless the request has the token."""
    if not answers.writable:
        raise NotWritable(READS_ONLY)
    tokens.check(request)


def _read_request(route: Route, request: web.Request) -> msgspec.Struct | None:
    """The route's request, with values from path and query.

    Raises:
        Problem: a value is invalid; the detail names it.
    """
    for name, value in request.match_info.items():
        check_path_part(name, value)
    values = read_query(request.rel_url.raw_query_string, route.parameters)
    if route.request is None:
        return None
    values |= {name: request.match_info[name] for name in route.path_names if name in route.request.__struct_fields__}
    try:
        return route.request(**values)
    except BadCondition as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"parameter {error}", parameter=error.field) from None


def _problem(error: Exception, request: web.Request) -> Problem:
    """The problem document for an error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, AnswerError):
        return problem_of(error)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too large: {error.text}")
    if isinstance(error, web.HTTPException):
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        hint = f"there is no {request.method} {request.path[:200]}: /openapi.json lists every route"
        return Problem(HTTPStatus(error.status), hint, allow)
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug; the worker's log has the details")


def _known_by(hosts: Sequence[str]) -> Middleware:
    """Refuse requests that name another host."""
    allowed = AllowedHosts(hosts)

    @web.middleware
    async def check_host(request: web.Request, handler: Handle) -> web.StreamResponse:
        try:
            allowed.check(request)
        except Problem as problem:
            response = problem.response(request.path[:1024])
            response.headers.update(_HEADERS)
            return response
        return await handler(request)

    return check_host


@web.middleware
async def _explain(request: web.Request, handler: Handle) -> web.StreamResponse:
    """Answer requests that match no route with problem documents."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _problem(error, request).response(request.path[:1024])
        response.headers.update(_HEADERS)
        return response
