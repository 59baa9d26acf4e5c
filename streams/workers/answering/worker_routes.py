"""Routes that only workers have: how one stands in numbers, its snapshot, and what workers ask each other."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from state.errors import StateError
from streams.endpoint.answers import NotReady, forwarded
from streams.endpoint.handlers import answer, read_json
from streams.endpoint.problems import Problem
from streams.endpoint.routes import Route
from streams.endpoint.schemas import SnapshotRequest
from streams.workers.cluster.peers import (
    LISTS_PATH,
    MSGPACK,
    RECOMMENDATIONS_PATH,
    decode_lists_question,
    decode_recommendations_question,
    encode,
)
from streams.workers.cluster.routing import PartitionNotLocal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.endpoint.handlers import RequestContext
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.answering.worker_answers import WorkerAnswers
    from streams.workers.status import WorkerStatus


def worker_routes(worker: WorkerStatus) -> tuple[Route, ...]:
    """The documented ones."""

    async def status(_: RequestContext) -> web.StreamResponse:
        return answer(worker.stages())

    async def snapshot(context: RequestContext) -> web.StreamResponse:
        try:
            to = Path(msgspec.json.decode(await read_json(context), type=SnapshotRequest).to)
        except (ValueError, RecursionError) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not as described at /openapi.json: {error}") from None
        try:
            stores = worker.snapshot(to)
        except (OSError, StateError) as error:
            raise Problem(HTTPStatus.BAD_REQUEST, f"no snapshot was written: {error}") from None
        return answer({"stores": [str(path) for path in stores]})

    return (
        Route("GET", "/status", status, "How this worker's stages stand, in numbers.", problems=(400,)),
        Route(
            "POST",
            "/snapshot",
            snapshot,
            "Write a snapshot of this worker's stores to a directory on its machine.",
            body="SnapshotRequest",
            guarded=True,
            problems=(400, 401, 403, 413, 415),
        ),
    )


def internal_routes(answers: WorkerAnswers, items: LocalItems) -> list[web.RouteDef]:
    """What workers ask each other; subject to change without notice, and so described nowhere else."""

    async def lists(body: bytes) -> bytes:
        return encode(items.lists(decode_lists_question(body).item_ids))

    async def recommendations(body: bytes) -> bytes:
        question = decode_recommendations_question(body)
        return msgspec.json.encode(await answers.recommend(question.customer_id, question.held, question.wishes))

    return [web.post(LISTS_PATH, _leaf(lists)), web.post(RECOMMENDATIONS_PATH, _leaf(recommendations))]


def _leaf(handle: Callable[[bytes], Awaitable[bytes]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that answers from what is here, or says that it cannot."""

    async def handler(request: web.Request) -> web.StreamResponse:
        forwarded.set(True)
        try:
            return web.Response(body=await handle(await request.read()), content_type=MSGPACK)
        except (PartitionNotLocal, NotReady) as absence:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=str(absence))
        except (ValueError, RecursionError) as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))

    return handler
