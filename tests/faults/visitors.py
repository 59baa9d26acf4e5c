"""Hostile clients of a worker's web server."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from tests.faults.processes import name_of
from tests.faults.registry import fault

if TYPE_CHECKING:
    from tests.faults.world import World

_HEADER = (
    b"POST /recommendations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n"
)
_GARBAGE = (
    b"\x16\x03\x01\x02\x00\x01",
    b"GET " + b"/" * 70_000,
    b"\r\n" * 500,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\xff" * 3_000,
)


def visit(world: World, words: list[bytes], seconds: float) -> str:
    """Open connections, say something on each, again and again, and hold them for some seconds."""
    host, _, port = world.victim().admin.partition(":")
    victim = next(worker for worker in world.workers if worker.admin == f"{host}:{port}")
    with ExitStack() as stack:
        opened = []
        for word in words:
            with suppress(OSError):
                connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=2))
                connection.sendall(word)
                opened.append(connection)
        for _ in range(int(seconds / 0.2)):
            world.pause(0.2)
            for connection in opened[:50]:
                with suppress(OSError):
                    connection.sendall(b" ")
    return f"{name_of(world, victim)}, {len(opened)} connections for {seconds:.1f} s"


@fault("idle connections")
def idle(world: World) -> str:
    """Hundreds of connections that say nothing."""
    return visit(world, [b""] * world.chance.randint(100, 700), 2)


@fault("slow requests")
def slow_bodies(world: World) -> str:
    """Bodies and headers that arrive a byte at a time."""
    return visit(world, [_HEADER, b"GET /sta"] * world.chance.randint(20, 100), 2)


@fault("garbage requests")
def garbage(world: World) -> str:
    """What is no HTTP."""
    return visit(world, [world.chance.choice(_GARBAGE) for _ in range(60)], 0.4)
