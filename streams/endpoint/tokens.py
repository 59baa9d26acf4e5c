"""The tokens of requests that write and of those that read, and how guessing them is slowed down."""

from __future__ import annotations

import hmac
import logging
import math
import re
import time
from collections import OrderedDict
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from streams.endpoint.addresses import client_of
from streams.endpoint.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

FREE_FAILURES = 5
"""Wrong tokens of a client before it has to wait."""
LONGEST_WAIT_S = 60.0
MOST_CLIENTS = 4096
"""Clients whose failures are remembered; the one that failed longest ago is forgotten first."""
_FORGOTTEN_AFTER_S = 600.0
FROM_WORKER = web.RequestKey("from_worker", bool)
"""Of a request: whether a worker has signed it. Workers need no token to read."""
_TOKEN = re.compile(r"[!-~]+")


def check_usable(token: str | None) -> None:
    """Check that a token can be sent in a header, and that not everyone has it.

    Raises:
        ValueError: it is empty, or has characters that no header can hold.

    >>> check_usable("")
    Traceback (most recent call last):
    ValueError: the token is empty: give one, or none at all, which refuses every request that writes
    """
    if token == "":
        raise ValueError("the token is empty: give one, or none at all, which refuses every request that writes")
    if token is not None and _TOKEN.fullmatch(token) is None:
        raise ValueError("the token has spaces or characters beyond ASCII, which no request can send: choose another")


class _Failures(NamedTuple):
    in_a_row: int
    last_at: float


class TokenGuard:
    """Checks tokens. A client that sent several wrong ones waits, twice as long after each, before the next is checked.

    Args:
        token: the right one; None refuses every request.
        clock: returns monotonic seconds.
        option: by which a process is given it.
    """

    def __init__(
        self, token: str | None, clock: Callable[[], float] = time.monotonic, option: str = "--admin-token"
    ) -> None:
        check_usable(token)
        self._option = option
        self._token = None if token is None else token.encode()
        self._clock = clock
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, request: web.Request) -> None:
        """Check the token of a request, in constant time.

        Raises:
            Problem: the token is missing or wrong, this process has none, or the client has to wait.
        """
        if self._token is None:
            raise Problem(
                HTTPStatus.FORBIDDEN, f"this process was started without {self._option}, which this request requires"
            )
        client = client_of(request.remote)
        wait_s = self.wait_s(client)
        if wait_s > 0:
            raise Problem(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"{self._failures[client].in_a_row} wrong tokens came from {client}: the next is checked in "
                f"{math.ceil(wait_s)} s",
                {"Retry-After": str(math.ceil(wait_s))},
            )
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() == "bearer" and hmac.compare_digest(token.encode(errors="surrogateescape"), self._token):
            self._failures.pop(client, None)
            return
        if token:  # a request without a token is no guess
            self._failed(client)
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            f"this request requires the header Authorization: Bearer TOKEN, with the worker's {self._option}",
            {"WWW-Authenticate": 'Bearer realm="alsobought"'},
        )

    def wait_s(self, client: str) -> float:
        """Seconds until the next token of a client is checked."""
        failures = self._failures.get(client)
        if failures is None or failures.in_a_row < FREE_FAILURES:
            return 0.0
        return failures.last_at + _wait_after(failures.in_a_row) - self._clock()

    def _failed(self, client: str) -> None:
        now = self._clock()
        before = self._failures.pop(client, None)
        forgotten = before is None or now - before.last_at > _FORGOTTEN_AFTER_S
        count = 1 if before is None or forgotten else before.in_a_row + 1
        self._failures[client] = _Failures(count, now)
        if len(self._failures) > MOST_CLIENTS:
            self._failures.popitem(last=False)
        if count >= FREE_FAILURES:
            logger.warning("%d wrong tokens from %s: the next is checked in %.0f s", count, client, _wait_after(count))


def _wait_after(failures: int) -> float:
    """Seconds to wait after so many failures.

    >>> [_wait_after(failures) for failures in (5, 6, 7, 20, 100_000)]
    [1.0, 2.0, 4.0, 60.0, 60.0]
    """
    return min(2.0 ** min(failures - FREE_FAILURES, 32), LONGEST_WAIT_S)
