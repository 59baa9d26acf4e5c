"""`alsobought serve` in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.commands import COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Answer(NamedTuple):
    """What an endpoint answers: the status, and the document."""

    status: int
    document: dict[str, Any]


class Served:
    """A server that runs.

    Attributes:
        process: its process.
        url: of its endpoint, with a slash at the end.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def asked(
        self, path: str, body: object = None, method: str | None = None, token: str | None = None, timeout_s: float = 10
    ) -> Answer:
        """The answer to a request; a body is sent as JSON, text as it is.

        Raises:
            OSError: there is none.
        """
        headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        data = None if body is None else (body if isinstance(body, str) else json.dumps(body)).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 - our own
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:  # noqa: S310 - our own
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))

    def document(self, path: str) -> dict[str, Any]:
        """The document at a path."""
        answer = self.asked(path)
        assert answer.status == 200, answer
        return answer.document

    def text(self, path: str) -> str:
        """The text at a path."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as response:  # noqa: S310 - our own
            found: str = response.read().decode()
            return found

    def stopped(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Send a signal, and return what it says at its end, which must be orderly."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        said = self.process.stdout.read()
        assert self.process.wait(20) == 0, said
        assert "stopped" in said
        return said


@contextmanager
def serving(state_dir: Path, *options: str, **environment: str) -> Iterator[Served]:
    """Serve a state; the server is killed at the end if it still runs."""
    command = [COMMAND, "serve", "--state-dir", str(state_dir), "--admin", "127.0.0.1:0", *options]
    variables = {**os.environ, "PYTHONUNBUFFERED": "1"} | environment
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=variables
    ) as process:
        try:
            assert process.stdout is not None
            said = ""
            while (found := re.search(r"http://\S+/", said)) is None:
                line = process.stdout.readline()
                assert line, said
                said += line
            yield Served(process, found.group())
        finally:
            process.kill()
