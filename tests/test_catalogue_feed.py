"""The catalogue on Kafka: commands fill it and workers follow it, whatever else is on the topic."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from producers.publish import Publisher
from producers.wire import encode_order
from streams.catalogue.catalogue import CatalogueItem, encode_item
from streams.workers.kafka.catalogue_topic import CatalogueFeed, send_items
from tests.brokers import ApacheKafka, Broker
from tests.commands import called, output_of, refused
from tests.workers import ROOT, WorkerProcess, made_topics, read_topic, wait_until, wait_until_current

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from streams.workers.kafka.topics import Topics

SOON_S = 0.5
PATIENCE_S = 20.0


@pytest.fixture
def kafka(broker: Broker) -> Broker:
    """The session's broker, if it reports the configuration of topics."""
    if not isinstance(broker, ApacheKafka):
        pytest.skip("the embedded broker reports no configurations")
    return broker


@asynccontextmanager
async def feed(kafka: Broker, topics: Topics) -> AsyncIterator[CatalogueFeed]:
    """A feed that has read everything on the topic."""
    following = CatalogueFeed(kafka.bootstrap, topics.items)
    await following.start()
    try:
        await asyncio.wait_for(following.complete.wait(), PATIENCE_S)
        yield following
    finally:
        await following.stop()


async def seen(what: Callable[[], bool]) -> float:
    """Seconds until a condition holds."""
    begun = time.monotonic()
    while not what():
        assert time.monotonic() < begun + PATIENCE_S
        await asyncio.sleep(0.005)
    return time.monotonic() - begun


def filled(kafka: Broker, topics: Topics, *arguments: str | Path) -> str:
    """The output of the command that fills the topic."""
    return output_of("catalogue", "--broker", kafka.bootstrap, "--topic-prefix", topics.prefix, *arguments)


def test_workers_follow_what_the_command_fills_hides_and_removes(kafka: Broker, tmp_path: Path) -> None:
    """An item that is sold out disappears within a second, and comes back as quickly, with its title."""
    topics = made_topics(kafka.bootstrap, "catalogue")
    file = tmp_path / "products.csv"
    file.write_text("sku,name,category,available\n7,Tea,drinks,yes\n8,Milk,drinks,no\n9,Söap,,\n")

    async def follow() -> None:
        async with feed(kafka, topics) as one, feed(kafka, topics) as other:
            for following in (one, other):
                assert following.catalogue.items == {}
            await asyncio.to_thread(filled, kafka, topics, file, "--columns", "item_id=sku,title=name")
            for following in (one, other):
                assert await seen(lambda: len(following.catalogue.items) == 3) < SOON_S  # noqa: B023
                assert following.catalogue.get("9") == CatalogueItem("Söap")
                assert following.catalogue.unavailable == {"8"}
            await asyncio.to_thread(
                filled, kafka, topics, "--unavailable", "7", "--unavailable", "new", "--available", "8"
            )
            for following in (one, other):
                assert await seen(lambda: following.catalogue.unavailable == {"7", "new"}) < SOON_S  # noqa: B023
                assert following.catalogue.get("7") == CatalogueItem("Tea", "drinks", available=False)
            await asyncio.to_thread(filled, kafka, topics, "--available", "7", "--remove", "9", "--remove", "new")
            for following in (one, other):
                assert await seen(lambda: following.catalogue.items.keys() == {"7", "8"}) < SOON_S  # noqa: B023
                assert following.catalogue.unavailable == set()
                assert following.skipped.by_topic == {}

    asyncio.run(follow())

    schema = json.loads((ROOT / "docs" / "schemas" / "item.json").read_text())
    for record in read_topic(kafka.bootstrap, topics.items)[0]:
        if record.value is not None:
            jsonschema.validate(json.loads(record.value), schema)


def test_a_change_is_seen_within_a_fraction_of_a_second(kafka: Broker) -> None:
    """A sold-out item should not be recommended to the next visitor."""
    topics = made_topics(kafka.bootstrap, "prompt")

    async def follow() -> list[float]:
        delays = []
        async with feed(kafka, topics) as following:
            with Publisher(kafka.bootstrap, topics.items) as publisher:
                for number in range(20):
                    gone = number % 2 == 0
                    send_items(publisher, [("tea", encode_item(CatalogueItem(available=not gone)))])
                    delays.append(await seen(lambda: ("tea" in following.catalogue.unavailable) == gone))  # noqa: B023
                    await asyncio.sleep(0.01 * number)
        return delays

    assert max(asyncio.run(follow())) < SOON_S


def test_a_restarted_worker_has_the_whole_catalogue(kafka: Broker, tmp_path: Path) -> None:
    """The catalogue is not on the worker's disk; compaction leaves the latest record of each item."""
    topics = made_topics(kafka.bootstrap, "restart")
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    eager = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.00001",
        "delete.retention.ms": "0",
    }
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topics.items, configs=eager)])
    admin.close()
    file = tmp_path / "products.parquet"
    ids = list(range(12_000))
    pq.write_table(pa.table({"item_id": ids, "title": [f"Product {number}" for number in ids]}), file)

    assert "12,000 items in the catalogue" in filled(kafka, topics, file)
    filled(kafka, topics, file)
    filled(kafka, topics, "--remove", "11", "--unavailable", "12")
    deadline = time.monotonic() + PATIENCE_S
    while len(read_topic(kafka.bootstrap, topics.items)[0]) > 12_500 and time.monotonic() < deadline:
        with Publisher(kafka.bootstrap, topics.items) as publisher:  # a write rolls the segment
            send_items(publisher, [("roller", None)])
        time.sleep(0.3)

    async def start() -> None:
        async with feed(kafka, topics) as following:
            assert following.catalogue.items.keys() == {str(number) for number in ids} - {"11"}
            assert following.catalogue.unavailable == {"12"}
            assert following.catalogue.get("12").title == "Product 12"

    asyncio.run(start())


BAD = {
    b"not JSON": (b"tea", b"{"),
    b"a list": (b"tea", b"[]"),
    b"another type": (b"tea", b'{"available": "perhaps"}'),
    b"no address": (b"tea", b'{"url": "javascript:alert(1)"}'),
    b"too long": (b"tea", b'{"title": "%s"}' % (b"x" * 1001)),
    b"an empty key": (b"", b"{}"),
    b"a key that is no text": (b"\xff", b"{}"),
    b"not UTF-8": (b"tea", b'{"title": "caf\xe9"}'),
    b"nested deeply in a field we do not know": (b"tea", b'{"x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}"),
    b"a long key": (b"x" * 513, b"{}"),
}


def test_invalid_records_are_skipped_and_logged(
    kafka: Broker, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anyone may write to the topic; the worker continues. Kafka itself refuses records without a key."""
    topics = made_topics(kafka.bootstrap, "bad")
    monkeypatch.setattr("streams.workers.kafka.skipped.MOST_LOGGED", len(BAD) - 1)
    with Publisher(kafka.bootstrap, topics.items) as publisher:
        send_items(publisher, [("tea", encode_item(CatalogueItem("Tea")))])
        for key, value in BAD.values():
            publisher.send(key, value, partition=0)
        send_items(publisher, [("milk", b'{"title": "Milk", "colour": "white"}')])

    async def read() -> CatalogueFeed:
        async with feed(kafka, topics) as following:
            return following

    following = asyncio.run(read())

    assert following.catalogue.items == {"tea": CatalogueItem("Tea"), "milk": CatalogueItem("Milk")}
    assert following.skipped.by_topic == {topics.items: len(BAD)}
    told_of = [record.getMessage() for record in caplog.records if "is skipped" in record.getMessage()]
    assert len(told_of) == len(BAD) - 1
    assert told_of[0].startswith(f"record 1 of topic {topics.items} partition 0 is skipped: item 'tea': not")
    assert "that are skipped are counted but not logged" in caplog.text


def test_the_command_says_what_it_needs(kafka: Broker, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text("item_id,title\n7,Tea\n,x\n")
    address = ("--broker", kafka.bootstrap, "--topic-prefix", "nowhere-")

    assert "one of the two" in refused("catalogue", file)
    assert "one of the two" in refused("catalogue", file, "--state-dir", tmp_path, *address)
    assert "name a FILE" in refused("catalogue", *address)
    assert "--available and --remove both name 'x'" in refused(
        "catalogue", "--available", "x", "--remove", "x", *address
    )
    (tmp_path / "items.bin").write_bytes(b"\0\1\2\3 no table at all")
    assert "no known format" in refused("catalogue", tmp_path / "items.bin", *address)
    assert "No such file" in refused("catalogue", tmp_path / "items.csv", *address)
    missing = called("catalogue", file, *address)
    assert missing.exit_code != 0
    assert "there is no topic nowhere-items" in missing.stderr
    silent = called("catalogue", file, "--broker", "127.0.0.1:1", "--broker-timeout", "0.1")
    assert silent.exit_code == 1
    assert "no Kafka broker answers" in silent.stderr

    topics = made_topics(kafka.bootstrap, "rejects")
    partly = called("catalogue", file, "--broker", kafka.bootstrap, "--topic-prefix", topics.prefix)
    assert partly.exit_code == 1
    assert "line 3: item_id is missing" in partly.stderr
    assert "1 items in the catalogue" in partly.stdout


def test_a_worker_answers_from_the_current_catalogue(kafka: Broker, tmp_path: Path) -> None:
    """A sold-out item leaves the bestsellers within a second, and comes back as quickly."""
    topics = made_topics(kafka.bootstrap, "catalogue-of-workers")
    file = tmp_path / "products.csv"
    file.write_text("item_id,title\ntea,Green tea\nmilk,Milk\n")
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for number in range(20):
            key = b"customer %d" % number
            order = encode_order(key.decode(), 1_700_000_000_000, [("tea", 1), ("milk", 1)])
            publisher.send(key, order, partition=publisher.partition_of(key))
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:

        def titles() -> set[str]:
            with urllib.request.urlopen(f"http://{worker.admin}/bestsellers", timeout=10) as answer:
                return {item.get("title") for item in json.load(answer)["bestsellers"]}

        filled(kafka, topics, file)
        wait_until_current([worker], 40, 2)
        wait_until("titles are known", lambda: titles() == {"Green tea", "Milk"}, workers=[worker])
        for option, wanted in (("--unavailable", {"Milk"}), ("--available", {"Green tea", "Milk"})):
            filled(kafka, topics, option, "tea")
            changed = time.monotonic()
            wait_until("the answer has changed", lambda: titles() == wanted, workers=[worker], pause_s=0.02)  # noqa: B023
            assert time.monotonic() - changed < 1
        assert worker.stop() == 0
