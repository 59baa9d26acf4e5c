"""Purchase logs: CSV, JSON lines and Parquet files as batches of orders, in bounded memory.

A log is read from any row on, so that a replay goes on where it stopped. The orders it yields do not depend on where
its batches end.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from producers.errors import LogError
from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.chunks import Chunk, Content, Format, Limit, read_chunks
from producers.logs.plain_csv import CsvLog
from producers.logs.plain_json import JsonLinesLog
from producers.logs.plain_parquet import ParquetLog, is_flat
from producers.orders import (
    CONTINUED,
    LARGEST_ORDER_LINES,
    ORDER,
    PURCHASE,
    Orders,
    Rejection,
    compacted,
    concatenated,
    joined,
    kept,
    order_key,
    too_many_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from producers.arrays import Mask
    from producers.log_format import Compression, Container

BATCH_ROWS = 65_536
FARTHEST_LINES = 65_536  # rows between two lines of one order, all rejected; they wait in memory for its end
LONGEST_ORDER_LINES = 1_000_000
FINGERPRINT_BYTES = 1 << 20


class LogBatch(NamedTuple):
    """The rows `begin` up to, not including, `end` of a log: every one is in an order, rejected, or an empty line."""

    orders: Orders
    rejected: list[Rejection]
    """In log order."""
    begin: int
    end: int
    content: tuple[Content, ...] = ()
    """The rows as they stand in the file, and perhaps some before or behind these."""
    last: OpenOrder | None = None
    """The last order, at the end of a file, if lines that are added to the file may go on with it."""


class OpenOrder(NamedTuple):
    """An order of lines at the end of a file, with which lines that are added to the file may go on."""

    customer: int
    """Hash of the id, which a state may have to forget."""
    time_ms: int
    kind: int
    key: int
    after: int
    """Position behind its last line."""

    def goes_on(self, orders: Orders) -> bool:
        """Whether the first of some orders, read behind it, is the same order."""
        return (
            order_key(orders.customers[orders.customer[0]]) == self.customer
            and int(orders.kind[0]) == self.kind
            and int(orders.key[0]) == self.key
            and int(orders.position[0]) - self.after < FARTHEST_LINES
        )


class Log:
    """A log file from some row on. Iterating over it reads it; each time from the same row.

    Adjacent lines with the same customer, order id and type are one order, whatever rejected lines stand between them;
    its time is that of its first line. An order is never cut by the end of a batch. The lines of an order that has more
    than `LARGEST_ORDER_LINES` are rejected.
    """

    def __init__(
        self,
        path: Path,
        source: Format,
        reader: FieldReader,
        start_row: int,
        batch_rows: int,
        limits: Sequence[Limit] = (),
        before: OpenOrder | None = None,
    ) -> None:
        self.path: Path | str = path
        """Or what people call it."""
        self.start_row = start_row
        self.reader = reader
        self._source = source
        self._batch_rows = batch_rows
        self._limits = limits
        self._before = before

    @property
    def rows_total(self) -> int | None:
        """Rows in the file; None if only reading it tells."""
        return self._source.rows_total

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return self._source.fraction

    @property
    def utc_assumed(self) -> bool:
        """Whether any timestamp read so far named no zone and was taken for UTC."""
        return self.reader.timestamps.utc_assumed

    @property
    def unfinished(self) -> bool:
        """Whether a last line was left that may not be whole yet."""
        return self._source.unfinished

    def place(self, position: int) -> str:
        """How people find a position in this file: "line 18" of a text file, "row 16", counted from 0, of Parquet."""
        return self._source.place(position)

    def __iter__(self) -> Iterator[LogBatch]:
        """The batches of the log.

        Raises:
            LogError: the file is damaged (the orders that are whole before the damage have been yielded), ends before
                `start_row`, or has an order of more than a million lines.
        """
        begin = end = self.start_row
        before = self._before
        held: Chunk | None = None
        for chunk in read_chunks(self._source, self.path, self.start_row, self._batch_rows, self.reader, self._limits):
            if before is not None and held is None and len(chunk.orders) and not chunk.flat[0]:
                before = None
            batch, held = _split(chunk if held is None else _behind(held, chunk), begin)
            if batch.end > begin:
                yield _capped(_continued(batch, before))
                before = None if len(batch.orders) else before
            begin, end = batch.end, chunk.end
            if held is not None and len(held.orders) > LONGEST_ORDER_LINES:
                raise LogError(
                    f"{self.path} has an order of more than {LONGEST_ORDER_LINES:,} lines, at {self.place(begin)}: "
                    "is the right column order_id?"
                )
        if held is not None:
            whole = _joined(held.orders, _opens(held), end)
            batch = _continued(LogBatch(whole, held.rejected, begin, end, held.content), before)
            yield _capped(batch)._replace(last=_open_order(held, batch))


def open_log(
    path: str | Path,
    log_format: LogFormat | Mapping[str, str] | None = None,
    start_row: int = 0,
    latest_ms: int | None = None,
    batch_rows: int = BATCH_ROWS,
    limits: Sequence[Limit] = (),
    before: OpenOrder | None = None,
) -> Log:
    r"""A log to read.

    Args:
        path: the file.
        log_format: how it is read. A mapping of fields to columns, or None, is a plain log, whose name ends in .csv,
            .jsonl, .ndjson or .parquet, text perhaps with .gz.
        start_row: the first row to read, from 0; a header is no row, an empty line is one.
        latest_ms: lines after it, in milliseconds since 1970 UTC, are rejected.
        batch_rows: rows to read at a time.
        limits: the latest times of the first rows, where these were set before.
        before: the last order before `start_row`, if it may go on there.

    Raises:
        LogError: no such file, no known format, unreadable, or columns are missing.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     log = Path(directory, "orders.csv")
    ...     _ = log.write_text("user,item_id,timestamp\nann,milk,2017-01-01\nbob,,2017-01-01\n")
    ...     batches = list(open_log(log, {"customer_id": "user"}))
    >>> [batch.orders.customers for batch in batches]
    [['ann']]
    >>> batches[0].rejected[0].position, batches[0].rejected[0].reason
    (1, 'item_id is missing')
    """
    path = Path(path)
    if not isinstance(log_format, LogFormat):
        log_format = plain_format(path, log_format or {})
    reader = FieldReader(log_format, latest_ms)
    return Log(path, open_format(path, log_format), reader, start_row, batch_rows, limits, before)


def open_format(path: Path, log_format: LogFormat) -> Format:
    """The file as rows.

    Raises:
        LogError: it cannot be read so.
    """
    try:
        with path.open("rb"):  # Arrow would take a missing file for a damaged one
            if log_format.container == "parquet" and _is_flat(log_format) and is_flat(path, log_format):
                return ParquetLog(path, log_format)
            if log_format.container == "jsonl" and _is_flat(log_format) and _is_plain_text(log_format):
                return JsonLinesLog(path, log_format)
            if log_format.container == "csv" and _is_flat(log_format) and _is_plain_text(log_format):
                return CsvLog(path, log_format)
            from producers.logs.table_log import TableLog  # noqa: PLC0415 - it loads libraries that plain logs do not need

            return TableLog(path, log_format)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}") from None


def plain_format(path: Path, columns: Mapping[str, str]) -> LogFormat:
    """The format of a plain log, by its name.

    Raises:
        LogError: it is of no known format.
    """
    name = path.name.lower()
    containers: dict[str, Container] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
    compression: Compression = "gzip" if name.endswith(".gz") else "none"
    for ending, container in containers.items():
        if name.endswith(f"{ending}.gz" if compression == "gzip" and ending != ".parquet" else ending):
            return LogFormat(container, compression, columns={field: (column,) for field, column in columns.items()})
    raise LogError(f"{path} is of no known format: the name of a log ends in one of {', '.join(containers)}")


def _is_flat(log_format: LogFormat) -> bool:
    """Whether each field is one column, and stands in every row."""
    nested = log_format.container == "jsonl"
    shaped = log_format.fill_down or log_format.item_pattern or log_format.constants or log_format.years_missing
    return not shaped and all(
        len(columns) == 1 and not (nested and re.search(r"[.\[]", columns[0]))
        for columns in log_format.columns.values()
    )


def _is_plain_text(log_format: LogFormat) -> bool:
    """Whether a text is UTF-8 and, if it is CSV, as the standard has it."""
    plain = LogFormat()
    names = ("encoding", "line_end", "separator", "quote", "escape", "skip_lines", "header", "comment", "footers")
    return log_format.compression in ("none", "gzip") and all(
        getattr(log_format, name) == getattr(plain, name) for name in (*names, "names", "trailing_separator")
    )


def fingerprint(path: Path) -> tuple[str, int]:
    """What tells a log from others even after it has grown: SHA-256 of its first bytes, and how many these are.

    Raises:
        LogError: the file cannot be read.
    """
    head = _head(path, FINGERPRINT_BYTES)
    return hashlib.sha256(head).hexdigest(), len(head)


def same_log(path: Path, digest: str, length: int) -> bool:
    """Whether the file still begins as when `fingerprint` gave `digest` and `length`.

    Raises:
        LogError: the file cannot be read.
    """
    head = _head(path, length)
    return len(head) == length and hashlib.sha256(head).hexdigest() == digest


def _head(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}") from None


def _behind(held: Chunk, chunk: Chunk) -> Chunk:
    return Chunk(
        concatenated(held.orders, chunk.orders),
        np.concatenate((held.flat, chunk.flat)),
        held.rejected + chunk.rejected,
        chunk.end,
        held.content + chunk.content,
    )


def _opens(chunk: Chunk) -> Mask:
    """(m,) which orders do not go on with the order before them."""
    orders, flat = chunk.orders, chunk.flat
    opens = np.ones(len(orders), bool)
    opens[1:] = (
        (orders.key[1:] == 0)
        | (orders.key[1:] != orders.key[:-1])
        | (orders.customer[1:] != orders.customer[:-1])
        | (orders.kind[1:] != orders.kind[:-1])
        | ~(flat[1:] & flat[:-1])
        | (np.diff(orders.after) > FARTHEST_LINES)
    )
    return opens


def _split(chunk: Chunk, begin: int) -> tuple[LogBatch, Chunk | None]:
    """The orders known to be whole, and the lines of the last one, which the next chunk may go on with."""
    orders = chunk.orders
    opens = _opens(chunk)
    if not len(orders) or chunk.end - orders.after[-1] >= FARTHEST_LINES:
        return LogBatch(_joined(orders, opens, chunk.end), chunk.rejected, begin, chunk.end, chunk.content), None
    last = int(np.flatnonzero(opens)[-1])
    end = int(orders.after[last]) - 1
    whole = _joined(orders.cut(0, last), opens[:last], end)
    held = Chunk(
        compacted(orders.cut(last, len(orders))),
        chunk.flat[last:],
        [line for line in chunk.rejected if line.position >= end],  # a line of its first record may be rejected
        chunk.end,
        tuple(content for content in chunk.content if content.end > end),
    )
    return LogBatch(whole, [line for line in chunk.rejected if line.position < end], begin, end, chunk.content), held


def _open_order(held: Chunk, batch: LogBatch) -> OpenOrder | None:
    """The last order of a file, of the lines that were held, if lines to come may go on with it."""
    orders = held.orders
    if not held.flat[-1] or not orders.key[-1]:
        return None
    customer, kind, key = orders.customers[orders.customer[-1]], int(orders.kind[-1]), int(orders.key[-1])
    return OpenOrder(order_key(customer), int(batch.orders.time[-1]), kind, key, int(orders.after[-1]))


def _continued(batch: LogBatch, before: OpenOrder | None) -> LogBatch:
    """The batch, whose first order may be the rest of one that was read before: it has the time of that one then."""
    orders = batch.orders
    if before is None or not len(orders.item) or not before.goes_on(orders):
        return batch
    time, kind = orders.time.copy(), orders.kind.copy()
    time[0], kind[0] = before.time_ms, before.kind | CONTINUED
    return batch._replace(orders=replace(orders, time=time, kind=kind))


def _joined(orders: Orders, opens: Mask, end: int) -> Orders:
    """The orders with each that does not open one joined to those before it; `end` is the position behind them all."""
    begin = (orders.after - 1)[opens]
    after = np.append(begin[1:], [end] if len(begin) else []).astype(np.int64)
    return replace(joined(orders, opens), after=after)


def reject_line(orders: Orders, row: int, reason: str) -> Rejection:
    """The rejection of a line of an order; without its order id, of which only a hash is kept."""
    order = int(np.searchsorted(orders.start, row, "right")) - 1
    line = {
        "customer_id": orders.customers[orders.customer[order]],
        "item_id": orders.items[orders.item[row]],
        "timestamp": int(orders.time[order]),
        "quantity": int(orders.quantity[row]),
        "type": "purchase" if orders.kind[order] & ~np.uint8(CONTINUED) == PURCHASE else "return",
    }
    return Rejection(int(orders.position[row]), reason, msgspec.json.encode(line).decode(), form=ORDER)


def _capped(batch: LogBatch) -> LogBatch:
    """The batch with the lines of each order that has too many of them rejected."""
    orders = batch.orders
    lines = np.diff(orders.start)
    if lines.max(initial=0) <= LARGEST_ORDER_LINES:
        return batch
    keep = lines <= LARGEST_ORDER_LINES
    rejected = list(batch.rejected)
    for order in np.flatnonzero(~keep).tolist():
        reason = too_many_lines(int(lines[order]))
        rows = range(int(orders.start[order]), int(orders.start[order + 1]))
        rejected += [reject_line(orders, row, reason) for row in rows]
    begin = np.append(batch.begin, orders.after)[:-1][keep]
    after = np.append(begin[1:], [batch.end] if len(begin) else []).astype(np.int64)
    return batch._replace(orders=replace(kept(orders, keep), after=after), rejected=sorted(rejected))
