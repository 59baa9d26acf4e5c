"""Rejected records, sent to the topic `purchases` again once their cause is fixed.

Of a record that was too large `purchases-rejected` has the first bytes; the whole is fetched from where it was sent.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import xxhash

from producers.connection import quieten_client
from producers.publish import Publisher
from producers.resending import again_headers, sent_before
from producers.wire import LARGEST_RECORD_BYTES
from streams.workers.kafka.inflation import cut_of
from streams.workers.kafka.purchases import read_rejected
from streams.workers.kafka.reading import TopicReader, read_now

if TYPE_CHECKING:
    from streams.workers.kafka.purchases import Rejected
    from streams.workers.kafka.topics import Topics

logger = logging.getLogger(__name__)

WHOLE_BYTES = 1 << 30
"""To how much a batch may inflate here: this is a command, not a worker."""


def send_again(broker: str, topics: Topics, timeout_s: float = 30) -> int:
    """Send every rejected record to the topic `purchases` again that was not sent again before; return how many.

    They also stay on the topic `purchases-rejected`. A record that is still invalid is rejected again, with its new
    offset: that is another one. One that is too large for an order is left out, and stays where it was sent. What was
    sent before is read from `purchases` itself, from the first rejected record on, or from its copy.

    Raises:
        BrokerUnavailable, TopicMissing: as `read_rejected`.
    """
    found = list(read_rejected(broker, topics, timeout_s))
    begin: dict[int, int] = {}
    for rejected in found:
        begin[rejected.partition] = min(rejected.offset + 1, begin.get(rejected.partition, rejected.offset + 1))
    copy = replace(topics, rekey=True).log
    sent = sent_before(broker, topics.purchases, copy, begin, timeout_s).ids
    known = len(sent)
    alike: Counter[tuple[str, str]] = Counter()
    with Publisher(broker, topics.purchases, timeout_s) as publisher:

        def send(again: str, record: Any, partition: int) -> None:  # noqa: ANN401 - the client's records have no types
            if again not in sent:  # several generations may have rejected it
                sent.add(again)
                publisher.send(record.key, record.value, partition=partition, headers=again_headers([again]))

        for rejected in found:
            what = f"{rejected.partition}:{rejected.offset}:{xxhash.xxh3_64_hexdigest(rejected.value)}"
            alike[rejected.generation, what] += 1  # a record may have the same invalid line twice
            again = f"{what}:{alike[rejected.generation, what]}"
            if rejected.is_whole:
                if len(rejected.key or b"") <= LARGEST_RECORD_BYTES:
                    send(again, rejected, rejected.partition)
                else:
                    _leave_out(topics.purchases, rejected, len(rejected.key or b"") + len(rejected.value))
                continue
            for record in read_now(_fetched(broker, topics, rejected)):
                if _is_order(record):
                    send(f"{rejected.partition}:{record.offset}:whole", record, rejected.partition)
    return len(sent) - known


async def _fetched(broker: str, topics: Topics, rejected: Rejected) -> list[Any]:
    """The records of which a rejected one has the first bytes."""
    quieten_client()
    async with TopicReader(broker, bound=lambda _: WHOLE_BYTES) as reader:
        begin, end = await reader.bounds(topics.purchases, rejected.partition)
        last = rejected.offset + rejected.offsets
        if not begin <= rejected.offset < last <= end:
            logger.warning(
                "records %d to %d of topic %s partition %d are not sent again: the topic does not have them any more",
                rejected.offset,
                last - 1,
                topics.purchases,
                rejected.partition,
            )
            return []
        records: list[Any] = []
        async for some in reader.records(topics.purchases, rejected.partition, rejected.offset, last):
            records += some
        return records


def _is_order(record: Any) -> bool:  # noqa: ANN401 - the client's records have no types
    """Whether a record is small enough for an order."""
    cut, length = cut_of(record), len(record.key or b"") + len(record.value or b"")
    if cut is None and length <= LARGEST_RECORD_BYTES:
        return True
    _leave_out(record.topic, record, length if cut is None else cut.length)
    return False


def _leave_out(topic: str, record: Any, length: int) -> None:  # noqa: ANN401 - the client's records have no types
    logger.warning(
        "record %d of topic %s partition %d is not sent again: it has %d bytes; send its lines as several orders",
        record.offset,
        topic,
        record.partition,
        length,
    )
