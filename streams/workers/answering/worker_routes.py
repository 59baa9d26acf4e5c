"""Routes that only workers have: stage figures, snapshots, and requests between workers."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from state.errors import StateError
from state.snapshots import place_below
from streams.endpoint.answers import NotReady, forwarded
from streams.endpoint.bodies import read_body
from streams.endpoint.handlers import answer, read_document
from streams.endpoint.problems import Problem
from streams.endpoint.routes import Route
from streams.endpoint.schemas import Snapshot, SnapshotRequest, StageFigures
from streams.workers.cluster.peers import (
    LISTS_PATH,
    MSGPACK,
    RECOMMENDATIONS_PATH,
    decode_lists_question,
    decode_recommendations_question,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.endpoint.handlers import RequestContext
    from streams.workers.answering.local_items import LocalItems
    from streams.workers.answering.worker_answers import WorkerAnswers
    from streams.workers.status import WorkerStatus


def worker_routes(worker: WorkerStatus, snapshot_root: Path = Path("snapshots")) -> tuple[Route, ...]:
    """The public routes of a worker, which are documented.

    Args:
        worker: its state.
        snapshot_root: below which snapshots are written.
    """

    async def status(_: RequestContext) -> web.StreamResponse:
        return answer(worker.stages())

    async def snapshot(context: RequestContext) -> web.StreamResponse:
        request = await read_document(context, SnapshotRequest)
        try:
            stores = worker.snapshot(place_below(snapshot_root, Path(request.to)))
        except (OSError, StateError, ValueError) as error:  # ValueError: a path with a null character
            raise Problem(HTTPStatus.BAD_REQUEST, f"no snapshot was written: {error}") from None
        written: Snapshot = {"stores": [str(path) for path in stores]}
        return answer(written)

    return (
        Route("GET", "/status", status, "The figures of this worker's stages.", StageFigures, problems=(400,)),
        Route(
            "POST",
            "/snapshot",
            snapshot,
            "Write a snapshot of this worker's stores to a new directory below its --snapshot-root.",
            Snapshot,
            body=SnapshotRequest,
            guarded=True,
            problems=(400, 401, 403, 413, 415),
        ),
    )


def internal_routes(answers: WorkerAnswers, items: LocalItems) -> list[web.RouteDef]:
    """Signed requests between workers. They may change in any version, so they are documented nowhere else."""

    async def lists(body: bytes) -> bytes:
        return encode(items.published_lists(decode_lists_question(body).item_ids))

    async def recommendations(body: bytes) -> bytes:
        question = decode_recommendations_question(body)
        return msgspec.json.encode(await answers.recommend_by_ids(question.visits))

    return [web.post(LISTS_PATH, _handle(lists)), web.post(RECOMMENDATIONS_PATH, _handle(recommendations))]


def _handle(reply: Callable[[bytes], Awaitable[bytes]]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """A handler that replies from this worker's partitions, or with 503 if it cannot."""

    async def handler(request: web.Request) -> web.StreamResponse:
        forwarded.set(True)
        try:
            return web.Response(body=await reply(await read_body(request)), content_type=MSGPACK)
        except Problem as problem:
            return problem.response(request.path)
        except NotReady as error:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text=str(error))
        except (ValueError, RecursionError) as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=str(error))

    return handler
