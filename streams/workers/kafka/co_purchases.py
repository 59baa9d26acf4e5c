"""Records of the topic `co-purchases`: their headers, which say what of which log a record of deltas stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

from state.errors import OtherLog
from state.log_identity import LogIdentity, check_same
from state.settings import FIRST_RULES, CountingSettings
from streams.workers.kafka.errors import LogLost, TopicsUnfit

SOURCE, BEGIN, END, TOPIC_ID, PARTITIONS = "source", "begin", "end", "topic-id", "partitions"
PARTITIONER, PAIR_WINDOW, RULES = "partitioner", "pair-window", "rules"
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

    def pairs(self) -> tuple[tuple[str, bytes], ...]:
        """The headers as Kafka's clients take them."""
        values: dict[str, object] = {SOURCE: self.source, BEGIN: self.begin, END: self.end, RULES: self.rules}
        if self.purchases is not None:
            values |= {TOPIC_ID: self.purchases.log_id, PARTITIONS: self.purchases.partitions}
        if self.partitioner is not None:
            values[PARTITIONER] = self.partitioner
        if self.pair_window is not None:
            values[PAIR_WINDOW] = self.pair_window
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
    except (KeyError, ValueError):
        return None
    return DeltaHeaders(source, begin, end, purchases, partitioner, pair_window, rules)


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
        TopicsUnfit: another worker counts with another pair window, or by other rules of validation.
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
    if headers.purchases is None or purchases is None:
        return
    try:
        check_same(f"the deltas at {where} were counted from", "purchases", headers.purchases, purchases)
    except OtherLog as error:
        raise LogLost(str(error)) from None
