"""Writing the catalogue onto the topic `items`: files of it, and which items are shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from producers.connection import quieten_client
from producers.publish import Publisher
from streams.recommendations.catalogue_files import read_catalogue
from streams.recommendations.catalogue_filling import begun, filled, shown_records
from streams.workers.topic_reader import TopicReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from streams.recommendations.catalogue_files import CatalogueRow
    from streams.recommendations.catalogue_filling import Filled
    from streams.workers.topics import Topics


def fill_topic(
    broker: str,
    topics: Topics,
    file: Path,
    columns: Mapping[str, str],
    on_row: Callable[[CatalogueRow], None] = lambda _: None,
    *,
    timeout_s: float = 30,
) -> Filled:
    """Send the rows of a file; return when the broker has them.

    Raises:
        CatalogueError: the file cannot be read.
        OrderError: there is no topic.
        PublishingFailed: the broker did not take a record.
        BrokerUnavailable: no broker answers.
    """
    rows = begun(read_catalogue(file, columns))  # a file that cannot be read sends nothing
    with Publisher(broker, topics.items, timeout_s) as publisher:
        return filled(rows, lambda records: send_items(publisher, records), on_row)


def send_items(publisher: Publisher, records: Sequence[tuple[str, bytes | None]]) -> None:
    """Hand catalogue records over, by item id; None removes an item."""
    for item_id, record in records:
        key = item_id.encode()
        publisher.send(key, record, partition=publisher.partition_of(key))


def set_available(broker: str, topics: Topics, available: Mapping[str, bool], *, timeout_s: float = 30) -> None:
    """Show or hide items; what else the topic says of them stays as it is.

    Args:
        broker: host:port.
        topics: their names.
        available: by item id.
        timeout_s: how long to wait for the broker.

    Raises:
        OrderError, PublishingFailed, BrokerUnavailable: as in `fill_topic`.
    """
    with Publisher(broker, topics.items, timeout_s) as publisher:
        quieten_client()
        known = asyncio.run(_records(broker, publisher, available))
        send_items(publisher, shown_records(known, available))


def remove(broker: str, topics: Topics, item_ids: Iterable[str], *, timeout_s: float = 30) -> None:
    """Forget items.

    Raises:
        OrderError, PublishingFailed, BrokerUnavailable: as in `fill_topic`.
    """
    with Publisher(broker, topics.items, timeout_s) as publisher:
        send_items(publisher, [(item_id, None) for item_id in item_ids])


async def _records(broker: str, publisher: Publisher, item_ids: Iterable[str]) -> dict[str, bytes | None]:
    """The last record of each of some items; of none, nothing."""
    wanted = {item_id.encode(): item_id for item_id in item_ids}
    found: dict[str, bytes | None] = {}
    async with TopicReader(broker) as reader:
        for partition in sorted({publisher.partition_of(key) for key in wanted}):
            begin, end = await reader.bounds(publisher.topic, partition)
            async for records in reader.records(publisher.topic, partition, begin, end):
                found |= {wanted[record.key]: record.value for record in records if record.key in wanted}
    return found
