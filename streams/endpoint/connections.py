"""Connections of the endpoint: how many there are, of whom, and how long one may wait or be slow.

A connection that waits for a request can be closed without loss, so when places are taken, the one that has waited
longest makes room, first of those on which nobody has asked anything. Descriptors that are no connections stay free
for RocksDB's files and for Kafka.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import resource
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from streams.endpoint.addresses import client_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.web import Application, Server
    from aiohttp.web_protocol import RequestHandler

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024
FEWEST_CONNECTIONS = 16
SHARE_OF_DESCRIPTORS = 4
"""Connections take at most one of so many file descriptors."""
_SHORTEST_BACKLOG, _LONGEST_BACKLOG = 8, 128
_SWEEP_EVERY_S = 1.0
_WARN_EVERY_S = 60.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: 47\r\n\r\nevery connection of this server is in use: wait\n"
)


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of connections.

    Attributes:
        most: connections in all; None: what the process's limit on file descriptors allows, up to MOST_CONNECTIONS.
        waiting_s: a connection without a whole header for so long is closed: a new one, or after an answer.
        stalled_s: a connection that takes nothing of what is sent for so long is closed.
    """

    most: int | None = None
    waiting_s: float = 20.0
    stalled_s: float = 20.0


def affordable_connections() -> int:
    """How many connections there may be, after the process's limit on file descriptors was raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (ValueError, OSError):  # some systems have limits below the one they report
            pass
    if soft == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(FEWEST_CONNECTIONS, min(MOST_CONNECTIONS, soft // SHARE_OF_DESCRIPTORS))


class BoundedRunner(web.AppRunner):
    """Runs an application; its connections are limited.

    Args:
        app: the application.
        limits: of its connections.
        options: of aiohttp's server.
    """

    def __init__(self, app: Application, limits: ConnectionLimits, **options: Any) -> None:  # noqa: ANN401
        super().__init__(app, keepalive_timeout=limits.waiting_s, **options)
        self._limits = limits
        self._connections: Connections | None = None

    @property
    def server(self) -> Any:  # noqa: ANN401 - sites call it to make the protocol of a connection
        """Makes the protocol of each new connection."""
        return self._connections

    async def listen(self, host: str, port: int) -> None:
        """Start to serve.

        Raises:
            OSError: it cannot listen there.
        """
        await self.setup()
        server = super().server
        assert server is not None  # noqa: S101 - for the type checker
        self._connections = Connections(server, self._limits)
        # asyncio accepts so many at a time, before any of them can take a place or be closed
        backlog = max(_SHORTEST_BACKLOG, min(_LONGEST_BACKLOG, self._connections.most // 4))
        await web.TCPSite(self, host, port, backlog=backlog).start()

    async def cleanup(self) -> None:
        """Stop listening, and close all connections."""
        if self._connections is not None:
            self._connections.stop()
        await super().cleanup()


class _Places:
    """Open connections in the order in which they last received something, those without any request first."""

    def __init__(self) -> None:
        self._silent: OrderedDict[_Connection, None] = OrderedDict()
        self._asked: OrderedDict[_Connection, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._silent) + len(self._asked)

    def __contains__(self, connection: _Connection) -> bool:
        return connection in self._silent or connection in self._asked

    def __iter__(self) -> Iterator[_Connection]:
        return itertools.chain(self._silent, self._asked)

    def put_last(self, connection: _Connection) -> None:
        """Add a connection that has just received something or was made, or move it there."""
        self.discard(connection)
        (self._asked if connection.asked else self._silent)[connection] = None

    def discard(self, connection: _Connection) -> None:
        """Remove a connection, if it is there."""
        self._silent.pop(connection, None)
        self._asked.pop(connection, None)


class Connections:
    """All open connections.

    Args:
        server: aiohttp's server, which handles requests.
        limits: of the connections.

    Attributes:
        most: connections in all.
        most_of_client: half of them, so that no client has every place.
    """

    def __init__(self, server: Server, limits: ConnectionLimits) -> None:
        self._server = server
        self._limits = limits
        self.most = affordable_connections() if limits.most is None else limits.most
        self.most_of_client = max(1, self.most // 2)
        self._open = _Places()
        self._of_client: dict[str, _Places] = {}
        self._warned_at = -_WARN_EVERY_S
        self._sweeping = asyncio.create_task(self._sweep())

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Connection(self, self._server())

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: _Connection) -> bool:
        """Add a connection, in place of one that waits if places are taken; whether there was a place."""
        own = self._of_client.get(connection.client, _Places())
        if not (self._has_place(own, self.most_of_client) and self._has_place(self._open, self.most)):
            self._warn(connection.client)
            return False
        self._open.put_last(connection)
        self._of_client.setdefault(connection.client, _Places()).put_last(connection)
        return True

    def received(self, connection: _Connection) -> None:
        """Note that a connection received something."""
        if connection in self._open:
            self._open.put_last(connection)
            self._of_client[connection.client].put_last(connection)

    def remove(self, connection: _Connection) -> None:
        """Remove a connection."""
        if connection in self._open:
            self._open.discard(connection)
            own = self._of_client[connection.client]
            own.discard(connection)
            if not own:
                del self._of_client[connection.client]

    def stop(self) -> None:
        """Stop looking after connections."""
        self._sweeping.cancel()

    def _has_place(self, connections: _Places, most: int) -> bool:
        """Whether there is a place, perhaps because the first connection that waits was closed."""
        if len(connections) < most:
            return True
        waiting = next((connection for connection in connections if connection.waits), None)
        if waiting is None:
            return False
        self.remove(waiting)
        waiting.abort()
        return True

    def _warn(self, client: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at > _WARN_EVERY_S:
            self._warned_at = now
            logger.warning(
                "%d of %d connections are in use, none of which waits: one of %s was refused",
                len(self._open),
                self.most,
                client,
            )

    async def _sweep(self) -> None:
        """Close connections that take nothing of what is sent to them."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_EVERY_S, self._limits.stalled_s / 4))
            now = loop.time()
            for connection in list(self._open):
                if connection.stalled_s(now) > self._limits.stalled_s:
                    self.remove(connection)
                    connection.abort()


class _Connection(asyncio.Protocol):
    """A connection: passes what happens to aiohttp's handler, and knows whether it waits or stalls.

    Args:
        connections: all connections, to which this one will belong.
        handler: aiohttp's.

    Attributes:
        client: who opened it.
    """

    def __init__(self, connections: Connections, handler: RequestHandler) -> None:
        self.client = ""
        self._connections = connections
        self._handler = handler
        self._transport: asyncio.Transport | None = None
        self._admitted = False
        self._unsent = 0
        self._progressed_at = 0.0

    @property
    def waits(self) -> bool:
        """Whether it has no request in progress, and everything was sent."""
        # aiohttp says nowhere else whether a request is in progress
        in_progress = self._handler._request_in_progress  # noqa: SLF001
        return not in_progress and (self._transport is None or self._transport.get_write_buffer_size() == 0)

    @property
    def asked(self) -> bool:
        """Whether there ever was a request on it."""
        return self._handler._request_count > 0  # noqa: SLF001 - likewise

    def stalled_s(self, now: float) -> float:
        """For how long nothing of what is to be sent was taken."""
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent or self._unsent == 0:
            self._progressed_at = now
        self._unsent = unsent
        return now - self._progressed_at

    def abort(self) -> None:
        """Close it at once, whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, or refuse."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.client = client_of(peer[0] if isinstance(peer, tuple) else None)
        self._admitted = self._connections.admit(self)
        if self._admitted:
            self._handler.connection_made(transport)
        else:
            transport.write(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self._admitted:
            self._handler.data_received(data)
            self._connections.received(self)

    def eof_received(self) -> None:
        """Close: nothing more will be asked."""
        if self._admitted:
            self._handler.eof_received()

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._admitted:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._admitted:
            self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._connections.remove(self)
        if self._admitted:
            self._handler.connection_lost(exc)
