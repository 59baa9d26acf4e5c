"""Records that no shop means to send, on every topic that workers read: invalid, huge, of others, never committed."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kafka import KafkaProducer

from producers.partitioning import customer_partition, item_partition
from producers.publish import Publisher
from producers.wire import encode_order
from streams.catalogue.catalogue import CatalogueItem, encode_item
from tests.batch_definition import DAY_MS, Line, Order
from tests.faults.load import BEGIN_MS, ITEMS
from tests.faults.registry import NothingDone, fault
from tests.faults.world import ITEM_PARTITIONS, PURCHASES
from tests.test_foreign_records import NO_DELTAS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.faults.world import World

_DEEP = 100_000


def _order(**fields: object) -> bytes:
    order = {"customer_id": "p1", "timestamp": BEGIN_MS, "lines": [{"item_id": "item-1"}]} | fields
    return json.dumps(order).encode()


INVALID = (
    b"",
    b"{",
    b"null",
    b"[]",
    b"0",
    b"\x00" * 64,
    b"\xff\xfe\x00",
    b'{"customer_id":"caf\xe9","timestamp":1,"item_id":"x"}',
    b"[" * _DEEP,
    b'{"x":' * _DEEP,
    b'{"customer_id":"p1","timestamp":1700000000,"more":' + b"[" * _DEEP + b"]" * _DEEP + b',"item_id":"item-1"}',
    b'{"customer_id":"p1","timestamp":1e400,"item_id":"item-1"}',
    b'{"customer_id":"p1","timestamp":NaN,"item_id":"item-1"}',
    _order(customer_id="nul\0in it"),
    _order(customer_id=""),
    _order(customer_id="c" * 5_000),
    _order(customer_id=None),
    _order(customer_id={"a": 1}),
    _order(timestamp="2017-13-01"),
    _order(timestamp=-(10**18)),
    _order(timestamp=10**30),
    _order(timestamp=4_102_444_800_000),  # 2100
    _order(lines=[]),
    _order(lines={}),
    _order(lines=[{"item_id": "nul\0in it"}]),
    _order(lines=[{"item_id": "i" * 5_000}]),
    _order(lines=[{"item_id": "item-1", "quantity": 0}]),
    _order(lines=[{"item_id": "item-1", "quantity": 10**30}]),
    _order(lines=[{"item_id": f"item-{number % 50}"} for number in range(10_001)]),
    _order(type="barter"),
)
"""Records of which nothing counts."""


def poison_orders(chance: Random) -> tuple[bytes | None, bytes | None, int, Order | None]:
    """Key, value and partition of a record, and what of it counts."""
    if chance.random() < 0.1:
        return b"key", None, chance.randrange(PURCHASES), None
    if chance.random() < 0.15:
        customer = f"lost-{chance.randrange(50)}"
        value = encode_order(customer, BEGIN_MS, [("item-1", 1)], order_id=f"l{chance.random()}")
        wrong = (customer_partition(customer.encode(), PURCHASES) + chance.randint(1, PURCHASES - 1)) % PURCHASES
        return customer.encode(), value, wrong, None
    if chance.random() < 0.15:
        customer = f"partly-{chance.randrange(50)}"
        time_ms = BEGIN_MS + chance.randrange(30 * DAY_MS)
        lines = [{"item_id": "item-1"}, {"item_id": "nul\0in it"}, {"item_id": "item-2", "quantity": -1}]
        value = _order(customer_id=customer, timestamp=time_ms, lines=lines)
        counted = Order(customer, time_ms, (Line("item-1"),))
        return customer.encode(), value, customer_partition(customer.encode(), PURCHASES), counted
    return chance.choice((None, b"key", b"\xff\0")), chance.choice(INVALID), chance.randrange(PURCHASES), None


@fault("poison in purchases", times=4)
def poison_purchases(world: World) -> str:
    """Invalid orders among the valid ones; they must be rejected, and nothing else."""
    count = world.chance.randint(5, 30)
    with Publisher(world.broker.bootstrap, world.topics.purchases) as publisher:
        for _ in range(count):
            key, value, partition, counted = poison_orders(world.chance)
            if counted is not None:
                assert value is not None
                world.load.meant[value] = counted
            publisher.send(key, value, partition=partition)
    return f"{count} records"


@fault("oversized records", times=2)
def oversized(world: World) -> str:
    """Small when they are compressed, and larger than any order when they are read."""
    count = world.chance.randint(1, 3)
    producer = KafkaProducer(
        bootstrap_servers=world.broker.bootstrap, compression_type="gzip", max_request_size=1 << 28
    )
    mebibytes = 0
    try:
        for _ in range(count):
            size = world.chance.choice((2, 3, 8, 40))
            value = b" " * (size << 20) + _order(order_id=f"huge{world.chance.random()}")
            producer.send(world.topics.purchases, value=value, partition=world.chance.randrange(PURCHASES)).get(60)
            mebibytes += size
    finally:
        producer.close()
    return f"{count} records of {mebibytes} MiB"


@fault("poison in co-purchases", times=2)
def poison_deltas(world: World) -> str:
    """Records that are no deltas; they must be skipped."""
    count = world.chance.randint(2, 8)
    with Publisher(world.broker.bootstrap, world.topics.co_purchases) as publisher:
        for _ in range(count):
            value, headers = world.chance.choice(NO_DELTAS)
            partition = world.chance.randrange(ITEM_PARTITIONS)
            publisher.send(b"key", value, partition=partition, headers=list(headers.items()))
    return f"{count} records"


@fault("poison in related-items", times=2)
def poison_lists(world: World) -> str:
    """Lists that no worker computed; whoever takes the partition over replaces them, so its owner ends."""
    owner = world.victim()
    owned = [int(number) for number in (owner.status() or {"tally": {"offsets": {}}})["tally"]["offsets"]]
    if not owned:
        raise NothingDone("nobody was at work")
    partition = world.chance.choice(owned)
    entry = {"item_id": "unheard of", "score": 1.0, "bought_together": 1.0, "expected": 0.0, "trend": 1.0}
    values = (None, b"", b"junk", json.dumps({"score": "blend", "related": [entry]}).encode(), b"[" * _DEEP)
    keys = [f"item-{number}" for number in range(ITEMS)] + ["never bought", "\ufffd"]
    with Publisher(world.broker.bootstrap, world.topics.related_items) as publisher:
        for key in world.chance.sample(keys, 5):
            wrong = item_partition(key, ITEM_PARTITIONS) != partition
            if wrong or not key.startswith("item-"):
                world.foreign.add(key)
            publisher.send(
                b"\xff" if key == "\ufffd" else key.encode(), world.chance.choice(values), partition=partition
            )
    owner.kill()
    return f"5 records in partition {partition}"


@fault("poison in items", times=2)
def poison_catalogue(world: World) -> str:
    """Invalid entries beside valid ones, which must be followed."""
    entries = (
        b"",
        b"junk",
        b"caf\xe9",
        b"[" * _DEEP,
        b'{"x":' * _DEEP,
        b'{"title":"' + b"x" * 5_000 + b'"}',
        b'{"title":1}',
    )
    title = f"title {world.chance.random()}"
    with Publisher(world.broker.bootstrap, world.topics.items) as publisher:
        for _ in range(6):
            key = world.chance.choice((b"", b"\xff", b"nul\0", b"item-0", b"item-3"))
            publisher.send(key, world.chance.choice(entries), partition=0)
        publisher.send(b"item-0", encode_item(CatalogueItem(title=title)), partition=0)
    world.title = title
    return "6 records"


@contextmanager
def foreign_transaction(world: World, timeout_s: float = 60) -> Iterator[KafkaProducer]:
    """A transaction of a producer that is no worker, on three topics, which its caller ends, or not."""
    producer = KafkaProducer(
        bootstrap_servers=world.broker.bootstrap,
        transactional_id=f"foreign-{world.chance.random()}",
        transaction_timeout_ms=int(timeout_s * 1000),
    )
    try:
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(world.chance.randint(1, 6)):
            customer = f"c{world.chance.randrange(100)}".encode()
            value = encode_order(customer.decode(), BEGIN_MS, [("item-1", 1), ("item-9", 1)], order_id=f"never{number}")
            producer.send(
                world.topics.purchases, key=customer, value=value, partition=customer_partition(customer, PURCHASES)
            ).get(60)
        producer.send(world.topics.co_purchases, value=b"junk", partition=0).get(60)
        yield producer
    finally:
        producer.close(timeout=1)


@fault("transactions aborted", times=3)
def aborted(world: World) -> str:
    """Orders of which a producer thinks better: they must not count."""
    count = world.chance.randint(1, 4)
    for _ in range(count):
        with foreign_transaction(world) as producer:
            time.sleep(world.chance.uniform(0, 0.3))
            producer.abort_transaction()
    return f"{count} transactions"


@fault("transaction abandoned")
def abandoned(world: World) -> str:
    """A producer dies within a transaction: readers wait until the broker aborts it."""
    with foreign_transaction(world, timeout_s=2) as producer:
        producer._sender.force_close()  # a clean close would abort it
    return ""
