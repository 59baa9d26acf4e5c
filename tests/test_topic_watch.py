"""Topics that an operator deletes, makes again or enlarges: a worker notices, and never goes on at the old offset."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError

from producers.publish import Publisher
from producers.synthetic import SyntheticShop
from state.log_identity import LogIdentity
from streams.catalogue.catalogue import CatalogueItem, encode_item
from streams.workers.kafka.errors import TopicsUnfit
from streams.workers.kafka.topic_watch import MISSING_FOR_S, TopicWatch
from streams.workers.kafka.topics import Topics, identify_topics, read_identities
from tests.kafka_truth import Truth, differences
from tests.live_workers import ask, ready
from tests.workers import (
    PATIENCE_S,
    WorkerProcess,
    made_topics,
    published_lists,
    read_topic,
    send_orders,
    wait_until,
    wait_until_current,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.brokers import Broker

ORDERS = 60
MADE_AGAIN = "it was deleted and made again"
ADDED = "with 1 partitions, it has 2"


def delete(kafka: Broker, topic: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.delete_topics([topic])
    admin.close()


def make_again(kafka: Broker, topics: Topics, role: str, partitions: int = 1) -> None:
    """Return once the broker knows the new topic: it takes a moment, in which no one could send to it."""
    before = read_identities(kafka.bootstrap, topics)[role].log_id
    delete(kafka, topics.names()[role])
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    name = topics.names()[role]
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=topics.configs()[name])])
            break
        except TopicAlreadyExistsError:  # it takes a moment until it is gone
            assert time.monotonic() < deadline
            time.sleep(0.05)
    while getattr(identify_topics(admin, topics).get(role), "log_id", before) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    admin.close()


def add_partition(kafka: Broker, *topics: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_partitions({topic: NewPartitions(2) for topic in topics})
    admin.close()


def counted(kafka: Broker, topics: Topics, worker: WorkerProcess, directory: Path) -> Truth:
    """Have a worker, which runs, count everything."""
    truth = Truth(kafka.bootstrap, topics, directory / "truth")
    wait_until_current([worker], truth.lines, 1)
    return truth


def last_words(worker: WorkerProcess) -> str:
    """The log of a worker that ends by itself, as it fails."""
    assert worker.wait() == 1
    return worker.log.read_text()


def replace_purchases(kafka: Broker, topics: Topics) -> None:
    """With more records than before, so that the old offset is one of the new topic."""
    make_again(kafka, topics, "purchases")
    send_orders(kafka, topics, 2 * ORDERS, 5 * ORDERS)


def enlarge_purchases(kafka: Broker, topics: Topics) -> None:
    """As an operator does who follows the check of the topics."""
    add_partition(kafka, topics.purchases, topics.rejected)
    send_orders(kafka, topics, ORDERS, 5 * ORDERS)


@pytest.mark.parametrize(("change", "message"), [(replace_purchases, MADE_AGAIN), (enlarge_purchases, ADDED)])
def test_another_log_of_purchases_is_fatal_with_any_state(
    kafka: Broker, tmp_path: Path, change: Callable[[Broker, Topics], None], message: str
) -> None:
    """While the worker runs, when it starts, and where it has no state: the deltas that are there tell."""
    topics = made_topics(kafka.bootstrap, change.__name__, purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker")
    with worker:
        counted(kafka, topics, worker, tmp_path)
        change(kafka, topics)
        running = last_words(worker)
    deltas = read_topic(kafka.bootstrap, topics.co_purchases)  # it looks every two seconds, and counts until then
    assert message in running
    assert "a new --generation" in running

    for directory, options in (("worker", ()), ("empty", ()), ("tally", ("--stages", "tally"))):
        again = WorkerProcess(kafka.bootstrap, topics, tmp_path / directory, *options)
        again.log = tmp_path / f"{directory} again.txt"
        with again:
            log = last_words(again)
        assert message in log, directory
        assert "a new --generation" in log
    assert len(read_topic(kafka.bootstrap, topics.co_purchases)[0]) == len(deltas[0])


def test_deltas_made_again_are_fatal(kafka: Broker, tmp_path: Path) -> None:
    """Stage A believes that they were delivered, and nothing in the new topic is what stage B has counted."""
    topics = made_topics(kafka.bootstrap, "deltas-again", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        counted(kafka, topics, worker, tmp_path)
        assert worker.stop() == 0
        make_again(kafka, topics, "co-purchases")
        worker.start()

        log = last_words(worker)

    assert MADE_AGAIN in log
    assert "a new --generation" in log
    assert read_topic(kafka.bootstrap, topics.co_purchases) == [[]]


def test_lists_are_published_again_to_a_topic_made_again(kafka: Broker, tmp_path: Path) -> None:
    """The store remembers what readers had of the topic that is gone, and would publish only what differs."""
    topics = made_topics(kafka.bootstrap, "lists-again", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        truth = counted(kafka, topics, worker, tmp_path)
        make_again(kafka, topics, "related-items")
        assert "start this worker again, and it publishes all of them" in last_words(worker)

        worker.start()
        wait_until(
            "all lists are published",
            lambda: differences(published_lists(kafka.bootstrap, topics), truth) == [],
            workers=[worker],
        )
        assert worker.stop() == 0
        published = len(read_topic(kafka.bootstrap, topics.related_items)[0])
        worker.start()
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0
    assert len(read_topic(kafka.bootstrap, topics.related_items)[0]) == published


def test_a_worker_whose_topic_is_deleted_is_not_ready(kafka: Broker, tmp_path: Path) -> None:
    """It owns nothing, and would wait for ever."""
    topics = made_topics(kafka.bootstrap, "gone", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        counted(kafka, topics, worker, tmp_path)
        wait_until("it is ready", lambda: ready(worker), workers=[worker])
        delete(kafka, topics.purchases)

        wait_until("it is not ready", lambda: not ready(worker), workers=[worker])
        assert f"there is no topic {topics.purchases} any more" in ask(worker, "/health/ready").body.decode()
        assert f"there has been no topic {topics.purchases} for 20 s" in last_words(worker)


def title(worker: WorkerProcess, item_id: str) -> str | None:
    found: str | None = ask(worker, f"/items/{item_id}").document.get("title")
    return found


def test_a_catalogue_made_again_is_read_again(kafka: Broker, tmp_path: Path) -> None:
    """A worker would go on where it was, and miss what is before that; what is not in it is gone."""
    topics = made_topics(kafka.bootstrap, "items-again", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    kept, dropped = sorted({item for order in SyntheticShop(seed=8).orders(ORDERS) for item in order.items})[:2]

    def fill(**titles: str) -> None:
        with Publisher(kafka.bootstrap, topics.items) as publisher:
            for item_id, text in titles.items():
                publisher.send(item_id.encode(), encode_item(CatalogueItem(title=text)), partition=0)

    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        counted(kafka, topics, worker, tmp_path)
        fill(**{kept: "before", dropped: "before"})
        wait_until("the catalogue is read", lambda: title(worker, dropped) == "before", workers=[worker])
        make_again(kafka, topics, "items")
        fill(**{kept: "after"} | {f"other {number}": "other" for number in range(5)})

        wait_until("it is read again", lambda: title(worker, kept) == "after", workers=[worker])
        wait_until("the rest is gone", lambda: title(worker, dropped) is None, workers=[worker])
        assert worker.stop() == 0


def test_state_of_earlier_versions_adopts_the_topics(kafka: Broker, tmp_path: Path) -> None:
    """Its stores and deltas do not say which topics they are of."""
    topics = made_topics(kafka.bootstrap, "earlier", purchases=1, items=1)
    send_orders(kafka, topics, 0, ORDERS)
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", faults="an_earlier_version")
    with worker:
        counted(kafka, topics, worker, tmp_path)
        assert worker.stop() == 0
        [before] = read_topic(kafka.bootstrap, topics.co_purchases)
        assert {name for record in before for name, _ in record.headers} == {"source", "begin", "end", "rules"}

        worker.faults = "none"
        send_orders(kafka, topics, ORDERS, 2 * ORDERS)
        worker.start()
        truth = Truth(kafka.bootstrap, topics, tmp_path / "more")
        wait_until_current([worker], truth.lines, 1)
        assert worker.stop() == 0
        truth.check([worker.state], topics, 1)
        [after] = read_topic(kafka.bootstrap, topics.co_purchases)
        purchases = read_identities(kafka.bootstrap, topics)["purchases"]
        headers = {name: value.decode() for name, value in after[-1].headers}
        assert (headers["topic-id"], headers["partitions"]) == (purchases.log_id, "1")

        replace_purchases(kafka, topics)
        worker.start()
        assert MADE_AGAIN in last_words(worker)


TOPICS = Topics(rekey=True)
BEFORE = {role: LogIdentity(role, 2) for role in TOPICS.names()}


@pytest.mark.parametrize(
    ("role", "now", "message"),
    [
        ("purchases", LogIdentity("other", 2), "another topic purchases"),
        ("source", LogIdentity("other", 2), "delete the copy as well"),
        ("source", LogIdentity("source", 3), None),  # its copy has as many as before
        ("co-purchases", LogIdentity("co-purchases", 3), "topic co-purchases with 2 partitions, it has 3"),
        ("related-items", LogIdentity("other", 2), "start this worker again, and it publishes all of them"),
        ("related-items", LogIdentity("related-items", 3), "has 3 partitions now, it had 2"),
        ("purchases-rejected", LogIdentity("other", 1), "has 1 partitions now, it had 2"),
        ("purchases-rejected", LogIdentity("purchases-rejected", 3), None),
        ("purchases-rejected", LogIdentity("other", 2), None),  # part of no state: whoever has dealt with it deletes it
        ("items", LogIdentity("items", 3), None),  # every worker reads all of it
        ("purchases", LogIdentity("", 2), None),  # a broker of before there were ids
    ],
)
def test_what_a_change_of_a_topic_means(role: str, now: LogIdentity, message: str | None) -> None:
    watch = TopicWatch("nowhere:1", TOPICS, BEFORE, lambda: None)

    if message is None:
        watch.compare(BEFORE | {role: now}, 0.0)
    else:
        with pytest.raises(TopicsUnfit, match=message):
            watch.compare(BEFORE | {role: now}, 0.0)


def test_a_topic_that_is_back_in_time_was_never_missed() -> None:
    """A broker that restarts may not know its topics at once."""
    watch = TopicWatch("nowhere:1", TOPICS, BEFORE, lambda: None)
    without = {role: identity for role, identity in BEFORE.items() if role != "purchases"}

    for begin in (0.0, 2 * MISSING_FOR_S):
        watch.compare(without, begin)
        assert watch.missing == [TOPICS.log]
        watch.compare(without, begin + MISSING_FOR_S - 1)
        watch.compare(BEFORE, begin + MISSING_FOR_S)
        assert watch.missing == []
    watch.compare(without, 0.0)
    with pytest.raises(TopicsUnfit, match="no topic purchases-by-customer for 20 s"):
        watch.compare(without, MISSING_FOR_S + 1)
