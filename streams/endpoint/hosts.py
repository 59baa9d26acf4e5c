"""The hosts that requests may name: pages of other sites must not read answers through the browser of a visitor.

A page of evil.example can have the name evil.example resolve to 127.0.0.1, or to an address of a private network,
after it was loaded ("DNS rebinding"). The visitor's browser then takes the answers of this process for those of the
page's own site. Such a request still names evil.example in its Host header.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import TYPE_CHECKING

from streams.endpoint.addresses import host_of, is_own_name
from streams.endpoint.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

_NAMES_OF_NOBODY = {None, "0.0.0.0", "::"}  # noqa: S104 - addresses to listen at; browsers also connect to them


class AllowedHosts:
    """Names of this process: localhost, the machine's name, the address that the request reached, and those given.

    Args:
        names: names or IP addresses besides, without port.

    >>> AllowedHosts(["shop.example"]).allows("Shop.Example:6066"), AllowedHosts([]).allows("evil.example")
    (True, False)
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {host_of(name) for name in (socket.gethostname(), *names)} - _NAMES_OF_NOBODY

    def allows(self, header: str, reached: str | None = None) -> bool:
        """Whether a Host header names this process.

        Args:
            header: the header.
            reached: IP address at which the request arrived.
        """
        host = host_of(header)
        return host is not None and (host in self._names or is_own_name(host) or host == _without_zone(reached))

    def check(self, request: web.Request) -> None:
        """Check the Host header of a request.

        Raises:
            Problem: there is not exactly one, or it names another host.
        """
        headers = request.headers.getall("Host", [])
        if len(headers) != 1:
            raise Problem(
                HTTPStatus.BAD_REQUEST,
                f"the request has {len(headers)} Host headers: send one, with this server's name",
            )
        socket_name = None if request.transport is None else request.transport.get_extra_info("sockname")
        if not self.allows(headers[0], socket_name[0] if isinstance(socket_name, tuple) else None):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"the Host header names {headers[0][:100]!r}, which is no name of this server: use its own address, or "
                "start it with --allow-host and that name",
            )


def _without_zone(address: str | None) -> str | None:
    """An IP address as in a Host header: without zone, and IPv4 as such.

    >>> _without_zone("fe80::1%eth0"), _without_zone("::ffff:10.0.0.7")
    ('fe80::1', '10.0.0.7')
    """
    return None if address is None else address.partition("%")[0].removeprefix("::ffff:")
