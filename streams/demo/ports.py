"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import secrets
import socket

# Below the ephemeral ports (32768 and up): a client that retries while a server is down could get the server's port as
# its own, and would then connect to itself, or keep the server from starting again.
PORTS = range(20_000, 32_000)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether nobody listens on a port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last server's connections may linger
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None = None) -> int:
    """A loopback port that nobody listens on: the preferred one, if it is free."""
    if preferred is not None and is_free(preferred):
        return preferred
    while True:
        port = secrets.choice(PORTS)
        if is_free(port):
            return port
