"""A client of the endpoint, for the command line."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S = 30.0


class ClientError(Exception):
    """The endpoint does not respond, or rejects the request."""


def path_of(*parts: str) -> str:
    """A path of percent-encoded parts: an id may contain any character.

    >>> path_of("items", "tea/green 1", "related")
    '/items/tea%2Fgreen%201/related'
    """
    return "".join(f"/{quote(part, safe='')}" for part in parts)


def ask(url: str, path: str, query: Mapping[str, Any] | None = None, token: str | None = None) -> dict[str, Any] | None:
    """The document at a path of the endpoint; None if there is no such item or customer.

    Args:
        url: of the endpoint, such as http://127.0.0.1:6066.
        path: made by `path_of`.
        query: parameters; a None is left out, a sequence repeats its parameter.
        token: of readers; None: it needs none.

    Raises:
        ClientError: the endpoint does not respond, or rejects the request; the message says why.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ClientError(f"--url is {url!r}, not an http or https address such as http://127.0.0.1:6066")
    pairs = {name: _text(value) for name, value in (query or {}).items() if value is not None}
    address = f"{url.rstrip('/')}{path}?{urlencode(pairs, doseq=True)}"
    headers = {"Accept": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 - checked above
            document: dict[str, Any] = json.load(response)
            return document
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        if error.code == 404 and _part(body, "type").endswith(":not-known"):
            return None
        raise ClientError(f"{url} answers {error.code}: {_detail(body)}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise ClientError(
            f"{url} does not answer: {reason}; is a worker or `alsobought serve` running there?"
        ) from None


def _text(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _detail(body: bytes) -> str:
    return _part(body, "detail") or body[:200].decode(errors="replace") or "(no details)"


def _part(body: bytes, name: str) -> str:
    """A member of a problem document; empty if it is none."""
    try:
        return str(json.loads(body)[name])
    except (ValueError, KeyError, TypeError):
        return ""
