"""One small log as shops, stores and data teams write it: the same five lines in every kind of file.

Each kind gives the bytes of a file, and the name to give it. What differs in meaning has tests of its own.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.feather as pa_feather
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HEADER = ["customer_id", "item_id", "timestamp", "quantity", "order_id"]
ROWS = [
    ["ann", "tea", "2023-01-15 10:11:12", "2", "o1"],
    ["ann", "mug", "2023-01-15 10:11:12", "1", "o1"],
    ["bob", "tea", "2023-01-20 08:00:00", "1", "o2"],
    ["bob", "jam", "2023-01-20 08:00:00", "3", "o2"],
    ["cem", "mug", "2023-02-13 09:30:00", "1", "o3"],
]
LINES = [(row[0], row[1], row[2].replace(" ", "T") + "Z", int(row[3]), "purchase") for row in ROWS]
"""Customer, item, time, quantity and type of each line, in every kind."""


def text(
    separator: str = ",",
    rows: Sequence[Sequence[str]] = ROWS,
    header: Sequence[str] | None = HEADER,
    end: str = "\n",
) -> str:
    lines = [*([header] if header else []), *rows]
    return "".join(separator.join(line) + end for line in lines)


def with_times(change: Callable[[str], str]) -> str:
    return text(rows=[[*row[:2], change(row[2]), *row[3:]] for row in ROWS])


def parts(time: str) -> tuple[str, str, str, str]:
    """Year, month and day, and the time of day."""
    return time[:4], time[5:7], time[8:10], time[11:]


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def records() -> list[dict[str, object]]:
    return [{**dict(zip(HEADER, row, strict=True)), "quantity": int(row[3])} for row in ROWS]


def table() -> pa.Table:
    return pa.Table.from_pylist(records())


def parquet(data: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(data, sink)
    return sink.getvalue()


def arrow(data: pa.Table, *, stream: bool) -> bytes:
    sink = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, data.schema) as writer:
        writer.write_table(data)
    return sink.getvalue()


def feather(data: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa_feather.write_feather(data, sink, compression="zstd")
    return sink.getvalue()


def orc(data: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa_orc.write_table(data, sink)
    return sink.getvalue()


def avro(data: Sequence[dict[str, object]]) -> bytes:
    import fastavro  # noqa: PLC0415

    fields = [{"name": name, "type": "long" if name == "quantity" else "string"} for name in HEADER]
    sink = io.BytesIO()
    fastavro.writer(sink, {"type": "record", "name": "line", "fields": fields}, data)
    return sink.getvalue()


def workbook(rows: Sequence[Sequence[object]]) -> bytes:
    """An .xlsx file of inline strings and numbers, with as little as a reader needs."""
    cells = [
        "<row>"
        + "".join(
            f"<c><v>{value}</v></c>"
            if isinstance(value, int | float)
            else f'<c t="inlineStr"><is><t>{value}</t></is></c>'
            for value in row
        )
        + "</row>"
        for row in rows
    ]
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{relations}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{space}" xmlns:r="{relations}"><sheets>'
        '<sheet name="Orders" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="r1" '
        f'Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{space}"><sheetData>{"".join(cells)}</sheetData></worksheet>',
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + content)
    return buffer.getvalue()


def kinds() -> dict[str, bytes]:
    """File name -> content. Every one of them is read without any option."""
    found = {**delimited(), **dated(), **packed(), **documents(), **tables()}
    return {name: content.encode() if isinstance(content, str) else content for name, content in found.items()}


def delimited() -> dict[str, bytes | str]:
    """Delimited text."""
    lines = ROWS
    return {
        "plain.csv": text(),
        "tabs.tsv": text("\t"),
        "tabs called.csv": text("\t"),
        "semicolons.csv": text(";"),
        "pipes.txt": text("|"),
        "colons.dat": text("::"),
        "sep.csv": "sep=;\r\n" + text(";", end="\r\n"),
        "decimal comma.csv": text(";", [[*row[:3], f"{row[3]},0", row[4]] for row in lines]),
        "byte order mark.csv": "\ufeff" + text(),
        "excel unicode text.txt": ("\ufeff" + text("\t", end="\r\n")).encode("utf-16-le"),
        "utf-16 without mark.csv": text().encode("utf-16-be"),
        "carriage returns.csv": text(end="\r"),
        "blank lines first.csv": "\n\n" + text(),
        "title lines.csv": "Orders of the shop\nmade on 2023-03-01\n\n" + text(),
        "wide title lines.csv": "Orders of the shop,,,,\n,,,,\n" + text(),
        "comments.csv": "# made by hand\n" + text() + "# end\n",
        "header in the middle.csv": text(rows=lines[:3]) + text(rows=lines[3:]),
        "total.csv": text() + "Total,,,8,\n",
        "row count.csv": text() + "(5 rows)\n",
        "psql.txt": " | ".join(HEADER) + "\n---+---+---+---+---\n" + text(" | ", header=None) + "(5 rows)\n",
        "trailing separators.csv": text(rows=[[*row, ""] for row in lines], header=[*HEADER, ""]),
        "trailing separators below.csv": text(rows=[[*row, ""] for row in lines]),
        "spaces.csv": text(", "),
        "spaces and quotes.csv": text(", ", [[f'"{cell}"' for cell in row] for row in lines]),
        "quotes.csv": text(rows=[[f'"{cell}"' for cell in row] for row in lines]),
        "single quotes.csv": text(rows=[[f"'{cell}'" for cell in row] for row in lines]),
        "backslashes.csv": text(
            header=[*HEADER, "title"], rows=[[*(f'"{cell}"' for cell in row), '"5\\" pot, blue"'] for row in lines]
        ),
        "names with spaces.csv": text(header=["Customer ID", "Item ID", "Timestamp", "quantity", "order_id"]),
    }


def packed() -> dict[str, bytes | str]:
    """Packed text, whatever its name says."""
    return {
        "gzip called.csv": gzip.compress(text().encode()),
        "gzip called.txt": gzip.compress(text("\t").encode()),
        "zip called.csv": zipped(orders__csv=text()),
        "one member.zip": zipped(orders__txt=text(";")),
        "packed.csv.bz2": bz2.compress(text().encode()),
        "packed.csv.xz": lzma.compress(text().encode()),
        "packed.csv.zst": pa.compress(text().encode(), "zstd", asbytes=True),
    }


def documents() -> dict[str, bytes | str]:
    """JSON, whatever its name says."""
    return {
        "json lines.log": "".join(json.dumps(record) + "\n" for record in records()),
        "array.json": json.dumps(records()),
        "pretty.json": json.dumps(records(), indent=2),
        "one after another.json": "\n".join(json.dumps(record, indent=1) for record in records()),
        "mongo.json": "".join(
            json.dumps(
                {
                    "_id": {"$oid": f"{number:024x}"},
                    **record,
                    "timestamp": {"$date": f"{str(record['timestamp']).replace(' ', 'T')}Z"},
                    "quantity": {"$numberLong": str(record["quantity"])},
                }
            )
            + "\n"
            for number, record in enumerate(records())
        ),
    }


def tables() -> dict[str, bytes | str]:
    """Files of columns, and workbooks."""
    return {
        "table.parquet": parquet(table()),
        "parquet called.csv": parquet(table()),
        "table.arrow": arrow(table(), stream=False),
        "table.arrows": arrow(table(), stream=True),
        "table.feather": feather(table()),
        "table.orc": orc(table()),
        "table.avro": avro(records()),
        "sheet.xlsx": workbook([HEADER, *([*row[:3], int(row[3]), row[4]] for row in ROWS)]),
        "sheet with title.xlsx": workbook([["Orders"], [""], HEADER, *ROWS]),
    }


def dated() -> dict[str, bytes | str]:
    """Times in other notations."""
    return {
        "csv called.json": text(),
        "month first.csv": with_times(lambda time: "{1}/{2}/{0} {3}".format(*parts(time))),
        "day first.csv": with_times(lambda time: "{2}-{1}-{0} {3}".format(*parts(time))),
        "dotted.csv": with_times(lambda time: "{2}.{1}.{0} {3}".format(*parts(time))),
        "slashes.csv": with_times(lambda time: time.replace("-", "/")),
        "zone.csv": with_times(lambda time: f"{time} UTC"),
        "digits.csv": with_times(lambda time: "".join(filter(str.isdigit, time))),
    }
