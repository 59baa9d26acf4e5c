"""A new owner of a partition finds out what its previous owners did, whatever they left unfinished."""

from __future__ import annotations

import asyncio
import gc
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaProducer

from producers.partitioning import item_partition
from producers.publish import Publisher
from state.directory import StateDirectory
from state.settings import CountingSettings
from streams.workers import tally as tally_module
from streams.workers.ingest import Ingest
from streams.workers.kafka.producers import OutgoingRecord
from streams.workers.settings import WorkerSettings
from streams.workers.tally import Tally
from tests.kafka_truth import Truth, differences
from tests.workers import (
    WorkerProcess,
    leave_transaction_open,
    made_topics,
    published_lists,
    read_topic,
    send_orders,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

ORDERS = 60
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # producers that die leave sockets open


@pytest.fixture(autouse=True)
def _sockets_of_the_dead() -> Iterator[None]:
    """Collect what died here, so that no later test is warned of it."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def die_in_a_transaction(kafka: Broker, topics: Topics, partition: int) -> None:
    """Leave what the owner of a purchases partition leaves when it is killed while it sends deltas."""
    headers = (("source", str(partition).encode()), ("begin", b"0"), ("end", b"1"))
    deltas = OutgoingRecord(topics.co_purchases, 0, None, b"never to be read", headers)
    leave_transaction_open(kafka, f"{topics.group('ingest')}-{partition}", [deltas])


async def count_beside_a_dying(kafka: Broker, topics: Topics, directory: Path) -> None:
    """Count partition 0 in one commit, and deliver it while the owner of partition 1 dies."""
    [records, _] = read_topic(kafka.bootstrap, topics.purchases)
    with StateDirectory(directory, topics.generation) as state:
        ingest = Ingest(WorkerSettings(kafka.bootstrap, directory, topics), state, CountingSettings(100, 2))
        try:
            assert await ingest.open(0) == 0
            await asyncio.to_thread(die_in_a_transaction, kafka, topics, 1)
            await ingest.work({0: records}, {})
            await ingest.flush()
        finally:
            await ingest.close(0)


def test_an_open_transaction_of_another_partition_hides_no_deltas_from_the_next_owner(
    kafka: Broker, tmp_path: Path
) -> None:
    """Deltas that are delivered twice, in different commits, fit no counts: stage B would be stuck."""
    topics = made_topics(kafka.bootstrap, "hidden")
    send_orders(kafka, topics, 0, ORDERS)
    asyncio.run(count_beside_a_dying(kafka, topics, tmp_path / "before"))
    send_orders(kafka, topics, ORDERS, 2 * ORDERS)

    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    truth.check([worker.state], topics, 2)


async def count_behind_another(kafka: Broker, topics: Topics, directory: Path) -> tuple[bool, int]:
    """Count deltas while the topic has a list of later ones; return whether it caught up, and what it published."""
    with Publisher(kafka.bootstrap, topics.related_items) as publisher:
        publisher.send(b"an item of later orders", b'{"score": "blend", "related": []}', partition=0)
    async with with_deltas(kafka, topics, directory, commits=2) as (tally, deltas):
        await tally.work({0: deltas[:1]}, {0: 0})
        await tally.flush()
        return tally.partitions[0].caught_up, tally.published


@asynccontextmanager
async def with_deltas(kafka: Broker, topics: Topics, directory: Path, commits: int) -> AsyncIterator[tuple[Tally, Any]]:
    """Stage B with an open partition, and what stage A wrote for it in so many commits."""
    counting, portion = CountingSettings(100, 1), ORDERS // commits
    settings = WorkerSettings(kafka.bootstrap, directory, topics)
    with StateDirectory(directory, topics.generation) as state:
        ingest, tally = Ingest(settings, state, counting), Tally(settings, state, counting)
        try:
            await ingest.open(0)
            orders = read_topic(kafka.bootstrap, topics.purchases)[0]
            for begin in range(0, ORDERS, portion):
                await ingest.work({0: orders[begin : begin + portion]}, {})
                await ingest.flush()
            await tally.open(0)
            yield tally, read_topic(kafka.bootstrap, topics.co_purchases)[0]
        finally:
            await ingest.close(0)
            await tally.close(0)


def test_a_worker_behind_another_publishes_nothing(kafka: Broker, tmp_path: Path) -> None:
    """It seemed to have read all deltas, but others published lists of later ones: its own would go back in time."""
    topics = made_topics(kafka.bootstrap, "behind", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)

    assert asyncio.run(count_behind_another(kafka, topics, tmp_path)) == (False, 0)


async def ask_meanwhile(kafka: Broker, topics: Topics, directory: Path) -> tuple[int, int]:
    """Count deltas that wait, ask at once, and return how many commits were counted then and in the end."""
    async with with_deltas(kafka, topics, directory, commits=4) as (tally, deltas):
        partition = tally.partitions[0]
        working = asyncio.create_task(tally.work({0: deltas}, {0: 1}))
        await asyncio.sleep(0)  # the first commit has begun
        async with partition.lock:
            then = partition.counts.journal.commit
        await working
        return then, partition.counts.journal.commit


def test_a_question_waits_for_one_commit_however_many_are_due(
    kafka: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list that was not published yet waited for all deltas at hand: seconds during a replay."""
    monkeypatch.setattr(tally_module, "_COMMIT_BYTES", 1)
    topics = made_topics(kafka.bootstrap, "meanwhile", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)

    assert asyncio.run(ask_meanwhile(kafka, topics, tmp_path)) == (1, 4)


def counted(worker: WorkerProcess) -> int:
    return int(sum((worker.status() or {"ingest": {"offsets": {}}})["ingest"]["offsets"].values()))


def publish_and_die(kafka: Broker, topics: Topics, lists: dict[str, bytes], partitions: int) -> None:
    """Leave what owners of item partitions leave when they are killed before they commit lists."""
    for partition in range(partitions):
        producer = KafkaProducer(
            bootstrap_servers=kafka.bootstrap, transactional_id=f"{topics.group('tally')}-{partition}"
        )
        producer.init_transactions()
        producer.begin_transaction()
        for item, document in lists.items():
            if item_partition(item, partitions) == partition:
                producer.send(topics.related_items, key=item.encode(), value=document, partition=partition)
        producer.flush()
        producer._sender.force_close()
        producer.close(timeout=0)


def test_lists_of_an_aborted_transaction_are_published_again(kafka: Broker, tmp_path: Path) -> None:
    """Some readers saw them and others did not, and compaction removes them."""
    topics = made_topics(kafka.bootstrap, "undone")
    send_orders(kafka, topics, 0, ORDERS)
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "before").lines, 2)
        assert worker.stop() == 0
    send_orders(kafka, topics, ORDERS, 2 * ORDERS)
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", "--stages", "ingest") as ingest:
        wait_until("orders are counted", lambda: counted(ingest) == 2 * ORDERS, workers=[ingest])
        assert ingest.stop() == 0
    publish_and_die(kafka, topics, truth.lists, 2)

    with worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0

    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert differences(published_lists(kafka.bootstrap, topics, committed=True), truth) == []
