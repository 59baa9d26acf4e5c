"""Bodies of requests: read within a time and a size, the same limit before and after they are inflated."""

from __future__ import annotations

import asyncio
import zlib
from http import HTTPStatus

from aiohttp import web

from streams.endpoint.problems import Problem

LARGEST_BODY_BYTES = 1 << 20
ARRIVING_S = 10.0
"""A body must have arrived whole after this many seconds."""
_CHUNK_BYTES = 1 << 16
_PLAIN = {"", "identity"}
_COMPRESSED = {"gzip", "x-gzip", "deflate"}
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32  # zlib looks at the header to see which of the two it is
_BODY = web.RequestKey("body", bytes)


async def read_body(
    request: web.Request, largest_bytes: int = LARGEST_BODY_BYTES, arriving_s: float = ARRIVING_S
) -> bytes:
    """The body of a request, inflated in a thread if it is compressed; the same when read again.

    The server must not inflate bodies itself (`auto_decompress=False`): aiohttp does so on the event loop.

    Args:
        request: the request.
        largest_bytes: limit on the body, as it is sent and after it is inflated.
        arriving_s: limit on the time until the body is here.

    Raises:
        Problem: it is too large, late, damaged, or compressed in another way than gzip or deflate.
    """
    if _BODY not in request:
        request[_BODY] = await _read(request, largest_bytes, arriving_s)
    return request[_BODY]


async def _read(request: web.Request, largest_bytes: int, arriving_s: float) -> bytes:
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in _PLAIN | _COMPRESSED:
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the body is encoded as {encoding[:60]!r}: send it as gzip, as deflate, or as it is",
            {"Accept-Encoding": "gzip, deflate, identity"},
        )
    body = bytearray()
    try:
        async with asyncio.timeout(arriving_s):
            async for chunk in request.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > largest_bytes:
                    raise _too_large(largest_bytes)
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"after {arriving_s:g} s only {len(body)} bytes of the body had arrived",
            {"Connection": "close"},
        ) from None
    if encoding in _PLAIN:
        return bytes(body)
    return await asyncio.to_thread(inflate, bytes(body), largest_bytes)


def inflate(body: bytes, largest_bytes: int) -> bytes:
    """Inflate a body of gzip or zlib, which holds one stream, whole, and nothing else.

    Raises:
        Problem: it is something else, or larger than allowed once it is inflated; no more than that is inflated.

    >>> inflate(zlib.compress(b"tea"), 3)
    b'tea'
    """
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        inflated = stream.decompress(body, largest_bytes + 1)
    except zlib.error as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not what Content-Encoding says: {error}") from None
    if len(inflated) > largest_bytes:
        raise _too_large(largest_bytes)
    if not stream.eof or stream.unused_data:
        raise Problem(HTTPStatus.BAD_REQUEST, "the compressed body is cut short, or something follows it")
    return inflated


def _too_large(largest_bytes: int) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"the body is too large: the limit is {largest_bytes} bytes, before and after it is inflated",
    )
