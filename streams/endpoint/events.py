"""Server-sent events: live changes, and the status every second."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from streams.endpoint.addresses import client_of
from streams.endpoint.changes import MOST_WATCHERS, MOST_WATCHERS_OF_CLIENT
from streams.endpoint.problems import Problem
from streams.engine.documents import timestamp_text

if TYPE_CHECKING:
    from streams.endpoint.answer_documents import Document
    from streams.endpoint.answers import Status
    from streams.endpoint.changes import Changes
    from streams.endpoint.handlers import RequestContext

STATUS_EVERY_S = 1.0


async def events(context: RequestContext) -> web.StreamResponse:
    """GET /events: `status` every second, `orders` as they are counted, `related` when the watched list changes."""
    changes = context.answers.changes
    client = client_of(context.request.remote)
    _check_place(changes, client)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    before, sent_at = context.answers.status(), time.monotonic()
    watcher = changes.watch(context.query.item_id, client)
    try:
        await response.prepare(context.request)
        await response.write(encode_event("status", status_document(before, before, 1.0)))
        while not changes.closed:
            left = sent_at + STATUS_EVERY_S - time.monotonic()
            change = await watcher.next(left) if left > 0 else None
            if change is not None and change.kind != "end":
                await response.write(encode_event(change.kind, change.document))
            elif change is None:
                status, now = context.answers.status(), time.monotonic()
                await response.write(encode_event("status", status_document(status, before, now - sent_at)))
                before, sent_at = status, now
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


def status_document(status: Status, before: Status, seconds: float) -> dict[str, Any]:
    """The status, and the rate of order lines since `before`, `seconds` ago."""
    return {
        "lines": status.lines,
        "lines_per_second": round((status.lines - before.lines) / max(seconds, 0.001), 1),
        "lag": status.lag,
        "refresh_age_ms": status.refresh_age_ms,
        "customers": status.customers,
        "items": status.items,
        "state_bytes": status.state_bytes,
        "partitions": len(status.partitions),
        "newest": timestamp_text(status.newest_ms),
    }


def encode_event(kind: str, document: Document) -> bytes:
    r"""A server-sent event; JSON contains no line breaks.

    >>> encode_event("status", {"lag": 0})
    b'event: status\ndata: {"lag":0}\n\n'
    """
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode(document))
