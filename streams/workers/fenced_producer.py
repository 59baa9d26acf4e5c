"""A producer that shuts out whoever wrote in its name before.

A worker that stood still past its session may wake with records in flight, while another has taken its partition over.
Both write in transactions under the partition's name, and Kafka lets only the newest holder of a name write: once
`open` has returned, nothing of an earlier holder can be appended any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError, ProducerFenced

from streams.workers.producing import Producer, ProducingFailed, send_in_batches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka import TopicPartition

    from streams.workers.producing import Outgoing

TRANSACTION_TIMEOUT_MS = 30_000  # of a producer that died and is not replaced: readers wait this long for its records


class FencedProducer(Producer):
    """Writes records, all or none of them.

    Args:
        broker: host:port.
        name: who writes; among all that `open` under it, the last one shuts the others out.
    """

    def __init__(self, broker: str, name: str) -> None:
        super().__init__(broker, name, transactional_id=name, transaction_timeout_ms=TRANSACTION_TIMEOUT_MS)

    async def write(self, records: Iterable[Outgoing]) -> dict[TopicPartition, int]:
        """Write `records` in one transaction; if it fails, none of them will be read. See `Producer.write`."""
        try:
            await self._client.begin_transaction()
            ends = await send_in_batches(self._client, records)
            await self._client.commit_transaction()
        except ProducerFenced as error:
            raise ProducingFailed(
                f"{self.name}: another worker has taken this partition over, or the broker gave the transaction up "
                f"after {TRANSACTION_TIMEOUT_MS} ms; start this worker again"
            ) from error
        except KafkaError as error:
            raise ProducingFailed(f"{self.name}: records were not accepted: {error!r}") from error
        return ends
