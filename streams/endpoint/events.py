"""Server-sent events: live changes, and the status every second."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

from streams.endpoint.addresses import client_of
from streams.endpoint.changes import MOST_WATCHERS, MOST_WATCHERS_OF_CLIENT, Change
from streams.endpoint.problems import Problem
from streams.endpoint.transfer import allow_origin
from streams.engine.documents import timestamp_text

if TYPE_CHECKING:
    from streams.endpoint.answers import Answers, Status
    from streams.endpoint.changes import Changes
    from streams.endpoint.handlers import RequestContext

STATUS_EVERY_S = 1.0


async def events(context: RequestContext) -> web.StreamResponse:
    """GET /events: `status` every second, `orders` as they are counted, `related` when the watched list changes."""
    changes = context.answers.changes
    client = client_of(context.request.remote)
    _check_place(changes, client)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    allow_origin(context.request, response, context.settings.origins)
    watcher = changes.watch(context.query.item_id, client)
    try:
        await response.prepare(context.request)
        await response.write(_status(context.answers).event)
        sent_at = time.monotonic()
        while not changes.closed:
            left = sent_at + STATUS_EVERY_S - time.monotonic()
            change = await watcher.next(left) if left > 0 else None
            if change is None:
                change, sent_at = _status(context.answers), time.monotonic()
            if change.kind != "end":
                await response.write(change.event)
    except (ConnectionResetError, ConnectionAbortedError):
        pass  # the page was closed
    finally:
        changes.leave(watcher)
    return response


def _check_place(changes: Changes, client: str) -> None:
    """Raises Problem if as many watch as may, in all or of this client."""
    if len(changes) >= MOST_WATCHERS:
        taken = f"{MOST_WATCHERS} watch this worker already"
    elif changes.watchers_of(client) >= MOST_WATCHERS_OF_CLIENT:
        taken = f"{MOST_WATCHERS_OF_CLIENT} watch this worker from {client} already"
    else:
        return
    raise Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, f"{taken}: retry later, or watch another worker", {"Retry-After": "10"}
    )


def _status(answers: Answers) -> Change:
    """The status, at most a second old."""

    def make(before: Change | None, seconds: float) -> Change:
        status = answers.status()
        known = None if before is None else before.document
        lines = known["lines"] if isinstance(known, dict) else status.lines
        state = answers.standing if answers.ready() is None else "starting"
        return Change("status", None, status_document(status, state, lines, seconds))

    return answers.changes.latest("status", STATUS_EVERY_S, make)


def status_document(status: Status, state: str, lines_before: int, seconds: float) -> dict[str, Any]:
    """The status, what a process with it does, and the rate of order lines since there were fewer, `seconds` ago."""
    return {
        "state": state,
        "lines": status.lines,
        "lines_per_second": round((status.lines - lines_before) / max(seconds, 0.001), 1),
        "lag": status.lag,
        "refresh_age_ms": status.refresh_age_ms,
        "customers": status.customers,
        "items": status.items,
        "state_bytes": status.state_bytes,
        "memory": {part: use._asdict() for part, use in status.memory.items()},
        "partitions": len(status.partitions),
        "newest": timestamp_text(status.newest_ms),
    }
