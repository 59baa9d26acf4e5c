"""Benchmark of hostile visitors, on a worker with the grocery log: each figure beside its limit.

    python -m benchmarks.visitors [--seconds 60]

While 500 orders a second arrive: 2,000 connections that say nothing, opened again once they are closed; 200 watchers of
`/events`; every two seconds the sixteen slowest searches; 8,000 categories that nobody has, one after the other. Beside
them wrk (apt-get install wrk) asks for related items at a fixed rate, with and without the others.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import threading
from functools import partial
from http import HTTPStatus
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self
from urllib.request import urlopen

import aiohttp
import psutil

from benchmarks.endpoint import load, write_paths
from benchmarks.figures import Figure, table
from benchmarks.kafka import Bench, ready
from producers.publish import Publisher
from streams.catalogue.catalogue import CatalogueItem, encode_item
from streams.workers.kafka.catalogue_topic import send_items
from tests.brokers import ApacheKafka
from tests.titles import made_up_titles, slow_queries
from tests.workers import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.workers import WorkerProcess

TITLES = 100_000
RATE = 100
ORDERS_RATE = 500.0
IDLE, WATCHERS, SEARCHES, CATEGORIES = 2_000, 200, 16, 8_000
SEARCH_EVERY_S, CONNECT_AGAIN_S = 2.0, 10.0
CLIENTS = 4
"""Addresses that visitors come from, since each may have only some of the places."""
P99_LIMIT_MS = 50.0
MEMORY_LIMIT_MIB = 100.0


class Visitors:
    """Everybody but wrk, in a thread of their own while it lasts.

    Args:
        host: of the worker.
        port: likewise.
        seconds: in which every category is asked for.

    Attributes:
        answers: how many of each kind were answered, with what status; 0: the connection was closed.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._host, self._port, self._seconds = host, port, seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._crowd: asyncio.Task[Any] | None = None
        self.answers: dict[tuple[str, int], int] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self) -> None:
        self._crowd = asyncio.ensure_future(self._all())

    async def _end(self) -> None:
        assert self._crowd is not None
        self._crowd.cancel()
        await asyncio.gather(self._crowd, return_exceptions=True)

    async def _all(self) -> None:
        names = itertools.cycle([f"none {number}" for number in range(CATEGORIES)])
        queries = itertools.cycle(slow_queries())
        sessions = [self._session(number) for number in range(CLIENTS)]
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(session) for session in sessions]
            turns = itertools.cycle(opened)
            crowd = [self._idle(number) for number in range(IDLE)]
            crowd += [self._again("events", self._watch, next(turns)) for _ in range(WATCHERS)]
            crowd += [
                self._again("search", partial(self._get, "/search", "q", queries), next(turns), SEARCH_EVERY_S)
                for _ in range(SEARCHES)
            ]
            every_s = self._seconds / CATEGORIES
            ask = partial(self._get, "/bestsellers", "category", names)
            crowd.append(self._again("bestsellers", ask, opened[0], every_s))
            await asyncio.gather(*crowd)

    def _session(self, number: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, local_addr=(f"127.0.0.{2 + number}", 0))
        return aiohttp.ClientSession(f"http://{self._host}:{self._port}", connector=connector)

    async def _again(
        self,
        kind: str,
        ask: Callable[[aiohttp.ClientSession], Awaitable[int]],
        session: aiohttp.ClientSession,
        every_s: float = 0.0,
    ) -> None:
        """Ask again and again, at most once in so many seconds, and a second after a refusal."""
        while True:
            begun = self._loop.time()
            try:
                status = await ask(session)
            except (aiohttp.ClientError, OSError, TimeoutError):
                status = 0
            self.answers[kind, status] = self.answers.get((kind, status), 0) + 1
            pause = every_s if status == HTTPStatus.OK else max(1.0, every_s)
            await asyncio.sleep(max(0.0, begun + pause - self._loop.time()))

    @staticmethod
    async def _get(path: str, name: str, values: Iterator[str], session: aiohttp.ClientSession) -> int:
        async with session.get(path, params={name: next(values)}) as response:
            await response.read()
            return response.status

    @staticmethod
    async def _watch(session: aiohttp.ClientSession) -> int:
        async with session.get("/events", timeout=aiohttp.ClientTimeout(total=None)) as response:
            async for _ in response.content.iter_chunked(1 << 16):
                pass
            return response.status

    async def _idle(self, number: int) -> None:
        """Connect, say nothing, and connect again once that was ended."""
        chance = random.Random(number)  # noqa: S311 - who comes when, not secrets
        local = (f"127.0.0.{2 + number % CLIENTS}", 0)
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection(self._host, self._port, local_addr=local)
                self.answers["idle", 0] = self.answers.get(("idle", 0), 0) + 1
                with contextlib.suppress(OSError):
                    await reader.read()
                writer.close()
            await asyncio.sleep(chance.uniform(0.5, 1.5) * CONNECT_AGAIN_S)


def fill_catalogue(bench: Bench, topic: str) -> None:
    """Give the search something to search."""
    ids, titles, _ = made_up_titles(TITLES)
    with Publisher(bench.broker.bootstrap, topic) as publisher:
        items = zip(ids, titles, strict=True)
        send_items(publisher, [(f"t{item_id}", encode_item(CatalogueItem(title=title))) for item_id, title in items])


def moves(worker: WorkerProcess) -> int:
    """How often partitions were given to a worker or taken away."""
    log = worker.log.read_text(errors="replace")
    return log.count(" assigned: ") + log.count("the group is rebalancing")


def measured(bench: Bench, directory: Path, seconds: int) -> list[Figure]:
    """Measure all figures."""
    topics, worker, _ = bench.grocery()
    write_paths(worker.state / topics.generation, directory)
    fill_catalogue(bench, topics.items)
    paths = directory / "related"
    with worker:
        ready(worker)
        url = f"http://{worker.admin}"
        host, port = worker.admin.split(":")
        process = psutil.Process(worker.pid)
        load(url, paths, RATE, 10)  # lists are read into memory on the first request
        with urlopen(f"{url}/search?q=et"):  # noqa: S310 - our own, which makes its index
            pass
        sender = threading.Thread(
            target=bench.send_live, args=(topics, list[float](), list[str](), ORDERS_RATE, 2 * seconds + 10)
        )
        sender.start()
        begun = _resident_mib(process)
        alone = load(url, paths, RATE, seconds)
        before, held = moves(worker), _resident_mib(process)
        with Visitors(host, int(port), seconds) as visitors:
            wait_until("they have come", lambda: visitors.answers.get(("search", 200), 0) > SEARCHES, 60)
            crowded = load(url, paths, RATE, seconds)
            grown = _resident_mib(process) - held
        moved = moves(worker) - before
        sender.join()
        assert worker.running, worker
        worker.stop()
    figures = [
        Figure("related while orders arrive, p99 ms", alone["p99_ms"], None),
        Figure("related beside all visitors, requests/s", crowded["requests"] / crowded["seconds"], 0.95 * RATE, True),
        Figure("related beside all visitors, p50 ms", crowded["p50_ms"], None),
        Figure("related beside all visitors, p99 ms", crowded["p99_ms"], P99_LIMIT_MS),
        Figure("the same, times that without them", crowded["p99_ms"] / alone["p99_ms"], None),
        Figure("errors per 1,000", 1000 * crowded["errors"] / crowded["requests"], 0.0),
        Figure("partitions that moved", moved, 0),
        Figure("memory that orders took before, MiB", held - begun, None),
        Figure("memory that orders and visitors took, MiB", grown, None),
        Figure("memory that visitors take, MiB", grown - (held - begun), MEMORY_LIMIT_MIB),
    ]
    for (kind, status), count in sorted(visitors.answers.items()):
        figures.append(Figure(f"{kind}: {f'answered {status}' if status else 'connected or closed'}", count, None))
    return figures


def _resident_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 2**20)


def main() -> None:
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", default=60, type=int)
    options = parser.parse_args()
    with TemporaryDirectory() as directory, ApacheKafka(Path(directory) / "broker") as broker:
        figures = measured(Bench(broker, Path(directory)), Path(directory), options.seconds)
    table(figures)
    raise SystemExit(0 if all(figure.met for figure in figures) else 1)


if __name__ == "__main__":
    main()
