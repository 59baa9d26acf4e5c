"""What a commit of stage A has for others: deltas for every item partition, and the records that it rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from streams.engine.deltas import DeltasRecord, no_deltas, pack_deltas, unpack_deltas
from streams.workers.kafka.co_purchases import UNDECIDED, DeltaHeaders
from streams.workers.kafka.producers import Delivery, OutgoingRecord
from streams.workers.kafka.purchases import NOT_HELD_REASON, rejection_record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from producers.orders import Rejection
    from state.history_store import HistoryStore
    from state.log_identity import LogIdentity
    from state.settings import CountingSettings
    from streams.workers.kafka.placement import Placement
    from streams.workers.kafka.topics import Topics


HEADERS_BYTES = 1 << 10
"""At most, of a record of deltas besides its value, and of the batch that holds it."""


class OutboxEntry(NamedTuple):
    """What a commit has to deliver."""

    commit: int
    deltas: list[DeltasRecord]
    """That follow each other; at least one."""

    @property
    def begin(self) -> int:
        """Log position where they begin."""
        return self.deltas[0].begin

    @property
    def end(self) -> int:
        """Log position after them."""
        return self.deltas[-1].end


def outbox_of(store: HistoryStore) -> list[OutboxEntry]:
    """What is left to deliver, oldest first."""
    entries: list[OutboxEntry] = []
    for commit, packed in store.outbox():
        deltas = unpack_deltas(packed)
        if not entries or entries[-1].commit != commit:
            entries.append(OutboxEntry(commit, []))
        entries[-1].deltas.append(DeltasRecord(deltas.begin, deltas.end, deltas.rejected, packed))
    return entries


def undelivered(entries: Iterable[OutboxEntry], delivered_offset: int) -> list[OutboxEntry]:
    """What stage B does not have of the entries of an outbox."""
    left = [
        OutboxEntry(entry.commit, [deltas for deltas in entry.deltas if deltas.end > delivered_offset])
        for entry in entries
    ]
    return [entry for entry in left if entry.deltas]


class CommitRecords:
    """Makes the deliveries of commits.

    Args:
        topics: their names.
        counting: what is counted.
        purchases: the topic that is read; None: unknown.
        placement: where customers are.
        record_bytes: how many a record has at most.
    """

    def __init__(
        self,
        topics: Topics,
        counting: CountingSettings,
        purchases: LogIdentity | None,
        placement: Placement,
        record_bytes: int,
    ) -> None:
        self._topics = topics
        self._counting = counting
        self._purchases = purchases
        self._placement = placement
        self.most_bytes = record_bytes - HEADERS_BYTES
        """Of the value of a record of deltas."""

    def delivery(
        self,
        number: int,
        entry: OutboxEntry,
        records: Iterable[Any],
        rejections: list[Rejection],
        refused: set[int],
    ) -> Delivery:
        """The deltas of a commit, and the records that it rejected, at least in part.

        Args:
            number: of the purchases partition.
            entry: of the outbox.
            records: that the commit counted.
            rejections: those of them that are invalid.
            refused: offsets of those that return what is not held.
        """
        partitioner = self._placement.partitioner or UNDECIDED
        sent = [record for deltas in entry.deltas for record in self._records(number, deltas, partitioner)]
        if rejections or refused:
            by_offset = {record.offset: record for record in records}
            sent += [
                rejection_record(by_offset[bad.position], bad.reason, self._topics, bad.record if bad.partial else None)
                for bad in rejections
            ]
            sent += [rejection_record(by_offset[offset], NOT_HELD_REASON, self._topics) for offset in sorted(refused)]
        return Delivery(entry.commit, entry.end, sent)

    def announcement(self, number: int, at: int, partitioner: str) -> Delivery:
        """Deltas of no orders, after those up to offset `at`; their header names the generation's partitioner."""
        nothing = DeltasRecord(at, at, 0, pack_deltas(no_deltas(number, at)))
        return Delivery(0, at, self._records(number, nothing, partitioner))

    def _records(self, number: int, deltas: DeltasRecord, partitioner: str) -> list[OutgoingRecord]:
        """Deltas for every item partition, in parts if they are larger than a record may be."""
        counting, length = self._counting, self.most_bytes
        headers = DeltaHeaders(
            number, deltas.begin, deltas.end, self._purchases, partitioner, counting.pair_window, counting.rules
        )._replace(counts=counting.pairs, events=counting.events)
        values = [deltas.packed[first : first + length] for first in range(0, len(deltas.packed), length)]
        parts = [(headers._replace(part=part, parts=len(values)).pairs(), value) for part, value in enumerate(values)]
        return [
            OutgoingRecord(self._topics.co_purchases, item_partition, None, value, pairs)
            for item_partition in range(counting.item_partitions)
            for pairs, value in parts
        ]
