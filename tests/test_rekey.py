"""Orders that are keyed otherwise are copied by customer, each exactly once, and counted from the copy."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.structs import OffsetAndMetadata

from producers.orders import ERASE, RETURN
from producers.partitioning import customer_partition
from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from producers.wire import encode_order
from state.directory import StateDirectory
from state.errors import OtherLog
from state.settings import CountingSettings
from streams.workers.copier import Copier, rekeying
from streams.workers.ingest import Ingest
from streams.workers.kafka.copies import PARTITIONER, Copies, committed_offset
from streams.workers.kafka.errors import LogLost, ProducingFailed, TopicsUnfit
from streams.workers.kafka.inflation import CUT, cut_of
from streams.workers.kafka.producers import OutgoingRecord
from streams.workers.kafka.purchases import KEPT_BYTES, LARGEST_KEPT_BYTES, read_orders, read_rejected, rejection_record
from streams.workers.kafka.sources import original, source_of
from streams.workers.kafka.topics import Partitions, Topics, check_topics, create_topics, read_identities
from streams.workers.settings import WorkerSettings
from tests.commands import called, output_of
from tests.kafka_truth import Truth, differences
from tests.live_shop import TOKEN
from tests.live_workers import ask, of_customer, post, ready
from tests.test_placement import decided
from tests.test_rejects import GOOD, HEAD, repair
from tests.workers import (
    WorkerProcess,
    leave_transaction_open,
    made_topics,
    published_lists,
    read_topic,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from tests.brokers import Broker

PARTITIONS = 3
NOW_MS = 1_700_000_000_000
BAD = [b"not JSON", b"", b'{"timestamp": 1700000000, "item_id": "tea"}', b'{"customer_id": "ann", "item_id": "tea"}']
BAD.append(b"x" * 700_000)  # larger than an order, and than the batches in which we send


class Record(NamedTuple):
    """A Kafka record."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int = 0
    offset: int = 0
    timestamp: int = NOW_MS


def copy(record: Record) -> Any:  # noqa: ANN401
    [made], _ = Copies("purchases", "the topic's id", "copy", PARTITIONS).of([record])
    return made


def order(customer: str, *items: str, **how: Any) -> bytes:  # noqa: ANN401
    return encode_order(customer, NOW_MS, [(item, 1) for item in items], **how)


# A copy


@pytest.mark.parametrize(
    ("value", "customer"),
    [
        (order("ann", "tea"), b"ann"),
        (order("ann", kind=ERASE), b"ann"),
        (b'{"customer_id": 7.0, "timestamp": "never", "lines": "none"}', b"7"),
        (b'{"lines": [{"item_id": NaN}], "customer_id": "ann"}', b"ann"),
        *[(bad, None) for bad in BAD[:3]],
        (None, None),
        (order("ann", *["tea"] * 40_000), None),  # too large for an order
    ],
)
def test_a_record_is_copied_as_it_is_to_its_customer(value: bytes | None, customer: bytes | None) -> None:
    made = copy(Record(value, b"order 1", (("trace", b"7"), ("none", None)), 5, 17))  # type: ignore[arg-type]

    assert made.value == value
    assert made.headers[:-1] == (("trace", b"7"), ("none", None))
    assert source_of(made) == ("the topic's id", 5, 17, NOW_MS)
    if customer is None:
        assert (made.key, made.partition) == (b"order 1", 5 % PARTITIONS)
    else:
        assert (made.key, made.partition) == (customer, customer_partition(customer, PARTITIONS))


def test_what_a_producer_says_of_the_source_is_not_believed() -> None:
    forged = copy(Record(order("ann", "tea"), partition=9)).headers

    assert source_of(copy(Record(order("ann", "tea"), headers=forged, partition=2))) == ("the topic's id", 2, 0, NOW_MS)


def test_a_record_that_the_copy_could_not_take_is_cut() -> None:
    """Compressed, it was less than a megabyte; whole, no transaction would ever end."""
    large = Record(b"x" * (LARGEST_KEPT_BYTES + 1), b"k" * LARGEST_KEPT_BYTES)
    [rejection] = read_orders([large])[1]
    many_headers = copy(Record(order("ann", "tea"), headers=(("h", b"x" * (1 << 20)),)))

    made = copy(large)
    [again] = read_orders([original(Record(made.value, made.key, made.headers))])[1]

    assert (len(made.key), len(made.value)) == (KEPT_BYTES, KEPT_BYTES)
    assert again.reason == rejection.reason
    assert (cut := cut_of(made)) is not None
    assert cut.length == LARGEST_KEPT_BYTES + 1
    assert [name for name, _ in many_headers.headers] == ["alsobought-source"]


def test_what_was_cut_before_stays_so() -> None:
    cut = b'["too large", 2000000, null, 4]'

    assert cut_of(copy(Record(b"first bytes", headers=((CUT, cut),)))) == ("too large", 2_000_000, None, 4)


# Topics


def test_what_is_copied_may_expire_and_its_copy_may_not(kafka: Broker) -> None:
    topics = made_topics(kafka.bootstrap, "expire", PARTITIONS, 1)
    copied = replace(topics, rekey=True)
    with pytest.raises(TopicsUnfit, match=f"no topic {copied.log}; .* alsobought topics --partitions N --rekey"):
        check_topics(kafka.bootstrap, copied)
    assert create_topics(kafka.bootstrap, copied, Partitions(PARTITIONS, 1)) == [copied.log]

    alter(kafka, topics.purchases, **{"retention.ms": "60000"})
    assert check_topics(kafka.bootstrap, copied) == Partitions(PARTITIONS, 1)
    with pytest.raises(TopicsUnfit, match=f"topic {topics.purchases} has retention.ms=60000, it must be -1"):
        check_topics(kafka.bootstrap, topics)
    for name, value, fit in (("retention.ms", "60000", "-1"), ("max.message.bytes", "600000", "1048576")):
        alter(kafka, copied.log, **{name: value})
        with pytest.raises(TopicsUnfit, match=f"topic {copied.log} has {name}={value}"):
            check_topics(kafka.bootstrap, copied)
        alter(kafka, copied.log, **{name: fit})

    fewer = Topics(prefix="fewer-", rekey=True)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_topics([NewTopic(fewer.purchases, PARTITIONS - 1, 1, topic_configs=topics.configs()[topics.log])])
    with pytest.raises(TopicsUnfit, match=f"Add partitions to {fewer.purchases}"):
        create_topics(kafka.bootstrap, fewer, Partitions(PARTITIONS, 1))


def alter(kafka: Broker, topic: str, **configs: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)], incremental=True)
    admin.close()


# Copying, beside those who died


def spread(publisher: Publisher, values: Iterable[bytes]) -> None:
    """Send records to all partitions in turn, one half with the order's id as their key, the other without."""
    for number, value in enumerate(values):
        key = b"order %d" % number if number % 2 else None
        publisher.send(key, value, partition=number % PARTITIONS)
    publisher.flush()


def send(kafka: Broker, topics: Topics, values: Iterable[bytes]) -> None:
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        spread(publisher, values)


def shop(first: int, last: int) -> list[bytes]:
    orders = itertools.islice(SyntheticShop(seed=6, customers=60).orders(last), first, None)
    # without order ids, so that orders counted twice are not dropped as duplicates
    return [encode_order(each.customer_id, each.time_ms, [(item, 1) for item in each.items]) for each in orders]


def stage(kafka: Broker, topics: Topics, directory: Path) -> Copier:
    return rekeying(WorkerSettings(kafka.bootstrap, directory, topics), read_identities(kafka.bootstrap, topics))


async def fetched(kafka: Broker, topics: Topics, number: int, begin: int) -> list[Any]:
    """What a partition has from an offset on."""
    place = TopicPartition(topics.purchases, number)
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False) as consumer:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        consumer.seek(place, begin)
        records: list[Any] = []
        while begin + len(records) < end:
            records += (await consumer.getmany(place, timeout_ms=200)).get(place, [])
        return records


async def copy_rest(kafka: Broker, topics: Topics, rekey: Copier, *numbers: int) -> list[int]:
    """Open partitions and copy all that they have; return the offsets from which they were copied."""
    begins = []
    for number in numbers:
        begin = await rekey.open(number)
        assert begin is not None
        await rekey.work({number: await fetched(kafka, topics, number, begin)}, {number: 0})
        begins.append(begin)
    return begins


@asynccontextmanager
async def released(*stages: Copier) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for each in stages:
            await each.flush()


def check_copy(kafka: Broker, topics: Topics) -> None:
    """Each record of `purchases` is in the copy once, with its customer, in the order of its partition."""
    sent = {
        (number, record.offset): record
        for number, records in enumerate(read_topic(kafka.bootstrap, topics.purchases))
        for record in records
    }
    order_of: dict[tuple[int, int], list[int]] = defaultdict(list)
    places: Counter[tuple[int, int]] = Counter()
    for number, records in enumerate(read_topic(kafka.bootstrap, topics.log, committed=True)):
        for record in records:
            source = source_of(record)
            assert source is not None
            known = sent[source.partition, source.offset]
            assert (record.value, tuple(record.headers[:-1])) == (known.value, tuple(known.headers))
            assert source.timestamp == known.timestamp
            places[source.partition, source.offset] += 1
            order_of[source.partition, number].append(source.offset)
    assert places == Counter(sent.keys())
    assert all(offsets == sorted(offsets) for offsets in order_of.values())


def die_in_a_transaction(kafka: Broker, topics: Topics, number: int, value: bytes) -> None:
    """Leave what a worker leaves that is killed while it copies."""
    records = [OutgoingRecord(topics.log, partition, None, value) for partition in range(PARTITIONS)]
    leave_transaction_open(kafka, f"{topics.rekey_group}-{number}", records)


def set_offsets(kafka: Broker, topics: Topics, offsets: dict[int, int]) -> None:
    """As Kafka's tool does."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.alter_group_offsets(
        topics.rekey_group,
        {TopicPartition(topics.purchases, number): OffsetAndMetadata(to, "", -1) for number, to in offsets.items()},
    )
    admin.close()


def delete_offsets(kafka: Broker, topics: Topics) -> None:
    """As Kafka does a week after the last worker has left."""
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_groups([topics.rekey_group])
    admin.close()


def delete(kafka: Broker, topic: str, before: int, *numbers: int) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_records({TopicPartition(topic, number): before for number in numbers})
    admin.close()


def test_each_record_is_copied_once_beside_the_dead_and_the_undead(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "undead", PARTITIONS, 1, rekey=True)
    send(kafka, topics, [*shop(0, 60), *BAD])

    async def run() -> None:
        first, second = stage(kafka, topics, tmp_path), stage(kafka, topics, tmp_path)
        async with released(first, second):
            assert await copy_rest(kafka, topics, first, 0, 1, 2) == [0, 0, 0]
            committed = committed_offset(kafka.bootstrap, topics.rekey_group, topics.purchases, 0)
            assert committed is not None
            assert committed.offset == first.copied[0]
            send(kafka, topics, shop(60, 120))
            await asyncio.to_thread(die_in_a_transaction, kafka, topics, 1, b"never to be read")
            late = await fetched(kafka, topics, 0, first.copied[0])
            assert await copy_rest(kafka, topics, second, 0) == [first.copied[0]]
            with pytest.raises(ProducingFailed):  # it was paused, and does not know yet
                await first.work({0: late}, {})
            assert await copy_rest(kafka, topics, second, 1, 2) == [first.copied[1], first.copied[2]]
            assert second.copied == {number: len(read) for number, read in enumerate(read_topic(*log))}
            assert first.records + second.records == 60 + len(BAD) + 60

    log = (kafka.bootstrap, topics.purchases)
    asyncio.run(run())
    check_copy(kafka, topics)


@pytest.mark.parametrize("to", [None, 0, 25])
def test_copies_tell_up_to_where_they_go_when_the_offsets_do_not(kafka: Broker, tmp_path: Path, to: int | None) -> None:
    """They expire after a week without workers, and anybody can set them; the last copies may be hidden for a while."""
    topics = made_topics(kafka.bootstrap, f"lost-offsets-{to}", PARTITIONS, 1, rekey=True)
    send(kafka, topics, shop(0, 60))

    async def run() -> None:
        first, second = stage(kafka, topics, tmp_path), stage(kafka, topics, tmp_path)
        async with released(first, second):
            await copy_rest(kafka, topics, first, 0, 1)
            await asyncio.to_thread(die_in_a_transaction, kafka, topics, 2, b"never to be read")
            send(kafka, topics, shop(60, 90))
            await copy_rest(kafka, topics, first, 0, 1)  # behind the open transaction
            copied = dict(first.copied)
            await first.flush()
            if to is None:
                await asyncio.to_thread(delete_offsets, kafka, topics)
            else:
                await asyncio.to_thread(set_offsets, kafka, topics, dict.fromkeys(range(PARTITIONS), to))
            assert await second.open(0) is None
            assert await copy_rest(kafka, topics, second, 2, 0, 1) == [0, copied[0], copied[1]]
            committed = committed_offset(kafka.bootstrap, topics.rekey_group, topics.purchases, 0)
            assert committed is not None
            assert committed.offset == copied[0]

    asyncio.run(run())
    check_copy(kafka, topics)


def test_records_that_were_lost_before_they_were_copied_are_given_up_by_hand_only(
    kafka: Broker, tmp_path: Path
) -> None:
    topics = made_topics(kafka.bootstrap, "lost", PARTITIONS, 1, rekey=True)
    send(kafka, topics, shop(0, 30))

    async def run() -> None:
        first, second = stage(kafka, topics, tmp_path), stage(kafka, topics, tmp_path)
        async with released(first, second):
            await copy_rest(kafka, topics, first, 0)
            await first.flush()
            send(kafka, topics, shop(30, 90))
            await asyncio.to_thread(delete, kafka, topics.purchases, 20, *range(PARTITIONS))
            with pytest.raises(LogLost, match=r"begins at offset 20, and was copied up to 10: .* --to-earliest"):
                await second.open(0)
            await asyncio.to_thread(set_offsets, kafka, topics, {0: 20})
            assert await copy_rest(kafka, topics, second, 0) == [20]
            await asyncio.to_thread(delete, kafka, topics.log, 1, *range(PARTITIONS))
            await second.flush()
            assert await copy_rest(kafka, topics, second, 0) == [30]
            await asyncio.to_thread(delete_offsets, kafka, topics)
            await second.flush()
            with pytest.raises(LogLost, match="it is unknown which were copied"):
                await second.open(0)

    asyncio.run(run())


def test_another_topic_of_orders_is_not_copied_to_the_same_place(kafka: Broker, tmp_path: Path) -> None:
    """Nobody could tell any more which of its records were copied."""
    topics = made_topics(kafka.bootstrap, "another", PARTITIONS, 1, rekey=True)
    send(kafka, topics, shop(0, 30))

    async def run() -> None:
        first, second = stage(kafka, topics, tmp_path), stage(kafka, topics, tmp_path)
        async with released(first, second):
            await copy_rest(kafka, topics, first, 0)
            await first.flush()
            second._copies, second._metadata = second._copies._replace(log_id="another"), "another topic's"
            with pytest.raises(TopicsUnfit, match="which was made again: its copy has orders of both"):
                await second.open(0)

    asyncio.run(run())


def test_what_was_sent_is_known_when_it_has_expired(kafka: Broker, tmp_path: Path) -> None:
    """The same log, or the same repaired line, would be counted twice; the copy has the headers that tell."""
    topics = made_topics(kafka.bootstrap, "sent", PARTITIONS, 1, rekey=True)
    log, rejects = tmp_path / "orders.csv", tmp_path / "rejected.jsonl"
    log.write_text(HEAD + GOOD + "cy,tea,2024-13-03,1,4,\n")
    where = ("--broker", kafka.bootstrap, "--topic-prefix", topics.prefix)
    output_of("replay", log, *where, "--rejects", rejects)
    with Publisher(kafka.bootstrap, topics.rejected) as publisher:
        made = rejection_record(Record(order("bob", "tea"), partition=1, offset=0), "for a test", topics)
        publisher.send(None, made.value, partition=1, headers=list(made.headers))
    repair(rejects, 3, timestamp="2024-03-13")
    again: list[tuple[str | Path, ...]] = [("replay", "--retry-rejects", rejects, *where)]
    again += [("rejected", "--replay", *where), ("replay", log, *where, "--rejects", rejects)]
    for arguments in again[:2]:
        output_of(*arguments)
    sent = read_topic(kafka.bootstrap, topics.purchases)

    async def run() -> None:
        rekey = stage(kafka, topics, tmp_path)
        async with released(rekey):
            await copy_rest(kafka, topics, rekey, *range(PARTITIONS))

    asyncio.run(run())
    for number, records in enumerate(sent):
        delete(kafka, topics.purchases, len(records), number)
    for arguments in again:
        called(*arguments)

    assert sum(map(len, sent)) == 5
    assert read_topic(kafka.bootstrap, topics.purchases) == [[]] * PARTITIONS


# Workers

NOT_HELD = order("ann", "x", kind=RETURN)
IN_PART = b'{"customer_id": "ann", "timestamp": 1700000000, "lines": [{"item_id": "x"}, {}]}'
REFUNDED = [order("ann", "tea", "milk"), order("ann", "tea", kind=RETURN)]
IN_ORDER = [NOT_HELD, *REFUNDED, IN_PART, order("eve", "tea"), order("eve", kind=ERASE)]
"""Which is kept within a partition only."""
POSTED = {"customer_id": "bob", "timestamp": 1_700_000_000, "item_id": "tea"}


def test_workers_count_each_order_once_whoever_keyed_it(kafka: Broker, tmp_path: Path) -> None:
    """Keyed by order id or not at all, while workers die in and after their transactions."""
    topics = made_topics(kafka.bootstrap, "rekeyed", PARTITIONS, 2, rekey=True)
    orders = iter(shop(0, 5_000))
    options = ("--admin-token", TOKEN, "--standby")
    workers = [WorkerProcess(kafka.bootstrap, topics, tmp_path / name, *options) for name in ("a", "b")]

    workers[0].faults, workers[1].faults = "die_while_copying:before-offset", "die_while_copying:after-offset"
    with workers[0], workers[1], Publisher(kafka.bootstrap, topics.purchases) as publisher:

        def died(worker: WorkerProcess) -> bool:
            spread(publisher, itertools.islice(orders, 2 * PARTITIONS))
            return not worker.running

        for worker, then in (
            (workers[0], "die_while_copying:after-commit"),
            (workers[1], "none"),
            (workers[0], "none"),
        ):
            wait_until(f"it dies: {worker.faults}", partial(died, worker), pause_s=0.3)
            worker.faults = then
            worker.start()
        for value in (*IN_ORDER, *BAD):
            publisher.send(None, value, partition=1)
        publisher.flush()
        wait_until("both are ready", lambda: all(map(ready, workers)), workers=workers)
        assert post(workers[1], "/orders", POSTED, TOKEN).status == 202
        sizes = list(map(len, read_topic(kafka.bootstrap, topics.purchases)))
        wait_until("all are copied", lambda: copied(workers) == sizes, workers=workers)
        truth = Truth(kafka.bootstrap, topics, tmp_path / "truth", placement=decided(PARTITIONER))
        wait_until_current(workers, truth.lines, 2)
        assert {ask(worker, of_customer("bob")).status for worker in workers} == {200}
        assert {ask(worker, of_customer("eve")).status for worker in workers} == {404}
        assert b"alsobought_rekeyed_records_total" in ask(workers[0], "/metrics").body
        assert [worker.stop() for worker in workers] == [0, 0]

    check_copy(kafka, topics)
    truth.check([worker.state for worker in workers], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []
    rejected = list(read_rejected(kafka.bootstrap, topics))
    purchases = read_topic(kafka.bootstrap, topics.purchases)
    named = [purchases[each.partition][each.offset].value for each in rejected]
    assert sorted(named) == sorted([*BAD, NOT_HELD, IN_PART])
    assert len(truth.rejections) == len(rejected)
    assert {each.topic for each in rejected} == {topics.purchases}
    for state_dir in (*[worker.state for worker in workers], tmp_path / "empty"):
        with pytest.raises(
            (OtherLog, LogLost), match=r"only one of them was read with --rekey .* start a new --generation"
        ):
            asyncio.run(count_from_purchases(kafka, replace(topics, rekey=False), state_dir))


def copied(workers: Sequence[WorkerProcess]) -> list[int]:
    found: dict[str, int] = {}
    for worker in workers:
        found |= (worker.status() or {"rekey": {"offsets": {}}})["rekey"]["offsets"]
    return [found.get(str(number), 0) for number in range(PARTITIONS)]


async def count_from_purchases(kafka: Broker, topics: Topics, state_dir: Path) -> None:
    """What was counted from the copy must not be counted on from `purchases`, with the state or without."""
    logs = read_identities(kafka.bootstrap, topics)
    with StateDirectory(state_dir, topics.generation) as state:
        ingest = Ingest(WorkerSettings(kafka.bootstrap, state_dir, topics), state, CountingSettings(100, 2), logs)
        try:
            await ingest.open(0)
        finally:
            await ingest.close(0)
