"""What a commit of stage A has for others: deltas for every item partition, and the records that it rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from streams.engine.deltas import no_deltas, pack_deltas, unpack_deltas
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


class OutboxEntry(NamedTuple):
    """What a commit has to deliver."""

    commit: int
    begin: int
    end: int
    rejected: int
    deltas: bytes


def outbox_of(store: HistoryStore) -> list[OutboxEntry]:
    """What is left to deliver, oldest first."""
    entries = []
    for commit, packed in store.outbox():
        deltas = unpack_deltas(packed)
        entries.append(OutboxEntry(commit, deltas.begin, deltas.end, deltas.rejected, packed))
    return entries


def undelivered(entries: Iterable[OutboxEntry], delivered_offset: int) -> list[OutboxEntry]:
    """The entries of an outbox that stage B does not have."""
    return [entry for entry in entries if entry.end > delivered_offset]


class CommitRecords:
    """Makes the deliveries of commits.

    Args:
        topics: their names.
        counting: what is counted.
        purchases: the topic that is read; None: unknown.
        placement: where customers are.
    """

    def __init__(
        self, topics: Topics, counting: CountingSettings, purchases: LogIdentity | None, placement: Placement
    ) -> None:
        self._topics = topics
        self._counting = counting
        self._purchases = purchases
        self._placement = placement

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
        sent = self._deltas(number, entry, self._placement.partitioner or UNDECIDED)
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
        nothing = OutboxEntry(0, at, at, 0, pack_deltas(no_deltas(number, at)))
        return Delivery(0, at, self._deltas(number, nothing, partitioner))

    def _deltas(self, number: int, entry: OutboxEntry, partitioner: str) -> list[OutgoingRecord]:
        """The deltas of a commit for every item partition."""
        counting = self._counting
        headers = DeltaHeaders(
            number, entry.begin, entry.end, self._purchases, partitioner, counting.pair_window, counting.rules
        ).pairs()
        return [
            OutgoingRecord(self._topics.co_purchases, item_partition, None, entry.deltas, headers)
            for item_partition in range(counting.item_partitions)
        ]
