"""One log in every format: what an order line is, and each way to write some of them down."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import fastavro
import pyarrow as pa

from tests.log_kinds import arrow, feather, orc, parquet, workbook

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

FIELDS = ("customer_id", "item_id", "timestamp", "quantity", "order_id", "type")
EXCEL_DAY_0 = datetime(1899, 12, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """An order line; None is a field left out."""

    customer_id: str | None
    item_id: str | None
    timestamp: datetime
    quantity: int | None
    order_id: str | None
    type: str | None


@dataclass(frozen=True)
class Written:
    """A log in a file.

    Attributes:
        name: of the file.
        content: of the file.
        options: attributes of its format that only a person can tell.
    """

    name: str
    content: bytes
    options: dict[str, Any] = field(default_factory=dict)


NOTATIONS: dict[str, tuple[Callable[[datetime], str], dict[str, Any]]] = {
    "iso": (lambda time: time.strftime("%Y-%m-%d %H:%M:%S"), {}),
    "iso with zone": (lambda time: time.astimezone().isoformat(), {}),
    "iso in UTC": (lambda time: time.strftime("%Y-%m-%dT%H:%M:%S.000Z"), {}),
    "seconds": (lambda time: str(int(time.timestamp())), {}),
    "seconds as floats": (lambda time: f"{time.timestamp():.1f}", {}),
    "milliseconds": (lambda time: str(int(time.timestamp()) * 1000), {}),
    "microseconds": (lambda time: str(int(time.timestamp()) * 1_000_000), {}),
    "nanoseconds": (lambda time: str(int(time.timestamp()) * 1_000_000_000), {}),
    "slashes": (lambda time: time.strftime("%Y/%m/%d %H:%M:%S"), {}),
    "zone by name": (lambda time: time.strftime("%Y-%m-%d %H:%M:%S UTC"), {}),
    "lower case": (lambda time: time.strftime("%Y-%m-%dt%H:%M:%Sz"), {}),
    "digits": (lambda time: time.strftime("%Y%m%d%H%M%S"), {}),
    "German": (lambda time: time.strftime("%d.%m.%Y %H:%M:%S"), {}),
    "day first": (lambda time: time.strftime("%d-%m-%Y %H:%M:%S"), {"timestamp_format": "day-first"}),
    "American": (lambda time: time.strftime("%m/%d/%Y %I:%M:%S %p"), {"timestamp_format": "month-first"}),
    "RFC 2822": (format_datetime, {}),
    "month by name": (lambda time: time.strftime("%b %d, %Y %I:%M:%S %p"), {}),
    "pattern": (lambda time: time.strftime("%H:%M:%S;%j/%Y"), {"timestamp_format": "%H:%M:%S;%j/%Y"}),
    "Excel's days": (
        lambda time: repr((time - EXCEL_DAY_0) / timedelta(days=1)),
        {"timestamp_format": "excel"},
    ),
}
"""Ways to write a time, each with the option that it takes."""


def cells(rows: Sequence[Row], time: Callable[[datetime], str]) -> list[list[str]]:
    return [
        [
            "" if (value := getattr(row, name)) is None else time(value) if name == "timestamp" else str(value)
            for name in FIELDS
        ]
        for row in rows
    ]


def delimited(rows: Sequence[Row], chance: random.Random) -> Written:
    """CSV of a dialect, an encoding, a notation of times and a packing that chance chooses."""
    notation = chance.choice(list(NOTATIONS))
    time, options = NOTATIONS[notation]
    table = cells(rows, time)
    header = list(FIELDS)
    if chance.random() < 0.3:  # a column that nobody asked for
        header.insert(2, "Title")
        for number, row in enumerate(table):
            row.insert(2, chance.choice(["", f"no {number}", 'a "title", long', "two\nlines"]))
    separator = chance.choice([",", ";", "\t", "|", "^"])
    quoting = chance.choice(["minimal", "all", "backslash"])
    end = chance.choice(["\n", "\r\n"])
    sink = io.StringIO(newline="")
    writer = csv.writer(
        sink,
        delimiter=separator,
        lineterminator=end,
        quoting=csv.QUOTE_ALL if quoting != "minimal" else csv.QUOTE_MINIMAL,
        doublequote=quoting != "backslash",
        escapechar="\\" if quoting == "backslash" else None,
    )
    writer.writerows([header, *table])
    text = sink.getvalue()
    if quoting == "backslash":
        options = {**options, "escape": "\\"}
    if chance.random() < 0.3:
        text = f"Orders{end}{end}{text}" if chance.random() < 0.5 else f"{end}{text}"
    content, encoded = _encoded(text, chance)
    name, content = _packed("orders.csv", content, chance)
    return Written(name, content, {**options, **encoded})


def _encoded(text: str, chance: random.Random) -> tuple[bytes, dict[str, Any]]:
    encodings = ["utf-8", "utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "cp1252"]
    encoding = chance.choice(encodings)
    if encoding == "cp1252":
        try:
            return text.encode("cp1252"), {"encoding": "windows-1252"}
        except UnicodeEncodeError:
            encoding = "utf-8"
    mark = "\ufeff" if encoding.startswith("utf-16") else ""
    return (mark + text).encode(encoding), {}


def _packed(name: str, content: bytes, chance: random.Random) -> tuple[str, bytes]:
    match chance.choice(["none", "none", "gzip", "bz2", "xz", "zstd", "zip"]):
        case "gzip":
            return chance.choice([name, f"{name}.gz"]), gzip.compress(content)
        case "bz2":
            return f"{name}.bz2", bz2.compress(content)
        case "xz":
            return f"{name}.xz", lzma.compress(content)
        case "zstd":
            return f"{name}.zst", pa.compress(content, "zstd", asbytes=True)
        case "zip":
            return "orders.zip", _zip(name, content)
        case _:
            return name, content


def _zip(name: str, content: bytes) -> bytes:
    import zipfile  # noqa: PLC0415

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def documents(rows: Sequence[Row], chance: random.Random) -> Written:
    """JSON: lines, an array, or documents over several lines; flat, or an order each."""
    time, options = NOTATIONS[chance.choice(list(NOTATIONS))]
    found: list[dict[str, Any]] = [
        {name: value for name, value in zip(FIELDS, line, strict=True) if value or chance.random() < 0.5}
        for line in cells(rows, time)
    ]
    if chance.random() < 0.5:
        found = [
            {**record, "quantity": int(record["quantity"])} if record.get("quantity") else record for record in found
        ]
    found = [{name: None if value == "" else value for name, value in record.items()} for record in found]
    if chance.random() < 0.4:
        inner = chance.choice(["lines", "items"])
        found = [
            {
                **{name: value for name, value in first.items() if name not in ("item_id", "quantity")},
                inner: [{name: one[name] for name in ("item_id", "quantity") if name in one} for one in group],
            }
            for group in _orders(found)
            for first in group[:1]
        ]
        paths = {"item_id": (f"{inner}[].item_id",), "quantity": (f"{inner}[].quantity",)}
        options = {**options, "columns": paths}
    escaped = chance.random() < 0.5
    match chance.choice(["lines", "array", "pretty", "one after another"]):
        case "lines":
            text = "".join(json.dumps(record, ensure_ascii=escaped) + "\n" for record in found)
        case "array":
            text = json.dumps(found, ensure_ascii=escaped)
        case "pretty":
            text = json.dumps(found, ensure_ascii=escaped, indent=2)
        case _:
            text = "\n".join(json.dumps(record, ensure_ascii=escaped, indent=1) for record in found)
    name, content = _packed(chance.choice(["orders.json", "orders.jsonl", "orders.log"]), text.encode(), chance)
    return Written(name, content, options)


def _orders(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Adjacent records of one order; one without an order id is an order by itself."""
    key = [
        (record.get("customer_id"), record.get("order_id") or number, record.get("type"), record.get("timestamp"))
        for number, record in enumerate(records)
    ]
    return [[records[number] for number in group] for _, group in groupby(range(len(records)), key.__getitem__)]


def columns(rows: Sequence[Row], chance: random.Random) -> Written:
    """Parquet, Arrow, Feather, ORC or Avro, with types or as text."""
    kind = chance.choice(["parquet", "arrow", "arrows", "feather", "orc", "avro"])
    typed = chance.random() < 0.6
    times: list[Any] = [row.timestamp for row in rows]
    options: dict[str, Any] = {}
    if not typed or kind == "avro":
        time, options = NOTATIONS[chance.choice(list(NOTATIONS))]
        times = [time(row.timestamp) for row in rows]
    quantities: list[Any] = [row.quantity for row in rows]
    if not typed:
        quantities = [None if quantity is None else str(quantity) for quantity in quantities]
    texts = {name: [getattr(row, name) for row in rows] for name in ("customer_id", "item_id", "order_id", "type")}
    if kind == "avro":
        return Written(
            "orders.avro", _avro({**texts, "timestamp": times, "quantity": quantities}, typed=typed), options
        )
    text_type = (
        chance.choice([pa.string(), pa.large_string()]) if kind in ("parquet", "arrow", "arrows") else pa.string()
    )
    time_type = pa.timestamp(chance.choice(["ms", "us"]), chance.choice([None, "UTC"]) if kind != "orc" else None)
    arrays = {name: pa.array(values, text_type) for name, values in texts.items()}
    if kind == "parquet" and chance.random() < 0.3:
        arrays["item_id"] = pa.array(texts["item_id"], pa.string()).dictionary_encode()
    arrays["timestamp"] = pa.array(times, pa.timestamp("us", "UTC")).cast(time_type) if typed else pa.array(times)
    arrays["quantity"] = pa.array(quantities, pa.int64() if typed else pa.string())
    table = pa.table(arrays)
    match kind:
        case "parquet":
            return Written(chance.choice(["orders.parquet", "orders.csv"]), parquet(table), options)
        case "arrow":
            return Written("orders.arrow", arrow(table, stream=False), options)
        case "arrows":
            return Written("orders.arrows", arrow(table, stream=True), options)
        case "feather":
            return Written("orders.feather", feather(table), options)
        case _:
            return Written("orders.orc", orc(table), options)


def _avro(values: dict[str, list[Any]], *, typed: bool) -> bytes:
    fields = [{"name": name, "type": ["null", "long" if typed and name == "quantity" else "string"]} for name in FIELDS]
    sink = io.BytesIO()
    records = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    fastavro.writer(sink, {"type": "record", "name": "line", "fields": fields}, records)
    return sink.getvalue()


def sheet(rows: Sequence[Row], chance: random.Random) -> Written:
    """A workbook, with numbers or as text, perhaps below a title."""
    time, options = NOTATIONS[chance.choice(list(NOTATIONS))]
    numbers = chance.random() < 0.5
    table: list[list[object]] = [
        [
            int(cell) if numbers and name == "quantity" and cell else escape(cell)
            for name, cell in zip(FIELDS, line, strict=True)
        ]
        for line in cells(rows, time)
    ]
    title: list[list[object]] = [["Orders"], [""]] if chance.random() < 0.3 else []
    return Written("orders.xlsx", workbook([*title, list(FIELDS), *table]), options)


WRITERS = {"CSV": delimited, "JSON": documents, "columns": columns, "sheet": sheet}
"""Families of formats."""
