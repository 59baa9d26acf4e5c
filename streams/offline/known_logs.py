"""What a state keeps about the logs that it has counted, and what is known of one before it is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from producers.logs.chunks import Limit
from producers.logs.grouping import OpenOrder
from producers.logs.reading import open_format
from producers.logs.survey import RowDigest
from producers.timestamps import LATEST_MS
from streams.offline.overlaps import overlap_warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from producers.log_format import LogFormat
    from streams.offline.overlaps import Span

MOST_CHECKPOINTS = 128


class KnownLog(msgspec.Struct):
    """What a state keeps about a log.

    Attributes:
        path: where it was read last.
        rows: up to which row it is counted.
        digest: of these rows.
        checkpoints: digests of fewer rows, by rising rows: (rows, digest).
        settled: how it is read, as `LogFormat.differences`.
        given: what of that the user has named; None in states written before.
        profile: the profile that it is read by, if the user has named one.
        limits: how late an order can be: (rows, milliseconds since 1970 UTC).
        total_rows, size, modified_ns: of the file when it was looked at.
        last: the last order that is counted, if the next lines may go on with it.
        oldest_ms, newest_ms: its first and last time.
    """

    path: str
    rows: int = 0
    digest: str = ""
    checkpoints: list[tuple[int, str]] = []
    settled: dict[str, Any] = {}
    given: dict[str, Any] | None = None
    profile: str | None = None
    limits: list[tuple[int, int]] = []
    total_rows: int = 0
    size: int = -1
    modified_ns: int = -1
    last: OpenOrder | None = None
    oldest_ms: int | None = None
    newest_ms: int | None = None

    @property
    def span(self) -> Span | None:
        """Its first and its last time."""
        return None if self.oldest_ms is None or self.newest_ms is None else (self.oldest_ms, self.newest_ms)


def known_logs(documents: Mapping[str, bytes]) -> dict[str, KnownLog]:
    """The logs that a state knows, by name, among its documents; those about anything else have a slash in theirs."""
    return {
        name: msgspec.json.decode(document, type=KnownLog) for name, document in documents.items() if "/" not in name
    }


def known_rows(documents: Mapping[str, bytes]) -> dict[str, int]:
    """Up to which row each log that a state knows is counted."""
    return {name: one.rows for name, one in known_logs(documents).items()}


@dataclass(slots=True)
class Planned:
    """A file to count.

    Attributes:
        path: the file.
        name: by which the state knows the log; "" until a new one is counted.
        log_format: how it is read.
        source: where its rows are read: the file, or a sorted copy.
        source_format: how that is read.
        known: what the state keeps about it, up to date but for the rows to be counted.
        digest: of the rows counted before.
        assumed: what was found and differs from a plain log, a sentence each.
        warnings: what a person should know.
        unfinished: whether a last line may not be whole yet.
        unchanged: whether nothing has been added since it was counted.
        first: digest of its first row.
        shown: what people call it.
        is_new: whether nothing of it was counted before.
        order_ids: whether it has any.
    """

    path: Path
    name: str
    log_format: LogFormat
    source: Path
    source_format: LogFormat
    known: KnownLog
    digest: RowDigest
    assumed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unfinished: bool = False
    unchanged: bool = False
    first: str = ""
    shown: str = ""
    is_new: bool = False
    order_ids: bool = False

    def limits(self) -> list[Limit]:
        """How late an order of each row can be."""
        return [Limit(rows, latest_ms) for rows, latest_ms in self.known.limits]

    @property
    def is_sorted(self) -> bool:
        """Whether there is anything to count, in order of time."""
        return self.log_format.order == "sort" and not self.unchanged

    def shares_rows(self, other: Planned) -> bool:
        """Whether one of two logs begins with all rows of the other, so that they may be one that has grown."""
        rows = min(self.known.total_rows, other.known.total_rows)
        if not self.first or self.first != other.first:
            return False
        one_line = rows <= 1 and self.known.total_rows != other.known.total_rows  # is no evidence
        return not one_line and self._digest(rows) == other._digest(rows)

    def _digest(self, rows: int) -> str:
        """Of its first rows."""
        digest = RowDigest()
        for content in open_format(self.source, self.source_format).contents():
            digest.update((content,), min(rows, content.end))
            if content.end >= rows:
                break
        return digest.hexdigest()

    def warn_of_overlap(self, known: Iterable[KnownLog]) -> None:
        """Add what a person should know if the log's times are not behind those of other logs."""
        warning = overlap_warning(self.path, self.known.span, spans_of(known), order_ids=self.order_ids)
        self.warnings += [warning] if warning else []

    def counted(self) -> list[Limit]:
        """The same of the rows that are counted."""
        return counted_limits(self.known)

    def advance(self, digest: RowDigest, apart: int = 0) -> None:
        """Record that the log is counted up to the rows of a digest; checkpoints are at least so many rows apart."""
        known = self.known
        text = digest.hexdigest()
        known.rows, known.digest = digest.rows, text
        if known.checkpoints and digest.rows - known.checkpoints[-1][0] < apart:
            return
        known.checkpoints.append((digest.rows, text))
        if len(known.checkpoints) > MOST_CHECKPOINTS:
            first, *rest = known.checkpoints
            known.checkpoints = [first, *rest[1::2]]


def counted_limits(known: KnownLog) -> list[Limit]:
    """How late an order of each of the rows that are counted can be."""
    limits = [Limit(rows, latest_ms) for rows, latest_ms in known.limits if rows < known.rows]
    latest_ms = next((latest_ms for rows, latest_ms in known.limits if rows >= known.rows), LATEST_MS)
    return [*limits, Limit(known.rows, latest_ms)]


def spans_of(known: Iterable[KnownLog]) -> list[Span]:
    """The times of the logs that have any."""
    return [one.span for one in known if one.span is not None]
