"""Serving a stopped state: the admin endpoint in a process of its own, without Kafka, for reading."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from aiohttp import web

from state.errors import StateError
from streams.catalogue.catalogue import Catalogue, CatalogueError
from streams.catalogue.stored import StoredCatalogue
from streams.endpoint.admin import make_app
from streams.endpoint.answers import Wishes
from streams.endpoint.embedded_answers import EmbeddedAnswers
from streams.endpoint.handlers import AdminSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from streams.endpoint.answers import Answers
    from streams.engine.embedded import Embedded

LONGEST_REQUEST_LINE = 1 << 17  # twenty ids of 512 bytes, each byte as %XX, twice
CATALOGUE_EVERY_S = 0.3  # a second at most, reading included
logger = logging.getLogger(__name__)


class CannotListen(Exception):
    """The address is taken, or not this machine's."""


async def serve_state(embedded: Embedded, state_dir: Path, host: str, port: int, say: Callable[[str], object]) -> None:
    """Serve a state until SIGINT or SIGTERM.

    Args:
        embedded: the state, open for reading.
        state_dir: where it lies; its catalogue is followed.
        host: where to listen.
        port: where to listen; 0: at any that is free.
        say: tells people the address.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    catalogue = Catalogue()
    stored = StoredCatalogue(state_dir, catalogue)
    stored.refresh()
    answers = EmbeddedAnswers(embedded, catalogue, worker=f"{host}:{port}")
    # the first of all questions compiles loops and takes stock: it is ours
    await answers.recommendations(None, Wishes(basket=tuple(embedded.counts[0].names.every[:1])))
    await answers.search("a", 1)
    gc.freeze()  # ids and titles stay for good: looking through them again and again would stop answers for 50 ms
    runner = await listen(answers, AdminSettings(version=software_version()), host, port)
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


async def listen(answers: Answers, settings: AdminSettings, host: str, port: int) -> web.AppRunner:
    """Start to serve answers; `cleanup()` of what is returned ends it.

    Raises:
        CannotListen: the address is taken, or not this machine's.
    """
    app = make_app(answers, settings)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0, max_line_size=LONGEST_REQUEST_LINE)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise CannotListen(
            f"{host}:{port} cannot be listened on: {error.strerror or error}; name another --admin HOST:PORT"
        ) from error
    return runner


def software_version() -> str:
    """The installed version of this software; 0 when it runs from a checkout that is not installed."""
    try:
        return version("alsobought")
    except PackageNotFoundError:
        return "0"


async def _follow(stored: StoredCatalogue) -> None:
    """Take note of what others write into the catalogue."""
    while True:
        await asyncio.sleep(CATALOGUE_EVERY_S)
        if stored.changed():
            try:
                stored.take(await asyncio.to_thread(stored.read))
            except (StateError, CatalogueError) as error:  # someone is writing: the next look will do
                logger.warning("%s; the catalogue stays as it is", error)
