"""Logs of every container as tables: Arrow batches of the columns asked for, with where each row stands."""

from __future__ import annotations

import codecs
import re
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq

from producers.blocks import TextFile
from producers.errors import LogError, Undecided
from producers.inspection.dialect import one_character, split
from producers.orders import Rejection
from producers.records import Document, Paths, as_cell, decode, documents, leaves, wrapping_path
from producers.sources import READ_ERRORS, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from producers.arrays import Whole
    from producers.log_format import LogFormat

BATCH_ROWS = 65_536
RECORDS_TO_KNOW_PATHS = 1000


class TableBatch(NamedTuple):
    """Some rows of a table, and the invalid lines among them."""

    columns: dict[str, pa.Array]
    """Those asked for, n rows each: text (binary where it need not be UTF-8), numbers, times."""
    positions: Whole
    """(n,) where each row stands: rows count from 0."""
    nested: bool
    """Whether rows that stand at one place are one record."""
    rejected: list[Rejection]
    end: int
    """The position behind the last row or line."""


class Table(Protocol):
    """A log as a table.

    Attributes:
        names: its columns, or the paths that it is known to have.
        rows_total: None if only reading it tells.
    """

    names: list[str]
    rows_total: int | None

    @property
    def fraction(self) -> float:
        """How much of it has been read, 0 to 1."""

    def place(self, position: int) -> str:
        """How people find a position in the file."""

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """The table from its beginning on.

        Args:
            columns: to be read, each one of `names` or a path.

        Raises:
            LogError: the file is damaged; what stands before the damage has been delivered.
        """


def open_table(path: Path, log_format: LogFormat) -> Table:
    """The table that a file holds.

    Raises:
        LogError: it cannot be read so.
    """
    try:
        match log_format.container:
            case "csv":
                return DelimitedTable(path, log_format)
            case "jsonl" | "json" | "avro":
                return RecordTable(path, log_format)
            case "excel":
                return SheetTable(path, log_format)
            case _:
                return ArrowTable(path, log_format)
    except (*READ_ERRORS, pa.ArrowException, UnicodeDecodeError) as error:
        raise LogError(f"{path} is damaged or cut short at its beginning: {error}") from None


class TextOfAnyEncoding(TextFile):
    """The lines of a text file as UTF-8 with newlines, whatever it is packed and written in."""

    def __init__(self, path: Path, log_format: LogFormat, *, quoted: bool) -> None:
        whole = log_format.container != "csv" or log_format.compression != "none"
        super().__init__(path, quoted=quoted, last_line=whole or log_format.count_last_line)
        self._source = Source(path, log_format.compression, log_format.member)
        self._format = log_format

    @property
    def fraction(self) -> float:
        """Of the bytes, as they are packed."""
        return self._source.fraction

    def _chunks(self, raw: IO[bytes]) -> Iterator[bytes]:
        del raw
        utf8 = self._format.encoding in ("utf-8", "ascii")
        decoder = codecs.getincrementaldecoder(self._format.encoding)()
        first = True
        try:
            with self._source.open() as stream:
                while chunk := stream.read(1 << 20):
                    text = chunk if utf8 else decoder.decode(chunk).encode()
                    if first and text:
                        text, first = text.removeprefix(codecs.BOM_UTF8), False
                    yield text.replace(b"\r", b"\n") if self._format.line_end == "\r" else text
                if not utf8:
                    decoder.decode(b"", final=True)
        except (*READ_ERRORS, UnicodeDecodeError) as error:
            self.damage = error


class DelimitedTable:
    """Delimited text of any dialect."""

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._text = TextOfAnyEncoding(path, log_format, quoted=log_format.quote == '"' and not log_format.escape)
        patterns = list(log_format.footers)
        if log_format.comment:
            patterns.append(re.escape(log_format.comment) + ".*")
        joined = "|".join(f"(?:{pattern})" for pattern in patterns)
        self._no_rows = re.compile(rf"(?m)^(?:{joined})\r?$".encode()) if patterns else None
        self._head_lines = log_format.skip_lines + (1 if log_format.header else 0)
        names = list(log_format.names) or self._header()
        self._width = len(names) + (1 if log_format.trailing_separator else 0)
        self.names = [name.strip() for name in names]

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._text.fraction

    @property
    def unfinished(self) -> bool:
        """Whether a last line without line end was left out."""
        return bool(self._text.unfinished)

    def place(self, position: int) -> str:
        """The line; a value that goes over several lines counts as one."""
        return f"line {position + 1 + self._head_lines:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = {column: self.names.index(column) for column in columns}
        end, left = 0, self._head_lines
        for block in self._text.blocks():
            below = block
            while left and below:
                below = below.partition(b"\n")[2]
                left -= 1
            batch = self._parse(below if self._no_rows is None else self._no_rows.sub(b"", below), end, index)
            end = batch.end
            yield batch
        if self._text.damage:
            raise LogError(
                f"{self._path} is damaged or cut short at {self.place(end)} ({self._text.damage}): "
                "fetch it again and go on; what was read before the damage stays counted"
            )

    def _header(self) -> list[str]:
        lines = next(self._text.blocks(), b"").decode("utf-8", "backslashreplace").split("\n")[: self._head_lines]
        if len(lines) < self._head_lines:
            raise LogError(f"{self._path} has no line {self._head_lines}, where its header should be")
        rows = split([lines[-1]], self._format.separator, self._format.quote, self._format.escape)
        names = next(iter(rows), [])
        return names[:-1] if self._format.trailing_separator and names and not names[-1].strip() else names

    def _parse(self, block: bytes, begin: int, index: dict[str, int]) -> TableBatch:
        quoted = bool(self._format.quote) and self._format.quote.encode() in block
        empty = block.startswith((b"\n", b"\r")) or b"\n\n" in block or b"\n\r\n" in block
        single, change = one_character(self._format.separator)
        if change[0]:
            block = block.replace(change[0].encode(), change[1].encode())
        if quoted and (empty or self._format.escape or block.count(self._format.quote.encode()) % 2):
            return self._parse_slowly(block, begin, index)
        lines = _filled_lines(block) if empty else None
        broken: list[pa_csv.InvalidRow] = []

        def reject(row: pa_csv.InvalidRow) -> str:
            broken.append(row)
            return "skip"

        names = [str(number) for number in range(self._width)]
        wanted = [str(number) for number in index.values()]
        if not block.strip():
            return TableBatch(
                {column: pa.array([], pa.binary()) for column in index},
                np.zeros(0, np.int64), False, [], begin + block.count(b"\n"),
            )  # fmt: skip
        try:
            block.decode()
            handler = reject
        except UnicodeDecodeError:
            handler = None  # Arrow cannot show broken lines that are not UTF-8
        try:
            table = pa_csv.read_csv(
                pa.py_buffer(block),
                pa_csv.ReadOptions(use_threads=False, block_size=len(block) + 1, column_names=names),
                pa_csv.ParseOptions(
                    delimiter=single,
                    quote_char=self._format.quote or False,
                    escape_char=self._format.escape or False,
                    newlines_in_values=quoted,
                    invalid_row_handler=handler,
                ),
                pa_csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(wanted)), column_types=dict.fromkeys(wanted, pa.binary())
                ),
            )
        except pa.ArrowInvalid:
            return self._parse_slowly(block, begin, index)
        if any("\n" in row.text for row in broken):
            return self._parse_slowly(block, begin, index)
        count = len(table) + len(broken)
        if lines is None:
            lines, end = np.arange(count), begin + count
        else:
            end = begin + block.count(b"\n") + (not block.endswith(b"\n"))
        rejected = [
            Rejection(begin + int(lines[row.number - 1]), _miscounted(row.actual_columns, self._width), row.text)
            for row in broken
        ]
        columns = {column: _one_chunk(table.column(str(number))) for column, number in index.items()}
        positions = begin + np.delete(lines, [row.number - 1 for row in broken])
        return TableBatch(columns, positions, False, rejected, end)

    def _parse_slowly(self, block: bytes, begin: int, index: dict[str, int]) -> TableBatch:
        rejected: list[Rejection] = []
        rows: list[list[str]] = []
        positions: list[int] = []
        end = begin
        separator = one_character(self._format.separator)[0]
        for position, (row, fault, text) in enumerate(
            records_of(block, self._width, separator, self._format.quote, self._format.escape), begin
        ):
            end = position + 1
            if fault:
                rejected.append(Rejection(position, fault, _shown(text)))
            elif row:
                rows.append(row)
                positions.append(position)
        columns = {
            column: pa.array([row[number].encode("utf-8", "surrogateescape") for row in rows], pa.binary())
            for column, number in index.items()
        }
        return TableBatch(columns, np.array(positions, np.int64), False, rejected, end)


def _filled_lines(block: bytes) -> Whole:
    """The numbers of the lines of a block that are not empty."""
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    starts = np.append(0, ends[:-1] + 1)
    content = np.frombuffer(block, np.uint8)
    lengths = ends - starts
    lone = (lengths == 1) & (content[np.minimum(starts, len(block) - 1)] == ord("\r"))
    return np.flatnonzero((lengths > 0) & ~lone)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


class RecordTable:
    """Nested records: JSON lines, JSON documents, Avro."""

    rows_total: int | None = None

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._source = Source(path, log_format.compression, log_format.member)
        self._deep = False
        self.wrapped: dict[str, str] = {}
        """Paths into MongoDB's wrappings, by field."""
        found: dict[str, None] = {}
        for _, document in islice(self._documents(), RECORDS_TO_KNOW_PATHS):
            found.update(dict.fromkeys(name for name, _ in leaves(document.value) if name))
            if isinstance(document.value, dict):
                wrapped = (wrapping_path(name, value) for name, value in document.value.items())
                self.wrapped |= {path.partition(".")[0]: path for path in wrapped if path}
        self.names = [*found, *self.wrapped.values()]

    @property
    def fraction(self) -> float:
        """Of its bytes."""
        return self._source.fraction

    def place(self, position: int) -> str:
        """The line, from 1, or the record, from 0."""
        flat = self._format.container == "jsonl" and not self._deep
        return f"line {position + 1:,}" if flat else f"order or record {position:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        paths = Paths(columns)
        rows: list[list[str | None]] = []
        positions: list[int] = []
        rejected: list[Rejection] = []
        position = -1
        self._deep = deep = paths.depth > 1  # each element of the outer list is an order
        for place, document in self._documents():
            if document.fault:
                position = position + 1 if deep else place
                rejected.append(Rejection(position, document.fault, document.text))
                continue
            for found in paths.groups(document.value):
                position = position + 1 if deep else place
                rows += found
                positions += [position] * len(found)
            if len(rows) + len(rejected) >= BATCH_ROWS:
                yield _batch(columns, rows, positions, rejected, position + 1, nested=paths.depth > 0)
                rows, positions, rejected = [], [], []
        yield _batch(columns, rows, positions, rejected, position + 1, nested=paths.depth > 0)

    def values(self) -> Iterator[object]:
        """The records that can be read."""
        return (document.value for _, document in self._documents() if not document.fault)

    def _documents(self) -> Iterator[tuple[int, Document]]:
        """The records, and the line or number of each from 0."""
        try:
            with self._source.open() as stream:
                match self._format.container:
                    case "jsonl":
                        yield from self._lines()
                    case "json":
                        yield from enumerate(documents(stream, self._format.encoding))
                    case _:
                        for number, record in enumerate(_avro(self._path, stream)):
                            yield number, Document(record, "", "")
        except (*READ_ERRORS, UnicodeDecodeError, ValueError) as error:
            raise LogError(f"{self._path} is damaged or cut short: {error}") from None
        except LogError as error:
            raise LogError(f"{self._path} {error}") from None

    def _lines(self) -> Iterator[tuple[int, Document]]:
        number = 0
        text = TextOfAnyEncoding(self._path, self._format, quoted=False)
        for block in text.blocks():
            for line in block.removesuffix(b"\n").split(b"\n"):
                if line and not line.isspace():
                    yield number, decode(line)
                number += 1
        if text.damage:
            raise LogError(f"is damaged or cut short: {text.damage}")


def _batch(
    columns: Sequence[str],
    rows: list[list[str | None]],
    positions: list[int],
    rejected: list[Rejection],
    end: int,
    *,
    nested: bool,
) -> TableBatch:
    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    arrays = {column: _encoded(cells) for column, cells in zip(columns, values, strict=True)}
    return TableBatch(arrays, np.array(positions, np.int64), nested, rejected, end)


def _encoded(cells: Sequence[str | None]) -> pa.Array:
    """Texts, also those with halves of surrogate pairs, which JSON may hold and UTF-8 does not."""
    try:
        return pa.array(cells, pa.string()).cast(pa.binary())
    except UnicodeEncodeError:
        return pa.array([None if cell is None else _utf8(cell) for cell in cells], pa.binary())


def _avro(path: Path, stream: IO[bytes]) -> Iterable[Any]:
    try:
        import fastavro  # noqa: PLC0415
    except ImportError:
        raise LogError(f'{path} is Avro, which takes the extra: pip install "alsobought[formats]"') from None
    records: Iterable[Any] = fastavro.reader(stream)
    return records


class SheetTable:
    """A sheet of a workbook: .xlsx, .xls, .xlsb or .ods."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._read = 0
        rows = sheet_rows(path, log_format.member)
        body = log_format.skip_lines + (1 if log_format.header else 0)
        self._cells = rows[body:]
        self._first = body
        header = rows[body - 1] if log_format.header and len(rows) >= body else []
        width = max(map(len, rows[:100]), default=0)
        self.names = list(log_format.names) or (
            [(cell or "").strip() for cell in header] if log_format.header else [str(n + 1) for n in range(width)]
        )
        self.rows_total: int | None = len(self._cells)
        patterns = "|".join(f"(?:{pattern})" for pattern in log_format.footers)
        self._no_rows = re.compile(patterns) if patterns else None

    @property
    def fraction(self) -> float:
        """Of its rows."""
        return self._read / len(self._cells) if self._cells else 1.0

    def place(self, position: int) -> str:
        """The row, numbered as spreadsheets do."""
        return f"row {position + 1 + self._first:,}"

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        index = [self.names.index(column) for column in columns]
        for first in range(0, len(self._cells), BATCH_ROWS):
            cells = self._cells[first : first + BATCH_ROWS]
            kept = [(number, row) for number, row in enumerate(cells, first) if self._is_row(row)]
            arrays = {
                column: pa.array(
                    [None if len(row) <= at or row[at] is None else _utf8(str(row[at])) for _, row in kept], pa.binary()
                )
                for column, at in zip(columns, index, strict=True)
            }
            self._read = first + len(cells)
            yield TableBatch(arrays, np.array([number for number, _ in kept], np.int64), False, [], self._read)

    def _is_row(self, row: Sequence[str | None]) -> bool:
        if not any(row):
            return False
        return self._no_rows is None or not self._no_rows.fullmatch(",".join(cell or "" for cell in row).rstrip(","))


def sheet_rows(path: Path, sheet: str | None, most: int | None = None) -> list[list[str | None]]:
    """The rows of a sheet as text, from its first row on.

    Raises:
        LogError: the workbook cannot be read, or has several sheets with data and none is named.
    """
    try:
        import python_calamine  # noqa: PLC0415
    except ImportError:
        raise LogError(f'{path} is a workbook, which takes the extra: pip install "alsobought[formats]"') from None
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(str(path))
        names = workbook.sheet_names
        if sheet is not None and sheet not in names:
            raise LogError(f"{path} has no sheet '{sheet}'; it has {', '.join(names)}")
        sheets = [workbook.get_sheet_by_name(name) for name in ([sheet] if sheet is not None else names)]
        filled = [found for found in sheets if found.total_height > 1] or sheets[:1]
        if len(filled) > 1:
            titles = ", ".join(found.name for found in filled)
            raise Undecided(f"{path} has several sheets, {titles}: name one, --member NAME")
        first = (filled[0].start or (0, 0))[0] if filled else 0
        rows: list[list[str | None]] = [[] for _ in range(first)]
        rows += (
            [cell if type(cell) is str else as_cell(cell) for cell in row]
            for row in islice(filled[0].iter_rows() if filled else (), most)
        )
    except (python_calamine.CalamineError, OSError) as error:
        raise LogError(f"{path} is a workbook that cannot be read: {error}") from None
    return rows


class ArrowTable:
    """Parquet, Arrow (Feather) and ORC, perhaps with lists of structs or of text."""

    def __init__(self, path: Path, log_format: LogFormat) -> None:
        self._path = path
        self._format = log_format
        self._read = 0
        self.rows_total: int | None = None
        match log_format.container:
            case "parquet":
                with pq.ParquetFile(path) as file:
                    self.rows_total, schema = file.metadata.num_rows, file.schema_arrow
            case "orc":
                file = pa_orc.ORCFile(path)
                self.rows_total, schema = file.nrows, file.schema
            case _:
                with pa.OSFile(str(path)) as raw, _arrow_reader(raw) as file:
                    schema = file.schema
        self.schema = schema
        self.names = [name for field in schema for name in _paths(field.name, field.type)]

    @property
    def fraction(self) -> float:
        """Of its rows; unknown, 0, for streams."""
        return min(1.0, self._read / self.rows_total) if self.rows_total else 0.0

    def place(self, position: int) -> str:
        """The row, from 0 as data frames count."""
        return f"row {position:,}"

    def is_time(self, path: str) -> bool:
        """Whether a column holds times by its type."""
        return path in self.schema.names and pa.types.is_temporal(self.schema.field(path).type)

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """As `Table` says."""
        self._read, end = 0, 0
        try:
            for batch in self._read_batches(sorted({_root(column) for column in columns})):
                arrays, parents, count = _exploded(batch, columns)
                self._read += len(batch)
                rows = np.arange(count) if parents is None else parents
                yield TableBatch(arrays, rows + end, parents is not None, [], end + count)
                end += count
        except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
            raise LogError(
                f"{self._path} is damaged or cut short at {self.place(end)} ({error}): "
                "fetch it again and go on; what was read before the damage stays counted"
            ) from None

    def _read_batches(self, roots: list[str]) -> Iterator[pa.RecordBatch]:
        match self._format.container:
            case "parquet":
                with pq.ParquetFile(self._path, buffer_size=1 << 20, page_checksum_verification=True) as file:
                    yield from file.iter_batches(BATCH_ROWS, columns=roots)
            case "orc":
                file = pa_orc.ORCFile(self._path)
                for stripe in range(file.nstripes):
                    yield from _sliced(file.read_stripe(stripe, columns=roots))
            case _:
                with pa.OSFile(str(self._path)) as raw, _arrow_reader(raw) as file:
                    for batch in _record_batches(file):
                        yield from _sliced(batch.select(roots))


def _arrow_reader(raw: pa.NativeFile) -> Any:  # noqa: ANN401
    if raw.read(6) == b"ARROW1":
        raw.seek(0)
        return pa.ipc.open_file(raw)
    raw.seek(0)
    return pa.ipc.open_stream(raw)


def _record_batches(reader: Any) -> Iterator[pa.RecordBatch]:  # noqa: ANN401
    if hasattr(reader, "num_record_batches"):
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
    else:
        yield from reader


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(batch), BATCH_ROWS):
        yield batch.slice(first, BATCH_ROWS)


def _root(path: str) -> str:
    return path.split(".", maxsplit=1)[0].split("[]", maxsplit=1)[0]


def _paths(name: str, kind: pa.DataType) -> list[str]:
    """The paths of the scalars in a column."""
    if pa.types.is_struct(kind):
        return [path for field in kind for path in _paths(f"{name}.{field.name}", field.type)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _paths(f"{name}[]", kind.value_type)
    return [name]


def _exploded(batch: pa.RecordBatch, columns: Sequence[str]) -> tuple[dict[str, pa.Array], Whole | None, int]:
    """The columns with a row for each element of the innermost list.

    Returns:
        the columns; the number of the element (or row of the batch) whose list each row is from, None if there is no
        list; and how many such elements there are.
    """
    names = batch.schema.names
    if all(column in names for column in columns):  # a name may hold a dot
        return {column: _plain(batch.column(column)) for column in columns}, None, len(batch)
    parents, count = None, len(batch)
    prefix = max((column.rpartition("[]")[0] for column in columns), key=len)
    levels: dict[str, tuple[Any, Whole]] = {"": (None, np.arange(len(batch)))}
    depth = ""
    for piece in prefix.split("[]") if prefix else []:
        path = f"{depth}{piece}"
        lists, rows = _at(batch, levels, path)
        count = len(rows)
        parents = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
        below = (pc.list_flatten(lists), rows[parents])
        levels = {
            name: (None if values is None else values.take(pa.array(parents)), rows_[parents])
            for name, (values, rows_) in levels.items()
        }
        depth = f"{path}[]"
        levels[depth] = below
    arrays = {}
    for column in columns:
        head = column.rpartition("[]")[0]
        if head and f"{head}[]" not in levels:
            raise LogError(f"the paths {', '.join(columns)} go into different lists; one list holds an order's lines")
        values, rows = _at(batch, levels, column)
        arrays[column] = _plain(values)
    return arrays, parents, count


def _at(batch: pa.RecordBatch, levels: dict[str, tuple[Any, Whole]], path: str) -> tuple[Any, Whole]:
    """The values at a path, below the deepest list that it goes into, and the rows of the batch they are from."""
    head = max((name for name in levels if path.startswith(name)), key=len)
    values, rows = levels[head]
    keys = [key for key in path[len(head) :].split(".") if key]
    if values is None:
        values = batch.column(keys[0]).take(pa.array(rows))
        keys = keys[1:]
    for key in keys:
        values = pc.struct_field(values, key)
    return values, rows


def _plain(column: pa.Array) -> pa.Array:
    """UUIDs in 16 bytes as their text; dictionaries and other arrays as they are."""
    if pa.types.is_fixed_size_binary(column.type) and column.type.byte_width == 16:
        return pa.array([as_cell(value) for value in column.to_pylist()], pa.string())
    if str(column.type) == "extension<arrow.uuid>":
        return _plain(column.storage)
    if pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    return column


def records_of(
    block: bytes, width: int, separator: str, quote: str, escape: str
) -> Iterator[tuple[list[str], str, str]]:
    """Each record of a block: its fields, none if it is an empty line; what is wrong with it, if anything; its text.

    A record over several lines with something wrong is given up after its first line: a stray quote would swallow good
    lines up to the next quote.
    """
    import csv  # noqa: PLC0415
    import io  # noqa: PLC0415

    lines = list(io.StringIO(block.decode("utf-8", "surrogateescape"), newline=""))
    first = 0
    while first < len(lines):
        begin = first
        reader = csv.reader(
            map(lines.__getitem__, range(first, len(lines))),
            delimiter=separator,
            quotechar=quote or None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
            escapechar=escape or None,
            doublequote=not escape,
        )
        while first < len(lines):
            try:
                row = next(reader)
                fault = _miscounted(len(row), width) if row and len(row) != width else ""
            except csv.Error as error:
                row, fault = [], f"not CSV: {error}"
            end = begin + reader.line_num
            text = "".join(lines[first:end])
            if end > first + 1 and end == len(lines) and text.count(quote or '"') % 2:
                fault = "a quote is opened and never closed"
            if fault and end > first + 1:
                yield row, fault, lines[first]
                first += 1
                break
            yield row, fault, text
            first = end


def _miscounted(fields: int, width: int) -> str:
    return f"the line has {fields} fields, the header {width}"


def _shown(text: str) -> str:
    return _utf8(text.rstrip("\r\n")).decode("utf-8", "backslashreplace")


def _utf8(text: str) -> bytes:
    return (
        text.encode("utf-8", "surrogateescape" if any("\udc80" <= c <= "\udcff" for c in text) else "backslashreplace")
        if not text.isascii()
        else text.encode()
    )
