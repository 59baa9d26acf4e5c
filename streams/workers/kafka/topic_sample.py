"""Some records of a topic: the oldest and the newest of each partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.workers.kafka.reading import TopicReader


async def sampled(reader: TopicReader, topic: str, partitions: int, most: int) -> list[Any]:
    """Some records, partition by partition, by rising offset; those of small topics all.

    Args:
        reader: of the topic.
        topic: its name.
        partitions: it has.
        most: records, and a few more of topics with many partitions.
    """
    share = max(most // partitions // 2, 1)
    found: list[Any] = []
    for number in range(partitions):
        begin, end = await reader.bounds(topic, number)
        middle = min(begin + share, end)
        for first, last in ((begin, middle), (max(middle, end - share), end)):
            async for records in reader.records(topic, number, first, last):
                found += records
    return found
