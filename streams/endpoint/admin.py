"""The admin endpoint as an aiohttp application, over anything that has answers."""

from __future__ import annotations

import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from streams.endpoint.answers import FORWARDED_BY, AnswerError, NotKnown, NotReady, NotWritable, forwarded
from streams.endpoint.handlers import AdminSettings, RequestContext, check_part, check_token
from streams.endpoint.metrics import Metrics
from streams.endpoint.openapi import describe
from streams.endpoint.parameters import read_query
from streams.endpoint.problems import Problem
from streams.endpoint.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from streams.endpoint.answers import Answers
    from streams.endpoint.routes import Route

    Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)
_STATUSES: dict[type[AnswerError], HTTPStatus] = {
    NotKnown: HTTPStatus.NOT_FOUND,
    NotWritable: HTTPStatus.CONFLICT,
    NotReady: HTTPStatus.SERVICE_UNAVAILABLE,
}
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def make_app(answers: Answers, settings: AdminSettings = AdminSettings()) -> web.Application:  # noqa: B008 - frozen
    """The endpoint as an application of its own."""
    app = web.Application(**application_options(settings))
    add_routes(app, answers, settings)
    return app


def application_options(settings: AdminSettings) -> dict[str, Any]:
    """How an application is made that is to serve the endpoint: it explains what no route takes."""
    return {"middlewares": [_explain], "client_max_size": settings.largest_body_bytes}


def add_routes(
    app: web.Application, answers: Answers, settings: AdminSettings, routes: Sequence[Route] = ROUTES
) -> None:
    """Serve the endpoint from an application, which may have other routes besides.

    Args:
        app: not yet running.
        answers: who is asked.
        settings: of the endpoint.
        routes: what is served and described.
    """
    instruments = Metrics(answers.status)
    description = msgspec.json.encode(describe(routes, settings.version))

    def handle(route: Route) -> Handle:
        return _handle(route, answers, settings, instruments, description)

    app.router.add_routes([web.route(route.method, route.path, handle(route)) for route in routes])

    async def let_watchers_go(_: web.Application) -> None:
        answers.changes.close()

    app.on_shutdown.append(let_watchers_go)


def _handle(
    route: Route, answers: Answers, settings: AdminSettings, instruments: Metrics, description: bytes
) -> Handle:
    """What aiohttp calls for a route: read the parameters, ask, explain what goes wrong, and measure."""

    async def handle(request: web.Request) -> web.StreamResponse:
        begun = time.perf_counter()
        forwarded.set(FORWARDED_BY in request.headers)
        try:
            for name, value in request.match_info.items():
                check_part(name, value)
            query = read_query(request.query, route.parameters)
            context = RequestContext(request, query, answers, settings, instruments, description)
            if route.guarded:
                check_token(context)
            response = await route.handler(context)
        except Exception as error:  # noqa: BLE001 - none may reach aiohttp, which would answer with HTML
            response = _problem(error, request).response(request.path[:1024])
        if not response.prepared:
            response.headers.update(_HEADERS)
        instruments.answered(route.path, response.status, time.perf_counter() - begun)
        return response

    return handle


def _problem(error: Exception, request: web.Request) -> Problem:
    """What a request is told of an error."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, AnswerError):
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, NotReady) else {}
        return Problem(_STATUSES.get(type(error), HTTPStatus.INTERNAL_SERVER_ERROR), str(error), headers)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is too large: {error.text}")
    if isinstance(error, web.HTTPException):
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        hint = f"no {request.method} {request.path[:200]} here: /openapi.json has all there is"
        return Problem(HTTPStatus(error.status), hint, allow)
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of ours; the worker's log has the details")


@web.middleware
async def _explain(request: web.Request, handler: Handle) -> web.StreamResponse:
    """Explain what no route takes."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        response = _problem(error, request).response(request.path[:1024])
        response.headers.update(_HEADERS)
        return response
