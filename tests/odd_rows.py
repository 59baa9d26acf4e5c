"""Files that a person reads at a glance: whatever separates their fields, packs them, holds them or nests them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import uuid
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.format_rows import FIVE, FIVE_DAYS, Row
from tests.log_kinds import HEADER, ROWS, arrow, avro, kinds, orc, parquet, parts, text, with_times, workbook, zipped
from tests.spreadsheets import open_document, xls

if TYPE_CHECKING:
    from collections.abc import Callable

NUMBERED = "customer_id=1,item_id=2,timestamp=3,quantity=4,order_id=5"
THREE = HEADER[:3]
SHEET: list[list[object]] = [[*HEADER], *([*row[:3], int(row[3]), row[4]] for row in ROWS)]


def odd_rows() -> dict[str, Row]:
    """Name -> row."""
    found = {name: Row({name: content}) for name, content in kinds().items()}
    for group in (_delimited, _packed, _places, _documents, _nested_tables):
        found |= group()
    return found


def _delimited() -> dict[str, Row]:
    rows = ROWS
    noted = text(header=[*HEADER, "note"], rows=[[*row, '"x; y, z"'] for row in rows])
    odd = [*rows, *([name, "tea", "2023-02-14 10:00:00", "1", "o4"] for name in ("Total", "eofelia", "#1"))]
    all_of_them = f"{FIVE}Total 2023-02-14T10:00 tea\neofelia 2023-02-14T10:00 tea\n#1 2023-02-14T10:00 tea"
    titled = "Orders\r\n\r\n" + text(";", [[*row[:3], f"{row[3]},0", row[4]] for row in rows], end="\r\n")
    return {
        "carets.txt": Row({"carets.txt": text("^")}),
        "tildes.txt": Row({"tildes.txt": text("~")}),
        "hive.txt": Row({"hive.txt": text("\x01")}, says=("fields are separated by '\\x01'",)),
        "separators in quotes.csv": Row({"a.csv": noted}),
        "sep and tabs.csv": Row({"a.csv": "sep=\t\n" + text("\t")}),
        "utf-16, semicolons, decimal commas, titles.csv": Row(
            {"a.csv": ("\ufeff" + titled).encode("utf-16-le")}, says=("its text is utf-16-le", "the first 2 lines")
        ),
        "header again.csv": Row({"a.csv": text(rows=rows[:3]) + text(rows=rows[3:]) + text(rows=[])}),
        "totals of all kinds.csv": Row({"a.csv": text() + "\nSum:,,,8,\nGrand Total,,,8,\n"}),
        "rules.csv": Row({"a.csv": text(rows=rows[:2]) + "-----\n" + text(rows=rows[2:], header=None) + "(5 rows)\n"}),
        **{
            f"customers called as totals are, {separator}": Row(
                {
                    "a.csv": "# made by hand\n"
                    + text(separator, odd)
                    + separator.join(["Total", "", "", "9", ""])
                    + "\n"
                },
                all_of_them,
            )
            for separator in ",;"
        },
        "a customer called Total, and a total.xlsx": Row(
            {"a.xlsx": workbook([HEADER, *odd[:-2], ["Total", "", "", 9]])}, all_of_them.partition("\neof")[0]
        ),
        "no header.csv": Row(
            {"a.csv": text(header=None)}, answers=("--columns", NUMBERED), asks="It has: 1, 2, 3, 4, 5"
        ),
        "no header, said so.csv": Row(
            {"a.csv": text(header=None)}, given=("--no-header",), answers=("--columns", NUMBERED), asks="1, 2, 3, 4, 5"
        ),
        "no header, tabs, utf-16.txt": Row(
            {"a.txt": ("\ufeff" + text("\t", header=None)).encode("utf-16-le")}, answers=("--columns", NUMBERED)
        ),
        "backslashes and semicolons.csv": Row(
            {"a.csv": text(";", [[*row, r'"5\" pot; blue"'] for row in rows], [*HEADER, "title"])}
        ),
        "names of a shop.csv": Row(
            {"a.csv": text(header=["User", "SKU", "Bought at", "Qty", "Invoice No"])},
            confirmed=("customer_id=User,item_id=SKU,timestamp=Bought at,quantity=Qty,order_id=Invoice No",),
        ),
    }


def _packed() -> dict[str, Row]:
    plain, tabbed = text().encode(), text("\t").encode()
    packers: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zstd": lambda data: pa.compress(data, "zstd", asbytes=True),
        "zip": lambda data: zipped(orders__csv=data.decode()),
    }
    endings = ("csv", "txt", "tsv", "dat", "log", "json")
    found = {
        f"{packer} called .{ending}": Row({f"orders.{ending}": pack(tabbed if ending == "tsv" else plain)})
        for packer, pack in packers.items()
        for ending in endings
        if packer in ("gzip", "zip") or ending == "csv"
    }
    days_first = with_times(lambda time: "{2}/{1}/{0} {3}".format(*parts(time))).replace(",", "\t")
    two = zipped(orders__csv=text(), customers__csv="customer,city\nann,Ulm\n")
    lines = "".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in ROWS)
    return found | {
        "gzip of tabs and days first, called .csv": Row({"a.csv": gzip.compress(days_first.encode())}),
        "two members": Row({"a.zip": two}, answers=("--member", "orders.csv"), asks="orders.csv, customers.csv"),
        "a member beside what a Mac adds": Row({"a.zip": zipped(**{"orders__csv": text(), "__MACOSX/._orders": "x"})}),
        "JSON lines in a zip": Row({"a.zip": zipped(orders__jsonl=lines)}),
        "two gzip members": Row(
            {
                "a.gz": gzip.compress(text(rows=ROWS[:2]).encode())
                + gzip.compress(text(rows=ROWS[2:], header=None).encode())
            }
        ),
        "a workbook called .csv": Row({"a.csv": workbook(SHEET)}),
        ".xls": Row({"a.xls": xls(SHEET)}),
        ".xls called .xlsx": Row({"a.xlsx": xls(SHEET)}),
        ".ods": Row({"a.ods": open_document({"Orders": SHEET})}),
        "two sheets": Row(
            {"a.ods": open_document({"Orders": SHEET, "Customers": [["customer", "city"], ["ann", "Ulm"]]})},
            answers=("--member", "Orders"),
            asks="Orders, Customers",
        ),
        "Avro called .json": Row(
            {"a.json": avro([dict(zip(HEADER, row, strict=True)) | {"quantity": int(row[3])} for row in ROWS])}
        ),
        "ORC called .parquet": Row(
            {"a.parquet": orc(pa.Table.from_pylist([dict(zip(HEADER, row, strict=True)) for row in ROWS]))}
        ),
        "Arrow called .txt": Row(
            {"a.txt": arrow(pa.Table.from_pylist([dict(zip(HEADER, row, strict=True)) for row in ROWS]), stream=True)}
        ),
    }


def _places() -> dict[str, Row]:
    first, second = text(rows=ROWS[:2]), text(rows=ROWS[2:])
    packed: dict[str, bytes | str] = {
        "orders/part-9.csv": first,
        "orders/part-10.csv.gz": gzip.compress(second.encode()),
        "orders/_SUCCESS": "",
    }
    hive = {
        f"log/year=2023/month={month:02}/day={day}/a.csv": text(
            rows=[[*row[:2], *row[3:]] for row in ROWS[begin:end]], header=[*HEADER[:2], *HEADER[3:]]
        )
        for month, day, begin, end in ((1, 15, 0, 2), (1, 20, 2, 4), (2, 13, 4, 5))
    }
    typed = pa.schema({name: pa.string() for name in (*HEADER[:2], *HEADER[3:])})
    columns = {
        name.replace(".csv", ".parquet"): parquet(
            pa.Table.from_pylist(
                [dict(zip(typed.names, line.split(","), strict=True)) for line in content.splitlines()[1:]], typed
            )
        )
        for name, content in hive.items()
    }
    joined = ("timestamp=year+month+day", "year-first")
    return {
        "directory": Row(packed, log="orders"),
        "glob": Row(packed, log="orders/part-*"),
        "deep glob": Row(packed, log="**/*.csv*"),
        "hive": Row(hive, FIVE_DAYS, confirmed=joined, log="log"),
        "hive of Parquet": Row(columns, FIVE_DAYS, confirmed=joined, log="log"),
        "-": Row({"a.csv": text()}, log="-"),
        "/dev/stdin": Row({"a.csv": text()}, log="/dev/stdin"),
        "a workbook through a pipe": Row({"a.xlsx": workbook(SHEET)}, log="-"),
        "gzip through a pipe": Row({"a.gz": gzip.compress(text(";").encode())}, log="-"),
        "JSON through a pipe": Row({"a": kinds()["pretty.json"]}, log="-"),
        "Parquet through a pipe": Row({"a": kinds()["table.parquet"]}, log="-"),
    }


def _orders() -> list[dict[str, Any]]:
    """The lines of the log in a document for each order."""
    return [
        {
            "customer": {"id": rows[0][0]},
            "created": rows[0][2].replace(" ", "T") + "Z",
            "lines": [{"sku": row[1], "qty": int(row[3])} for row in rows],
        }
        for rows in (ROWS[:2], ROWS[2:4], ROWS[4:])
    ]


def _json(documents: list[Any], **how: Any) -> str:  # noqa: ANN401 - as `json.dumps` takes it
    return json.dumps(documents, **how) if how else "".join(json.dumps(one) + "\n" for one in documents)


def _documents() -> dict[str, Row]:
    named = ("customer_id=customer.id,item_id=lines[].sku,timestamp=created,quantity=lines[].qty",)
    others = {
        name: [{**{key: one[key] for key in ("customer", "created")}, name: one["lines"]} for one in _orders()]
        for name in ("products", "line_items", "items")
    }
    deep = [
        {
            "userId": one["customer"]["id"],
            "timestamp": one["created"],
            "properties": {"products": [{"product_id": line["sku"], "quantity": line["qty"]} for line in one["lines"]]},
        }
        for one in _orders()
    ]
    tags = [
        {"customer_id": one["customer"]["id"], "timestamp": one["created"], "items": [x["sku"] for x in one["lines"]]}
        for one in _orders()
    ]
    single = FIVE.replace("*2", "").replace("*3", "")
    mongo = [
        {
            "_id": {"$oid": f"{n:024x}"},
            "customer_id": row[0],
            "item_id": row[1],
            "timestamp": {"$date": {"$numberLong": str(1673777472000 + n)}},
            "quantity": {"$numberInt": "1"},
        }
        for n, row in enumerate(ROWS)
    ]
    gaps = [{**dict(zip(HEADER, row, strict=True)), "quantity": float("nan")} for row in ROWS]
    paths = "customer_id=userId,item_id=properties.products[].product_id,quantity=properties.products[].quantity"
    return {
        **{
            f"lines under {name}": Row(
                {"a.jsonl": _json(documents)}, confirmed=(named[0].replace("lines[]", f"{name}[]"),)
            )
            for name, documents in others.items()
        },
        "lines in an array": Row({"a.json": _json(_orders(), separators=(",", ":"))}, confirmed=named),
        "lines, pretty-printed": Row({"a.json": _json(_orders(), indent=4)}, confirmed=named),
        "lines, gzip": Row({"a.json": gzip.compress(_json(_orders()).encode())}, confirmed=named),
        "dotted paths": Row({"a.jsonl": _json(deep)}, confirmed=(paths,)),
        "lists of strings": Row({"a.jsonl": _json(tags)}, single, confirmed=("item_id=items[]",)),
        "MongoDB's wrappings": Row(
            {"a.json": _json(mongo)},
            "ann 2023-01-15T10:11:12.000 tea\nann 2023-01-15T10:11:12.001 mug\nbob 2023-01-15T10:11:12.002 tea\n"
            "bob 2023-01-15T10:11:12.003 jam\ncem 2023-01-15T10:11:12.004 mug",
        ),
        "NaN": Row({"a.jsonl": _json(gaps)}, single),
    }


def _nested_tables() -> dict[str, Row]:
    lines = pa.list_(pa.struct({"sku": pa.string(), "qty": pa.int64()}))
    orders = [
        {"customer_id": one["customer"]["id"], "timestamp": one["created"], "lines": one["lines"]} for one in _orders()
    ]
    structs = pa.Table.from_pylist(
        orders, pa.schema({"customer_id": pa.string(), "timestamp": pa.string(), "lines": lines})
    )
    strings = pa.Table.from_pylist(
        [{**one, "items": [line["sku"] for line in one.pop("lines")]} for one in map(dict, orders)],
        pa.schema({"customer_id": pa.string(), "timestamp": pa.string(), "items": pa.list_(pa.string())}),
    )
    who = {name: uuid.UUID(int=number + (7 << 100)) for number, name in enumerate(("ann", "bob", "cem"))}
    days = pa.table(
        {
            "customer_id": pa.array([who[row[0]].bytes for row in ROWS], pa.binary(16)),
            "item_id": [row[1] for row in ROWS],
            "timestamp": pa.array([int(row[2][:10].replace("-", "")) for row in ROWS], pa.int32()),
            "quantity": pa.array([int(row[3]) for row in ROWS], pa.int8()),
            "order_id": pa.array([int(row[4][1:]) for row in ROWS], pa.uint64()),
        }
    )
    of_uuids = FIVE_DAYS
    for name, value in who.items():
        of_uuids = of_uuids.replace(name, str(value))
    single = FIVE.replace("*2", "").replace("*3", "")
    found = {}
    writers: dict[str, Callable[[pa.Table], bytes]] = {
        "parquet": parquet,
        "arrow": lambda t: arrow(t, stream=False),
        "orc": orc,
    }
    for ending, written in writers.items():
        found[f"{ending}, list of structs"] = Row(
            {f"a.{ending}": written(structs)}, confirmed=("item_id=lines[].sku,quantity=lines[].qty",)
        )
        found[f"{ending}, list of strings"] = Row(
            {f"a.{ending}": written(strings)}, single, confirmed=("item_id=items[]",)
        )
        if ending != "orc":  # it knows no bytes of one length, and no unsigned numbers
            found[f"{ending}, UUIDs of 16 bytes, days as numbers"] = Row({f"a.{ending}": written(days)}, of_uuids)
    return found
