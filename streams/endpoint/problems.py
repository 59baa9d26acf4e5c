"""Problem documents (RFC 9457): what is wrong with a request."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from aiohttp import web

from streams.endpoint.answers import NotKnown, NotReady, OtherPairs

if TYPE_CHECKING:
    from streams.endpoint.answers import AnswerError

PROBLEM = "application/problem+json"
URN = "urn:alsobought:problem:"
"""Before the name of a type of problem, which never changes."""


class ProblemType(NamedTuple):
    """A type of problem, by which programs tell problems apart."""

    name: str
    status: HTTPStatus
    description: str
    """One sentence."""

    @property
    def uri(self) -> str:
        """The `type` of its documents; docs/admin.md has an anchor for each."""
        return f"{URN}{self.name}"


NOT_KNOWN = ProblemType("not-known", HTTPStatus.NOT_FOUND, "No such item or customer is known.")
ANSWER_TOO_LARGE = ProblemType("answer", HTTPStatus.BAD_REQUEST, "The answer would be too large.")
OTHER_PAIRS = ProblemType(
    "other-pairs", HTTPStatus.NOT_FOUND, "This state counts other pairs; the detail says how to count those asked for."
)
NOT_READY = ProblemType("not-ready", HTTPStatus.SERVICE_UNAVAILABLE, "No worker can answer at the moment.")
PROBLEM_TYPES = (
    ProblemType("invalid", HTTPStatus.BAD_REQUEST, "A parameter or the body is invalid; the detail names what."),
    ANSWER_TOO_LARGE,
    ProblemType("token", HTTPStatus.UNAUTHORIZED, "The token is missing or wrong."),
    ProblemType("no-token", HTTPStatus.FORBIDDEN, "This process was started without a token."),
    NOT_KNOWN,
    ProblemType("no-route", HTTPStatus.NOT_FOUND, "There is no such path."),
    OTHER_PAIRS,
    ProblemType("method", HTTPStatus.METHOD_NOT_ALLOWED, "The path has no such method; Allow names those it has."),
    ProblemType("late", HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."),
    ProblemType("read-only", HTTPStatus.CONFLICT, "This process is read-only."),
    ProblemType("too-large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large, perhaps only when inflated."),
    ProblemType(
        "media-type",
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "The body is not JSON, or compressed in another way than gzip or deflate.",
    ),
    ProblemType("host", HTTPStatus.MISDIRECTED_REQUEST, "The Host header names another server."),
    ProblemType(
        "wait",
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many wrong tokens came from this client; Retry-After says when the next is checked.",
    ),
    ProblemType("fault", HTTPStatus.INTERNAL_SERVER_ERROR, "This is a bug; the log of the worker has the details."),
    NOT_READY,
)
_OF_STATUS = {kind.status: kind for kind in reversed(PROBLEM_TYPES) if kind is not NOT_KNOWN}
"""What a problem is that is not told apart from others of its status."""


class Problem(Exception):
    """A request that is answered with a problem document.

    Args:
        status: status of the response.
        detail: what is wrong with this request, what was expected, and what to do.
        headers: additional headers of the response.
        parameter: name of the invalid parameter, if any.
        kind: its type; None: that of the status.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        headers: dict[str, str] | None = None,
        parameter: str | None = None,
        kind: ProblemType | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.parameter = parameter
        self.kind = kind or _OF_STATUS.get(status)

    def document(self, instance: str) -> dict[str, Any]:
        """The problem document.

        Args:
            instance: path of the request, or of the one that would have asked for this part of it.
        """
        document: dict[str, Any] = {
            "type": "about:blank" if self.kind is None else self.kind.uri,
            "title": self.status.phrase,
            "status": int(self.status),
            "detail": str(self),
            "instance": instance,
        }
        if self.parameter is not None:
            document["parameter"] = self.parameter
        return document

    def response(self, instance: str) -> web.Response:
        """The response.

        Args:
            instance: path of the request.
        """
        body = msgspec.json.encode(self.document(instance))
        return web.Response(body=body, status=self.status, content_type=PROBLEM, headers=self.headers)


def problem_of(error: AnswerError) -> Problem:
    """The problem of a question that cannot be answered."""
    if isinstance(error, NotKnown):
        return Problem(HTTPStatus.NOT_FOUND, str(error), kind=NOT_KNOWN)
    if isinstance(error, OtherPairs):
        return Problem(HTTPStatus.NOT_FOUND, str(error), parameter="pairs", kind=OTHER_PAIRS)
    if isinstance(error, NotReady):
        return Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": str(error.retry_after_s)})
    return Problem(HTTPStatus.CONFLICT, str(error))


def bad_parameter(name: str, detail: str) -> Problem:
    """The problem of a parameter with an invalid value.

    >>> str(bad_parameter("limit", "is 'many', not a whole number"))
    "parameter limit is 'many', not a whole number"
    """
    return Problem(HTTPStatus.BAD_REQUEST, f"parameter {name} {detail}", parameter=name)
