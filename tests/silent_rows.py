"""Logs that are easily counted wrong without a word: stray quotes, events, missing values, damaged ids, disorder."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.format_rows import FIVE, Row
from tests.log_kinds import HEADER, ROWS, arrow, orc, parquet, text, workbook

if TYPE_CHECKING:
    from collections.abc import Sequence

THREE = HEADER[:3]


def silent_rows() -> dict[str, Row]:
    """Name -> row."""
    found: dict[str, Row] = {}
    for group in (
        _stray_quotes,
        _events,
        _statuses,
        _missing,
        _guests,
        _numbers,
        _wrapped,
        _disorder,
        _encodings,
        _lists,
    ):
        found |= group()
    return found


PLACES = {
    "a.jsonl": ("line", 1),
    "pretty.json": ("order or record", 0),
    "a.parquet": ("row", 0),
    "a.arrow": ("row", 0),
    "a.orc": ("row", 0),
    "a.xlsx": ("row", 2),
}
"""What a place is called in files that are no CSV, and the number of the first."""


def in_formats(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> dict[str, bytes | str]:
    """One table in files of every kind; the name of a kind is that of its file."""
    cells = [[str(cell) for cell in row] for row in rows]
    records = [dict(zip(header, row, strict=True)) for row in rows]
    table = pa.Table.from_pylist(records)
    quoted = text(rows=[['"{}"'.format(cell.replace('"', '""')) for cell in row] for row in cells], header=header)
    return {
        "a.csv": quoted,
        "semicolons.csv": quoted.replace('","', '";"').replace(",".join(header), ";".join(header)),
        "utf-16.txt": ("\ufeff" + quoted).encode("utf-16-le"),
        "a.csv.gz": gzip.compress(quoted.encode()),
        "a.jsonl": "".join(json.dumps(record) + "\n" for record in records),
        "pretty.json": json.dumps(records, indent=2),
        "a.parquet": parquet(table),
        "a.arrow": arrow(table, stream=False),
        "a.orc": orc(table),
        "a.xlsx": workbook([header, *([_escaped(cell) for cell in row] for row in rows)]),
    }


def _escaped(cell: object) -> object:
    return cell.replace("&", "&amp;").replace("<", "&lt;") if isinstance(cell, str) else cell


def _in_all(what: str, rows: Sequence[Sequence[Any]], header: Sequence[str], row: Row) -> dict[str, Row]:
    """A row for each kind of file. The places of rejected lines are those of CSV."""
    found = {}
    for name, content in in_formats(rows, header).items():
        word, first = PLACES.get(name, ("line", 2))
        places = [(int(line.split()[1].rstrip(":")) - 2 + first, line.partition(": ")[2]) for line in row.rejected]
        rejected = tuple(f"{word} {place}: {reason}" for place, reason in places)
        found[f"{what}, {name}"] = row._replace(files={name: content}, rejected=rejected)
    return found


def _stray_quotes() -> dict[str, Row]:
    titled = [*HEADER, "title"]

    def titles(*cells: str, separator: str = ",") -> str:
        rows = [[*row, cell] for row, cell in zip(ROWS, cells, strict=True)]
        return text(separator, rows, titled)

    reason = "line 4: a quote is opened and never closed"
    lost = FIVE.replace("bob 2023-01-20T08:00:00 tea jam*3", "bob 2023-01-20T08:00:00 jam*3")
    found = {
        "never closed": ("a", "b", '"FRAME', "d", "e"),
        "closed lines later": ("a", "b", '"FRAME', "d", 'BOX"'),
        "closed by the next one that opens": ("a", "b", '"FRAME', "d", '"BOX"'),
        "followed by text": ("a", "b", '"5" nail', "d", "e"),
    }
    rows = {}
    for name, cells in found.items():
        for separator in (",", ";", "\t"):
            rows[f"a quote {name}, {separator!r}"] = Row(
                {"a.csv": titles(*cells, separator=separator)}, lost, rejected=(reason,)
            )
    rows["quotes within text"] = Row({"a.csv": titles("a", 'b 5" long', '6"', "", '"7"" and, more"')})
    rows["line ends within quotes"] = Row({"a.csv": titles("a", '"b\n\nb"', '"x\nann,tea,soon,1,o1,z"', "d", "e")})
    rows["an item in a stray quote"] = Row(
        {"a.csv": text(rows=[ROWS[0], ROWS[1], ["bob", '"tea', *ROWS[2][2:]], *ROWS[3:]])}, lost, rejected=(reason,)
    )
    return rows


def _events() -> dict[str, Row]:
    rows = [
        ["ann", "tea", "2023-01-01", "view"],
        ["ann", "tea", "2023-01-02", "addtocart"],
        ["ann", "tea", "2023-01-03", "transaction"],
        ["bob", "mug", "2023-01-04", "view"],
        ["bob", "mug", "2023-01-05", "transaction"],
    ]
    bought = Row({}, "ann 2023-01-03 tea\nbob 2023-01-05 mug", says=("3 lines skipped",))
    found: dict[str, Row] = {}
    for column in ("event", "event_type", "event_name", "action", "behavior_type", "type", "status", "what"):
        found |= {
            f"{column}: {name}": row._replace(confirmed=("--purchases", f"{column}=transaction"))
            for name, row in _in_all(column, rows, [*THREE, column], bought).items()
            if column == "event" or name.endswith((", a.csv", ".jsonl", ".parquet"))
        }
    back = [*rows, ["bob", "mug", "2023-01-06", "refund"]]
    found["events with returns"] = Row(
        {"a.csv": text(rows=back, header=[*THREE, "event"])},
        "ann 2023-01-03 tea\nbob 2023-01-05 mug\nbob returns 2023-01-06 mug",
        confirmed=("--purchases", "event=transaction", "--returns", "refund"),
    )
    strange = [[*row[:3], {"transaction": "done"}.get(row[3], row[3])] for row in rows]
    found["events that nobody knows"] = Row(
        {"a.csv": text(rows=strange, header=[*THREE, "event"])},
        bought.orders,
        answers=("--purchases", "event=done"),
        asks="which values of event are purchases? It holds view, done, addtocart",
    )
    return found


def _statuses() -> dict[str, Row]:
    """Orders that came to nothing, as shops mark them."""
    ends = ["delivered", "canceled", "Shipped"]
    rows = [[*row, end] for row, end in zip((["ann", "tea", "2023-01-01"], *ROWS_OF_BOB), ends, strict=True)]
    kept = Row({}, "ann 2023-01-01 tea\nbob 2023-01-03 jam", says=("1 lines skipped",))
    found: dict[str, Row] = {}
    for column in ("order_status", "Financial Status", "state"):
        found |= {
            name: row._replace(confirmed=("--purchases", f"{column}=delivered,Shipped"))
            for name, row in _in_all(column, rows, [*THREE, column], kept).items()
            if name.endswith((", a.csv", ".jsonl", ".parquet"))
        }
    held = [[*row[:3], end] for row, end in zip(rows, ("held", "cancelled", "complete"), strict=True)]
    found["statuses that nobody knows"] = Row(
        {"a.csv": text(rows=held, header=[*THREE, "status"])},
        kept.orders,
        answers=("--purchases", "status=held,complete"),
        asks="which values of status are purchases? It holds held, cancelled, complete",
    )
    found["statuses of nothing but orders kept"] = Row(
        {"a.csv": text(rows=[[*row[:3], "paid"] for row in rows], header=[*THREE, "status"])},
        "ann 2023-01-01 tea\nbob 2023-01-02 mug\nbob 2023-01-03 jam",
    )
    return found


ROWS_OF_BOB = (["bob", "mug", "2023-01-02"], ["bob", "jam", "2023-01-03"])
MISSING = (
    "", "NULL", "null", "(null)", "<null>", "nil", "None", "nan", "NaN", "NaT", "NA", "N/A", "n/a", "<NA>", "#N/A",
    "\\N", "undefined", " Null ", "UNDEFINED",
)  # fmt: skip


def _missing() -> dict[str, Row]:
    """Words that mean nothing, as customer, as item, as order and as quantity."""
    day = "2023-01-14"
    rows = [["ann", "tea", day, "1", word] for word in MISSING]
    rows += [["ann", "tea", day, word, "o"] for word in MISSING]
    orders = "\n".join([f"ann {day} tea"] * len(MISSING)) + f"\nann {day} tea*{len(MISSING)}"
    found = _in_all("no order, no quantity", rows, HEADER, Row({}, orders))
    gone = [[word, "tea", day, "1", "x"] for word in MISSING] + [["ann", word, day, "1", "y"] for word in MISSING]
    names = ["customer"] * len(MISSING) + ["item"] * len(MISSING)
    row = Row({}, rejected=tuple(f"line {place}: {name}_id is missing" for place, name in enumerate(names, 2)))
    return found | _in_all("no customer, no item", [*gone, *ROWS], HEADER, row)


def _guests() -> dict[str, Row]:
    """Guests under one id are named; it is an ordinary id elsewhere."""
    found = {}
    for guest in ("0", "-1"):
        rows = [[guest if number % 3 else f"c{number}", "tea", "2023-01-15", f"o{number}"] for number in range(150)]
        header = [*THREE, "order_id"]
        all_of_them = "".join(f"{row[0]} 2023-01-15 tea\n" for row in rows)
        others = "".join(f"c{number} 2023-01-15 tea\n" for number in range(0, 150, 3))
        found[f"guests called {guest}"] = Row(
            {"a.csv": text(";", rows, header)}, all_of_them, says=(f"--missing {guest}",)
        )
        found[f"guests called {guest}, left out"] = Row(
            {"a.csv": text(";", rows, header)},
            others,
            given=("--missing", guest),
            rejected=tuple(f"line {number + 2}: customer_id is missing" for number in range(150) if number % 3),
        )
    return found


def _numbers() -> dict[str, Row]:
    """Whole numbers that a table holds as floats, all of them or some."""
    orders = "17001 2023-01-15 7\n17001 2023-01-16 8\n17002 2023-01-17 7"
    header = [*THREE, "order_id"]
    days = ["2023-01-15", "2023-01-16", "2023-01-17"]
    as_text = [["17001.0", "7.0", days[0], "1.0"], ["17001", "8.0", days[1], "2"], ["17002.0", "7", days[2], "3.0"]]
    as_floats = [[float(row[0]), float(row[1]), row[2], float(row[3])] for row in as_text]
    gap = [[17001.0, 7, days[0], None], [17001.0, 8, days[1], 2.0], [17002.0, 7, days[2], 3.0]]
    found = _in_all("floats as text", as_text, header, Row({}, orders))
    found |= _in_all("floats", as_floats, header, Row({}, orders))
    table = pa.Table.from_pylist([dict(zip(header, row, strict=True)) for row in gap])
    return found | {"floats with a gap, a.parquet": Row({"a.parquet": parquet(table)}, orders)}


def _wrapped() -> dict[str, Row]:
    """Ids with spaces around them and in what spreadsheets wrap them in."""
    day = "2023-01-15"
    customers = [" ann ", "ann", '="0007"', "'0007", "0007", ' ="0007" ', "4.00638E+12"]
    rows = [[customer, f"i{number}", day] for number, customer in enumerate(customers)]
    rows += [["bob", item, day] for item in ("tea", " tea", '="tea"', "'12", "12", "4.00638e+12")]
    orders = "\n".join(
        [f"{customer} {day} i{number}" for number, customer in enumerate(["ann"] * 2 + ["0007"] * 4)]
        + [f"bob {day} {item}" for item in ("tea", "tea", "tea", "12", "12")]
    )
    lossy = ("line 8: customer_id '4.00638E+12' is in scientific", "line 14: item_id '4.00638e+12' is in scientific")
    return _in_all("wrapped ids", rows, THREE, Row({}, orders, rejected=lossy))


def _disorder() -> dict[str, Row]:
    sorted_ = """
        ann 2023-01-15T10:11:12 mug tea*2
        bob 2023-01-20T08:00:00 jam*3 tea
        cem 2023-02-13T09:30:00 mug
    """
    back = [*ROWS, ["ann", "tea", "2023-02-14 10:00:00", "2", "o4"]]
    typed = [[*row, "return" if row[4] == "o4" else "purchase"] for row in back]
    shuffled = [ROWS[number] for number in (4, 0, 3, 1, 2)]
    by_customer = [ROWS[4], *ROWS[:4]]
    sort = ("--sort",)
    found = _in_all("newest first", ROWS[::-1], HEADER, Row({}, sorted_, confirmed=sort))
    found |= _in_all(
        "newest first with a return",
        typed[::-1],
        [*HEADER, "type"],
        Row({}, f"{sorted_}ann returns 2023-02-14T10:00 tea*2", confirmed=sort),
    )
    return found | {
        "shuffled": Row({"a.csv": text(rows=shuffled)}, sorted_, confirmed=sort),
        "by customer": Row({"a.csv": text(rows=by_customer)}, sorted_, confirmed=sort),
        "newest first, as it stands": Row(
            {"a.csv": text(rows=ROWS[::-1])},
            "cem 2023-02-13T09:30:00 mug\nbob 2023-01-20T08:00:00 jam*3 tea\nann 2023-01-15T10:11:12 mug tea*2",
            given=("--as-it-stands",),
        ),
        "hours behind": Row(
            {
                "a.csv": text(
                    rows=[["ann", "tea", "2023-01-15 20:00"], ["bob", "mug", "2023-01-15 08:00"]], header=THREE
                )
            },
            "ann 2023-01-15T20:00 tea\nbob 2023-01-15T08:00 mug",
        ),
    }


def _encodings() -> dict[str, Row]:
    rows = [
        *ROWS,
        ["jürgen", "müsli", "2023-02-14 10:00:00", "1", "o4"],
        ["zoë", "5€", "2023-02-15 10:00:00", "1", "o5"],
    ]
    western = f"{FIVE}jürgen 2023-02-14T10:00 müsli\nzoë 2023-02-15T10:00 5€"
    plain = text(rows=rows)
    latin = text(rows=rows[:-1])
    cyrillic = text(rows=[*ROWS, ["иван", "плов", "2023-02-14 10:00:00", "1", "o4"]])
    return {
        "Windows-1252": Row({"a.csv": plain.encode("cp1252")}, western, says=("its text is windows-1252",)),
        "Windows-1252, semicolons": Row({"a.csv": plain.replace(",", ";").encode("cp1252")}, western),
        "Windows-1252, gzip": Row({"a.csv.gz": gzip.compress(plain.encode("cp1252"))}, western),
        "Latin-1": Row({"a.csv": latin.encode("latin-1")}, western.rpartition("\n")[0]),
        "UTF-8": Row({"a.csv": plain}, western),
        "Windows-1251": Row(
            {"a.csv": cyrillic.encode("cp1251")},
            f"{FIVE}иван 2023-02-14T10:00 плов",
            answers=("--encoding", "windows-1251"),
            asks="is neither UTF-8 nor Western text",
        ),
    }


def _lists() -> dict[str, Row]:
    cell = "name:Mug {0}|sku:MUG-{0}|quantity:2;name:Tea|sku:TEA|quantity:1"
    rows = [["ann", cell.format(1), "2023-01-15"], ["bob", cell.format(2), "2023-01-16"]]
    profile = 'item_pattern = "sku:(?P<item>[^|;]+)[|]quantity:(?P<quantity>[0-9]+)"\n'
    return {
        name: row._replace(files={**row.files, "p.toml": profile})
        for name, row in _in_all(
            "a list in a cell", rows, THREE,
            Row(
                {}, "ann 2023-01-15 MUG-1*2 TEA\nbob 2023-01-16 MUG-2*2 TEA",
                answers=("--profile", "{directory}/p.toml"), asks="item_id seems to hold lists of items",
            ),
        ).items()
    }  # fmt: skip
