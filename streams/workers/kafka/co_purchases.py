"""Records of the topic `co-purchases`: what of which log they stand for, and deltas that are larger than a record.

Deltas of more bytes than a record may have are written as numbered parts, one after another, all in one transaction.
They are counted once the last is there. Without transactions a worker that dies may leave only the first ones, and its
successor writes all of them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from state.errors import OtherLog
from state.log_identity import LogIdentity, check_same
from state.settings import CUSTOMER, FIRST_RULES, PURCHASES, CountingSettings
from streams.workers.kafka.errors import LogLost, TopicsUnfit

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCE, BEGIN, END, TOPIC_ID, PARTITIONS = "source", "begin", "end", "topic-id", "partitions"
PARTITIONER, PAIR_WINDOW, RULES, PAIRS, EVENTS = "partitioner", "pair-window", "rules", "pairs", "events"
PART, PARTS = "part", "parts"
UNDECIDED = "undecided"
"""Value of the header PARTITIONER while no order has told by which one customers are placed."""


class DeltaHeaders(NamedTuple):
    """The headers of a record of deltas."""

    source: int
    """The purchases partition."""
    begin: int
    """Its offset from which orders were counted."""
    end: int
    """Its offset up to which they were."""
    purchases: LogIdentity | None
    """The topic `purchases` that was read; None in records of versions that did not say."""
    partitioner: str | None
    """By which customers are placed, or UNDECIDED; None in records of versions that did not check."""
    pair_window: int | None
    """Of stage A; None in records of versions that did not say."""
    rules: int
    """Version of the rules of validation by which orders were read."""
    part: int = 0
    """Which part of the deltas the record holds, from 0."""
    parts: int = 1
    """How many there are: more than one if they are larger than a record may be."""
    counts: str = CUSTOMER
    """What pairs are counted of."""
    events: str = PURCHASES
    """The event type that is counted."""

    @property
    def is_last_part(self) -> bool:
        """Whether all deltas of the range are written with this record."""
        return self.part == self.parts - 1

    def pairs(self) -> tuple[tuple[str, bytes], ...]:
        """The headers as Kafka's clients take them."""
        values: dict[str, object] = {SOURCE: self.source, BEGIN: self.begin, END: self.end, RULES: self.rules}
        if self.purchases is not None:
            values |= {TOPIC_ID: self.purchases.log_id, PARTITIONS: self.purchases.partitions}
        if self.partitioner is not None:
            values[PARTITIONER] = self.partitioner
        if self.pair_window is not None:
            values[PAIR_WINDOW] = self.pair_window
        if self.counts != CUSTOMER:
            values[PAIRS] = self.counts
        if self.events != PURCHASES:
            values[EVENTS] = self.events
        if self.parts > 1:
            values |= {PART: self.part, PARTS: self.parts}
        return tuple((name, str(value).encode()) for name, value in values.items())


def read_headers(record: Any) -> DeltaHeaders | None:  # noqa: ANN401 - the client's records have no types
    """The headers of a record of `co-purchases`; None: stage A did not write it, or there is no record."""
    if record is None:
        return None
    headers = dict(record.headers)
    try:
        source, begin, end = (int(headers[name]) for name in (SOURCE, BEGIN, END))
        purchases = None
        if TOPIC_ID in headers:
            purchases = LogIdentity(headers[TOPIC_ID].decode(), int(headers[PARTITIONS]))
        partitioner = headers[PARTITIONER].decode() if PARTITIONER in headers else None
        pair_window = int(headers[PAIR_WINDOW]) if PAIR_WINDOW in headers else None
        rules = int(headers.get(RULES, FIRST_RULES))
        counts = headers[PAIRS].decode() if PAIRS in headers else CUSTOMER
        part, parts = (int(headers.get(name, least)) for name, least in ((PART, 0), (PARTS, 1)))
        events = headers.get(EVENTS, PURCHASES.encode()).decode()
    except (KeyError, ValueError):
        return None
    if not 0 <= part < parts:
        return None  # it would be the first of parts whose last never comes
    return DeltaHeaders(source, begin, end, purchases, partitioner, pair_window, rules, part, parts, counts, events)


def check_source(
    record: Any,  # noqa: ANN401
    headers: DeltaHeaders,
    purchases: LogIdentity | None,
    counting: CountingSettings,
) -> None:
    """Check that a record of deltas was counted from the topic `purchases` that there is, and as we count.

    Args:
        record: of the topic `co-purchases`.
        headers: its headers.
        purchases: the topic that there is; None: it is not known.
        counting: our settings.

    Raises:
        LogLost: it was counted from another.
        TopicsUnfit: another worker counts other events or pairs, with another pair window, or by other rules of
            validation.
    """
    where = f"offset {record.offset} of topic {record.topic} partition {record.partition}"
    if headers.rules != counting.rules:
        raise TopicsUnfit(
            f"the deltas at {where} were counted by validation rules {headers.rules}, this version of alsobought "
            f"counts by rules {counting.rules}: together they would give counts that no log gives. Start a new "
            "--generation with this version"
        )
    if headers.pair_window not in (None, counting.pair_window):
        raise TopicsUnfit(
            f"the deltas at {where} were counted with pair window {headers.pair_window}, this worker has "
            f"{counting.pair_window}: all workers of a generation need the same. Set --pair-window back, or start a "
            "new --generation"
        )
    if headers.counts != counting.pairs:
        raise TopicsUnfit(
            f"the deltas at {where} are of pairs of {headers.counts}s, this worker counts those of {counting.pairs}s: "
            "all workers of a generation need the same. Set --pairs back, or start a new --generation"
        )
    if headers.events != counting.events:
        raise TopicsUnfit(
            f"the deltas at {where} count events of type {headers.events}, this worker has {counting.events}: all "
            "workers of a generation need the same. Set --events back, or start a new --generation"
        )
    if headers.purchases is None or purchases is None:
        return
    try:
        check_same(f"the deltas at {where} were counted from", "purchases", headers.purchases, purchases)
    except OtherLog as error:
        raise LogLost(str(error)) from None


class WholeDeltas(NamedTuple):
    """Deltas of which all parts are there."""

    topic: str
    partition: int
    offset: int
    """Of the record that has the last part."""
    resume: int
    """Offset from which to read on once they are counted: of other deltas the first parts may stand before."""
    value: bytes


class _Begun(NamedTuple):
    """Deltas of which the first parts are there; or all of them, which may come again."""

    headers: DeltaHeaders
    """Of the last part that is there."""
    offset: int
    """Of the first."""
    parts: list[bytes]

    def is_of(self, headers: DeltaHeaders) -> bool:
        """Whether a record holds a part of these deltas."""
        return self.headers._replace(part=headers.part) == headers


class PartedDeltas:
    """Puts the parts of deltas together, as they are read from a partition of `co-purchases`."""

    def __init__(self) -> None:
        self._begun: dict[int, _Begun] = {}
        """By purchases partition: each writes the parts of its deltas one after another."""

    def whole(self, record: Any, headers: DeltaHeaders, counted: Mapping[int, int]) -> WholeDeltas | None:  # noqa: ANN401
        """The deltas that a record completes; None: parts are missing, or it was there before.

        Args:
            record: the next one of the partition; after some that were read before, perhaps.
            headers: its headers.
            counted: purchases partition -> offset up to which it is counted.

        Raises:
            LogLost: the parts before this one are not there.
        """
        source = headers.source
        begun = self._begun.get(source)
        if headers.part == 0:
            begun = self._begun[source] = _Begun(headers, record.offset, [record.value or b""])
        elif begun is not None and begun.is_of(headers) and headers.part == begun.headers.part + 1:
            begun.parts.append(record.value or b"")
            begun = self._begun[source] = begun._replace(headers=headers)
        elif headers.end <= counted.get(source, 0) or (
            begun is not None and begun.is_of(headers) and headers.part <= begun.headers.part
        ):
            return None
        else:
            raise LogLost(
                f"offset {record.offset} of topic {record.topic} partition {record.partition} has part {headers.part} "
                f"of the {headers.parts} parts of the deltas of purchases partition {source} from {headers.begin} to "
                f"{headers.end}, and those before it are not there: records of the topic were lost, or written by "
                "something else. Start a new --generation"
            )
        if not headers.is_last_part:
            return None
        value = b"".join(begun.parts)
        begun.parts.clear()
        open_offsets = [each.offset for each in self._begun.values() if not each.headers.is_last_part]
        resume = min([record.offset + 1, *open_offsets])
        return WholeDeltas(record.topic, record.partition, record.offset, resume, value)
