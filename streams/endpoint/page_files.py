"""The files of the page, served from memory, with headers that block content from other origins."""

from __future__ import annotations

from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash
from aiohttp import web

from streams.endpoint.problems import Problem

if TYPE_CHECKING:
    from streams.endpoint.handlers import RequestContext

_DIRECTORY = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class PageFile(NamedTuple):
    """A file of the page."""

    content_type: str
    body: bytes
    tag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page, by name."""
    files = {}
    for path in sorted(_DIRECTORY.iterdir()):
        if path.suffix in _TYPES:
            body = path.read_bytes()
            files[path.name] = PageFile(_TYPES[path.suffix], body, f'"{xxhash.xxh3_64_hexdigest(body)}"')
    return files


async def page(context: RequestContext) -> web.StreamResponse:
    """GET /."""
    return _response(context, "index.html")


async def page_file(context: RequestContext) -> web.StreamResponse:
    """GET /page/{file}."""
    return _response(context, context.part("file"))


def _response(context: RequestContext, name: str) -> web.Response:
    file = page_files().get(name)
    if file is None:
        raise Problem(HTTPStatus.NOT_FOUND, f"the page has no file {name[:60]!r}; open / instead")
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    known = context.request.if_none_match
    if known and any(f'"{etag.value}"' == file.tag for etag in known):
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    return web.Response(body=file.body, content_type=file.content_type, charset="utf-8", headers=headers)
