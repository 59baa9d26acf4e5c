"""Workers on Kafka with the shop of `tests.live_shop`, queried over HTTP."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from producers.publish import Publisher
from producers.wire import encode_order
from streams.endpoint.client import path_of
from streams.endpoint.live_assortment import SNAPSHOT_VALID_S
from tests.live_shop import TOKEN, shop_log
from tests.workers import WorkerProcess, made_topics, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from streams.workers.kafka.topics import Topics

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Response(NamedTuple):
    """A complete response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body as JSON."""
        document: dict[str, Any] = json.loads(self.body)
        return document


class LiveShop(NamedTuple):
    """Workers that share a shop's partitions."""

    broker: str
    topics: Topics
    workers: list[WorkerProcess]
    lines: int
    """Order lines of the log."""

    def wait_until_counted(self, lines: int) -> None:
        """Wait until so many lines are counted and every list is published."""
        wait_until(f"{lines} lines are counted and published", lambda: at_rest(self, lines), workers=self.workers)
        time.sleep(SNAPSHOT_VALID_S + 0.5)  # popularity may be as old as that

    @property
    def two(self) -> tuple[WorkerProcess, WorkerProcess]:
        """The first two workers."""
        return self.workers[0], self.workers[1]


def ask(
    worker: WorkerProcess,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    **query: object,
) -> Response:
    """Send a request to a worker."""
    connection = http.client.HTTPConnection(worker.admin, timeout=30)
    try:
        text = f"?{urlencode(query, doseq=True)}" if query else ""
        connection.request(method, path + text, body, headers or {})
        response = connection.getresponse()
        return Response(response.status, dict(response.headers), response.read())
    finally:
        connection.close()


def post(worker: WorkerProcess, path: str, document: object, token: str | None = None) -> Response:
    """Post a document to a worker."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    return ask(worker, path, "POST", json.dumps(document).encode(), headers)


def of_item(item_id: str, *more: str) -> str:
    """The path of an item or of one of its resources."""
    return path_of("items", item_id, *more)


def of_customer(customer_id: str, *more: str) -> str:
    """The path of a customer or of one of its resources."""
    return path_of("customers", customer_id, *more)


def ready(worker: WorkerProcess) -> bool:
    """Whether a worker reports that it is ready."""
    try:
        return ask(worker, "/health/ready").status == 200
    except OSError:
        return False


def swept(worker: WorkerProcess, lines: int) -> bool:
    """Whether a worker's item partitions have counted so many lines and published every list exactly."""
    status = worker.status()
    if status is None:
        return False
    tally = status.get("tally", {"lines": {}, "current": {}})
    return set(tally["lines"].values()) <= {lines} and all(tally["current"].values())


def at_rest(shop: LiveShop, lines: int) -> bool:
    """Whether so many lines are counted, every list is published and all workers are ready.

    A worker that has ended, such as a fenced one, is restarted, as a supervisor would.
    """
    for worker in shop.workers:
        if not worker.running:
            worker.start()
    return all(ready(worker) and swept(worker, lines) for worker in shop.workers)


@contextmanager
def live_shop(
    broker: str,
    name: str,
    directory: Path,
    workers: int = 2,
    partitions: int = 3,
    stages: tuple[str, ...] = (),
    more: tuple[str, ...] = (),
) -> Iterator[LiveShop]:
    """A shop whose log is on Kafka, and workers that have counted it.

    Args:
        broker: host:port.
        name: of its topics.
        directory: for the workers' state.
        workers: how many.
        partitions: of purchases and of items.
        stages: of each worker; both if not given.
        more: options of every worker.
    """
    topics = made_topics(broker, name, partitions, partitions)
    log = shop_log()
    with Publisher(broker, topics.purchases) as publisher:
        for order in log:
            lines = [(line.item_id, line.quantity) for line in order.lines]
            record = encode_order(order.customer_id, order.time, lines, order_id=order.order_id)
            key = order.customer_id.encode()
            publisher.send(key, record, partition=publisher.partition_of(key))
    options = [["--stages", stage] for stage in stages] or [[] for _ in range(workers)]
    processes = [
        WorkerProcess(
            broker,
            topics,
            directory / f"worker{number}",
            "--admin-token",
            TOKEN,
            "--session-timeout-ms",
            "3000",
            *of,
            *more,
        )
        for number, of in enumerate(options)
    ]
    shop = LiveShop(broker, topics, processes, sum(len(order.lines) for order in log))
    with ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
        shop.wait_until_counted(shop.lines)
        yield shop
