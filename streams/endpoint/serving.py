"""Serving a stopped state: the endpoint in its own process, without Kafka, read-only."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from state.errors import StateError
from streams.catalogue.catalogue import Catalogue, CatalogueError
from streams.catalogue.stored import StoredCatalogue
from streams.endpoint.admin import make_app
from streams.endpoint.connections import BoundedRunner, ConnectionLimits
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.recommendations.request import RecommendationRequest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aiohttp.web import AppRunner

    from streams.endpoint.addresses import HostPort
    from streams.endpoint.answers import Answers
    from streams.endpoint.handlers import AdminSettings
    from streams.engine.embedded import Embedded

LONGEST_REQUEST_LINE = 5 << 16  # two parameters of twenty ids of 512 characters, each up to four bytes as %XX
SERVER_OPTIONS: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # bodies are inflated where their size is limited, and in a thread
    "lingering_time": 2.0,  # for the rest of a body that was refused
    "max_line_size": LONGEST_REQUEST_LINE,
}
"""How aiohttp serves the endpoint, in any process."""
CATALOGUE_EVERY_S = 0.3  # changes are seen within a second, reading included
logger = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is in use, or does not belong to this machine."""


async def serve_state(
    embedded: Embedded, state_dir: Path, at: HostPort, settings: AdminSettings, say: Callable[[str], object]
) -> None:
    """Serve a state until SIGINT or SIGTERM.

    Args:
        embedded: the state, open for reading.
        state_dir: its directory; changes of its catalogue are followed.
        at: where to listen; port 0: any free port.
        settings: of the endpoint; it is also called by the name in `at`.
        say: prints the address.

    Raises:
        CannotListen: the address is in use, or does not belong to this machine.
    """
    host, port = at
    catalogue = Catalogue()
    stored = StoredCatalogue(state_dir, catalogue)
    stored.refresh()
    answers = EmbeddedAnswers(embedded, catalogue, worker=f"{host}:{port}")
    # the first question compiles loops and takes a snapshot of the assortment: no request should wait for that
    await answers.recommendations(RecommendationRequest(basket=tuple(embedded.counts[0].names.every[:1])))
    await answers.search("a", 1)
    gc.freeze()  # ids and titles are permanent: a collection that scans them pauses answers for 50 ms
    settings = replace(settings, hosts=(host, *settings.hosts), version=software_version())
    runner = await listen(answers, settings, host, port)
    following = asyncio.create_task(_follow(stored))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    address = runner.addresses[0]
    name = f"[{host}]" if ":" in host else host
    say(f"{state_dir} at http://{name}:{address[1]}/, until Ctrl-C")
    try:
        await stop.wait()
    finally:
        following.cancel()
        await runner.cleanup()
    say("stopped")


async def listen(
    answers: Answers,
    settings: AdminSettings,
    host: str,
    port: int,
    limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
) -> AppRunner:
    """Start to serve answers; `cleanup()` of the runner returned stops it.

    Raises:
        CannotListen: the address is in use, or does not belong to this machine.
    """
    app = make_app(answers, settings)
    runner = BoundedRunner(app, limits, shutdown_timeout=2.0, **SERVER_OPTIONS)
    try:
        await runner.listen(host, port)
    except OSError as error:
        await runner.cleanup()
        raise CannotListen(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --admin HOST:PORT"
        ) from error
    return runner


def software_version() -> str:
    """The installed version of this software; 0 if it is not installed."""
    try:
        return version("alsobought")
    except PackageNotFoundError:
        return "0"


async def _follow(stored: StoredCatalogue) -> None:
    """Follow what other processes write into the catalogue."""
    while True:
        await asyncio.sleep(CATALOGUE_EVERY_S)
        if stored.changed():
            try:
                stored.take(await asyncio.to_thread(stored.read))
            except (StateError, CatalogueError) as error:  # another process is writing: retried in the next round
                logger.warning("%s; the catalogue is unchanged", error)
