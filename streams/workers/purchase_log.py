"""Writing to the topic `purchases`: what comes in at the endpoint becomes part of the log like any other order."""

from __future__ import annotations

from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.endpoint.answers import NotReady

_TAKING_MS = 5_000


class PurchaseLog:
    """Appends records, each acknowledged by every replica in sync before it counts as taken.

    Args:
        broker: host:port.
        topic: `purchases`.
    """

    def __init__(self, broker: str, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._producer: Any = None

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._broker, acks="all", enable_idempotence=True, request_timeout_ms=_TAKING_MS
        )
        await self._producer.start()

    async def append(self, customer_id: str, partition: int, record: bytes) -> dict[str, int]:
        """Append a record, and say where it stands.

        Raises:
            NotReady: the log did not take it, as far as is known.
        """
        try:
            # no timestamp of ours: the topic's are the broker's
            place = await self._producer.send_and_wait(
                self._topic, record, key=customer_id.encode(), partition=partition
            )
        except KafkaError as error:
            raise NotReady(
                f"the log has not acknowledged the record: {error!r}; perhaps it took it all the same"
            ) from error
        return {"partition": place.partition, "offset": place.offset}

    async def stop(self) -> None:
        """Let go of the broker, once everything is acknowledged."""
        if self._producer is not None:
            await self._producer.stop()
