"""A schema registry for the tests: Apicurio from a Maven artefact, in memory, behind its Confluent interface."""

from __future__ import annotations

import base64
import functools
import json
import struct
import tarfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from streams.demo import ports
from streams.demo.child_process import ChildProcess
from tests.downloads import artifact, cached

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Sequence
    from pathlib import Path

VERSION = "2.6.13.Final"
ARTIFACT = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
START_TIMEOUT_S = 60.0
_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx400m", "-XX:-UsePerfData", "-Xlog:disable")


class Registry:
    """A registry on loopback; `with` starts and stops it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port = ports.free_port()
        self._process: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Of its Confluent interface."""
        return f"http://127.0.0.1:{self._port}/apis/ccompat/v7"

    def __enter__(self) -> Self:
        [runner] = registry_home().glob("*-runner.jar")
        command = ["java", *_JVM, "-Dquarkus.http.host=127.0.0.1", f"-Dquarkus.http.port={self._port}"]
        self._process = ChildProcess([*command, "-jar", str(runner)], self._directory / "registry.log", self._directory)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.child.poll() is not None or time.monotonic() > deadline:
                log = (self._directory / "registry.log").read_text(errors="replace")
                raise AssertionError(f"the registry does not start; its log ends:\n{log[-3000:]}")
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.url}/schemas/types", timeout=2).close()  # noqa: S310 - loopback
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.end()

    def register(
        self, subject: str, schema: object, kind: str = "AVRO", references: Sequence[dict[str, Any]] = ()
    ) -> int:
        """Register a schema; return its id."""
        text = schema if isinstance(schema, str) else json.dumps(schema)
        body = json.dumps({"schema": text, "schemaType": kind, "references": list(references)}).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}/subjects/{subject}/versions",
            body,
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return int(json.loads(response.read())["id"])


def framed(number: int, payload: bytes) -> bytes:
    """A record as Confluent's serializers write it: a payload behind the id of its schema."""
    return b"\0" + struct.pack(">I", number) + payload


@functools.cache
def registry_home() -> Path:
    """The unpacked registry in the user's cache, which mvn fills the first time (142 MB)."""

    def fill(directory: Path) -> None:
        archive = artifact(ARTIFACT, directory)
        with tarfile.open(archive) as packed:
            packed.extractall(directory, filter="data")
        archive.unlink()

    return cached(f"apicurio-registry-{VERSION}", fill)


@contextmanager
def guarded(registry: Registry, user: str, password: str, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of the registry behind a proxy that asks for a password, perhaps over TLS; as shops put them."""
    wanted = f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"

    class Guard(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != wanted:
                self.send_error(401)
                return
            try:
                place = registry.url + self.path.removeprefix("/registry")
                with urllib.request.urlopen(place, timeout=10) as response:  # noqa: S310 - loopback
                    body, code = response.read(), 200
            except urllib.error.HTTPError as error:
                body, code = error.read(), error.code
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{server.server_port}/registry"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
