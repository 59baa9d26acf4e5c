"""A look at all of a log before anything of it is counted: what it holds, and whether it is what was counted before."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from producers.arrays import present, texts
from producers.errors import LogError
from producers.fields import FieldReader
from producers.log_format import MISSING_TEXTS
from producers.logs.chunks import united
from producers.logs.plain_json import RECORD, JsonLinesLog
from producers.logs.reading import open_format
from producers.orders import DAY_MS, EARLIEST_MS
from producers.wire import without_nan

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from producers.arrays import Mask, Whole
    from producers.log_format import LogFormat
    from producers.logs.chunks import Content, Format

ID_FIELDS = ("customer_id", "item_id", "order_id")


class RowDigest:
    """A digest of a log's first rows: what was read of them, valid or not.

    It does not depend on the batches in which rows are read, nor on how a file packs them.

    Attributes:
        rows: up to which position rows are in it.
    """

    def __init__(self) -> None:
        self.rows = 0
        self._hashers: dict[str, xxhash.xxh3_128] = {}

    def copy(self) -> RowDigest:
        """A digest that goes on by itself."""
        other = RowDigest()
        other.rows = self.rows
        other._hashers = {name: hasher.copy() for name, hasher in self._hashers.items()}
        return other

    def update(self, contents: Iterable[Content], end: int) -> None:
        """Take in the rows from where the digest stands up to, not including, `end`.

        Args:
            contents: hold these rows, in their order, and perhaps others.
            end: a position.
        """
        for content in contents:
            if content.end <= self.rows:
                continue
            part = content.cut(self.rows, end)
            self._feed("\0position", part.positions.tobytes())
            for name, column in part.columns.items():
                self._take(name, column, part.positions)
            for line in part.rejected:
                self._feed("\0rejected", f"{line.position} {line.record}\n".encode())
            self.rows = part.end
        self.rows = max(self.rows, end)

    def hexdigest(self) -> str:
        """The digest as text."""
        parts = "".join(f"{name} {self._hashers[name].hexdigest()}\n" for name in sorted(self._hashers))
        return xxhash.xxh3_128_hexdigest(f"{self.rows}\n{parts}".encode())

    def _feed(self, name: str, data: bytes | memoryview) -> None:
        if not len(data):
            return
        hasher = self._hashers.get(name)
        if hasher is None:
            hasher = self._hashers[name] = xxhash.xxh3_128()
        hasher.update(data)

    def _take(self, name: str, column: pa.Array, positions: Whole) -> None:
        if not len(column):
            return
        if pa.types.is_binary(column.type):
            offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)
            self._feed(f"{name}\0lengths", np.diff(offsets).tobytes())
            if (data := column.buffers()[2]) is not None:
                self._feed(name, memoryview(data)[offsets[0] : offsets[-1]])
        else:
            width = column.type.bit_width
            values = (
                column.view(pa.int64() if width == 64 else pa.int32()) if pa.types.is_temporal(column.type) else column
            )
            self._feed(name, values.fill_null(0).to_numpy(zero_copy_only=False).tobytes())
        if column.null_count:
            self._feed(f"{name}\0missing", positions[~present(column)].tobytes())


@dataclass(slots=True)
class Survey:
    """What was found in all of a log.

    Attributes:
        rows: how many there are, up to any damage.
        digests: of the first so many rows, for the numbers asked for that the log has.
        oldest_ms, newest_ms: first and last time, milliseconds since 1970 UTC; None if there is none.
        unfinished: whether a last line may not be whole yet.
        order_ids: whether any row has an order id.
        number_columns: fields of ids of which every value is a whole number, and some are written as floats (17.0).
        first_texts: of the other such fields, where the first value stands that is no whole number.
    """

    rows: int = 0
    digests: dict[int, RowDigest] = field(default_factory=dict)
    oldest_ms: int | None = None
    newest_ms: int | None = None
    unfinished: bool = False
    order_ids: bool = False
    number_columns: tuple[str, ...] = ()
    first_texts: dict[str, int] = field(default_factory=dict)


class Disorder(LogError):
    """A log is not in order of time, and nobody has said what to do about it."""


class WrongEncoding(LogError):
    """A log's text is not in the encoding that it was taken for."""


def survey(
    path: Path, log_format: LogFormat, latest_ms: int, at: Iterable[int] = (), *, any_bytes: bool = False
) -> Survey:
    """Look at all of a log.

    Args:
        path: the file.
        log_format: how it is read.
        latest_ms: later times are no times.
        at: numbers of rows of which to take a digest.
        any_bytes: whether text that is not UTF-8 is known, and costs the lines that hold it.

    Raises:
        Disorder: a line is more than a day older than one before it, and the format does not say what to do about it.
        WrongEncoding: there is text that is not UTF-8.
        LogError: the file cannot be opened.
    """
    found = Survey()
    log = open_format(path, log_format)
    wanted = sorted({row for row in at if row >= 0})
    digest = RowDigest()
    times = _Order(path, log, log_format, latest_ms)
    numbers = {field_name: _Numbers() for field_name in ID_FIELDS}
    try:
        for content in united(log.contents()):
            if not any_bytes:
                _check_text(path, log, content)
            times.look_at(content)
            for field_name, (column, positions) in _ids(content, log, log_format).items():
                numbers[field_name].look_at(column, positions)
                if field_name == "order_id":
                    found.order_ids = found.order_ids or bool(present(column).any())
            while wanted and wanted[0] <= content.end:
                digest.update((content,), wanted[0])
                found.digests[wanted.pop(0)] = digest.copy()
            digest.update((content,), content.end)
            found.rows = content.end
    except (Disorder, WrongEncoding):
        raise
    except LogError:
        pass  # whoever counts the log comes to the damage again, behind the rows before it
    found.oldest_ms, found.newest_ms = times.oldest_ms, times.newest_ms
    found.unfinished = log.unfinished
    found.number_columns = tuple(name for name, one in numbers.items() if one.floats and one.first_text is None)
    found.first_texts = {name: one.first_text for name, one in numbers.items() if one.first_text is not None}
    return found


def _ids(content: Content, log: Format, log_format: LogFormat) -> dict[str, tuple[pa.Array, Whole]]:
    """The columns of ids, and where each value stands."""
    records = log.columns(content) if isinstance(log, JsonLinesLog) else None
    ids = {} if records is None else records.ids()
    if records is None or any(map(pa.types.is_floating, (column.type for column in ids.values()))):
        columns = _ids_of_records(content, log_format) if RECORD in content.columns else content.columns
        return {name: (columns[name], content.positions) for name in ID_FIELDS if name in columns}
    whole = content.positions
    return {
        name: (_without_nothing(column), whole[records.parents] if name == "item_id" else whole)
        for name, column in ids.items()
    }


def _without_nothing(column: pa.Array) -> pa.Array:
    """Ids with null for "" and 0, which are none."""
    there = pc.not_equal(pc.binary_length(column) if pa.types.is_binary(column.type) else column, 0)
    return pc.if_else(there, column, pa.scalar(None, column.type))


def _ids_of_records(content: Content, log_format: LogFormat) -> dict[str, pa.Array]:
    """The ids in records, as text: of an order with several lines the first item that is no whole number, if any."""
    found: dict[str, list[str | None]] = {name: [] for name in ID_FIELDS}
    names = {name: log_format.column_of(name)[0] for name in ID_FIELDS}
    for record in content.columns[RECORD].to_pylist():
        try:
            fields = msgspec.json.decode(without_nan(record), type=dict[str, Any])
        except (ValueError, RecursionError):
            fields = {}
        lines = fields.get("lines")
        rows = [line for line in lines if isinstance(line, dict)] if isinstance(lines, list) else []
        for name, values in found.items():
            several = rows if name == "item_id" and rows else [fields]
            ids = [str(value) for row in several if (value := row.get(names[name]))]
            ids.sort(key=lambda text: (bool(_WHOLE.fullmatch(text)), "." not in text))
            values.append(ids[0] if ids else None)
    return {name: pa.array(values, pa.string()).cast(pa.binary()) for name, values in found.items()}


_WHOLE = re.compile(r"-?[0-9]+(?:\.0*)?")


class _Numbers:
    """Watches whether a column of ids holds whole numbers only."""

    def __init__(self) -> None:
        self.floats = False
        self.first_text: int | None = None

    def look_at(self, column: pa.Array, positions: Whole) -> None:
        """Look at some values, and where they stand."""
        if self.first_text is not None or not pa.types.is_binary(column.type) or not len(column):
            return
        offsets = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, 4 * column.offset)
        data = column.buffers()[2]
        if data is None or (joined := bytes(memoryview(data)[offsets[0] : offsets[-1]])).isdigit():
            return
        text = texts(column)
        whole = pc.match_substring_regex(text, r"^\s*(?:-?[0-9]+(?:\.0*)?)?\s*$").fill_null(True)
        if not pc.all(whole).as_py():
            missing = pc.is_in(pc.utf8_lower(pc.utf8_trim_whitespace(text)), value_set=pa.array(sorted(MISSING_TEXTS)))
            whole = pc.or_(whole, missing.fill_null(True))
            if not pc.all(whole).as_py():
                row = int(np.argmin(whole.to_numpy(zero_copy_only=False)))
                self.first_text = int(positions[row])
                return
        self.floats |= b".0" in joined


class _Order:
    """Watches over the order of a log's times."""

    def __init__(self, path: Path, log: Format, log_format: LogFormat, latest_ms: int) -> None:
        self.oldest_ms: int | None = None
        self.newest_ms: int | None = None
        self._path = path
        self._log = log
        self._checked = log_format.order == "time"
        self._reader = FieldReader(log_format, latest_ms)
        self._latest_ms = latest_ms

    def look_at(self, content: Content) -> None:
        """Look at some rows."""
        time, valid, positions = self._times(content)
        time, positions = time[valid], positions[valid]
        if not len(time):
            return
        before = time[0] if self.newest_ms is None else self.newest_ms
        newest = np.maximum(np.maximum.accumulate(time), before)
        behind = newest - time > DAY_MS
        if self._checked and behind.any():
            row = int(np.argmax(behind))
            days = int((newest[row] - time[row]) // DAY_MS)
            shown = str(time[row].astype("datetime64[ms]").astype("datetime64[s]")).replace("T", " ")
            raise Disorder(
                f"{self._path} is not in order of time: {self._log.place(int(positions[row]))} ({shown}) is {days:,} "
                "days older than a line before it. Counted so, returns may come before their purchases, and lists "
                "differ from those of the log in order; nothing was counted. Add --sort to count it in order, or "
                "--as-it-stands"
            )
        self.oldest_ms = min(int(time.min()), int(time[0]) if self.oldest_ms is None else self.oldest_ms)
        self.newest_ms = int(newest[-1])

    def _times(self, content: Content) -> tuple[Whole, Mask, Whole]:
        if RECORD in content.columns:
            orders, _, _ = self._log.read(content, self._reader)
            return orders.time, np.ones(len(orders), bool), orders.after - 1
        column = content.columns["timestamp"]
        if pa.types.is_binary(column.type):
            column = texts(column)
        time, readable = self._reader.timestamps.read_column(column)
        return time, readable & (time >= EARLIEST_MS) & (time <= self._latest_ms), content.positions


def _check_text(path: Path, log: Format, content: Content) -> None:
    for name, column in content.columns.items():
        if not pa.types.is_binary(column.type):
            continue
        try:
            column.cast(pa.string())
        except pa.ArrowInvalid:
            row = int(np.argmax(~present(texts(column)) & present(column)))
            what = "the record" if name == RECORD else name
            raise WrongEncoding(
                f"{path} is not UTF-8: {what} at {log.place(int(content.positions[row]))}. Say what it is, such as "
                "--encoding windows-1252; with --encoding utf-8 such lines are rejected"
            ) from None
