"""Orders onto Kafka: each once, however often the replay is broken off; and made-up orders whose truth is known."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pytest

from producers.connection import wait_for_broker
from producers.errors import BrokerUnavailable, LogError, TopicMissing
from producers.publish import Publisher, publish_logs
from producers.synthetic import SyntheticShop
from state.settings import CountingSettings
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.topics import Partitions, Topics, check_topics, create_topics
from tests.workers import read_topic

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

ORDERS = 400


def written_log(path: Path, orders: int = ORDERS) -> Path:
    path.write_bytes(b"".join(order.encode() + b"\n" for order in SyntheticShop(seed=9).orders(orders)))
    return path


def made(broker: Broker, name: str) -> Topics:
    topics = Topics(prefix=f"{name}-")
    create_topics(broker.bootstrap, topics, Partitions(3, 1))
    return topics


def sent_customers(broker: Broker, topics: Topics) -> list[str]:
    """Customer and time of each order on the topic."""
    return [
        f"{order['customer_id']} {order['timestamp']}"
        for records in read_topic(broker.bootstrap, topics.purchases)
        for order in (json.loads(record.value) for record in records)
    ]


def test_a_replay_that_was_broken_off_sends_the_rest_and_nothing_twice(broker: Broker, tmp_path: Path) -> None:
    """The topic knows what of a log it has, also of one that has grown since."""
    topics = made(broker, "resumed")
    log = written_log(tmp_path / "orders.jsonl", ORDERS // 2)
    with Publisher(broker.bootstrap, topics.purchases) as publisher:
        assert publisher.partitions == 3
    replay = publish_logs(broker.bootstrap, topics.purchases, [log], {}, stop=lambda: True)
    first = next(replay)
    assert next(replay, None) is None  # broken off after a batch
    assert 0 < first.orders < ORDERS // 2

    written_log(log)
    rest = list(publish_logs(broker.bootstrap, topics.purchases, [log], {}))[-1]
    again = list(publish_logs(broker.bootstrap, topics.purchases, [log], {}))[-1]

    assert first.orders + rest.orders == ORDERS
    assert again.orders == 0
    assert sorted(sent_customers(broker, topics)) == sorted(
        f"{order.customer_id} {order.time_ms}" for order in SyntheticShop(seed=9).orders(ORDERS)
    )


def test_a_customers_orders_are_all_in_one_partition(broker: Broker, tmp_path: Path) -> None:
    """Histories are kept by partition."""
    topics = made(broker, "keyed")
    list(publish_logs(broker.bootstrap, topics.purchases, [written_log(tmp_path / "orders.jsonl")], {}))

    customers = [
        {json.loads(record.value)["customer_id"] for record in records}
        for records in read_topic(broker.bootstrap, topics.purchases)
    ]

    assert all(customers)
    assert all(not one & other for one, other in itertools.combinations(customers, 2))


def test_a_topic_that_is_not_there_is_named(broker: Broker) -> None:
    with pytest.raises(TopicMissing, match=r"there is no topic nowhere at .*; make it: alsobought topics"):
        Publisher(broker.bootstrap, "nowhere", timeout_s=2)


def test_an_address_that_nobody_answers_at_is_named() -> None:
    with pytest.raises(BrokerUnavailable, match=r"no Kafka broker answers at 127\.0\.0\.1:1 \(Connection refused\)"):
        wait_for_broker("127.0.0.1:1", 0.1)
    with pytest.raises(BrokerUnavailable, match="--broker is 'localhost', not host:port"):
        wait_for_broker("localhost", 0.1)


def test_topics_are_made_once_and_another_number_of_partitions_is_refused(broker: Broker) -> None:
    topics = Topics(prefix="twice-")
    assert len(create_topics(broker.bootstrap, topics, Partitions(2, 1))) == 5
    assert create_topics(broker.bootstrap, topics, Partitions(2, 1)) == []
    assert check_topics(broker.bootstrap, topics) == Partitions(2, 1)
    with pytest.raises(TopicsUnfit, match="twice-purchases has 2 partitions, not 3"):
        create_topics(broker.bootstrap, topics, Partitions(3, 1))


def test_planted_affinities_are_found(tmp_path: Path) -> None:
    """Items of a group belong together; popular items of other groups, bought along by chance, do not."""
    from producers.wire import decode_orders  # noqa: PLC0415 - only here

    made_up = [order.encode() for order in SyntheticShop(seed=1, customers=1_000, groups=30).orders(6_000)]
    orders, rejected = decode_orders(made_up, range(len(made_up)))
    embedded = Embedded(tmp_path, CountingSettings())
    embedded.count(orders, len(made_up))
    (store,) = embedded.counts

    right = listed = 0
    for items, lists in Ranker(store, Scoring("difference", trend=False)).every():
        for row, item in enumerate(items.tolist()):
            group = SyntheticShop.group_of(store.names.text(item))
            best = lists.entries(row, store.names)[:5]
            right += sum(SyntheticShop.group_of(entry.item_id) == group for entry in best)
            listed += len(best)
    embedded.close()

    assert rejected == []
    assert right / listed > 0.8


def test_a_log_that_begins_like_one_that_was_sent_is_sent_whole_and_a_changed_one_not_at_all(
    broker: Broker, tmp_path: Path
) -> None:
    """A heartbeat as first line each day is no sign of the same log; a line taken out of the middle would shift all."""
    topics = made(broker, "alike")
    rows = [order.encode() + b"\n" for order in SyntheticShop(seed=9).orders(6)]
    first, second = tmp_path / "monday.jsonl", tmp_path / "tuesday.jsonl"
    first.write_bytes(b"".join(rows[:4]))
    second.write_bytes(rows[0] + b"".join(rows[4:]))
    counts = [
        list(publish_logs(broker.bootstrap, topics.purchases, [path], {}))[-1].orders for path in (first, second, first)
    ]
    assert counts == [4, 3, 0]

    first.write_bytes(rows[0] + b"".join(rows[2:]))
    with pytest.raises(LogError, match="has changed since it was sent"):
        list(publish_logs(broker.bootstrap, topics.purchases, [first], {}))
