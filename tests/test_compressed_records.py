"""Compressed records of three megabytes, and of two hundred, on every topic that workers read."""

from __future__ import annotations

import json
import re
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from producers.synthetic import SyntheticShop
from state.settings import CountingSettings
from streams.workers.kafka.purchases import KEPT_BYTES, read_rejected
from streams.workers.kafka.sending_again import send_again
from tests.compressed import CODECS, compressed, send_batches
from tests.kafka_truth import Truth, differences, facts, newest_counts, newest_histories
from tests.live_workers import ready
from tests.streamed import histories
from tests.test_foreign_records import skipped
from tests.workers import WorkerProcess, is_current, made_topics, read_topic, send_orders, wait_until

if TYPE_CHECKING:
    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

MIB = 1 << 20
EACH = 20  # orders by each codec
LARGE = 100  # orders of a quarter of a megabyte
BOMBS = {"gzip": bytes(200 * MIB), "snappy": bytes(18 * MIB), "lz4": bytes(200 * MIB), "zstd": bytes(200 * MIB)}
"""As large as is less than a megabyte once it is compressed."""
MOST_MEMORY_MIB = 250
"""More than a worker needs before; if it had to compile its loops that is twice as much."""


def peak_memory_mib(worker: WorkerProcess) -> int:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{worker.pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) >> 10


def orders(first: int, last: int, padding: int = 0) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of a shop's orders, each with so many spaces behind it."""
    some = list(islice(SyntheticShop(seed=8).orders(last), first, None))
    return [order.customer_id.encode() for order in some], [order.encode() + b" " * padding for order in some]


def counted(kafka: Broker, topics: Topics, worker: WorkerProcess, truth: Truth) -> bool:
    """Whether a worker has counted all orders; it counts rejected records as lines, too."""
    return is_current([worker], truth.lines + len(list(read_rejected(kafka.bootstrap, topics))), 1)


def test_no_compressed_record_stops_a_worker(kafka: Broker, tmp_path: Path) -> None:
    """What is too large is kept in part; those that were only left out are sent again by the command."""
    topics = made_topics(kafka.bootstrap, "compressed", 1, 1)
    plain = made_topics(kafka.bootstrap, "plain", 1, 1)
    send_orders(kafka, plain, 0, len(CODECS) * EACH)
    truth = Truth(kafka.bootstrap, plain, tmp_path / "truth")
    hostile = [compressed([b"x" * (3 * MIB)], "gzip"), compressed([b"junk", BOMBS["zstd"], b"junk"], "zstd")]
    send_batches(kafka, topics.related_items, hostile)  # which is read when a worker starts
    with WorkerProcess(kafka.bootstrap, topics, tmp_path / "worker") as worker:
        wait_until("it is ready", lambda: ready(worker), workers=[worker])
        before = peak_memory_mib(worker)
        for number, (codec, bomb) in enumerate(BOMBS.items()):
            keys, values = orders(number * EACH, (number + 1) * EACH)
            bombs = [compressed([b"x" * (3 * MIB)], codec), compressed([b"junk", bomb, b"junk"], codec)]
            send_batches(kafka, topics.purchases, [*bombs, compressed(values, codec, keys=keys)])
        for topic in (topics.co_purchases, topics.items):
            send_batches(kafka, topic, hostile)
        wait_until("all are counted", lambda: counted(kafka, topics, worker, truth), workers=[worker])
        everywhere = {topics.co_purchases, topics.items, topics.related_items}
        wait_until("all are read", lambda: everywhere <= skipped(worker).keys(), workers=[worker])
        assert peak_memory_mib(worker) < before + MOST_MEMORY_MIB
        worker.kill()
        worker.start()
        kept = list(read_rejected(kafka.bootstrap, topics))

        keys, values = orders(len(CODECS) * EACH, len(CODECS) * EACH + LARGE, MIB // 4)
        send_batches(kafka, topics.purchases, [compressed(values, "zstd", keys=keys)])
        wait_until("some are left out", lambda: len(list(read_rejected(kafka.bootstrap, topics))) > len(kept))
        assert send_again(kafka.bootstrap, topics) > 2 * len(CODECS) + LARGE // 4
        send_orders(kafka, plain, len(CODECS) * EACH, len(CODECS) * EACH + LARGE)
        truth = Truth(kafka.bootstrap, plain, tmp_path / "truth now")
        wait_until("all are counted", lambda: counted(kafka, topics, worker, truth), workers=[worker])
        assert peak_memory_mib(worker) < before + MOST_MEMORY_MIB
        assert worker.stop() == 0

    cut = [each for each in kept if not each.is_whole]
    assert sorted(each.length for each in cut) == sorted([*[3 * MIB] * 4, *map(len, BOMBS.values())])
    assert all(len(each.value) <= KEPT_BYTES and each.sha256 is not None for each in cut)
    assert len(kept) == 4 * len(CODECS)
    (held,) = newest_histories([worker.state], topics, CountingSettings())
    counts = newest_counts([worker.state], topics, CountingSettings())
    with closing(held), closing(counts[0]):
        assert histories(held) == truth.histories
        also_rejected = {name: truth.facts[name] for name in ("lines", "rejected")}
        assert facts(counts) | also_rejected == truth.facts
    (records,) = read_topic(kafka.bootstrap, topics.related_items)
    published = {each.key.decode(): json.loads(each.value) for each in records if each.value.startswith(b"{")}
    assert differences(published, truth) == []
