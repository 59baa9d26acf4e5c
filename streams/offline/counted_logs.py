"""The logs that are counted together, and what the state keeps about them with each commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from producers.logs.merging import MergedLog, SortedLog
from producers.logs.reading import Log, open_log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from producers.logs.grouping import LogBatch
    from streams.offline.known_logs import Planned

_ROWS_APART = 5000
"""Between the checkpoints of a log that is read together with others, of which every commit has some rows."""


def open_planned(planned: Sequence[Planned], latest_ms: int, batch_rows: int) -> Log | MergedLog:
    """The rows of logs that are not counted yet.

    Args:
        planned: one log, or several sorted ones that are read as one.
        latest_ms: how late an order can be, of rows that have no limit.
        batch_rows: rows to read at a time.

    Raises:
        LogError: a log cannot be read.
    """
    if len(planned) > 1:
        return MergedLog([_sorted_log(one) for one in planned], latest_ms, batch_rows)
    (one,) = planned
    log = open_log(
        *(one.source, one.source_format, one.known.rows, latest_ms, batch_rows),
        limits=one.limits(),
        before=one.known.last,
    )
    log.path = one.shown
    return log


def _sorted_log(one: Planned) -> SortedLog:
    known = one.known
    return SortedLog(one.source, one.source_format, one.shown, known.oldest_ms, known.rows, one.limits(), known.last)


class CountedLogs:
    """Keeps account of how far some logs are counted.

    Args:
        planned: the logs.
        log: the same, as they are read.
    """

    def __init__(self, planned: Sequence[Planned], log: Log | MergedLog) -> None:
        self._planned = planned
        self._log = log

    def documents(self, batch: LogBatch) -> dict[str, bytes]:
        """What a commit is to store about the logs once a batch of orders is counted; batches come in their order."""
        documents = {}
        for stand in self._log.stands(batch):
            one = self._planned[stand.log]
            if not one.known.checkpoints:  # whether another file shares even one row
                one.digest.update(stand.content, 1)
                one.advance(one.digest)
            one.digest.update(stand.content, stand.rows)
            one.advance(one.digest, _ROWS_APART if len(self._planned) > 1 else 0)
            one.known.last = stand.last
            documents[one.name] = msgspec.json.encode(one.known)
        return documents
