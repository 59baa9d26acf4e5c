"""Workers recognise each other: requests between them are signed, and so are the answers."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from streams.endpoint.bodies import read_body
from streams.endpoint.problems import Problem
from streams.endpoint.tokens import FROM_WORKER
from streams.workers.cluster.peers import INTERNAL
from streams.workers.cluster.signatures import SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.workers.cluster.signatures import Signer

    Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Middleware = Callable[[web.Request, Handle], Awaitable[web.StreamResponse]]


def authenticated_workers(signer: Signer, address: str) -> Middleware:
    """Signs the answers to requests that a worker signed; refuses wrong signatures, and none where one is required.

    Args:
        signer: has the key of the workers.
        address: of this worker, for which requests are signed.
    """

    @web.middleware
    async def authenticate(request: web.Request, handler: Handle) -> web.StreamResponse:
        signature = request.headers.get(SIGNATURE)
        if signature is None and not request.path.startswith(INTERNAL):
            return await handler(request)
        try:
            await _check(request, signature, signer, address)
        except Problem as problem:
            return problem.response(request.path[:1024])
        request[FROM_WORKER] = True
        response = await handler(request)
        if isinstance(response, web.Response) and signature is not None:
            body = response.body if isinstance(response.body, bytes | bytearray) else b""
            version = response.headers.get("ETag", "")
            response.headers[SIGNATURE] = signer.sign_answer(signature, response.status, version, bytes(body))
        return response

    return authenticate


async def _check(request: web.Request, signature: str | None, signer: Signer, address: str) -> None:
    """Check the signature of a request.

    Raises:
        Problem: it is missing or wrong, or the body cannot be read.
    """
    if signature is None:
        raise Problem(
            HTTPStatus.UNAUTHORIZED, f"only workers ask here: the request has no header {SIGNATURE}; see /openapi.json"
        )
    body = await read_body(request) if request.can_read_body else b""
    if not signer.verifies_request(signature, request.method, request.raw_path, body, address):
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            f"the signature is none of a worker's for {address}: give all workers the same --worker-secret, and each "
            "an --advertise of its own",
        )
