"""Several sorted logs read as one: their rows by time, with ties as within a sorted log.

Of each log only some thousand rows are in memory, from the time on at which it begins.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from producers.fields import FieldReader
from producers.logs.chunks import Chunk, Content, Limit, read_chunks_of
from producers.logs.grouping import LogBatch, OpenOrder, continued, whole_orders
from producers.logs.reading import BATCH_ROWS, Origin, Stand, open_format
from producers.logs.sorting import KEYS, row_times, sort_keys
from producers.orders import arranged, concatenated, order_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Mask, Whole
    from producers.log_format import LogFormat
    from producers.logs.chunks import Format
    from producers.orders import Orders

_LOG, _ROW = "\0log", "\0row"
_IN_TURN = ("time", *(f"key {name}" for name in KEYS), _LOG, _ROW)


class SortedLog(NamedTuple):
    """A log to merge with others."""

    path: Path
    """A sorted copy, as `sort_log` writes it."""
    log_format: LogFormat
    """How that is read."""
    shown: str
    """What people call the log."""
    begin_ms: int | None = None
    """Its first time; None: that is not known."""
    start_row: int = 0
    """The first row to read."""
    limits: Sequence[Limit] = ()
    """The latest times of the first rows, where these were set before."""
    before: OpenOrder | None = None
    """The last order before `start_row`, if it may go on there."""


class MergedLog:
    """Sorted logs as one. Iterating over it reads them; each time from the same rows.

    A position is the number of rows, of all logs, that stand before a row.

    Args:
        logs: the logs.
        latest_ms: lines after it, in milliseconds since 1970 UTC, are rejected, if their log has no limit for them.
        batch_rows: rows to read at a time.

    Raises:
        LogError: a log cannot be read.
    """

    def __init__(self, logs: Sequence[SortedLog], latest_ms: int | None = None, batch_rows: int = BATCH_ROWS) -> None:
        shown = [log.shown for log in logs]
        self.path = ", ".join(shown[:3]) + (f" and {len(shown) - 3:,} more" if len(shown) > 3 else "")
        self.start_row = sum(log.start_row for log in logs)
        self._logs = [_OpenLog(number, log, latest_ms) for number, log in enumerate(logs)]
        self._batch_rows = batch_rows
        self._stretches: deque[_Stretch] = deque()

    @property
    def fraction(self) -> float:
        """How much of all logs has been read, 0 to 1."""
        return sum(log.format.fraction for log in self._logs) / len(self._logs)

    @property
    def utc_assumed(self) -> bool:
        """Whether any timestamp read so far named no zone and was taken for UTC."""
        return any(log.reader.timestamps.utc_assumed for log in self._logs)

    @property
    def unfinished(self) -> bool:
        """No: a sorted copy is whole."""
        return False

    @property
    def fractions(self) -> int:
        """How many quantities were fractions."""
        return sum(log.reader.fractions for log in self._logs)

    @property
    def skipped(self) -> int:
        """How many lines were no purchases, or of items left out."""
        return sum(log.reader.events + log.reader.excluded for log in self._logs)

    def place(self, position: int) -> str:
        """How people find a position."""
        origin = self.origin(position)
        return f"{origin.place} of {origin.path}"

    def origin(self, position: int) -> Origin:
        """Where the row at a position is from; rows before the batch that `stands` was asked about are forgotten."""
        stretch = self._stretches[bisect_left(self._stretches, position + 1, key=lambda stretch: stretch.end)]
        place = position - stretch.begin
        log = self._logs[int(stretch.logs[place])]
        row = int(stretch.rows[place])
        return Origin(log.number, log.source.shown, row, log.format.place(row), log.source.log_format)

    def stands(self, batch: LogBatch) -> Iterator[Stand]:
        """How far each log that a batch of orders has rows of is read at its end; batches come in their order."""
        while self._stretches and self._stretches[0].end <= batch.begin:
            self._stretches.popleft()
        found: dict[int, Stand] = {}
        for stretch in self._stretches:
            logs = stretch.logs[: max(0, batch.end - stretch.begin)]
            for number in np.unique(logs[max(0, batch.begin - stretch.begin) :]).tolist():
                rows = 1 + int(stretch.rows[: len(logs)][logs == number][-1])
                before = found[number].content if number in found else ()
                content = tuple(one for log, one in stretch.contents if log == number)
                found[number] = Stand(number, before + content, rows, self._logs[number].open_order(rows))
        yield from found.values()

    def __iter__(self) -> Iterator[LogBatch]:
        """The batches.

        Raises:
            LogError: a log is damaged, or ends before its `start_row`.
        """
        self._stretches.clear()
        waiting = {log.number for log in self._logs if log.source.before is not None}
        for batch in whole_orders(self._chunks(), self.path, self.place, self.start_row):
            yield self._noted(batch._replace(last=None), waiting)

    def _noted(self, batch: LogBatch, waiting: set[int]) -> LogBatch:
        """The batch, whose orders may be the rest of those before the first rows; the last order of each log is noted.

        Args:
            batch: orders.
            waiting: numbers of logs of which no order was read yet, and the first one may be the rest of another.
        """
        orders = batch.orders
        if not len(orders.item):
            return batch
        positions = orders.position
        logs = np.concatenate([stretch.logs_of(positions) for stretch in self._stretches])
        for number in np.unique(logs).tolist():
            log = self._logs[number]
            lines = np.flatnonzero(logs == number)
            first, last = (int(np.searchsorted(orders.start, line, "right")) - 1 for line in lines[[0, -1]])
            if number in waiting and log.first_is_flat and orders.start[first] == lines[0]:
                origin = self.origin(int(positions[lines[0]]))
                before = log.source.before
                if before is not None:
                    after = int(positions[lines[0]]) - (origin.row - before.after)
                    batch = continued(batch, before._replace(after=after), first)
            waiting.discard(number)
            row = self.origin(int(positions[lines[-1]])).row
            customer = order_key(orders.customers[orders.customer[last]])
            kind, key = int(orders.kind[last]), int(orders.key[last])
            log.last = OpenOrder(customer, int(batch.orders.time[last]), kind, key, row + 1) if key else None
        return batch

    def _chunks(self) -> Iterator[Chunk]:
        """The lines of all logs, some at a time."""
        begin = self.start_row
        for logs, rows in self._order():
            for first in range(0, len(logs), self._batch_rows):
                some = slice(first, first + self._batch_rows)
                chunk, stretch = self._read(logs[some], rows[some], begin)
                self._stretches.append(stretch)
                yield chunk
                begin = chunk.end

    def _read(self, logs: Whole, rows: Whole, begin: int) -> tuple[Chunk, _Stretch]:
        """The lines of some rows, in their order, from position `begin` on."""
        parts: list[tuple[Orders, Mask]] = []
        contents: list[tuple[int, Content]] = []
        rejected = []
        for number in np.unique(logs).tolist():
            log = self._logs[number]
            places = begin + np.flatnonzero(logs == number)
            low, end = int(rows[places[0] - begin]), int(rows[places[-1] - begin]) + 1
            for chunk in log.read(low, end):
                orders = chunk.orders
                after, position = places[orders.after - 1 - low] + 1, places[orders.position - low]
                parts.append((replace(orders, after=after, position=position), chunk.flat))
                rejected += [line._replace(position=int(places[line.position - low])) for line in chunk.rejected]
                contents += [(number, content) for content in chunk.content]
            log.forget(end)
        orders, flat = _united(parts)
        order = np.argsort(orders.after, kind="stable")
        end = begin + len(logs)
        return (
            Chunk(arranged(orders, order), flat[order], sorted(rejected), end),
            _Stretch(begin, end, logs, rows, contents),
        )

    def _order(self) -> Iterator[tuple[Whole, Whole]]:
        """The rows of all logs in order, some at a time: number of the log, and row."""
        waiting = sorted(self._logs, key=lambda log: log.begin, reverse=True)
        active: list[_OpenLog] = []
        while waiting or active:
            going_on = [log.last_time for log in active if not log.at_end]
            bound = min(going_on, default=None)
            if waiting and (bound is None or waiting[-1].begin <= bound):
                active.append(waiting.pop())
                active[-1].open()
                continue
            rows = [keyed for log in active if (keyed := log.take(bound)) is not None]
            if rows:
                yield _sorted(rows)
            for log in active:
                if not log.at_end and log.last_time == bound:
                    log.load()
            active = [log for log in active if log.holds_rows or not log.at_end]


class _Stretch(NamedTuple):
    """Rows that were read together."""

    begin: int
    end: int
    logs: Whole
    """Number of the log of each row."""
    rows: Whole
    """Of that log."""
    contents: list[tuple[int, Content]]
    """Rows as they stand in their logs, each with the log's number."""

    def logs_of(self, positions: Whole) -> Whole:
        """The logs of those of some rising positions that are in the stretch."""
        low, high = np.searchsorted(positions, [self.begin, self.end])
        found: Whole = self.logs[positions[low:high] - self.begin]
        return found


@dataclass(slots=True)
class _Piece:
    """Rows of a sorted log that were read, and how many of them, from the first on, are in order with all others."""

    content: Content
    times: Whole
    """Of each row."""
    rows: Whole
    """Distinct positions."""


@dataclass(slots=True)
class _OpenLog:
    """One of the logs, while it is read."""

    number: int
    source: SortedLog
    latest_ms: int | None
    format: Format = field(init=False)
    reader: FieldReader = field(init=False)
    last: OpenOrder | None = field(default=None, init=False)
    """The order of the last line that was read."""
    first_is_flat: bool = field(default=False, init=False)
    at_end: bool = field(default=False, init=False)
    _last_is_flat: bool | None = field(default=None, init=False)
    _pieces: deque[_Piece] = field(default_factory=deque, init=False)
    _contents: Iterator[Content] = field(init=False)
    _times_reader: FieldReader = field(init=False)
    _taken: int = field(default=0, init=False)
    """Up to which row the order is known."""
    _end: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.format = open_format(self.source.path, self.source.log_format)
        self.reader = FieldReader(self.source.log_format, self.latest_ms)
        self._times_reader = FieldReader(self.source.log_format)

    @property
    def begin(self) -> int:
        """The first time, or less."""
        return -1 if self.source.begin_ms is None else self.source.begin_ms

    @property
    def last_time(self) -> int:
        """Of the rows that were read."""
        return int(self._pieces[-1].times[-1])

    @property
    def holds_rows(self) -> bool:
        """Whether there are rows of which the order is not known."""
        return self._taken < self._end

    def open(self) -> None:
        """Read the first rows."""
        self._pieces.clear()
        self._contents = self.format.contents()
        self.at_end, self._last_is_flat, self.last = False, None, self.source.before
        self._taken = self._end = self.source.start_row
        self.load()

    def load(self) -> None:
        """Read some more rows, unless there are none."""
        for content in self._contents:
            if content.end <= self.source.start_row:
                continue
            part = content.cut(max(self.source.start_row, self._end), content.end)
            rows = np.unique(part.positions)
            self._end = content.end
            self._pieces.append(_Piece(part, row_times(self.format, part, self._times_reader), rows))
            return
        self.at_end = True

    def take(self, bound: int | None) -> pa.Table | None:
        """What the next rows are sorted by, with their numbers: those before a time, or all; None if there are none."""
        found = []
        for piece in self._pieces:
            end = len(piece.times) if bound is None else int(np.searchsorted(piece.times, bound))
            low = int(np.searchsorted(piece.content.positions, self._taken))
            if low >= end:
                continue
            positions = piece.content.positions[low:end]
            part = piece.content.cut(int(positions[0]), int(positions[-1]) + 1)
            keys = sort_keys(part, piece.times[low:end], self._times_reader)
            keys = keys.append_column(_ROW, pa.array(positions)).append_column(
                _LOG, pa.array(np.full(len(positions), self.number))
            )
            found.append(keys.take(pa.array(np.unique(positions, return_index=True)[1])))
            self._taken = int(positions[-1]) + 1
        return pa.concat_tables(found, promote_options="default") if found else None

    def read(self, low: int, end: int) -> Iterator[Chunk]:
        """The lines of some rows."""
        for piece in self._pieces:
            first, last = max(low, int(piece.rows[0])), min(end, int(piece.rows[-1]) + 1)
            if first >= last:
                continue
            part = piece.content.cut(first, last)
            for chunk in read_chunks_of(self.format, part, first, end - low, self.reader, self.source.limits):
                if len(chunk.orders):
                    self.first_is_flat = bool(chunk.flat[0]) if self._last_is_flat is None else self.first_is_flat
                    self._last_is_flat = bool(chunk.flat[-1])
                yield chunk

    def forget(self, end: int) -> None:
        """Release the rows before one, all of which were read."""
        while len(self._pieces) > 1 and self._pieces[0].rows[-1] < end:
            self._pieces.popleft()

    def open_order(self, rows: int) -> OpenOrder | None:
        """The order of the last line, if `rows` are all, and lines that are added may go on with it."""
        return self.last if self.at_end and rows == self._end and self._last_is_flat is not False else None


def _sorted(tables: Sequence[pa.Table]) -> tuple[Whole, Whole]:
    """The rows of several logs in order: number of the log, and row."""
    joined = pa.concat_tables(tables, promote_options="default")
    keys = {name: joined.column(name).fill_null(b"") for name in joined.column_names if name.startswith("key ")}
    joined = pa.table({**keys, **{name: joined.column(name) for name in ("time", _LOG, _ROW)}})
    joined = joined.sort_by([(name, "ascending") for name in _IN_TURN if name in joined.column_names])
    return joined.column(_LOG).to_numpy(), joined.column(_ROW).to_numpy()


def _united(parts: Sequence[tuple[Orders, Mask]]) -> tuple[Orders, Mask]:
    """Orders of several logs, one behind the other."""
    while len(parts) > 1:  # in pairs, so that no id is looked up more often than there are doublings
        pairs = [parts[place : place + 2] for place in range(0, len(parts), 2)]
        parts = [
            pair[0]
            if len(pair) == 1
            else (concatenated(pair[0][0], pair[1][0]), np.concatenate((pair[0][1], pair[1][1])))
            for pair in pairs
        ]
    return parts[0]
