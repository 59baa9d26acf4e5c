"""Several sorted logs read as one: their rows by time, with ties as within a sorted log.

Of each log only some thousand rows are in memory, from the time on at which it begins, and its file is open so long.
"""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from producers.fields import FieldReader
from producers.logs.chunks import Chunk, Content, Limit
from producers.logs.grouping import LogBatch, OpenOrder, continued, whole_orders
from producers.logs.reading import BATCH_ROWS, Origin, Stand, open_format
from producers.logs.sorting import KEYS, LAST, row_times, sort_keys
from producers.orders import arranged, concatenated, order_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Mask, Whole
    from producers.log_format import LogFormat
    from producers.logs.chunks import Format
    from producers.orders import Orders

ROWS_SORTED_AT_ONCE = 4 * BATCH_ROWS
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
        self._logs = [_OpenLog(number, log) for number, log in enumerate(logs)]
        self._readers = {log.reads_as: FieldReader(log.source.log_format, latest_ms) for log in self._logs}
        self._batch_rows = batch_rows
        _allow_open_files(len(logs))
        self._stretches: deque[_Stretch] = deque()

    @property
    def fraction(self) -> float:
        """How much of all logs has been read, 0 to 1."""
        return sum(log.format.fraction for log in self._logs) / len(self._logs)

    @property
    def utc_assumed(self) -> bool:
        """Whether any timestamp read so far named no zone and was taken for UTC."""
        return any(reader.timestamps.utc_assumed for reader in self._readers.values())

    @property
    def unfinished(self) -> bool:
        """No: a sorted copy is whole."""
        return False

    @property
    def fractions(self) -> int:
        """How many quantities were fractions."""
        return sum(reader.fractions for reader in self._readers.values())

    @property
    def excluded(self) -> int:
        """How many lines were of items left out, and skipped."""
        return sum(reader.excluded for reader in self._readers.values())

    @property
    def types(self) -> Counter[str]:
        """How many lines were skipped, by their type, which is not counted."""
        return sum((reader.types for reader in self._readers.values()), Counter())

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
                content = before + tuple(stretch.contents[number])
                found[number] = Stand(number, content, rows, self._logs[number].open_order(rows))
        yield from found.values()

    def __iter__(self) -> Iterator[LogBatch]:
        """The batches.

        Raises:
            LogError: a log is damaged, or ends before its `start_row`.
        """
        self._stretches.clear()
        waiting = {log.number for log in self._logs if log.source.before is not None}
        for batch in whole_orders(
            self._chunks(), self.path, self.place, self.start_row, log_format=self._logs[0].source.log_format
        ):
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
        for logs, rows in _as_many(self._order(), self._batch_rows):
            chunk, stretch = self._read(logs, rows, begin)
            self._stretches.append(stretch)
            yield chunk
            begin = chunk.end

    def _read(self, logs: Whole, rows: Whole, begin: int) -> tuple[Chunk, _Stretch]:
        """The lines of some rows, in their order, from position `begin` on; those that are alike are read at once."""
        groups: dict[_Alike, list[tuple[Content, Whole]]] = {}
        stretch = _Stretch(begin, begin + len(logs), logs, rows, {})
        rejected = []
        for number, places in _places(logs):
            log = self._logs[number]
            low, end = int(rows[places[0]]), int(rows[places[-1]]) + 1
            position = begin + places  # of each row from `low` on
            for part, latest_ms in log.parts(low, end):
                schema = tuple((name, str(column.type)) for name, column in part.columns.items())
                alike = _Alike(log.reads_as, schema, latest_ms)
                groups.setdefault(alike, []).append((part, position[part.positions - low]))
                stretch.contents.setdefault(number, []).append(part)
                rejected += [line._replace(position=int(position[line.position - low])) for line in part.rejected]
            log.forget(end)
        parts = []
        for alike, found in groups.items():
            reader = self._readers[alike.reads_as]
            usual = reader.timestamps.latest_ms
            reader.timestamps.latest_ms = usual if alike.latest_ms is None else alike.latest_ms
            log = next(log for log in self._logs if log.reads_as == alike.reads_as)
            orders, flat, wrong = log.format.read(_in_order(found, stretch.end), reader)
            reader.timestamps.latest_ms = usual
            parts.append((orders, flat))
            rejected += wrong
        orders, flat = _united(parts)
        order = np.argsort(orders.after, kind="stable")
        chunk = Chunk(arranged(orders, order), flat[order], sorted(rejected), stretch.end)
        for number, places in _places(logs[chunk.orders.after - 1 - begin]):
            self._logs[number].note_flat(first=bool(chunk.flat[places[0]]), last=bool(chunk.flat[places[-1]]))
        return chunk, stretch

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
            while (some := _some_first([log.times(bound) for log in active], bound)) != bound:
                yield _sorted([keys for log in active for keys in log.take(some)])
            rows = [keys for log in active for keys in log.take(bound)]
            if rows:
                yield _sorted(rows)
            for log in active:
                if not log.at_end and (log.last_time == bound or log.runs_short):
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
    contents: dict[int, list[Content]]
    """Rows as they stand in each log."""

    def logs_of(self, positions: Whole) -> Whole:
        """The logs of those of some rising positions that are in the stretch."""
        low, high = np.searchsorted(positions, [self.begin, self.end])
        found: Whole = self.logs[positions[low:high] - self.begin]
        return found


class _Alike(NamedTuple):
    """What rows have in common that can be read at once."""

    reads_as: bytes
    """Their log's format."""
    schema: tuple[tuple[str, str], ...]
    """Names and types of their columns."""
    latest_ms: int | None


@dataclass(slots=True)
class _Piece:
    """Rows of a sorted log that were read, and how many of them, from the first on, are in order with all others."""

    content: Content
    rows: Whole
    """(n,) distinct positions, which rise."""
    times: Whole
    """(n,) of each."""
    keys: pa.Table
    """n rows: what they are sorted by, and their numbers."""


@dataclass(slots=True)
class _OpenLog:
    """One of the logs, while it is read."""

    number: int
    source: SortedLog
    format: Format = field(init=False)
    reads_as: bytes = field(init=False)
    """The format of the log, as JSON; logs that have the same are read alike."""
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
        self.reads_as = self.source.log_format.to_json()
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

    @property
    def runs_short(self) -> bool:
        """Whether less is left than half of what was read last, so that several logs read on at a time."""
        return 2 * (self._end - self._taken) < len(self._pieces[-1].rows)

    def open(self) -> None:
        """Read the first rows."""
        self._pieces.clear()
        self._contents = self.format.contents(self.source.start_row)
        self.at_end, self._last_is_flat, self.last = False, None, self.source.before
        self._taken = self._end = self.source.start_row
        self.load()

    def load(self) -> None:
        """Read some more rows, unless there are none."""
        for content in self._contents:
            if content.end <= self.source.start_row:
                continue
            part = content.cut(max(self.source.start_row, self._end), content.end)
            times = row_times(self.format, part, self._times_reader)
            keys = sort_keys(part, times, self._times_reader)
            rows, firsts = np.unique(part.positions, return_index=True)
            if len(rows) < len(times):  # the lines of a record have the same
                times, keys = times[firsts], keys.take(pa.array(firsts))
            number = pa.array(np.full(len(rows), self.number))
            keys = keys.append_column(_ROW, pa.array(rows)).append_column(_LOG, number)
            self._pieces.append(_Piece(part, rows, times, keys))
            self._end = content.end
            return
        self.at_end = True

    def times(self, bound: int | None) -> Whole:
        """Of the rows before a time, or all, of which the order is not known."""
        return np.concatenate([np.zeros(0, np.int64), *(piece.times[some] for piece, some in self._waiting(bound))])

    def take(self, bound: int | None) -> list[pa.Table]:
        """What the next rows are sorted by, with their numbers: those before a time, or all."""
        found = []
        for piece, some in self._waiting(bound):
            found.append(piece.keys.slice(some.start, some.stop - some.start))
            self._taken = int(piece.rows[some.stop - 1]) + 1
        return found

    def _waiting(self, bound: int | None) -> Iterator[tuple[_Piece, slice]]:
        """The rows before a time, or all, of which the order is not known."""
        for piece in self._pieces:
            end = len(piece.times) if bound is None else int(np.searchsorted(piece.times, bound))
            low = int(np.searchsorted(piece.rows, self._taken))
            if low < end:
                yield piece, slice(low, end)

    def parts(self, low: int, end: int) -> Iterator[tuple[Content, int | None]]:
        """Some rows, and the latest time that they may have, if the log has a limit for them."""
        for piece in self._pieces:
            first, last = max(low, int(piece.rows[0])), min(end, int(piece.rows[-1]) + 1)
            while first < last:
                limit = next((limit for limit in self.source.limits if first < limit.rows), None)
                beyond = last if limit is None else min(last, limit.rows)
                yield piece.content.cut(first, beyond), None if limit is None else limit.latest_ms
                first = beyond

    def note_flat(self, *, first: bool, last: bool) -> None:
        """Note whether the first and the last of some orders are single lines."""
        self.first_is_flat = first if self._last_is_flat is None else self.first_is_flat
        self._last_is_flat = last

    def forget(self, end: int) -> None:
        """Release the rows before one, all of which were read."""
        while len(self._pieces) > 1 and self._pieces[0].rows[-1] < end:
            self._pieces.popleft()

    def open_order(self, rows: int) -> OpenOrder | None:
        """The order of the last line, if `rows` are all, and lines that are added may go on with it."""
        return self.last if self.at_end and rows == self._end and self._last_is_flat is not False else None


def _allow_open_files(more: int) -> None:
    """Let the process have so many more files open than it may by default, as far as its hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + more
    if soft != resource.RLIM_INFINITY and more > soft // 4:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _some_first(times: Sequence[Whole], bound: int | None) -> int | None:
    """A time before which only some of the rows stand that are before a bound, the earliest; the bound if they are few.

    Args:
        times: of the rows before the bound, of each log.
        bound: a time, or None.
    """
    if sum(map(len, times)) <= ROWS_SORTED_AT_ONCE:
        return bound
    some = np.partition(np.concatenate(times), (0, ROWS_SORTED_AT_ONCE))
    first, after = int(some[0]), int(some[ROWS_SORTED_AT_ONCE])
    return bound if first == LAST else max(after, first + 1)


def _as_many(orders: Iterable[tuple[Whole, Whole]], count: int) -> Iterator[tuple[Whole, Whole]]:
    """The same rows, so many at a time."""
    waiting: list[tuple[Whole, Whole]] = []
    for order in orders:
        waiting.append(order)
        if sum(len(logs) for logs, _ in waiting) >= count:
            logs, rows = map(np.concatenate, zip(*waiting, strict=True))
            whole = len(logs) // count * count
            for first in range(0, whole, count):
                yield logs[first : first + count], rows[first : first + count]
            waiting = [(logs[whole:], rows[whole:])]
    logs, rows = map(np.concatenate, zip(*waiting, strict=True)) if waiting else (np.zeros(0, np.int64),) * 2
    if len(logs):
        yield logs, rows


def _places(numbers: Whole) -> Iterator[tuple[int, Whole]]:
    """Each number that there is, and where it stands.

    >>> [(number, places.tolist()) for number, places in _places(np.array([7, 3, 7]))]
    [(3, [1]), (7, [0, 2])]
    """
    places = np.argsort(numbers, kind="stable")
    begins = np.flatnonzero(np.diff(numbers[places], prepend=-1))
    for some in np.split(places, begins[1:]) if len(begins) else ():
        yield int(numbers[some[0]]), some


def _in_order(parts: Sequence[tuple[Content, Whole]], end: int) -> Content:
    """Rows of logs that are read alike, by the positions that they have among all rows."""
    positions = np.concatenate([position for _, position in parts])
    order = np.argsort(positions, kind="stable")  # lines of a record stay in their order
    columns = {
        name: pa.concat_arrays([part.columns[name] for part, _ in parts]).take(pa.array(order))
        for name in parts[0][0].columns
    }
    return Content(columns, positions[order], [], end)


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
