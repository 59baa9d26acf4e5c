"""What the formats of logs have in common: they yield rows, which a reader makes orders of one line or record each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Mask, Whole
    from producers.fields import FieldReader
    from producers.orders import Orders, Rejection


SMALL_ROWS, LARGE_ROWS = 4096, 65_536


class Content(NamedTuple):
    """Rows of a log as they stand in it, before anything is made of them."""

    columns: dict[str, pa.Array]
    """n values each: those of the fields that are read, or the rows' text alone."""
    positions: Whole
    """(n,) where each row stands in its log."""
    rejected: list[Rejection]
    """Lines that are no rows."""
    end: int
    """The position behind the last row or line."""

    def lines(self) -> pa.RecordBatch:
        """The columns as a batch."""
        return pa.RecordBatch.from_arrays(list(self.columns.values()), names=list(self.columns))

    def cut(self, first: int, end: int) -> Content:
        """The rows from position `first` up to, not including, `end`."""
        rows = slice(*np.searchsorted(self.positions, [first, end]).tolist())
        return Content(
            {name: column[rows] for name, column in self.columns.items()},
            self.positions[rows],
            [line for line in self.rejected if first <= line.position < end],
            min(end, self.end),
        )


class Chunk(NamedTuple):
    """Some lines of a log: m orders of one line or record each, and the invalid lines."""

    orders: Orders
    flat: Mask
    """(m,) whether the order is one line, to be joined with its neighbours; else it is a whole record."""
    rejected: list[Rejection]
    end: int
    """The position behind the last line, whatever became of it."""
    content: tuple[Content, ...] = ()
    """The rows that these lines were."""


class Format(Protocol):
    """A log file of some format."""

    rows_total: int | None
    names: list[str]
    """Of its columns."""

    @property
    def unfinished(self) -> bool:
        """Whether a last line was left, after reading, that may not be whole yet."""

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""

    def place(self, position: int) -> str:
        """How people find a position in the file."""

    def contents(self, start: int = 0, /) -> Iterator[Content]:
        """The rows from `start` on, perhaps with those before them.

        Raises:
            LogError: the file is damaged; what stands before the damage has been delivered.
        """

    def read(self, content: Content, reader: FieldReader) -> tuple[Orders, Mask, list[Rejection]]:
        """What rows mean: orders of one line or record each, which of them are single lines, and what is invalid.

        Rows come in the order of the log, and all of them from its beginning on if some mean something only behind
        those before them.
        """


@dataclass(frozen=True, slots=True)
class Limit:
    """How late an order can be.

    The limit belongs to the rows that were there when it was set, so that rows mean the same on any later day.
    """

    rows: int
    """Rows below this one are judged by it."""
    latest_ms: int


def read_chunks(
    log: Format, path: Path | str, start_row: int, most: int, reader: FieldReader, limits: Sequence[Limit] = ()
) -> Iterator[Chunk]:
    """The lines of a log from `start_row` on, at most `most` at a time.

    Args:
        log: the file.
        path: its name, for messages.
        start_row: the first row.
        most: rows of a chunk.
        reader: says what the rows mean.
        limits: by rising rows; rows from the last one on are judged by what the reader has.

    Raises:
        LogError: the file is damaged (what stands before the damage has been delivered), or ends before `start_row`.
    """
    end = 0
    for content in united(log.contents(start_row)):
        yield from read_chunks_of(log, content, max(end, start_row), most, reader, limits)
        end = content.end
    check_length(path, end, start_row)


def read_chunks_of(
    log: Format, content: Content, first: int, most: int, reader: FieldReader, limits: Sequence[Limit]
) -> Iterator[Chunk]:
    """The lines of some rows, from `first` on; the other arguments are those of `read_chunks`."""
    usual = reader.timestamps.latest_ms
    while first < content.end:
        limit = next((limit for limit in limits if first < limit.rows), None)
        beyond = min(first + most, content.end, limit.rows if limit else content.end)
        part = content.cut(first, beyond)
        reader.timestamps.latest_ms = limit.latest_ms if limit else usual
        orders, flat, rejected = log.read(part, reader)
        reader.timestamps.latest_ms = usual
        yield Chunk(orders, flat, sorted([*rejected, *part.rejected]), beyond, (part,))
        first = beyond


def united(contents: Iterable[Content]) -> Iterator[Content]:
    """The same rows, with those of many small contents as one: what is done once for each takes its time."""
    waiting: list[Content] = []

    def whole() -> Iterator[Content]:
        if waiting:
            parts = zip(*(content.columns.values() for content in waiting), strict=True)
            columns = dict(zip(waiting[0].columns, map(pa.concat_arrays, parts), strict=True))
            positions = np.concatenate([content.positions for content in waiting])
            yield Content(columns, positions, [line for one in waiting for line in one.rejected], waiting[-1].end)
            waiting.clear()

    try:
        for content in contents:
            small = len(content.positions) <= SMALL_ROWS
            if not small or (waiting and _types(content) != _types(waiting[0])):
                yield from whole()
            if not small:
                yield content
                continue
            waiting.append(content)
            if sum(len(one.positions) for one in waiting) >= LARGE_ROWS:
                yield from whole()
    except LogError:
        yield from whole()
        raise
    yield from whole()


def _types(content: Content) -> list[tuple[str, pa.DataType]]:
    return [(name, column.type) for name, column in content.columns.items()]


def damaged(path: Path, place: str, error: Exception) -> LogError:
    """The error for a file that cannot be read beyond `place`."""
    return LogError(
        f"{path} is damaged or cut short at {place} ({error}): "
        "fetch it again and go on; what was read before the damage stays counted"
    )


def check_length(path: Path | str, rows: int, start_row: int) -> None:
    """Check that a file read to its end, `rows` rows, went as far as `start_row`.

    Raises:
        LogError: it ended before.
    """
    if rows < start_row:
        raise LogError(f"{path} has {rows:,} rows, too few to go on from row {start_row:,}: is it still the same log?")
