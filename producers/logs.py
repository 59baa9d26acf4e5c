"""Purchase logs: CSV, JSON lines and Parquet files as batches of orders, in bounded memory.

A log is read from any row on, so that a replay goes on where it stopped. The orders it yields do not depend on where
its batches end.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from producers.chunks import Chunk, Format
from producers.csv_logs import CsvLog
from producers.errors import LogError
from producers.fields import FieldReader
from producers.json_logs import JsonLinesLog
from producers.orders import (
    LARGEST_ORDER_LINES,
    PURCHASE,
    Orders,
    Rejection,
    compacted,
    concatenated,
    too_many_lines,
)
from producers.parquet_logs import ParquetLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from producers.arrays import Mask

BATCH_ROWS = 65_536
FARTHEST_LINES = 65_536  # rows between two lines of one order, all rejected; they wait in memory for its end
LONGEST_ORDER_LINES = 1_000_000
FINGERPRINT_BYTES = 1 << 20

FORMATS: dict[str, Callable[[Path, Mapping[str, str]], Format]] = {
    ".csv": CsvLog,
    ".csv.gz": CsvLog,
    ".jsonl": JsonLinesLog,
    ".jsonl.gz": JsonLinesLog,
    ".ndjson": JsonLinesLog,
    ".ndjson.gz": JsonLinesLog,
    ".parquet": ParquetLog,
}


class LogBatch(NamedTuple):
    """The rows `begin` up to, not including, `end` of a log: every one is in an order, rejected, or an empty line."""

    orders: Orders
    rejected: list[Rejection]
    """In log order."""
    begin: int
    end: int


class Log:
    """A log file from some row on. Iterating over it reads it; each time from the same row.

    Adjacent lines with the same customer, order id and type are one order, whatever rejected lines stand between them;
    its time is that of its first line. An order is never cut by the end of a batch. The lines of an order that has more
    than `LARGEST_ORDER_LINES` are rejected.
    """

    def __init__(self, path: Path, source: Format, start_row: int, latest_ms: int | None, batch_rows: int) -> None:
        self.path = path
        self.start_row = start_row
        self._source = source
        self.reader = FieldReader(latest_ms=latest_ms)
        self._batch_rows = batch_rows

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
        held: Chunk | None = None
        for stretch in self._source.chunks(self.start_row, self._batch_rows, self.reader):
            batch, held = _split(stretch if held is None else _behind(held, stretch), begin)
            if batch.end > begin:
                yield _capped(batch)
            begin, end = batch.end, stretch.end
            if held is not None and len(held.orders) > LONGEST_ORDER_LINES:
                raise LogError(
                    f"{self.path} has an order of more than {LONGEST_ORDER_LINES:,} lines, at {self.place(begin)}: "
                    "is the right column order_id?"
                )
        if held is not None:
            yield _capped(LogBatch(_joined(held.orders, _opens(held), end), held.rejected, begin, end))


def open_log(
    path: str | Path,
    columns: Mapping[str, str] | None = None,
    start_row: int = 0,
    latest_ms: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Log:
    r"""A log to read.

    Args:
        path: a file ending in .csv, .jsonl or .ndjson, each perhaps with .gz, or in .parquet.
        columns: field -> column, where the column has another name than the field. Fields are customer_id, item_id,
            timestamp, and, if the log has them, quantity, order_id, type.
        start_row: the first row to read, from 0; a header is no row, an empty line is one.
        latest_ms: lines after it, in milliseconds since 1970 UTC, are rejected.
        batch_rows: rows to read at a time.

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
    for ending, open_format in FORMATS.items():
        if path.name.lower().endswith(ending):
            try:
                with path.open("rb"):  # Arrow would take a missing file for a damaged one
                    source = open_format(path, columns or {})
            except OSError as error:
                raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
            return Log(path, source, start_row, latest_ms, batch_rows)
    raise LogError(f"{path} is of no known format: the name of a log ends in one of {', '.join(FORMATS)}")


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


def _behind(held: Chunk, stretch: Chunk) -> Chunk:
    return Chunk(
        concatenated(held.orders, stretch.orders),
        np.concatenate((held.flat, stretch.flat)),
        held.rejected + stretch.rejected,
        stretch.end,
    )


def _opens(stretch: Chunk) -> Mask:
    """(m,) which orders do not go on with the order before them."""
    orders, flat = stretch.orders, stretch.flat
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


def _split(stretch: Chunk, begin: int) -> tuple[LogBatch, Chunk | None]:
    """The orders known to be whole, and the lines of the last one, which the next stretch may go on with."""
    orders = stretch.orders
    opens = _opens(stretch)
    if not len(orders) or stretch.end - orders.after[-1] >= FARTHEST_LINES:
        return LogBatch(_joined(orders, opens, stretch.end), stretch.rejected, begin, stretch.end), None
    last = int(np.flatnonzero(opens)[-1])
    end = int(orders.after[last]) - 1
    whole = _joined(orders.cut(0, last), opens[:last], end)
    held = Chunk(
        compacted(orders.cut(last, len(orders))),
        stretch.flat[last:],
        [line for line in stretch.rejected if line.position > end],
        stretch.end,
    )
    return LogBatch(whole, [line for line in stretch.rejected if line.position < end], begin, end), held


def _joined(orders: Orders, opens: Mask, end: int) -> Orders:
    """The orders with each that does not open one joined to those before it; `end` is the position behind them all."""
    first = np.flatnonzero(opens)
    begin = (orders.after - 1)[first]
    return replace(
        orders,
        customer=orders.customer[first],
        time=orders.time[first],
        kind=orders.kind[first],
        key=orders.key[first],
        start=np.append(orders.start[:-1][first], orders.start[-1]),
        after=np.append(begin[1:], [end] if len(begin) else []).astype(np.int64),
    )


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
        for row in range(int(orders.start[order]), int(orders.start[order + 1])):
            line = {
                "customer_id": orders.customers[orders.customer[order]],
                "item_id": orders.items[orders.item[row]],
                "timestamp": int(orders.time[order]),
                "quantity": int(orders.quantity[row]),
                "type": "purchase" if orders.kind[order] == PURCHASE else "return",
            }
            rejected.append(Rejection(int(orders.position[row]), reason, msgspec.json.encode(line).decode()))
    kept = np.repeat(keep, lines)
    begin = np.append(batch.begin, orders.after)[:-1][keep]
    short = replace(
        orders,
        customer=orders.customer[keep],
        time=orders.time[keep],
        kind=orders.kind[keep],
        key=orders.key[keep],
        start=np.append(0, np.cumsum(lines[keep])),
        after=np.append(begin[1:], [batch.end] if len(begin) else []).astype(np.int64),
        item=orders.item[kept],
        quantity=orders.quantity[kept],
        position=orders.position[kept],
    )
    return batch._replace(orders=compacted(short), rejected=sorted(rejected))
