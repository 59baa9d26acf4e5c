"""Logs whose later lines tell what their first ones leave open, or that are hard to cut, with the options they need.

Each gives the bytes of a file, by the name to give it.
"""

from __future__ import annotations

import bz2
import gzip
import json
from typing import Any

import pyarrow as pa

from tests.log_kinds import HEADER, ROWS, arrow, kinds, parquet, table, text, zipped

Options = dict[str, Any]
LATE = ["dan", "tea", "2023-02-14 10:00:00", "1", "o4"]

NESTED = {
    "columns": {
        "customer_id": ("user.id",),
        "item_id": ("lines[].sku",),
        "timestamp": ("at",),
        "quantity": ("lines[].n",),
    }
}
"""Where the documents of `_documents` hold the fields."""


def growing() -> dict[str, tuple[bytes, Options]]:
    """File name -> its bytes, and attributes of its format that have to be given."""
    found: dict[str, tuple[bytes | str, Options]] = {name: (content, {}) for name, content in kinds().items()}
    found |= {**_quoted(), **_told_late(), **_orders(), **_packed_in_parts(), **_nested(), **_confirmed()}
    return {
        name: (content.encode() if isinstance(content, str) else content, options)
        for name, (content, options) in found.items()
    }


def _quoted() -> dict[str, tuple[bytes | str, Options]]:
    titled = [*HEADER, "title"]
    titles = ['"5"" pot, blue"', '"two\nlines, and\n\na comma"', "plain", '""', '"ends with a break\n"']
    rows = [[*row, title] for row, title in zip(ROWS, titles, strict=True)]
    single = [[*row, title.replace('"', "'")] for row, title in zip(ROWS, titles, strict=True)]
    stray = [[*row, title] for row, title in zip(ROWS, ['"FRAME', "a", 'b "c"', "c", "d"], strict=True)]
    return {
        "quoted.csv": (text(header=titled, rows=rows), {}),
        "quoted windows.csv": (text(header=titled, rows=rows, end="\r\n"), {}),
        "quoted semicolons.csv": (text(";", header=titled, rows=rows), {}),
        "quoted tabs.csv": (text("\t", header=titled, rows=rows), {}),
        "quoted singly.csv": (text(header=titled, rows=single), {}),
        "stray quote.csv": (text(header=titled, rows=stray), {}),
        "stray quote semicolons.csv": (text(";", header=titled, rows=stray), {}),
        "windows.csv": (text(end="\r\n"), {}),
        "short lines.csv": (text(rows=[*ROWS[:2], ["ann", "rye"], *ROWS[2:], ["x"]]), {}),
        "blank lines.csv": (text(end="\n\n"), {}),
        "blank lines semicolons.csv": (text(";", end="\n\n"), {}),
    }


def _told_late() -> dict[str, tuple[bytes | str, Options]]:
    """What is right for the first lines may be wrong for the last."""
    umlauts = text(rows=[*ROWS, ["jürgen", "müsli", *LATE[2:]]])
    numbers = [["17001", "7", "2023-01-15", "1", "501"], ["17002.0", "8.0", "2023-01-16", "1", "502.0"], ["17001", "8"]]
    numbers[2] += ["2023-01-17", "1", "503.0"]
    days = [["ann", "tea", "3/4/2023", "1", "1"], ["bob", "mug", "4/4/2023", "1", "2"], ["cem", "jam", "13/4/2023"]]
    days[2] += ["1", "3"]
    late = [["ann", "tea", "2023-1-5", "1", "9"]]
    return {
        "latin-1.csv": (umlauts.encode("latin-1"), {}),
        "latin-1 semicolons.csv": (umlauts.replace(",", ";").encode("latin-1"), {}),
        "umlauts.csv": (umlauts, {}),
        "umlauts utf-16.csv": (("\ufeff" + umlauts).encode("utf-16-le"), {}),
        "floats.csv": (text(rows=numbers), {}),
        "floats semicolons.csv": (text(";", rows=numbers), {}),
        "floats.jsonl": ("".join(json.dumps(dict(zip(HEADER, row, strict=True))) + "\n" for row in numbers), {}),
        "decimal comma late.csv": (text(";", rows=[*ROWS, [*LATE[:3], "1,5", "o4"]]), {}),
        "day above 12 late.csv": (text(rows=days), {}),
        "another notation late.csv": (text(rows=[["ann", "mug", "2023-01-04", "1", "8"], *late]), {}),
        "footer late.csv": (text(";") + "Total;;;8;\n(5 rows)\n", {}),
        "comment late.csv": (text(";") + "# end\n" + ";".join(LATE) + "\n", {}),
        "header again late.csv": (text(";") + ";".join(HEADER) + "\n" + ";".join(LATE) + "\n", {}),
        "quantity late.jsonl": (
            "".join(
                json.dumps({"customer_id": f"c{n}", "item_id": "tea", "timestamp": f"2023-01-0{n}", **more}) + "\n"
                for n, more in ((1, {}), (2, {}), (3, {"quantity": 4}), (4, {"order_id": "x"}))
            ),
            {},
        ),
    }


def _orders() -> dict[str, tuple[bytes | str, Options]]:
    """Orders of several lines: with the same item twice, over some seconds, given back in part, of guests."""
    rows = [
        ["ann", "tea", "2023-01-15 10:00:00", "1", "o1", "purchase"],
        ["ann", "mug", "2023-01-15 10:00:07", "1", "o1", "purchase"],
        ["ann", "tea", "2023-01-15 10:00:09", "2", "o1", "purchase"],
        ["bob", "tea", "2023-01-16 10:00:00", "5", "o2", "purchase"],
        ["bob", "jam", "2023-01-16 23:59:59", "1", "o2", "purchase"],
        ["bob", "rye", "2023-01-17 00:00:01", "1", "o2", "purchase"],
        ["ann", "tea", "2023-01-18 10:00:00", "1", "o1", "return"],
        ["ann", "tea", "2023-01-18 10:00:01", "1", "o1", "return"],
        ["ann", "oat", "2023-01-18 10:00:02", "1", "o1", "return"],
        ["bob", "tea", "2023-01-19 10:00:00", "0", "o3", "purchase"],
        ["bob", "tea", "2023-01-19 10:00:03", "1", "o3", "purchase"],
        ["bob", "tea", "2023-01-19 10:00:04", "1", "o3", "purchase"],
        ["bob", "", "2023-01-19 10:00:05", "1", "o3", "purchase"],
        ["bob", "tea", "2023-01-19 10:00:06", "1", "o3", "purchase"],
        ["", "tea", "2023-01-20 10:00:00", "1", "o4", "purchase"],
        ["", "jam", "2023-01-20 10:00:09", "1", "o4", "purchase"],
    ]
    header = [*HEADER, "type"]
    names = dict.fromkeys(header, pa.string())
    columns = pa.Table.from_pylist([dict(zip(header, row, strict=True)) for row in rows], pa.schema(names))
    return {
        "orders.csv": (text(header=header, rows=rows), {}),
        "orders semicolons.csv": (text(";", header=header, rows=rows), {}),
        "orders.jsonl": ("".join(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows), {}),
        "orders.arrows": (arrow(columns, stream=True), {}),
        "guests.csv": (text(header=header, rows=rows), {"guests": "order"}),
    }


def _packed_in_parts() -> dict[str, tuple[bytes | str, Options]]:
    """Files that are several packed ones, one behind the other, as log rotation and parallel packers write them."""
    one, two = text().encode(), ",".join(LATE).encode() + b"\n"
    return {
        "members.csv.gz": (gzip.compress(one) + gzip.compress(two), {}),
        "streams.csv.bz2": (bz2.compress(one) + bz2.compress(two), {}),
        "frames.csv.zst": (pa.compress(one, "zstd", asbytes=True) + pa.compress(two, "zstd", asbytes=True), {}),
        "lines.jsonl.gz": (gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in _records())), {}),
        "nested.zip": (zipped(orders__json=json.dumps(_documents())), NESTED),
    }


def _records() -> list[dict[str, Any]]:
    return [{**dict(zip(HEADER, row, strict=True)), "quantity": int(row[3])} for row in ROWS]


def _documents() -> list[dict[str, Any]]:
    return [
        {"user": {"id": 7}, "at": "2023-01-15T10:11:12Z", "lines": [{"sku": "tea", "n": 2}, {"sku": "mug", "n": 1}]},
        {"user": {"id": 8}, "at": "2023-01-16T10:11:12Z", "lines": []},
        {"user": {"id": 8}, "at": "2023-01-17T10:11:12Z", "lines": [{"sku": "jam", "n": None}]},
    ]


def _nested() -> dict[str, tuple[bytes | str, Options]]:
    records = [
        {"customer_id": "ann", "timestamp": 1673777472, "order_id": "1", "lines": [{"item_id": "tea"}] * 2},
        {"customer_id": "ann", "timestamp": 1673777472, "order_id": "1", "lines": [{"item_id": "tea"}, {}]},
        {"customer_id": "ann", "timestamp": 1673777473, "type": "return", "lines": [{"item_id": "tea"}]},
        {"customer_id": "bob", "timestamp": 1673777474, "lines": [{"item_id": "jam", "quantity": 0}]},
        {"customer_id": "ann", "timestamp": 1673777475, "type": "erase"},
    ]
    return {
        "records.jsonl": ("".join(json.dumps(record) + "\n" for record in records), {}),
        "nested.jsonl": ("".join(json.dumps(document) + "\n" for document in _documents()), NESTED),
        "nested.json": (json.dumps(_documents()), NESTED),
        "nested pretty.json": (json.dumps(_documents(), indent=1), NESTED),
        "not a number.jsonl": (
            "".join(json.dumps(record | {"quantity": float("nan")}) + "\n" for record in _records()),
            {},
        ),
    }


def _confirmed() -> dict[str, tuple[bytes | str, Options]]:
    """Logs that take an option."""
    events = [[*row[:3], event] for row, event in zip(ROWS, ["view", "buy", "buy", "cart", "buy"], strict=True)]
    below = [row if number in (0, 2, 4) else ["", row[1], "", *row[3:]] for number, row in enumerate(ROWS)]
    cells = [
        ["ann", "sku:tea|quantity:2;sku:mug|quantity:1", "2023-01-15 10:11:12", "o1"],
        ["bob", "nothing", "2023-01-20 08:00:00", "o2"],
        ["bob", "sku:jam|quantity:1", "2023-01-21 08:00:00", "o3"],
    ]
    pattern = r"sku:(?P<item>[^|;]+)\|quantity:(?P<quantity>\d+)"
    return {
        "events.csv": (
            text(header=["customer_id", "item_id", "timestamp", "event"], rows=events),
            {"columns": {"type": ("event",)}, "purchases": ("buy",)},
        ),
        "fill down.csv": (text(rows=below), {"fill_down": ("customer_id", "timestamp", "order_id")}),
        "cells.csv": (
            text(header=["customer_id", "item_id", "timestamp", "order_id"], rows=cells),
            {"item_pattern": pattern},
        ),
        "negative.csv": (text(rows=[*ROWS, [*ROWS[0][:2], LATE[2], "-1", "o9"]]), {"negative_is_return": True}),
        "no header.csv": (
            text(header=None),
            {"header": False, "columns": {"customer_id": ("1",), "item_id": ("2",), "timestamp": ("3",)}},
        ),
        "row groups.parquet": (parquet(table()), {}),
    }
