"""What was rejected is sent to the topic again, each once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from producers.publish import Publisher
from producers.wire import encode_order
from streams.workers.kafka.purchases import rejection_record
from streams.workers.kafka.reading import read_now
from tests.commands import called, output_of
from tests.test_rejects import GOOD, HEAD, repair
from tests.workers import made_topics, read_topic

if TYPE_CHECKING:
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker


def on_topic(broker: Broker, topics: Topics) -> list[tuple[str, list[str], int]]:
    """Customer, items and quantity of the first line of each order."""
    orders = [json.loads(record.value) for part in read_topic(broker.bootstrap, topics.purchases) for record in part]
    found = []
    for order in orders:
        lines = order.get("lines", [order])
        found.append((order["customer_id"], [line["item_id"] for line in lines], lines[0].get("quantity", 1)))
    return sorted(found)


def test_repaired_lines_of_a_log_are_sent_once_however_often_they_are_retried(broker: Broker, tmp_path: Path) -> None:
    topics = made_topics(broker.bootstrap, "retried")
    log, rejects = tmp_path / "orders.csv", tmp_path / "rejected.jsonl"
    log.write_text(HEAD + GOOD + "cy,tea,2024-13-03,1,4,\ncy,rye,2024-13-03,1,4,\nann,oat,2024-01-05,0,6,\n")
    where = ("--broker", broker.bootstrap, "--topic-prefix", topics.prefix)
    told = output_of("replay", log, *where, "--rejects", rejects)
    assert f"--retry-rejects {rejects} --broker {broker.bootstrap} --topic-prefix {topics.prefix}" in told
    before = on_topic(broker, topics)
    for row in (3, 4):
        repair(rejects, row, timestamp="2024-03-13")

    first = output_of("replay", "--retry-rejects", rejects, *where)
    repair(rejects, 3, quantity=7)
    repair(rejects, 5, quantity=2)
    again = called("replay", "--retry-rejects", rejects, *where)

    assert "2 repaired lines sent, 0 skipped" in first
    assert "1 are still wrong" in first
    assert "1 repaired lines sent, 2 skipped" in again.stdout
    assert f"{rejects} line 1: was sent before: skipped" in again.stderr
    added = [("ann", ["oat"], 2), ("cy", ["tea", "rye"], 1)]
    assert on_topic(broker, topics) == sorted(before + added)


def test_lines_of_a_log_that_the_topic_does_not_have_are_skipped(broker: Broker, tmp_path: Path) -> None:
    topics = made_topics(broker.bootstrap, "other-log")
    log, state = tmp_path / "orders.csv", tmp_path / "state"
    log.write_text(HEAD + GOOD + "cy,tea,2024-13-03,1,4,\n")
    output_of("replay", log, "--state-dir", state)

    result = called(
        *("replay", "--retry-rejects", state / "rejected.jsonl"),
        *("--broker", broker.bootstrap, "--topic-prefix", topics.prefix),
    )

    assert "of which this topic has no order: repair it there: skipped" in result.stderr
    assert on_topic(broker, topics) == []


def test_rejected_records_are_sent_again_once(broker: Broker) -> None:
    """Also if two generations rejected them, and if a record has the same invalid line twice."""
    topics = made_topics(broker.bootstrap, "rejected-again")
    order = encode_order("ann", 1_700_000_000_000, [("tea", 1)], kind=1)
    with Publisher(broker.bootstrap, topics.purchases) as publisher:
        for number in (0, 1):
            publisher.send(b"ann", order, partition=number)
    records = [record for part in read_topic(broker.bootstrap, topics.purchases) for record in part]
    line = encode_order("ann", 1_700_000_000_000, [("rye", 1)]).decode()
    rejections = [rejection_record(record, "not held", topics) for record in records]
    rejections += [rejection_record(records[0], "no item", topics, line)] * 2

    def reject(generation: str) -> None:
        with Publisher(broker.bootstrap, topics.rejected) as publisher:
            for one in rejections:
                headers = [
                    (name, generation.encode() if name == "generation" else value) for name, value in one.headers
                ]
                publisher.send(one.key, one.value, partition=one.partition, headers=headers)

    where = ("--broker", broker.bootstrap, "--topic-prefix", topics.prefix, "--replay")
    reject("live")
    first = called("rejected", *where)
    again = called("rejected", *where)
    reject("next")
    other_generation = called("rejected", *where)

    assert "4 rejected records sent" in first.stderr
    assert "0 rejected records sent" in again.stderr
    assert "0 rejected records sent" in other_generation.stderr
    assert len(on_topic(broker, topics)) == 2 + 4


def test_what_was_fetched_is_not_formatted() -> None:
    """Formatting records of 25 megabytes took half a minute, each time; see `read_now`."""

    class Record:
        def __repr__(self) -> str:
            raise AssertionError("the record is formatted")

    async def fetched() -> list[Record]:
        return [Record()]

    assert len(read_now(fetched())) == 1
