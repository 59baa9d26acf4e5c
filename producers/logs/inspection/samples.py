"""Some rows of a log, by its content and not its name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from producers.arrays import plain, values
from producers.errors import LogError, Undecided
from producers.log_format import LogFormat
from producers.logs.inspection.dialect import find_footers, find_head, footer_name, settle_dialect
from producers.logs.inspection.roles import (
    NAMES,
    plain_name,
)
from producers.logs.inspection.text import sample as sample_text
from producers.logs.shaping import as_text
from producers.logs.sources import READ_ERRORS, Source, compression_of, members
from producers.logs.tables.arrow_table import ArrowTable
from producers.logs.tables.opening import open_table
from producers.logs.tables.record_table import RecordTable
from producers.logs.tables.records import FIRST, Paths, as_cell, decode
from producers.logs.tables.sheet_table import Sheet, line_of
from producers.values import as_text as text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


SAMPLE_ROWS = 50_000
RECORDS = 5000


@dataclass
class Sample:
    """Some of a file's rows, and how they were read.

    Attributes:
        cells: text by column, all of one length.
        settings: attributes of `LogFormat` that say how the file is divided into rows and columns.
        what: what the file is, in a few words.
        assumed: what differs from a plain file, a sentence each.
        complete: whether these are all rows.
        times: columns that hold times by their type.
        wrapped: paths into MongoDB's wrappings, by column.
        names: its columns, and paths into lists that hold no order lines.
    """

    cells: dict[str, list[str | None]]
    settings: dict[str, Any]
    what: str
    assumed: list[str] = field(default_factory=list)
    complete: bool = True
    times: set[str] = field(default_factory=set)
    wrapped: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


def take_sample(path: Path, settings: Mapping[str, Any]) -> Sample:
    """Some rows of a file, by its content and not its name.

    Args:
        path: the file.
        settings: attributes of `LogFormat` that are given.

    Raises:
        LogError: it cannot be read, or holds no table.
        Undecided: only the user can say how.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1 << 12)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror or error}") from None
    if not head:
        raise LogError(f"{path} is empty")
    compression = settings.get("compression") or compression_of(head)
    member = settings.get("member")
    container = settings.get("container") or _container(path, head)
    if container == "excel":
        return _sheet(path, member, settings)
    if compression == "zip":
        member = member or _member(path)
    if compression != "none":
        try:
            with Source(path, compression, member).open() as stream:
                head = stream.read(1 << 12)
        except READ_ERRORS as error:
            raise LogError(f"{path} is damaged or cut short at its beginning: {error}") from None
        if not head:
            raise LogError(f"{path} is empty")
        container = settings.get("container") or _container(path, head)
        if container in ("parquet", "arrow", "orc", "excel"):
            raise LogError(f"{path} holds a {container} file packed with {compression}: unpack it first")
    packed = {"compression": compression, "member": member} if compression != "none" else {}
    if container in ("parquet", "arrow", "orc"):
        return _arrow(path, container)
    if container == "avro":
        return _records(path, {"container": "avro", **packed}, "Avro", settings)
    text = sample_text(path, compression, member, settings.get("encoding"))
    packed |= {"encoding": text.encoding, "line_end": text.line_end}
    said = [] if compression == "none" else [f"it is packed with {compression}" + (f" ({member})" if member else "")]
    if text.encoding != "utf-8":
        said.append(f"its text is {text.encoding}")
    container = settings.get("container") or _text_container(path, text.head)
    if container in ("jsonl", "json"):
        kind = "JSON lines" if container == "jsonl" else "JSON"
        found = _records(path, {"container": container, **packed}, kind, settings, complete=text.whole)
        found.assumed = said
        return found
    return _delimited(text.head, text.later, packed, said, settings, complete=text.whole)


def _member(path: Path) -> str:
    names = members(path)
    if len(names) != 1:
        shown = ", ".join(names[:5])
        raise Undecided(f"{path} is a zip archive of {len(names)} files ({shown}): name one, --member NAME")
    return names[0]


_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow", b"ORC": "orc", b"Obj\x01": "avro"}
_REFUSED = {
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"<!DOCTYPE": "a web page: is it a file saved in place of the download?",
    b"<!doctype": "a web page: is it a file saved in place of the download?",
    b"<html": "a web page, as which some shops export sheets: open it in a spreadsheet and save it as .xlsx or .csv",
    b"<table": "a web page, as which some shops export sheets: open it in a spreadsheet and save it as .xlsx or .csv",
    b"<?xml": "XML: export it as CSV or JSON",
    b"FEA1": "Feather version 1: write it again with a newer library",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
}


def _container(path: Path, head: bytes) -> str | None:
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    for magic, name in _REFUSED.items():
        if head.lstrip().startswith(magic):
            raise LogError(f"{path} is {name}")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        return "excel"
    if head.startswith(b"PK"):
        names = members(path)
        if any(name.startswith("xl/") for name in names) or ("content.xml" in names and "mimetype" in names):
            return "excel"
    return None


def _text_container(path: Path, head: str) -> str:
    start = head.lstrip()[:1]
    if start not in ("{", "["):
        return "csv"
    lines = [line for line in head.splitlines()[:20] if line.strip()]
    documents_ = [decode(line.encode()) for line in lines]
    if start == "{" and documents_ and not documents_[0].fault and isinstance(documents_[0].value, dict):
        return "jsonl"
    if start == "[" and not head.lstrip()[1:].lstrip().startswith(("{", "[", "]", '"')):
        return "csv"
    del path
    return "json"


def _delimited(
    head: str, later: list[str], packed: dict[str, Any], said: list[str], settings: Mapping[str, Any], *, complete: bool
) -> Sample:
    lines = head.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    dialect = settle_dialect(lines, [line for part in later for line in part.split("\n")], settings)
    names = {"\t": "tabs", ";": "semicolons", "|": "pipes", ",": "commas"}
    separator = names.get(dialect.separator, repr(dialect.separator))
    attributes: dict[str, Any] = {
        **packed,
        "separator": dialect.separator,
        "quote": dialect.quote,
        "escape": dialect.escape,
        "skip_lines": dialect.skip_lines,
        "header": dialect.header,
        "names": () if dialect.header else dialect.names,
        "comment": dialect.comment,
        "footers": dialect.footers,
        "trailing_separator": dialect.trailing_separator,
    }
    if dialect.separator != ",":
        said.append(f"fields are separated by {separator}")
    rows = dialect.rows[:SAMPLE_ROWS] if complete else dialect.rows
    cells: dict[str, list[str | None]] = {
        name: [row[place] if place < len(row) else None for row in rows]
        for place, name in enumerate(dialect.names)
        if name
    }
    what = "CSV" if dialect.separator == "," else f"text with {separator}"
    return Sample(cells, attributes, what, said + dialect.said, complete and len(rows) == len(dialect.rows))


def _records(
    path: Path, attributes: dict[str, Any], what: str, settings: Mapping[str, Any], *, complete: bool = True
) -> Sample:
    attributes |= {name: settings[name] for name in ("unwrap", "skip_if") if name in settings}
    table = open_table(path, LogFormat.from_settings(attributes))
    assert isinstance(table, RecordTable)  # noqa: S101 - for the type checker
    records = list(islice(table.values(), RECORDS + 1))
    names = [name for name in table.names if name and name not in table.wrapped.values()]
    named = [path for paths in settings.get("columns", {}).values() for path in paths]
    firsts = [path for path in named if FIRST in path and path.replace(FIRST, "[]") in names]
    paths = [*_one_list(names, next((path for path in named if "[]" in path), None)), *firsts]
    explode = Paths(paths)
    columns = explode.rows(records[:RECORDS]).columns
    cells = {name: as_text(column).to_pylist() for name, column in zip(paths, columns, strict=True)}
    whole = complete and len(records) <= RECORDS
    return Sample(cells, attributes, what, [], whole, wrapped=table.wrapped, names=names)


def _one_list(paths: Sequence[str], named: str | None) -> list[str]:
    """The paths that go into one list, and those beside it.

    Args:
        paths: all.
        named: one into the list that holds order lines; None: it is the one that seems to.
    """
    lists = {path.rpartition("[]")[0] for path in paths}
    if len(lists) < 2:
        return list(paths)

    def rank(prefix: str) -> tuple[bool, int]:
        inside = [path for path in paths if path.rpartition("[]")[0] == prefix]
        items = any(plain_name(path.rpartition(".")[2]) in NAMES["item_id"] for path in inside)
        return items and bool(prefix), len(prefix)

    chosen = max(lists, key=rank) if named is None else named.rpartition("[]")[0]
    return [path for path in paths if (head := path.rpartition("[]")[0]) == "" or f"{chosen}[]".startswith(f"{head}[]")]


def _arrow(path: Path, container: str) -> Sample:
    table = open_table(path, LogFormat.from_settings({"container": container}))
    assert isinstance(table, ArrowTable)  # noqa: S101 - for the type checker
    cells: dict[str, list[str | None]] = {}
    complete = True
    for name in table.names:
        batch = next(iter(table.batches([name])), None)
        found = [] if batch is None else values(plain(batch.columns[name][:RECORDS]))
        # bytes are text here: the table has spelt out UUIDs, by their type
        cells[name] = [text_of(value) if isinstance(value, bytes) else as_cell(value) for value in found]
        complete &= table.rows_total is not None and table.rows_total <= RECORDS
    height = max(map(len, cells.values()), default=0)
    for name, column in cells.items():
        cells[name] = (column * height if len(column) == 1 else column + [None] * height)[:height]
    times = {name for name in table.names if table.is_time(name)}
    titles = {"parquet": "Parquet", "arrow": "Arrow", "orc": "ORC"}
    return Sample(cells, {"container": container}, titles[container], [], complete, times)


def _sheet(path: Path, member: str | None, settings: Mapping[str, Any]) -> Sample:
    sheet = Sheet(path, member)
    rows = [*sheet.rows(end=sheet.above + SAMPLE_ROWS)]
    width = Counter(len(row) for row in rows if row).most_common(1)[0][0] if any(rows) else 0
    head, header = find_head([[cell or "" for cell in row] for row in rows[:100]], 0, width, narrow=False)
    if "header" in settings:
        header = settings["header"]
    names = [(cell or "").strip() for cell in rows[head]] if header and rows else [str(n + 1) for n in range(width)]
    below = rows[head + (1 if header else 0) :]
    footers = find_footers([*map(line_of, below)], ",", None)
    no_rows = re.compile("|".join(f"(?:{pattern})" for pattern in footers)) if footers else None
    body = [row for row in below if any(row) and not (no_rows and no_rows.fullmatch(line_of(row)))]
    cells = {
        name: [row[place] if place < len(row) else None for row in body] for place, name in enumerate(names) if name
    }
    attributes: dict[str, Any] = {"container": "excel", "member": member, "skip_lines": head, "header": header}
    attributes |= {"names": () if header else tuple(names), "footers": tuple(footers)}
    said = [f"the first {head} rows are no data"] if head else []
    said += [f"{footer_name(pattern)} are no rows" for pattern in footers]
    return Sample(cells, attributes, "a workbook", said, len(rows) < SAMPLE_ROWS)
