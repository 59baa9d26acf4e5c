"""The consumer of workers: Kafka's client, which inflates what it fetches within a bound, and off the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer
from aiokafka.protocol.fetch import FetchRequest

from streams.workers.kafka.inflation import bound_of, inflated, is_compressed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


FETCH_BYTES = 2 << 20
"""Of a partition, fetched at once; a larger batch comes alone."""
_MOST_FETCHED_BYTES = 16 << 20
"""Of all partitions; as much again is fetched while these records are counted."""


class BoundedConsumer(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer of batches that are not larger than a bound; see `streams.workers.kafka.inflation`.

    Args:
        topics: to subscribe to.
        bound: (bytes of a compressed batch) to how many it may inflate.
        options: the client's.
    """

    def __init__(self, *topics: str, bound: Callable[[int], int] = bound_of, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*topics, fetch_max_bytes=_MOST_FETCHED_BYTES, **options)
        send = self._client.send

        async def sent(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - the client's requests
            response = await send(*arguments, **named)
            if response.API_KEY == FetchRequest.API_KEY and _any_compressed(response.topics):
                response.topics = await asyncio.to_thread(_bounded, response.topics, bound)
            return response

        self._client.send = sent


_Fetched = list[tuple[str, list[tuple[Any, ...]]]]
"""By topic; the batches are the last of a partition's fields."""


def _any_compressed(topics: _Fetched) -> bool:
    return any(is_compressed(partition[-1]) for _, partitions in topics for partition in partitions if partition[-1])


_INFLATING = threading.Lock()
"""One response at a time, whatever topic it is of: together they would need a multiple of the memory."""


def _bounded(topics: _Fetched, bound: Callable[[int], int]) -> _Fetched:
    def each(partition: Sequence[Any]) -> tuple[Any, ...]:
        return (*partition[:-1], inflated(partition[-1], bound) if partition[-1] else partition[-1])

    with _INFLATING:
        return [(topic, [each(partition) for partition in partitions]) for topic, partitions in topics]
