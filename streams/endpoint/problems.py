"""Problem documents (RFC 9457): what is wrong with a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

PROBLEM = "application/problem+json"


class Problem(Exception):
    """A request that is answered with a problem document.

    Args:
        status: status of the response.
        detail: what is wrong with this request, what was expected, and what to do.
        headers: additional headers of the response.
        parameter: name of the invalid parameter, if any.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None, parameter: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.parameter = parameter

    def response(self, instance: str) -> web.Response:
        """The response.

        Args:
            instance: path of the request.
        """
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": str(self),
            "instance": instance,
        }
        if self.parameter is not None:
            document["parameter"] = self.parameter
        return web.Response(
            body=msgspec.json.encode(document), status=self.status, content_type=PROBLEM, headers=self.headers
        )


def bad_parameter(name: str, detail: str) -> Problem:
    """The problem of a parameter with an invalid value.

    >>> str(bad_parameter("limit", "is 'many', not a whole number"))
    "parameter limit is 'many', not a whole number"
    """
    return Problem(HTTPStatus.BAD_REQUEST, f"parameter {name} {detail}", parameter=name)
