"""How answers travel: compressed for who accepts that, and to web pages of other origins that are allowed to ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.web import ContentCoding

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

COMPRESSED_FROM_BYTES = 1400
"""Smaller answers fit into one packet anyway."""
ANY = "*"
_PREFLIGHT_VALID_S = 600
_SENT_HEADERS = "Authorization, Content-Type, If-None-Match"
_READ_HEADERS = "ETag, Retry-After, WWW-Authenticate"


def compress(request: web.Request, response: web.Response) -> None:
    """Have a response compressed if it is large enough and the client accepts gzip."""
    if not isinstance(response.body, bytes) or len(response.body) < COMPRESSED_FROM_BYTES:
        return
    response.headers.add("Vary", "Accept-Encoding")
    if accepts_gzip(request.headers.get("Accept-Encoding", "")):
        response.enable_compression(ContentCoding.gzip)


def accepts_gzip(header: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110, 12.5.3).

    >>> [accepts_gzip(header) for header in ("gzip, br", "br;q=1, *;q=0.1", "*, gzip;q=0", "identity", "gzip;q=no", "")]
    [True, True, False, False, False, False]
    """
    qualities: dict[str, float] = {}
    for part in header.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, value = parameters.partition("=")
        try:
            quality = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            quality = 0.0
        qualities[coding.strip()] = quality
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def allow_origin(request: web.Request, response: web.StreamResponse, origins: Sequence[str]) -> None:
    """Let a page read the response if it is of an allowed origin. Cookies are never allowed: there are none."""
    if not origins:
        return
    if ANY in origins:
        response.headers["Access-Control-Allow-Origin"] = ANY
    else:
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if origin not in origins:
            return
        response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = _READ_HEADERS


def preflights(methods: Mapping[str, Sequence[str]], origins: Sequence[str]) -> list[web.RouteDef]:
    """Routes that tell browsers what pages of other origins may ask, by path; none if none may."""
    if not origins:
        return []
    return [web.options(path, _preflight(allowed, origins)) for path, allowed in methods.items()]


def _preflight(methods: Sequence[str], origins: Sequence[str]) -> Handle:
    async def preflight(request: web.Request) -> web.StreamResponse:
        response = web.Response(status=204, headers={"Allow": ", ".join([*methods, "OPTIONS"])})
        allow_origin(request, response, origins)
        if "Access-Control-Allow-Origin" in response.headers:
            response.headers["Access-Control-Allow-Methods"] = ", ".join(methods)
            response.headers["Access-Control-Allow-Headers"] = _SENT_HEADERS
            response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_VALID_S)
        return response

    return preflight
