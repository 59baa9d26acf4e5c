"""Orders that are not where their customer belongs: rejected with the reason, whichever partitioner the shop has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from producers.partitioning import PARTITIONERS
from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from streams.workers.kafka.placement import Placement, PlacementReader, read_partitioner, winner
from streams.workers.kafka.purchases import read_orders, read_rejected
from streams.workers.kafka.reading import TopicReader
from tests.kafka_truth import Truth, differences
from tests.live_shop import TOKEN
from tests.live_workers import AUTHORIZED, ask, of_customer, post, ready
from tests.workers import WorkerProcess, made_topics, published_lists, read_topic, wait_until, wait_until_current

if TYPE_CHECKING:
    from pathlib import Path

    from producers.synthetic import SyntheticOrder
    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

PARTITIONS = 3


class Record(NamedTuple):
    """A Kafka record as far as it is decoded."""

    offset: int
    value: bytes
    timestamp: int = 1_700_000_000_000
    partition: int = 0


def shop(first: int, last: int) -> list[SyntheticOrder]:
    return list(SyntheticShop(seed=6, customers=60).orders(last))[first:]


def send(kafka: Broker, topics: Topics, orders: list[SyntheticOrder], partitioner: str, *, off: int = 0) -> None:
    """Send orders as a shop with a partitioner does, or `off` partitions beside that."""
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for order in orders:
            key = order.customer_id.encode()
            right = PARTITIONERS[partitioner](key, PARTITIONS)
            publisher.send(key, order.encode(), partition=(right + off) % PARTITIONS)


def decided(partitioner: str) -> Placement:
    placement = Placement(PARTITIONS)
    placement.decide(partitioner, "here")
    return placement


def of_everyone(customers: set[str], partitioner: str, partition: int) -> list[str]:
    return sorted(each for each in customers if PARTITIONERS[partitioner](each.encode(), PARTITIONS) == partition)


def test_a_misplaced_record_is_rejected_whole() -> None:
    """Also one that has invalid lines or comes too early: it is rejected once."""
    placement = decided("murmur2")
    names = [f"customer {number}" for number in range(40)]
    here = {name for name in names if placement.partition_of(name) == 0}
    values = [encode_order(name, 1_600_000_000_000, [("tea", 1)]) for name in names]
    values += [
        b'{"customer_id": "%s", "timestamp": 1600000000, "lines": [{"item_id": "x"}, {}]}' % name.encode()
        for name in names
    ]
    records = [Record(offset, value) for offset, value in enumerate(values)]

    orders, rejections, _ = read_orders(records, lambda ids: placement.misplaced(ids, 0))

    assert {orders.customers[code] for code in orders.customer.tolist()} == here
    whole = [rejection for rejection in rejections if not rejection.partial]
    assert sorted(rejection.position for rejection in whole) == [
        number for number, name in enumerate(2 * names) if name not in here
    ]
    assert all("key orders by customer_id" in rejection.reason for rejection in whole)
    assert len(rejections) - len(whole) == len(here)  # the lines without an item
    assert len(orders.customer) == 2 * len(here)


def test_undecided_accepts_what_any_partitioner_places_there() -> None:
    undecided = Placement(PARTITIONS)
    names = [f"customer {number}" for number in range(200)]

    wrong = undecided.misplaced(names, 1)

    for name in names:
        fits = [place(name.encode(), PARTITIONS) == 1 for place in PARTITIONERS.values()]
        assert (name in wrong) == (not any(fits))
    assert winner({"murmur2": 0, "crc32": 0}) is None


@pytest.mark.parametrize("partitioner", ["murmur2", "crc32"])
def test_a_customer_is_counted_in_one_partition_only(kafka: Broker, tmp_path: Path, partitioner: str) -> None:
    """Two halves of a history have fewer pairs than the whole; and nobody looks for one of them."""
    topics = made_topics(kafka.bootstrap, f"placed-{partitioner}", PARTITIONS, 2)
    send(kafka, topics, shop(0, 200), partitioner)
    send(kafka, topics, shop(200, 260), partitioner, off=1)
    options = ("--admin-token", TOKEN)
    first = WorkerProcess(kafka.bootstrap, topics, tmp_path / "first", *options)
    second = WorkerProcess(kafka.bootstrap, topics, tmp_path / "second", *options, "--stages", "tally")
    with first, second:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth", placement=decided(partitioner))
        wait_until_current([first, second], truth.lines, 2)
        wait_until("both are ready", lambda: ready(first) and ready(second))
        rejected = list(read_rejected(kafka.bootstrap, topics))
        customers = sorted(truth.histories)
        for worker in (first, second):
            assert {ask(worker, of_customer(customer)).status for customer in customers} == {200}
        erased, buyer = customers[:2]
        assert ask(second, of_customer(erased), "DELETE", headers=AUTHORIZED).status == 202
        order = {"customer_id": buyer, "timestamp": 1_700_000_000, "item_id": "tea"}
        assert post(second, "/orders", order, TOKEN).status == 202
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth now", placement=decided(partitioner))
        wait_until_current([first, second], truth.lines, 2)
        wait_until("it is erased", lambda: ask(second, of_customer(erased)).status == 404)
        assert first.stop() == second.stop() == 0

    assert {(each.partition, each.offset) for each in rejected} == truth.refused
    assert len(rejected) == 60
    assert all(f"by {partitioner} of purchases, not" in each.reason for each in rejected)
    truth.check([first.state, second.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    assert erased not in truth.histories
    assert "tea" in truth.histories[buyer]

    again = WorkerProcess(kafka.bootstrap, topics, tmp_path / "again")
    with again:
        wait_until_current([again], truth.lines, 2)
        wait_until("histories are rebuilt", lambda: sum((again.status() or {})["ingest"]["offsets"].values()) == 262)
        assert again.stop() == 0
    truth.check([again.state], topics, 2)


def test_a_generation_decides_with_the_first_order_that_tells(kafka: Broker, tmp_path: Path) -> None:
    """Before it, orders that all partitioners place alike are counted; whoever comes later goes by what was decided."""
    topics = made_topics(kafka.bootstrap, "decides", PARTITIONS, 2)
    alike: list[SyntheticOrder] = []
    telling: list[SyntheticOrder] = []
    for order in shop(0, 300):
        key = order.customer_id.encode()
        same = len({place(key, PARTITIONS) for place in PARTITIONERS.values()}) == 1
        (alike if same else telling).append(order)
    placement = decided("crc32")
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        send(kafka, topics, alike[:40], "murmur2")
        wait_until_current([worker], Truth(kafka.bootstrap, topics, tmp_path / "alike").lines, 2)
        [deltas, _] = read_topic(kafka.bootstrap, topics.co_purchases)
        assert {dict(record.headers)["partitioner"] for record in deltas} == {b"undecided"}
        send(kafka, topics, telling[:1], "crc32")
        wait_until("it is counted", lambda: ingested(worker) == 41, workers=[worker])
        send(kafka, topics, telling[1:30], "crc32")
        send(kafka, topics, telling[30:60], "murmur2")
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth", placement=placement)
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0
    assert {(each.partition, each.offset) for each in read_rejected(kafka.bootstrap, topics)} == truth.refused
    assert len(truth.refused) == 30
    truth.check([worker.state], topics, 2)

    other = WorkerProcess(kafka.bootstrap, topics, tmp_path / "other", "--partitioner", "murmur2")
    with other:
        assert other.wait() == 1
    assert "checks where customers are by partitioner 'crc32', this worker has --partitioner murmur2" in (
        other.log.read_text()
    )


def ingested(worker: WorkerProcess) -> int:
    return sum((worker.status() or {"ingest": {"offsets": {}}})["ingest"]["offsets"].values())


def test_an_order_over_http_waits_until_it_is_decided_where_it_belongs(kafka: Broker, tmp_path: Path) -> None:
    """Placed by a guess, it would be rejected; and an erasure would find no customer."""
    topics = made_topics(kafka.bootstrap, "waits", PARTITIONS, 1)
    send(kafka, topics, shop(0, 60), "crc32")
    truth = Truth(kafka.bootstrap, topics, tmp_path / "before", placement=decided("crc32"))
    erased, buyer = sorted(each for each in truth.histories if decided("murmur2").misplaced([each], of_crc32(each)))[:2]
    order = {"customer_id": buyer, "timestamp": 1_700_000_000, "item_id": "tea"}
    token = ("--admin-token", TOKEN)
    asked = WorkerProcess(kafka.bootstrap, topics, tmp_path / "asked", *token, "--stages", "tally")
    counting = WorkerProcess(kafka.bootstrap, topics, tmp_path / "counting", *token, "--stages", "ingest")
    with asked:
        wait_until("it serves", lambda: asked.status() is not None, workers=[asked])
        for answer in (
            post(asked, "/orders", order, TOKEN),
            ask(asked, of_customer(erased), "DELETE", headers=AUTHORIZED),
        ):
            assert answer.status == 503
            assert "is not decided yet" in answer.body.decode()
            assert answer.headers["Retry-After"] == "1"
        with counting:
            wait_until("all are counted", lambda: ingested(counting) == 60, workers=[asked, counting])
            assert ask(asked, of_customer(buyer)).status == 200
            assert post(asked, "/orders", order, TOKEN).status == 202
            assert ask(asked, of_customer(erased), "DELETE", headers=AUTHORIZED).status == 202
            wait_until("both are counted", lambda: ingested(counting) == 62, workers=[asked, counting])
            assert counting.stop() == asked.stop() == 0
    assert list(read_rejected(kafka.bootstrap, topics)) == []
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth", placement=decided("crc32"))
    assert erased not in truth.histories
    assert "tea" in truth.histories[buyer]


def of_crc32(customer_id: str) -> int:
    return PARTITIONERS["crc32"](customer_id.encode(), PARTITIONS)


def test_the_first_order_over_http_decides(kafka: Broker, tmp_path: Path) -> None:
    """Nothing can tell before it, so it must not wait."""
    topics = made_topics(kafka.bootstrap, "first-order", PARTITIONS, 1)
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", "--admin-token", TOKEN) as worker:
        wait_until("it is ready", lambda: ready(worker), workers=[worker])
        for number in range(20):
            order = {"customer_id": f"customer {number}", "timestamp": 1_700_000_000, "item_id": "tea"}
            assert post(worker, "/orders", order, TOKEN).status == 202
        wait_until("all are counted", lambda: ingested(worker) == 20, workers=[worker])
        assert worker.stop() == 0
    assert list(read_rejected(kafka.bootstrap, topics)) == []


def test_the_first_announcement_is_valid(kafka: Broker) -> None:
    """Workers that open partitions at the same time may find different answers."""
    topics = made_topics(kafka.bootstrap, "announced", PARTITIONS, 1)
    with Publisher(kafka.bootstrap, topics.co_purchases) as publisher:
        for partitioner in ("undecided", "crc32", "murmur2"):
            headers = {"source": b"0", "begin": b"0", "end": b"0", "partitioner": partitioner.encode()}
            publisher.send(None, b"", partition=0, headers=list(headers.items()))

    async def read() -> tuple[str | None, str | None]:
        placement = Placement(PARTITIONS)
        service = PlacementReader(kafka.bootstrap, topics, placement)
        await service.start()
        await service.stop()
        async with TopicReader(kafka.bootstrap) as reader:
            return await read_partitioner(reader, topics.co_purchases), placement.partitioner

    assert asyncio.run(read()) == ("crc32", "crc32")


def test_a_generation_of_an_earlier_version_stays_unchecked_and_is_erased_everywhere(
    kafka: Broker, tmp_path: Path
) -> None:
    """Its counts have misplaced orders in them, which a recount must not reject."""
    topics = made_topics(kafka.bootstrap, "unchecked", PARTITIONS, 1)
    send(kafka, topics, shop(0, 60), "murmur2")
    send(kafka, topics, shop(60, 80), "murmur2", off=1)
    worker = WorkerProcess(
        kafka.bootstrap, topics, tmp_path / "worker", "--admin-token", TOKEN, faults="an_earlier_version"
    )
    with worker:
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0
        worker.faults = "none"
        send(kafka, topics, shop(80, 100), "murmur2", off=2)
        worker.start()
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth now")
        wait_until_current([worker], truth.lines, 1)
        wait_until("it is ready", lambda: ready(worker))
        misplaced = shop(60, 80)[0].customer_id
        assert ask(worker, of_customer(misplaced), "DELETE", headers=AUTHORIZED).status == 202
        wait_until("erasures are counted", lambda: ingested(worker) == 100 + PARTITIONS, workers=[worker])
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0
    assert list(read_rejected(kafka.bootstrap, topics)) == []
    erasures: list[Any] = [part[-1].value for part in read_topic(kafka.bootstrap, topics.purchases)]
    assert len(set(erasures)) == 1
    assert b'"erase"' in erasures[0]
    after = Truth(kafka.bootstrap, topics, tmp_path / "truth erased")
    assert misplaced not in after.histories
