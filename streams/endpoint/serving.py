"""Serving a state in a process of its own, without Kafka: stopped, followed, or with orders that are sent to it."""

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
from streams.endpoint.order_queue import OrderQueue
from streams.endpoint.state_watch import StateWatch
from streams.recommendations.request import RecommendationRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from pathlib import Path

    from aiohttp.web import AppRunner

    from streams.endpoint.addresses import HostPort
    from streams.endpoint.answers import Answers
    from streams.endpoint.handlers import AdminSettings
    from streams.endpoint.order_queue import OrderSink
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
    embedded: Embedded,
    state_dir: Path,
    at: HostPort,
    settings: AdminSettings,
    say: Callable[[str], object],
    *,
    opened: Callable[[], Embedded] | None = None,
    sink: OrderSink | None = None,
) -> None:
    """Serve a state until SIGINT or SIGTERM, and close it.

    Args:
        embedded: the state, open for reading, or writing if there is a sink.
        state_dir: its directory; changes of its catalogue are followed.
        at: where to listen; port 0: any free port.
        settings: of the endpoint; it is also called by the name in `at`.
        say: prints the address.
        opened: opens the state again, to follow what another process counts into it; None: it is not followed.
        sink: where orders go that are sent to this process; None: it takes none.

    Raises:
        CannotListen: the address is in use, or does not belong to this machine.
        StateError: the log or the state of orders failed.
    """
    host, port = at
    catalogue = Catalogue()
    stored = StoredCatalogue(state_dir, catalogue)
    queue = None if sink is None else OrderQueue(sink)
    writing: dict[str, Any] = {} if queue is None else {"append": queue.append, "refuse": queue.refuse}
    answers = EmbeddedAnswers(embedded, catalogue, worker=f"{host}:{port}", **writing)
    if queue is not None:
        queue.on_counted = answers.counted
    answers.standing = "live" if queue else "following" if opened else "stopped"
    try:
        stored.refresh()
        await first_answers(answers)
        gc.freeze()  # ids and titles are permanent: a collection that scans them pauses answers for 50 ms
        settings = replace(settings, hosts=(host, *settings.hosts), version=software_version())
        runner = await listen(answers, settings, host, port)
        address = runner.addresses[0]
        name = f"[{host}]" if ":" in host else host
        say(f"{state_dir} at http://{name}:{address[1]}/, until Ctrl-C")
        beside = [_follow(stored)]
        if opened is not None:
            beside.append(StateWatch(state_dir, answers, opened).run())
        await _until_stopped(runner, beside, queue)
    finally:
        answers.close()
    say("stopped")


async def first_answers(answers: EmbeddedAnswers) -> None:
    """Answer what loads or compiles loops, and takes a snapshot of the assortment: no request should wait for that."""
    await answers.recommendations(RecommendationRequest(basket=answers.some_items()))
    await answers.search("a", 1)


async def _until_stopped(
    runner: AppRunner, beside: Sequence[Coroutine[Any, Any, None]], queue: OrderQueue | None
) -> None:
    """Run until SIGINT or SIGTERM, or until something fails; orders that were sent are counted before it ends.

    Args:
        runner: of the endpoint.
        beside: what runs beside it, without an end.
        queue: of orders.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(each) for each in (stop.wait(), *beside)]
    counting = [] if queue is None else [asyncio.create_task(queue.run())]
    try:
        await asyncio.wait([*tasks, *counting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await runner.cleanup()
        if queue is not None:
            queue.end()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*counting, *tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


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
