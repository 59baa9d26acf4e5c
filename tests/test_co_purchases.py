"""Deltas that are larger than a record: their parts, whoever writes and reads them, and dies in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.orders import PURCHASE, RETURN
from producers.publish import Publisher
from producers.wire import encode_order
from streams.workers.kafka.co_purchases import DeltaHeaders, PartedDeltas, read_headers
from streams.workers.kafka.errors import LogLost
from streams.workers.kafka.topics import RECORD_BYTES
from tests.kafka_truth import Truth, differences
from tests.workers import WorkerProcess, made_topics, published_lists, read_topic, wait_until_current

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

NOON_MS = 1_750_000_000_000
DEATHS = 3


class Record(NamedTuple):
    """A record of `co-purchases`, as far as its deltas are put together."""

    offset: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    topic: str = "co-purchases.live"
    partition: int = 0


def parts_of(source: int, number: int, count: int) -> list[DeltaHeaders]:
    """The parts of the deltas of a purchases partition that go from log position `number` to the next."""
    return [DeltaHeaders(source, number, number + 1, None, "none", 100, 1, part, count) for part in range(count)]


@st.composite
def written(draw: st.DrawFn) -> list[DeltaHeaders]:
    """What two partitions write in turn: each part by part, but now and then from its last deltas on once more."""
    streams = []
    for source in range(2):
        counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
        deltas = [parts_of(source, number, count) for number, count in enumerate(counts)]
        stream: list[DeltaHeaders] = []
        for number, parts in enumerate(deltas):
            for _ in range(draw(st.integers(0, 2))):  # a worker that died before it had written or noted all of it
                begin = draw(st.integers(max(number - 1, 0), number))
                again = [part for some in deltas[begin : number + 1] for part in some]
                stream += again[: draw(st.integers(0, len(again)))]
            # the client may send a batch twice of which it has seen no acknowledgement
            twice = draw(st.integers(0, len(parts)))
            stream += [*parts, *parts[twice:]]
        streams.append(stream)
    turns = draw(st.permutations([source for source, stream in enumerate(streams) for _ in stream]))
    return [streams[source].pop(0) for source in turns]


@given(written(), st.data())
def test_parts_are_put_together_once_whoever_died(writes: list[DeltaHeaders], data: st.DataObject) -> None:
    """Readers go on at the offset of their last commit, whatever they have read since; and see repetitions."""
    log = [
        Record(offset, f"{each.source} {each.begin} {each.part},".encode(), each.pairs())
        for offset, each in enumerate(writes)
    ]
    counted: dict[int, int] = {}
    found: dict[int, list[bytes]] = {0: [], 1: []}
    position, resume, parted = 0, 0, PartedDeltas()
    deaths = 5
    while position < len(log):
        record = log[position]
        position += 1
        headers = read_headers(record)
        assert headers is not None
        whole = parted.whole(record, headers, counted)
        if whole is not None:
            resume = whole.resume
            if headers.end > counted.get(headers.source, 0):  # as stage B does
                assert headers.begin == counted.get(headers.source, 0)
                counted[headers.source] = headers.end
                found[headers.source].append(whole.value)
        if deaths and data.draw(st.integers(0, 3)) == 0:
            deaths -= 1
            position, parted = resume, PartedDeltas()

    for source, values in found.items():
        last = {each.begin: each.parts for each in writes if each.source == source}
        assert values == [
            b"".join(f"{source} {begin} {part},".encode() for part in range(count)) for begin, count in last.items()
        ]


@pytest.mark.parametrize("places", [[1], [0, 2], [0, 1, 3]])
def test_parts_that_are_missing_are_an_error(places: Sequence[int]) -> None:
    parted, parts = PartedDeltas(), parts_of(0, 7, 4)

    *read, last = [Record(place, b"", parts[place].pairs()) for place in places]
    for record in read:
        assert parted.whole(record, parts[record.offset], {0: 7}) is None

    with pytest.raises(LogLost, match=f"part {last.offset} of the 4 parts of the deltas .* from 7 to 8"):
        parted.whole(last, parts[last.offset], {0: 7})


# On Kafka


def send(kafka: Broker, topics: Topics, orders: Sequence[tuple[str, int, int]]) -> None:
    """Send orders of the first so many items, each of a customer and a kind."""
    with Publisher(kafka.bootstrap, topics.purchases) as publisher:
        for number, (customer, lines, kind) in enumerate(orders):
            items = [(f"item-{item}", 1) for item in range(lines)]
            record = encode_order(customer, NOON_MS + number, items, kind=kind)
            publisher.send(customer.encode(), record, partition=publisher.partition_of(customer.encode()))


@pytest.mark.parametrize("fencing", ["--fencing", "--no-fencing"])
def test_an_order_of_ten_thousand_lines_needs_no_broker_with_other_limits(
    kafka: Broker, tmp_path: Path, fencing: str
) -> None:
    """Given back, each line changes two hundred others: 12 MB of deltas."""
    topics = made_topics(kafka.bootstrap, f"large{fencing}", purchases=1, items=2)
    send(kafka, topics, [("ann", 10_000, PURCHASE), ("bob", 40, PURCHASE), ("ann", 10_000, RETURN)])
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")

    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", fencing) as worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0

    truth.check([worker.state], topics, 2)
    for records in read_topic(kafka.bootstrap, topics.co_purchases):
        assert max(len(record.value) for record in records) <= RECORD_BYTES
        assert any(dict(record.headers).get("parts", b"1") != b"1" for record in records)


def survive(kafka: Broker, tmp_path: Path, name: str, faults: str, *options: str) -> None:
    """Let a worker die between parts, then finish; compare with the truth."""
    topics = made_topics(kafka.bootstrap, name, purchases=2, items=2)
    customers = ("ann", "bob", "cat", "dan")
    orders = [(customer, 200, kind) for kind in (PURCHASE, RETURN) for customer in customers]
    send(kafka, topics, 3 * orders)
    options = ("--record-bytes", "16KiB", "--commit-lines", "200", *options)
    worker = WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker", *options, faults=faults)
    for _ in range(DEATHS):
        with worker:
            assert worker.wait() != 0
    worker.faults = f"{faults},immortal"
    send(kafka, topics, orders)  # behind deltas that are missing they cannot be counted
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    with worker:
        wait_until_current([worker], truth.lines, 2)
        assert worker.stop() == 0

    truth.check([worker.state], topics, 2)
    assert differences(published_lists(kafka.bootstrap, topics), truth) == []


@pytest.mark.parametrize("fencing", ["--fencing", "--no-fencing"])
def test_a_worker_that_dies_between_parts_counts_everything_once(kafka: Broker, tmp_path: Path, fencing: str) -> None:
    survive(kafka, tmp_path, f"parts{fencing}", "die_between_parts", fencing)


def test_trusting_the_first_part_is_not_enough(kafka: Broker, tmp_path: Path) -> None:
    """Without transactions the others may be missing; this test shows that those above would notice."""
    with pytest.raises(AssertionError):
        survive(kafka, tmp_path, "first-part", "die_between_parts,trust_the_first_part", "--no-fencing")
