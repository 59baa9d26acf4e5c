"""Logs of every kind, written for the benchmark of reading: the same order lines, a file for each kind."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.feather as pa_feather
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq

from benchmarks.sheets import write_ods, write_xlsx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

HEADER = ("customer_id", "item_id", "timestamp", "quantity", "order_id")
FIRST_S = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp())
YEAR_S = 365 * 86_400
EXCEL_EPOCH_DAYS = 25_569
LEAST = 200_000.0
"""Lines a second of CPU that a log of any kind is read at."""
MOST_MB = 500.0
SHEET_LEAST, SHEET_MOST_MB = 50_000.0, 1000.0


@dataclass(frozen=True)
class OrderLines:
    """Order lines of one year, in order: orders of one to five lines, nearly each at a time of its own."""

    customer: list[str]
    item: list[str]
    time: list[int]
    """Seconds since 1970 UTC."""
    quantity: list[int]
    order: list[str]

    def times(self, write: Callable[[datetime], str]) -> list[str]:
        """Each line's time as text."""
        written = {second: write(datetime.fromtimestamp(second, UTC)) for second in dict.fromkeys(self.time)}
        return [written[second] for second in self.time]

    def texts(self, times: Sequence[str] | None = None) -> list[list[str]]:
        """The columns of `HEADER` as text."""
        at = self.times(lambda time: f"{time:%Y-%m-%d %H:%M:%S}") if times is None else list(times)
        return [self.customer, self.item, at, [*map(str, self.quantity)], self.order]

    def records(self, times: Sequence[object] | None = None) -> list[dict[str, Any]]:
        """A record for each line."""
        customer, item, at, _, order = self.texts()
        columns: list[Sequence[object]] = [customer, item, at if times is None else times, self.quantity, order]
        return [dict(zip(HEADER, row, strict=True)) for row in zip(*columns, strict=True)]

    def orders(self) -> Iterable[tuple[str, list[dict[str, Any]]]]:
        """Each order's id, and the records of its lines."""
        return ((order, list(lines)) for order, lines in groupby(self.records(), itemgetter("order_id")))

    def table(self) -> pa.Table:
        """The lines as columns, with times as such."""
        customer, item, _, _, order = self.texts()
        return pa.table(
            {
                "customer_id": customer,
                "item_id": item,
                "timestamp": pa.array(self.time, pa.timestamp("s")).cast(pa.timestamp("us")),
                "quantity": pa.array(self.quantity, pa.int64()),
                "order_id": order,
            }
        )


def order_lines(lines: int) -> OrderLines:
    """So many order lines, the same each time."""
    random = np.random.default_rng(5)
    sizes = random.integers(1, 6, lines)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), lines)) + 1]
    of = np.repeat(np.arange(len(sizes)), sizes)[:lines]
    customers = random.integers(10_000, 10_000 + lines // 10, len(sizes))
    times = FIRST_S + np.sort(random.integers(0, YEAR_S, len(sizes)))
    items = (random.random(lines) ** 3 * 20_000).astype(np.int64)
    return OrderLines(
        customer=[f"c{number}" for number in customers[of].tolist()],
        item=[f"SKU-{number:05}" for number in items.tolist()],
        time=times[of].tolist(),
        quantity=random.integers(1, 5, lines).tolist(),
        order=[f"o{number}" for number in (of + 100_000).tolist()],
    )


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    write: Callable[[Path, OrderLines], None]
    settings: dict[str, Any] = field(default_factory=dict)
    """Attributes of `LogFormat` that a user has to give."""
    least: float = LEAST
    most_mb: float = MOST_MB
    plain: bool = False
    """Whether the commit before all other kinds read it, too."""
    profile: str = ""
    share: float = 1.0
    """Of the lines that count."""


def delimited(
    separator: str = ",",
    end: str = "\n",
    *,
    header: Sequence[str] | None = HEADER,
    time: Callable[[datetime], str] | None = None,
    change: Callable[[list[list[str]]], list[list[str]]] = lambda columns: columns,
    row: Callable[[str], str] = lambda row: row,
    before: str = "",
    behind: str = "",
    encode: Callable[[str], bytes] = str.encode,
) -> Callable[[Path, OrderLines], None]:
    """Writes delimited text; `change` alters columns, `row` a line."""

    def write(path: Path, lines: OrderLines) -> None:
        columns = change(lines.texts(None if time is None else lines.times(time)))
        rows = [row(separator.join(cells)) for cells in zip(*columns, strict=True)]
        first = [row(separator.join(header))] if header else []
        path.write_bytes(encode(before + end.join([*first, *rows]) + end + behind))

    return write


def at(place: int, change: Callable[[str], str]) -> Callable[[list[list[str]]], list[list[str]]]:
    """Changes one column."""

    def changed(columns: list[list[str]]) -> list[list[str]]:
        return [[*map(change, column)] if number == place else column for number, column in enumerate(columns)]

    return changed


def quoted(cell: str) -> str:
    """A cell in quotes."""
    return f'"{cell}"'


def some(every: int, change: Callable[[str], str]) -> Callable[[str], str]:
    """Changes one cell of so many."""
    count = iter(range(1 << 40))
    return lambda cell: change(cell) if next(count) % every == 0 else cell


def dated(
    time: Callable[[datetime], str], **settings: str
) -> tuple[Callable[[Path, OrderLines], None], dict[str, Any]]:
    """Commas, or semicolons where the time holds one, with times of a notation, and the settings that it takes."""
    comma = "," in time(datetime(2023, 1, 1, tzinfo=UTC))
    return delimited(";" if comma else ",", time=time), dict(settings)


def jsonl(records: Callable[[OrderLines], Iterable[object]]) -> Callable[[Path, OrderLines], None]:
    """Writes a JSON document a line."""

    def write(path: Path, lines: OrderLines) -> None:
        path.write_text("".join(json.dumps(record) + "\n" for record in records(lines)))

    return write


def array(indent: int | None = None) -> Callable[[Path, OrderLines], None]:
    """Writes one JSON array."""

    def write(path: Path, lines: OrderLines) -> None:
        path.write_text(json.dumps(lines.records(), indent=indent))

    return write


def _nested(lines: OrderLines) -> Iterable[object]:
    for order, rows in lines.orders():
        products = [{"product_id": row["item_id"], "quantity": row["quantity"]} for row in rows]
        yield {
            "event": "Order Completed",
            "userId": rows[0]["customer_id"],
            "timestamp": rows[0]["timestamp"].replace(" ", "T") + "Z",
            "properties": {"order_id": order, "currency": "EUR", "products": products},
        }


def _own_records(lines: OrderLines) -> Iterable[object]:
    for order, rows in lines.orders():
        products = [{"item_id": row["item_id"], "quantity": row["quantity"]} for row in rows]
        head = {"customer_id": rows[0]["customer_id"], "timestamp": rows[0]["timestamp"], "order_id": order}
        yield {**head, "lines": products}


def _tags(lines: OrderLines) -> Iterable[object]:
    for order, rows in lines.orders():
        head = {"customer_id": rows[0]["customer_id"], "timestamp": rows[0]["timestamp"], "order_id": order}
        yield {**head, "items": [row["item_id"] for row in rows]}


def _mongo(lines: OrderLines) -> Iterable[object]:
    for number, record in enumerate(lines.records()):
        wrapped = {"timestamp": {"$date": f"{record['timestamp'].replace(' ', 'T')}Z"}}
        yield {
            "_id": {"$oid": f"{number:024x}"},
            **record,
            **wrapped,
            "quantity": {"$numberLong": str(record["quantity"])},
        }


def _nan(lines: OrderLines) -> Iterable[object]:
    return ({**record, "discount": float("nan")} for record in lines.records())


def _packed(open_packed: Callable[[Path], Any]) -> Callable[[Path, OrderLines], None]:
    def write(path: Path, lines: OrderLines) -> None:
        delimited(";")(path, lines)
        content = path.read_bytes()
        with open_packed(path) as file:
            file.write(content)

    return write


def _zip(path: Path, lines: OrderLines) -> None:
    delimited(";")(path, lines)
    content = path.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders.csv", content)


def _zstd(path: Path) -> Any:  # noqa: ANN401
    return pa.CompressedOutputStream(str(path), "zstd")


def _columns(
    write: Callable[[pa.Table, Path], None], shape: Callable[[OrderLines], pa.Table] = OrderLines.table
) -> Callable[[Path, OrderLines], None]:
    return lambda path, lines: write(shape(lines), path)


def _nested_table(lines: OrderLines) -> pa.Table:
    orders = [
        {
            "customer_id": rows[0]["customer_id"],
            "timestamp": rows[0]["timestamp"],
            "order_id": order,
            "lines": [{"item_id": row["item_id"], "quantity": row["quantity"]} for row in rows],
        }
        for order, rows in lines.orders()
    ]
    return pa.Table.from_pylist(orders)


def _tag_table(lines: OrderLines) -> pa.Table:
    return pa.Table.from_pylist(list(_tags(lines)))


def _odd_table(lines: OrderLines) -> pa.Table:
    """Customers as UUIDs of 16 bytes, days as numbers such as 20230105."""
    ids = {name: uuid.uuid5(uuid.NAMESPACE_URL, name).bytes for name in dict.fromkeys(lines.customer)}
    table = lines.table()
    days = [int(day) for day in lines.times(lambda time: f"{time:%Y%m%d}")]
    table = table.set_column(0, "customer_id", pa.array([ids[name] for name in lines.customer], pa.binary(16)))
    return table.set_column(2, "timestamp", pa.array(days, pa.int64()))


def _feather(table: pa.Table, path: Path) -> None:
    pa_feather.write_feather(table, str(path), compression="zstd")


def _stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=65_536)


def _avro(path: Path, lines: OrderLines) -> None:
    types = {"timestamp": {"type": "long", "logicalType": "timestamp-millis"}, "quantity": "long"}
    fields = [{"name": name, "type": types.get(name, "string")} for name in HEADER]
    records = lines.records([second * 1000 for second in lines.time])
    with path.open("wb") as file:
        fastavro.writer(file, {"type": "record", "name": "line", "fields": fields}, records, codec="deflate")


def _sheet_rows(lines: OrderLines) -> Iterable[list[str | float]]:
    days = (second / 86_400 + EXCEL_EPOCH_DAYS for second in lines.time)
    columns = (lines.customer, lines.item, days, map(float, lines.quantity), lines.order)
    return ([*row] for row in zip(*columns, strict=True))


def _xlsx(path: Path, lines: OrderLines) -> None:
    write_xlsx(path, HEADER, _sheet_rows(lines), date_column=2)


def _ods(path: Path, lines: OrderLines) -> None:
    iso = lines.times(lambda time: f"{time:%Y-%m-%dT%H:%M:%S}")
    write_ods(path, HEADER, zip(lines.customer, lines.item, iso, lines.quantity, lines.order, strict=True))


def _fill_down(columns: list[list[str]]) -> list[list[str]]:
    """The fields of an order on its first line only, as shops export it."""
    customer, item, time, quantity, order = columns
    first = [place == 0 or order[place] != order[place - 1] for place in range(len(order))]
    return [
        [cell if there else "" for cell, there in zip(customer, first, strict=True)],
        item,
        [cell if there else "" for cell, there in zip(time, first, strict=True)],
        quantity,
        order,
    ]


def _joined_cells(path: Path, lines: OrderLines) -> None:
    text = io.StringIO()
    text.write("order_number,date,billing_email,line_items\n")
    for order, rows in lines.orders():
        cell = ";".join(f"name:Thing|sku:{row['item_id']}|quantity:{row['quantity']}|total:9.90" for row in rows)
        text.write(f'{order},{rows[0]["timestamp"]},{rows[0]["customer_id"]},"{cell}"\n')
    path.write_text(text.getvalue())


def _shuffled(columns: list[list[str]]) -> list[list[str]]:
    order = np.random.default_rng(3).permutation(len(columns[0])).tolist()
    return [[column[place] for place in order] for column in columns]


def _guests(columns: list[list[str]]) -> list[list[str]]:
    guest = [int(order[1:]) % 4 == 0 for order in columns[4]]
    return [["" if one else name for name, one in zip(columns[0], guest, strict=True)], *columns[1:]]


def _day_and_time(columns: list[list[str]]) -> list[list[str]]:
    days, times = zip(*(cell.split(" ") for cell in columns[2]), strict=True)
    return [*columns[:2], list(days), list(times), *columns[3:]]


def _with_column(write: Callable[[int], str], place: int | None = None) -> Callable[[list[list[str]]], list[list[str]]]:
    def changed(columns: list[list[str]]) -> list[list[str]]:
        new = [write(number) for number in range(len(columns[0]))]
        return [*columns, new] if place is None else [*columns[:place], new, *columns[place:]]

    return changed


def _negative(columns: list[list[str]]) -> list[list[str]]:
    """Every hundredth line is the return of the line before it."""
    customer, item, time, quantity, order = map(list, columns)
    for place in range(100, len(customer), 100):
        for column in (customer, item):
            column[place] = column[place - 1]
        quantity[place] = f"-{quantity[place - 1]}"
        order[place] = f"C{order[place - 1]}"
    return [customer, item, time, quantity, order]


def _days(time: datetime) -> str:
    return str(int((time.timestamp() - FIRST_S) // 86_400) + 1)


def _title(number: int) -> str:
    return f'"Pot, blue\nNo. {number % 100}"' if number % 10 == 0 else "Pot"


TITLED = (*HEADER, "title")


def kinds() -> list[Kind]:
    """Every kind, by group."""
    return [*_plain_kinds(), *_delimited_kinds(), *_packed_kinds(), *_date_kinds(), *_value_kinds(), *_other_kinds()]


def _plain_kinds() -> list[Kind]:
    parquet = _columns(pq.write_table)
    return [
        Kind("plain.csv", delimited(), plain=True),
        Kind("plain.parquet", parquet, plain=True),
        Kind("plain.jsonl", jsonl(OrderLines.records)),
        Kind("records with lines.jsonl", jsonl(_own_records)),
        Kind("plain gzip.csv.gz", _gzipped),
        Kind("quotes everywhere.csv", delimited(change=lambda columns: [[*map(quoted, c)] for c in columns])),
        Kind("line ends in quotes.csv", delimited(header=TITLED, change=_with_column(_title))),
    ]


def _gzipped(path: Path, lines: OrderLines) -> None:
    delimited()(path, lines)
    path.write_bytes(gzip.compress(path.read_bytes(), 6))


def _delimited_kinds() -> list[Kind]:
    umlaut = at(1, lambda item: item.replace("SKU", "Stück"))
    pots = _with_column(lambda number: f'"5\\" pot, No. {number % 100}"')
    dotted = delimited(
        ";",
        time=lambda time: f"{time:%d.%m.%Y %H:%M:%S}",
        change=at(3, lambda quantity: f"{quantity},0"),
    )
    return [
        Kind("tabs.tsv", delimited("\t")),
        Kind("semicolons.csv", delimited(";")),
        Kind("semicolons, dotted dates, decimal comma.csv", dotted),
        Kind("pipes.txt", delimited("|")),
        Kind("colons.dat", delimited("::")),
        Kind("sep line.csv", delimited(";", "\r\n", before="sep=;\r\n")),
        Kind("utf-16.txt", delimited("\t", "\r\n", encode=lambda text: ("\ufeff" + text).encode("utf-16-le"))),
        Kind("windows-1252.csv", delimited(";", change=umlaut, encode=lambda text: text.encode("cp1252"))),
        Kind("utf-8 umlauts.csv", delimited(";", change=umlaut)),
        Kind("carriage returns.csv", delimited(end="\r")),
        Kind(
            "titles, comments, total.csv",
            delimited(before="Orders of the shop\n\n# made by hand\n", behind="Total,,,8,\n"),
        ),
        Kind("blank lines.csv", delimited(end="\n\n")),
        Kind("blank lines, semicolons.csv", delimited(";", end="\n\n")),
        Kind("trailing separators.csv", delimited(row=lambda row: row + ",")),
        Kind("spaces after commas.csv", delimited(", ")),
        Kind("backslash escapes.csv", delimited(header=TITLED, change=pots)),
        Kind(
            "backslash escapes, semicolons, line ends.csv", delimited(";", header=TITLED, change=_with_column(_slashed))
        ),
        Kind("line ends in quotes, semicolons.csv", delimited(";", header=TITLED, change=_with_column(_title))),
        Kind("single quotes.csv", delimited(change=lambda columns: [[f"'{cell}'" for cell in c] for c in columns])),
        Kind("no header.csv", delimited(header=None), {"columns": _numbered()}),
    ]


def _slashed(number: int) -> str:
    return f'"5\\" pot;\nNo. {number % 100}"' if number % 10 == 0 else "pot"


def _numbered() -> dict[str, list[str]]:
    return {name: [str(number)] for number, name in enumerate(HEADER, 1)}


def _packed_kinds() -> list[Kind]:
    return [
        Kind("gzip.csv", _packed(lambda path: gzip.open(path, "wb", 6))),
        Kind("bz2.csv", _packed(lambda path: bz2.open(path, "wb"))),
        Kind("xz.csv", _packed(lambda path: lzma.open(path, "wb", preset=1))),
        Kind("zstd.csv", _packed(_zstd)),
        Kind("zip.csv", _zip),
    ]


def _date_kinds() -> list[Kind]:
    def short(time: datetime) -> str:
        return f"{time.month}/{time.day}/{time.year} {time.hour}:{time:%M}"

    notations: dict[str, tuple[Callable[[Path, OrderLines], None], dict[str, Any]]] = {
        "2023-01-05T10:11:12Z": dated(lambda time: f"{time:%Y-%m-%dT%H:%M:%SZ}"),
        "2023-01-05T10:11:12.345+01:00": dated(lambda time: f"{time:%Y-%m-%dT%H:%M:%S}.345+01:00"),
        "2023-01-05 10:11:12, Berlin": dated(lambda time: f"{time:%Y-%m-%d %H:%M:%S}", timezone="Europe/Berlin"),
        "2023-01-05": dated(lambda time: f"{time:%Y-%m-%d}"),
        "1-5-2023 8:26": dated(short),
        "05-01-2023 08:26": dated(lambda time: f"{time:%d-%m-%Y %H:%M}"),
        "05.01.2023": dated(lambda time: f"{time:%d.%m.%Y}"),
        "2023-01-05 slashes": dated(lambda time: f"{time:%Y/%m/%d}"),
        "2023-1-5": dated(lambda time: f"{time.year}-{time.month}-{time.day}"),
        "2023-01-05 10:11:12 UTC": dated(lambda time: f"{time:%Y-%m-%d %H:%M:%S} UTC"),
        "2023-01-05 10:11:12 EST": dated(lambda time: f"{time:%Y-%m-%d %H:%M:%S} EST"),
        "2023-01-05t10:11:12z": dated(lambda time: f"{time:%Y-%m-%dt%H:%M:%Sz}"),
        "Thu, 05 Jan 2023 10:11:12 +0100": dated(lambda time: f"{time:%a, %d %b %Y %H:%M:%S} +0100"),
        "Jan 5, 2023 10:11:12 AM": dated(lambda time: f"{time:%b} {time.day}, {time:%Y %I:%M:%S %p}"),
        "20230105": dated(lambda time: f"{time:%Y%m%d}"),
        "20230105101112": dated(lambda time: f"{time:%Y%m%d%H%M%S}"),
        "Unix seconds": dated(lambda time: f"{time.timestamp():.0f}"),
        "Unix seconds as floats": dated(lambda time: f"{time.timestamp():.1f}"),
        "Unix seconds as 1.67E9": dated(lambda time: f"{time.timestamp():.9E}"),
        "Unix milliseconds": dated(lambda time: f"{time.timestamp() * 1000:.0f}"),
        "Unix microseconds": dated(lambda time: f"{time.timestamp():.0f}000000"),
        "Unix nanoseconds": dated(lambda time: f"{time.timestamp():.0f}000000000"),
        "Excel serial days": dated(lambda time: f"{time.timestamp() / 86_400 + EXCEL_EPOCH_DAYS:.5f}"),
        "days since start": dated(_days, timestamp_format="days", start="2023-01-01"),
        "pattern": dated(lambda time: f"{time:%d.%m.%Y %Hh%M}", timestamp_format="%d.%m.%Y %Hh%M"),
    }
    found = [Kind(f"{name}.csv", *written) for name, written in notations.items()]
    both = (*HEADER[:2], "date", "time", *HEADER[3:])
    columns = {"timestamp": ["date", "time"]}
    hours = delimited(
        header=both,
        time=lambda time: f"{_days(time)} {time.hour}",
        change=_day_and_time,
    )
    return [
        *found,
        Kind("day and time.csv", delimited(header=both, change=_day_and_time), {"columns": columns}),
        Kind("day and hour.csv", hours, {"columns": columns, "timestamp_format": "days", "start": "2023-01-01"}),
    ]


def _value_kinds() -> list[Kind]:
    events = (*HEADER, "event")
    types = (*HEADER, "type")
    event = _with_column(lambda number: "transaction" if number % 4 == 0 else "view")
    return [
        Kind("quantities 1.5.csv", delimited(change=at(3, lambda quantity: f"{quantity}.5"))),
        Kind('quantities "1,5".csv', delimited(";", change=at(3, lambda quantity: f"{quantity},5"))),
        Kind("quantities 2 pcs.csv", delimited(change=at(3, lambda quantity: f"{quantity} pcs"))),
        Kind("negative returns.csv", delimited(change=_negative)),
        Kind("types.csv", delimited(header=types, change=_with_column(lambda _: "PURCHASE"))),
        Kind("events.csv", delimited(header=events, change=event), share=0.25),
        Kind("guests.csv", delimited(change=_guests), {"guests": "order"}),
        Kind("missing 0.csv", delimited(change=at(4, some(5, lambda _: "NULL"))), {"missing": ["0"]}),
        Kind("excluded items.csv", delimited(), {"excluded_items": ["POST*", "FEE-?"]}),
        Kind("spaces around ids.csv", delimited(change=at(0, lambda cell: f" {cell} "))),
        Kind('="0007".csv', delimited(change=at(0, lambda cell: f'"=""{cell[1:]}"""'))),
        Kind("17001.0.csv", delimited(change=at(0, lambda cell: f"{cell[1:]}.0")), {"number_columns": ["customer_id"]}),
        Kind("fill-down.csv", delimited(change=_fill_down)),
        Kind("joined cells.csv", _joined_cells, {"order": "time"}, profile="woocommerce"),
        Kind("sorted.csv", delimited(change=_shuffled), {"order": "sort"}),
    ]


def _other_kinds() -> list[Kind]:
    nested = _columns(pq.write_table, _nested_table)
    lines = {"item_id": ["lines[].item_id"], "quantity": ["lines[].quantity"]}
    products = {
        "customer_id": ["userId"],
        "item_id": ["properties.products[].product_id"],
        "quantity": ["properties.products[].quantity"],
        "order_id": ["properties.order_id"],
        "type": [""],
    }
    sheet: dict[str, Any] = {"least": SHEET_LEAST, "most_mb": SHEET_MOST_MB}
    return [
        Kind("nested.jsonl", jsonl(_nested), {"columns": products}),
        Kind("array.json", array()),
        Kind("pretty.json", array(2)),
        Kind("lists of texts.jsonl", jsonl(_tags), {"columns": {"item_id": ["items[]"]}}),
        Kind("MongoDB.jsonl", jsonl(_mongo)),
        Kind("NaN.jsonl", jsonl(_nan)),
        Kind("nested.parquet", nested, {"columns": lines}),
        Kind("lists of texts.parquet", _columns(pq.write_table, _tag_table), {"columns": {"item_id": ["items[]"]}}),
        Kind("UUIDs and 20230105.parquet", _columns(pq.write_table, _odd_table)),
        Kind("feather.arrow", _columns(_feather)),
        Kind("stream.arrows", _columns(_stream)),
        Kind("table.orc", _columns(lambda table, path: pa_orc.write_table(table, str(path)))),
        Kind("table.avro", _avro),
        Kind("workbook.xlsx", _xlsx, **sheet),
        Kind("workbook.ods", _ods, **sheet),
    ]
