"""Purchase logs: CSV, JSON lines and Parquet files as batches of orders, in bounded memory.

A log is read from any row on, so that a replay goes on where it stopped. The orders it yields do not depend on where
its batches end.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from producers.errors import LogError
from producers.fields import FieldReader
from producers.log_format import LogFormat
from producers.logs.chunks import Content, Format, Limit, read_chunks
from producers.logs.grouping import LogBatch, OpenOrder, whole_orders
from producers.logs.plain_csv import CsvLog
from producers.logs.plain_json import JsonLinesLog
from producers.logs.plain_parquet import ParquetLog, is_flat

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping, Sequence

    from producers.log_format import Compression, Container

BATCH_ROWS = 65_536
_NO_NAME = re.compile(r'[.\["\\\x00-\x1f]')
"""In a path, or a name that the decoder of plain JSON lines cannot have."""


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
        self._before = self._last = before

    @property
    def rows_total(self) -> int | None:
        """Rows in the file; None if only reading it tells."""
        return self._source.rows_total

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return self._source.fraction

    @property
    def fractions(self) -> int:
        """How many quantities were fractions."""
        return self.reader.fractions

    @property
    def excluded(self) -> int:
        """How many lines were of items left out, and skipped."""
        return self.reader.excluded

    @property
    def types(self) -> Counter[str]:
        """How many lines were skipped, by their type, which is not counted."""
        return self.reader.types

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
        chunks = read_chunks(self._source, self.path, self.start_row, self._batch_rows, self.reader, self._limits)
        yield from whole_orders(chunks, self.path, self.place, self.start_row, self._before, self.reader.log_format)

    def origin(self, position: int) -> Origin:
        """Where the row at a position is from."""
        return Origin(0, str(self.path), position, self.place(position), self.reader.log_format)

    def stands(self, batch: LogBatch) -> Iterator[Stand]:
        """How far the file is read at the end of a batch of orders; batches come in their order."""
        self._last = batch.last if len(batch.orders) else self._last
        yield Stand(0, batch.content, batch.end, self._last)


class Origin(NamedTuple):
    """Where a row is from."""

    log: int
    """Number of the log, among those that are read together."""
    path: str
    """What people call it."""
    row: int
    """Of the log."""
    place: str
    """The same as people find it."""
    log_format: LogFormat


class Stand(NamedTuple):
    """How far a log is read."""

    log: int
    """Its number, among those that are read together."""
    content: tuple[Content, ...]
    """Its last rows, perhaps with some behind."""
    rows: int
    """Up to which row it is read."""
    last: OpenOrder | None
    """The order of its last line, if this is the end of the file, and lines that are added may go on with it."""


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
        len(columns) == 1 and not (nested and _NO_NAME.search(columns[0])) for columns in log_format.columns.values()
    )


def _is_plain_text(log_format: LogFormat) -> bool:
    """Whether a text is UTF-8 and, if it is CSV, as the standard has it."""
    plain = LogFormat()
    names = ("encoding", "line_end", "separator", "quote", "escape", "skip_lines", "header", "comment", "footers")
    return log_format.compression in ("none", "gzip") and all(
        getattr(log_format, name) == getattr(plain, name) for name in (*names, "names", "trailing_separator")
    )
