"""Values that a person reads at a glance: dates, quantities, words, gaps, and what is no item."""

from __future__ import annotations

import json

from tests.format_rows import FIVE, FIVE_DAYS, Row
from tests.log_kinds import HEADER, ROWS, text, workbook

THREE = HEADER[:3]
TYPED = [*THREE, "type"]


def value_rows() -> dict[str, Row]:
    """Name -> row."""
    found: dict[str, Row] = {}
    for group in (_dates, _times_in_columns, _quantities, _types, _guests, _continued, _no_items):
        found |= group()
    return found


# --- dates ------------------------------------------------------------------------------------------------------------

MINUTES = FIVE.replace(":12 ", ":00 ")
NOTATIONS: dict[str, tuple[tuple[str, str, str], str]] = {
    "12/1/2010 8:26": (("1/15/2023 10:11", "1/20/2023 8:00", "2/13/2023 9:30"), MINUTES),
    "01-12-2010 08:26": (("15-01-2023 10:11", "20-01-2023 08:00", "13-02-2023 09:30"), MINUTES),
    "01.12.2010": (("15.01.2023", "20.01.2023", "13.02.2023"), FIVE_DAYS),
    "1.12.10": (("15.1.23", "20.1.23", "13.2.23"), FIVE_DAYS),
    "2023/01/05": (("2023/01/15", "2023/01/20", "2023/02/13"), FIVE_DAYS),
    "2023-1-5": (("2023-1-15", "2023-1-20", "2023-2-13"), FIVE_DAYS),
    "UTC": (("2023-01-15 10:11:12 UTC", "2023-01-20 08:00:00 UTC", "2023-02-13 09:30:00 UTC"), FIVE),
    "EST": (("2023-01-15 05:11:12 EST", "2023-01-20 03:00:00 EST", "2023-02-13 04:30:00 EST"), FIVE),
    "lower case": (("2023-01-15t10:11:12z", "2023-01-20t08:00:00z", "2023-02-13t09:30:00z"), FIVE),
    "RFC 2822": (
        ("Sun, 15 Jan 2023 11:11:12 +0100", "Fri, 20 Jan 2023 08:00:00 GMT", "Mon, 13 Feb 2023 04:30:00 EST"),
        FIVE,
    ),
    "Jan 5, 2023 10:11:12 AM": (
        ("Jan 15, 2023 10:11:12 AM", "Jan 20, 2023 8:00:00 AM", "Feb 13, 2023 9:30:00 AM"),
        FIVE,
    ),
    "20230105": (("20230115", "20230120", "20230213"), FIVE_DAYS),
    "20230105101112": (("20230115101112", "20230120080000", "20230213093000"), FIVE),
    "seconds": (("1673777472", "1674201600", "1676280600"), FIVE),
    "milliseconds": (("1673777472000", "1674201600000", "1676280600000"), FIVE),
    "microseconds": (("1673777472000000", "1674201600000000", "1676280600000000"), FIVE),
    "nanoseconds": (("1673777472000000000", "1674201600000000000", "1676280600000000000"), FIVE),
    "seconds as floats": (("1673777472.0", "1674201600.0", "1676280600.0"), FIVE),
    "1.67E9": (
        ("1.6737E9", "1.6742E9", "1.6763E9"),
        """
        ann 2023-01-14T12:40 tea*2 mug
        bob 2023-01-20T07:33:20 tea jam*3
        cem 2023-02-13T14:53:20 mug
        """,
    ),
    "Excel's days": (
        ("44941.5", "44946.25", "44970.75"),
        """
        ann 2023-01-15T12:00 tea*2 mug
        bob 2023-01-20T06:00 tea jam*3
        cem 2023-02-13T18:00 mug
        """,
    ),
}
"""The times of the log's three orders as others write them, and its orders as they say."""


def timed(times: tuple[str, str, str], header: list[str] | None = None) -> str:
    """The log with other times of its orders; "|" divides what stands in several columns."""
    rows = [[*row[:2], *times[number].split("|"), *row[3:]] for row, number in zip(ROWS, (0, 0, 1, 1, 2), strict=True)]
    return text(";", rows, header or HEADER)


def _dates() -> dict[str, Row]:
    open_question = (
        "is '3/4/2023' 2023-04-03 (--timestamp-format day-first) or 2023-03-04 (--timestamp-format month-first)?"
    )
    summer = ["ann,tea,2023-03-26 02:30", "ann,mug,2023-07-01 12:00", "ann,jam,2023-10-29 02:30"]
    either = {"a.csv": "customer_id,item_id,timestamp\nann,tea,3/4/2023\nbob,mug,5/6/2023\n"}
    day, month = (("--timestamp-format", f"{name}-first") for name in ("day", "month"))
    return {
        **{name: Row({"a.csv": timed(times)}, orders) for name, (times, orders) in NOTATIONS.items()},
        "day first, asked": Row(either, "ann 2023-04-03 tea\nbob 2023-06-05 mug", answers=day, asks=open_question),
        "month first, asked": Row(either, "ann 2023-03-04 tea\nbob 2023-05-06 mug", answers=month, asks=open_question),
        "a pattern": Row(
            {"a.csv": timed(("10:11:12 on 15~01~23", "08:00:00 on 20~01~23", "09:30:00 on 13~02~23"))},
            answers=("--timestamp-format", "%H:%M:%S on %d~%m~%y"),
        ),
        "a zone whose clock skips an hour and repeats one": Row(
            {"a.csv": "customer_id,item_id,timestamp\n" + "".join(f"{line}\n" for line in summer)},
            "ann 2023-03-26T01:00 tea\nann 2023-07-01T10:00 mug\nann 2023-10-29T00:30 jam",
            given=("--timezone", "Europe/Berlin"),
        ),
        "a zone, day first": Row(
            {"a.csv": timed(("15/1/2023 11:11:12", "20/1/2023 09:00:00", "13/2/2023 10:30:00"))},
            given=("--timezone", "Europe/Berlin"),
        ),
        "a sheet with Excel's days": Row(
            {
                "a.xlsx": workbook(
                    [
                        HEADER,
                        *(
                            [*row[:2], day, int(row[3]), row[4]]
                            for row, day in zip(ROWS, [44941] * 2 + [44946] * 2 + [44970], strict=True)
                        ),
                    ]
                )
            },
            FIVE_DAYS,
        ),
    }


def _times_in_columns() -> dict[str, Row]:
    def split(name: str, header: list[str], times: tuple[str, str, str], orders: str = FIVE, **more: object) -> Row:
        row = Row({"a.csv": timed(times, [*HEADER[:2], *header, *HEADER[3:]])}, orders, confirmed=(name,))
        return row._replace(**more)  # type: ignore[arg-type]  # its own attributes

    iso = ("2023-01-15|10:11:12", "2023-01-20|08:00:00", "2023-02-13|09:30:00")
    hours = FIVE.replace(":11:12", ":00").replace(":30:00", ":00")
    return {
        "day and time": split("timestamp=date+time", ["date", "time"], iso),
        "day and time, month first": split(
            "timestamp=Date+Time", ["Date", "Time"], ("1/15/2023|10:11:12 AM", "1/20/2023|8:00 AM", "2/13/2023|9:30 AM")
        ),
        "day with midnight, and time": split(
            "timestamp=date+time",
            ["date", "time"],
            ("2023-01-15 00:00:00|10:11:12", "2023-01-20 00:00:00|08:00:00", "2023-02-13 00:00:00|09:30:00"),
        ),
        "date and hour of day": split(
            "timestamp=date+hour", ["date", "hour"], ("2023-01-15|10", "2023-01-20|8", "2023-02-13|9"), hours
        ),
        "date and hour of day without year": split(
            "timestamp=date+hour",
            ["date", "hour"],
            ("15/1|10", "20/1|8", "13/2|9"),
            hours,
            given=("--start", "2023-01-01"),
        ),
        "without year, asked": Row(
            {"a.csv": timed(("Jan 15 10:11:12", "Jan 20 08:00:00", "Feb 13 09:30:00"))},
            answers=("--start", "2023-01-10"),
            asks="names no year: say the day of the first line, such as --start 2023-01-05",
        ),
        "days that are counted": Row(
            {"a.csv": timed(("14", "19", "43"))},
            FIVE_DAYS,
            answers=("--timestamp-format", "days", "--start", "2023-01-01"),
            asks="if it counts days, say from which: --timestamp-format days --start 2020-01-01",
        ),
    }


# --- quantities and types ---------------------------------------------------------------------------------------------


def quantified(*quantities: str, separator: str = ";") -> str:
    return text(separator, [[*row[:3], quantity, row[4]] for row, quantity in zip(ROWS, quantities, strict=True)])


def _quantities() -> dict[str, Row]:
    half = FIVE.replace("jam*3", "jam")
    cancelled = [*ROWS, ["ann", "tea", "2023-02-14 10:00:00", "-1", "C536379"]]
    dropped = f"{FIVE}ann returns 2023-02-14T10:00 tea"
    fractions = "1 quantities were fractions, each counted as one piece"
    return {
        "a fraction": Row({"a.csv": quantified("2", "1", "1", "1.5", "1")}, half, says=(fractions,)),
        "a fraction with a comma": Row({"a.csv": quantified("2", "1", "1", "1,5", "1")}, half, says=(fractions,)),
        "a fraction with a comma, in quotes": Row(
            {"a.csv": quantified('"2,0"', '"1,0"', '"1,0"', '"1,5"', '"1,0"', separator=",")}, half, says=(fractions,)
        ),
        "a fraction of a number": Row(
            {
                "a.jsonl": _json(
                    [{**record, "quantity": 1.5 if n == 3 else int(ROWS[n][3])} for n, record in _records()]
                )
            },
            half,
            says=(fractions,),
        ),
        "a fraction given back": Row(
            {
                "a.csv": text(
                    ";",
                    [
                        *[[*row, "purchase"] for row in ROWS],
                        ["ann", "mug", "2023-02-14 10:00:00", "0.35", "o4", "return"],
                    ],
                    [*HEADER, "type"],
                )
            },
            f"{FIVE}ann returns 2023-02-14T10:00 mug",
            says=(fractions,),
        ),
        "a negative fraction": Row(
            {"a.csv": text(rows=[*ROWS, ["ann", "mug", "2023-02-14 10:00:00", "-0.35", "o4"]])},
            f"{FIVE}ann returns 2023-02-14T10:00 mug",
            confirmed=("--negative-is-return",),
            says=(fractions,),
        ),
        "pieces": Row(
            {"a.csv": quantified("2 pcs", "1 pcs", "1 pcs", "3 pcs", "1 pcs")}, confirmed=("--quantity-units", "pcs")
        ),
        "units of several kinds": Row(
            {"a.csv": quantified("2 pcs", "1 Stk.", "1 pcs", "1,5 kg", "1 pcs")},
            half,
            confirmed=("--quantity-units", "pcs,Stk.,kg"),
        ),
        "a unit on few lines": Row(
            {"a.csv": quantified("2", "1", "1", "3 pcs", "1")},
            FIVE.replace(" jam*3", ""),
            rejected=("line 5: quantity '3 pcs'",),
            says=("--quantity-units",),
        ),
        "cancellations": Row({"a.csv": text(";", cancelled)}, dropped, confirmed=("--negative-is-return",)),
        "cancellations in a sheet": Row(
            {"a.xlsx": workbook([HEADER, *([*row[:3], int(row[3]), row[4]] for row in cancelled)])},
            dropped,
            confirmed=("--negative-is-return",),
        ),
        "cancellations in JSON": Row(
            {
                "a.json": json.dumps(
                    [dict(zip(HEADER, [*row[:3], int(row[3]), row[4]], strict=True)) for row in cancelled]
                )
            },
            dropped,
            confirmed=("--negative-is-return",),
        ),
    }


def _records() -> list[tuple[int, dict[str, object]]]:
    return list(enumerate(dict(zip(HEADER, row, strict=True)) for row in ROWS))


def _json(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _types() -> dict[str, Row]:
    def of(words: list[str], column: str = "type") -> dict[str, bytes | str]:
        days = [["ann", "tea", "2023-01-01"], ["bob", "tea", "2023-01-02"], ["ann", "tea", "2023-01-03"]]
        return {
            "a.csv": text(rows=[[*row, word] for row, word in zip(days, words, strict=True)], header=[*THREE, column])
        }

    back = "ann 2023-01-01 tea\nbob 2023-01-02 tea\nann returns 2023-01-03 tea"
    bought = back.replace("returns ", "")
    return {
        "PURCHASE, sale, Refund": Row(of(["PURCHASE", "sale", "Refund"]), back),
        "transaction, BUY, Returned": Row(of([" transaction ", "BUY", "Returned"]), back),
        "an event that is called otherwise": Row(of(["Purchase", "Sold", "REFUND"], "event_type"), back),
        "words of one's own": Row(
            of(["Verkauf", "Verkauf", "Retoure"]),
            back,
            given=("--purchases", "type=verkauf", "--returns", "RETOURE"),
        ),
        "types of products": Row(of(["simple", "variable", "simple"]), bought, confirmed=("--columns", "type=")),
        "types of products, said so": Row(of(["simple", "variable", "purchase"]), bought, given=("--columns", "type=")),
    }


# --- customers and items ----------------------------------------------------------------------------------------------


def _guests() -> dict[str, Row]:
    guest = ["", "jam", "2023-02-14 10:00:00", "1", "g1"]
    more = [guest, ["", "rye", "2023-02-14 10:00:00", "1", "g1"], ["", "jam", "2023-02-15 10:00:00", "1", "g2"]]
    alone = f"{FIVE}guest:g1 2023-02-14T10:00 jam rye\nguest:g2 2023-02-15T10:00 jam"
    first = [["", "jam", "2023-01-14 10:00:00", "1", f"g{number}"] for number in range(6)]
    return {
        "guests": Row(
            {"a.csv": text(rows=[*ROWS, *more])},
            rejected=tuple(f"line {line}: customer_id is missing" for line in (7, 8, 9)),
            says=("--guest order",),
        ),
        "guests of their own": Row({"a.csv": text(rows=[*ROWS, *more])}, alone, given=("--guest", "order")),
        "guests of their own in JSON": Row(
            {"a.jsonl": _json([dict(zip(HEADER, row, strict=True)) for row in (*ROWS, *more)])},
            alone,
            given=("--guest", "order"),
        ),
        "guests called 0": Row(
            {"a.csv": text(rows=[*ROWS, *(["0", *row[1:]] for row in more)])},
            alone,
            given=("--missing", "0", "--guest", "order"),
        ),
        "most lines and the first ones without customer": Row(
            {"a.csv": text(rows=[*first, *ROWS])},
            rejected=tuple(f"line {line}: customer_id is missing" for line in range(2, 8)),
        ),
        "one line, without customer": Row(
            {"a.csv": text(rows=[guest])}, "", rejected=("line 2: customer_id is missing",)
        ),
        "the first of two lines is bad": Row(
            {"a.csv": text(rows=[["ann", "tea", "soon", "1", "o1"], ["bob", "mug", "2023-01-20", "1", "o2"]])},
            "bob 2023-01-20 mug",
            rejected=("line 2: timestamp 'soon' is not a date",),
        ),
    }


def _continued() -> dict[str, Row]:
    """Orders whose first line alone names customer and time; some also the order."""
    below = [row if number in (0, 2, 4) else ["", row[1], "", row[3], row[4]] for number, row in enumerate(ROWS)]
    bare = [row if number in (0, 2, 4) else ["", row[1], "", row[3], ""] for number, row in enumerate(ROWS)]
    shopify = (
        "Name,Email,Created at,Lineitem quantity,Lineitem name,Lineitem sku\n"
        "#1001,ann@x.org,2023-01-15 10:11:12 +0000,2,Tea,TEA\n#1001,,,1,Mug,MUG\n"
        "#1002,,2023-01-16 10:00:00 +0000,1,Jam,JAM\n#1002,,,1,Rye,RYE\n"
        "#1003,bob@x.org,2023-01-20 08:00:00 +0000,1,Tea,TEA\n"
    )
    counted = "ann@x.org 2023-01-15T10:11:12 MUG TEA*2\nbob@x.org 2023-01-20T08:00 TEA"
    fill = ("--fill-down",)
    return {
        "continued lines": Row({"a.csv": text(rows=below)}, confirmed=fill),
        "continued lines without order": Row({"a.csv": text(rows=bare)}, confirmed=fill),
        "continued lines, semicolons, utf-16": Row(
            {"a.csv": ("\ufeff" + text(";", below)).encode("utf-16-le")}, confirmed=fill
        ),
        "continued lines in a sheet": Row({"a.xlsx": workbook([HEADER, *below])}, confirmed=fill),
        "Shopify with a guest": Row(
            {"a.csv": shopify},
            counted,
            rejected=("row 2: customer_id is missing", "row 3: customer_id is missing"),
            confirmed=("--profile", "shopify"),
        ),
        "Shopify with guests of their own": Row(
            {"a.csv": shopify},
            counted.replace("\n", "\nguest:#1002 2023-01-16T10:00 JAM RYE\n"),
            given=("--guest", "order"),
            confirmed=("--profile", "shopify"),
        ),
    }


def _no_items() -> dict[str, Row]:
    fees = [["ann", "POST", *ROWS[0][2:]], ["bob", "Adjust bad debt", "2023-01-20 09:00:00", "1", "A5"]]
    rows = [*ROWS[:2], fees[0], *ROWS[2:4], fees[1], ROWS[4]]
    return {
        "postage": Row(
            {"a.csv": text(rows=rows)}, given=("--exclude-items", "POST,Adjust*"), says=("2 lines skipped",)
        ),
        "postage, of a file": Row(
            {"a.csv": text(rows=rows), "fees.txt": "POST\n\nAdjust bad debt\n"},
            given=("--exclude-items", "{directory}/fees.txt"),
            says=("2 lines skipped",),
        ),
    }
