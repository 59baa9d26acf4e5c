"""Whatever dies, counts and lists equal those of an undisturbed run."""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
import pytest

from producers.logs.reading import open_log
from producers.publish import Publisher
from producers.wire import encode_order
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file
from tests.brokers import ApacheKafka, choose_broker
from tests.kafka_truth import Truth, differences
from tests.workers import PATIENCE_S, WorkerProcess, made_topics, published_lists, read_topic, wait_until_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from producers.orders import Orders

LINES = 80_000
KILLS = 8
SESSION_MS = 3_000
CALM_SESSION_MS = 20_000  # so that a busy machine does not look like one more failure
PAUSE_S = 0.8  # after every 200 orders, so that there is always something to disturb: 30 s
REPEATED = 0.05
BAD = [b"not JSON", b'{"customer_id":"1","timestamp":"2017-13-01","item_id":"x"}', b'{"timestamp":1}']


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A broker for this test only, since it is restarted."""
    broker = choose_broker(tmp_path / "broker", {})
    if not isinstance(broker, ApacheKafka):
        pytest.skip("needs Java and Maven")
    with broker:
        yield broker


def grocery_orders(lines: int) -> Iterator[tuple[Orders, int]]:
    """The first orders of the grocery log, one at a time: the chunk, and the order's index in it."""
    left = lines
    for batch in open_log(grocery_file("transactions.parquet"), GROCERY_COLUMNS):
        sizes = np.diff(batch.orders.start)
        for order in range(len(batch.orders)):
            if left <= 0:
                return
            left -= int(sizes[order])
            yield batch.orders, order


def produce(publisher: Publisher, lines: int, seed: int, stop: threading.Event) -> None:
    """Send the grocery log, mixed with repeats and invalid records, until `stop` is set."""
    chance = random.Random(seed)  # noqa: S311
    for number, (orders, order) in enumerate(grocery_orders(lines)):
        customer = orders.customers[orders.customer[order]].encode()
        begin, end = orders.start[order], orders.start[order + 1]
        items = [orders.items[item] for item in orders.item[begin:end].tolist()]
        record = encode_order(
            customer.decode(),
            int(orders.time[order]),
            zip(items, orders.quantity[begin:end].tolist(), strict=True),
            order_id=str(int(orders.key[order])),
        )
        partition = publisher.partition_of(customer)
        records = [record] * (2 if chance.random() < REPEATED else 1)
        if chance.random() < 0.002:
            records.append(chance.choice(BAD))
        if chance.random() < 0.02:  # of an item just bought, so that it is held; the second time it is not
            records += [encode_order(customer.decode(), int(orders.time[order]), [(items[0], 9)], kind=1)] * 2
        for value in records:
            publisher.send(customer, value, partition=partition)
        if number % 200 == 0 and stop.wait(PAUSE_S):
            return


def test_counts_and_lists_are_exact_whatever_dies(kafka: ApacheKafka, tmp_path: Path) -> None:
    """The promise of the project, on a real log and a real broker, with the failures of a year."""
    topics = made_topics(kafka.bootstrap, "chaos", purchases=3, items=2)
    options = ("--session-timeout-ms", str(SESSION_MS))
    stop = threading.Event()

    def send() -> None:
        with Publisher(kafka.bootstrap, topics.purchases, 120) as publisher:
            produce(publisher, LINES, 1, stop)

    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        stack.callback(stop.set)
        workers = [
            stack.enter_context(WorkerProcess(kafka.bootstrap, topics, tmp_path / name, *options, faults="chaos"))
            for name in ("a", "b")
        ]
        sending = pool.submit(send)
        rage(workers, kafka, sending)
        sending.result()

        calm(workers)
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current(workers, truth.lines, 2)
        assert [worker.stop() for worker in workers] == [0, 0]

    assert truth.lines > LINES
    truth.check([worker.state for worker in workers], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    rejected_reasons = {
        (int(dict(record.headers)["partition"]), int(dict(record.headers)["offset"]))
        for records in read_topic(kafka.bootstrap, topics.rejected)
        for record in records
    }
    assert rejected_reasons == truth.refused


def rage(workers: list[WorkerProcess], kafka: ApacheKafka, sending: Future[None]) -> None:
    """Disturb workers and broker until everything is sent, and often enough."""
    chance = random.Random(7)  # noqa: S311
    kills = 0
    events = ["stop", "restart"]
    deadline = time.monotonic() + 2 * PATIENCE_S
    while not sending.done() or kills < KILLS:
        for worker in workers:
            if not worker.running:
                worker.start()
        at_work = [worker for worker in workers if counts(worker)]
        if at_work:
            time.sleep(chance.uniform(0.0, 2.0))
            victim = chance.choice(at_work)
            if events and kills >= KILLS // 3 * (3 - len(events)):
                disturb(events.pop(0), victim, kafka)
            else:
                kills += victim.running
                victim.kill()
        assert time.monotonic() < deadline, f"only {kills} kills so far\n{workers[0]}\n\n{workers[1]}"


def counts(worker: WorkerProcess) -> bool:
    """Whether partitions of both stages are open at a worker."""
    status = worker.status()
    return status is not None and bool(status["ingest"]["offsets"] and status["tally"]["offsets"])


def disturb(event: str, victim: WorkerProcess, kafka: ApacheKafka) -> None:
    """Something worse than a kill."""
    if event == "stop":
        victim.signal(signal.SIGSTOP)
        time.sleep(SESSION_MS / 1000 + 3)  # when it continues, the other one owns its partitions
        victim.signal(signal.SIGCONT)
    else:
        kafka.kill()
        kafka.restart()


def calm(workers: list[WorkerProcess]) -> None:
    """Restart the workers without faults, and with the session timeout of production."""
    for worker in workers:
        worker.kill()
        worker.faults = "none"
        worker.options += ["--session-timeout-ms", str(CALM_SESSION_MS)]
        worker.start()
