"""Looking at logs: what is found in each kind of file, what is asked, and the lines as they would be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producers.errors import LogError
from producers.logs.inspection.inspection import inspect
from producers.logs.inspection.preview import preview
from tests.log_kinds import LINES, ROWS, kinds, parquet, text, workbook, zipped

if TYPE_CHECKING:
    from pathlib import Path

    from producers.logs.inspection.findings import Inspection

KINDS = kinds()


def looked_at(path: Path, content: bytes | str, **settings: Any) -> Inspection:  # noqa: ANN401
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return inspect(path, settings)


def counted(found: Inspection) -> list[tuple[object, ...]]:
    """Customer, item, time, quantity and type of each line, or why it is rejected."""
    assert found.question is None, found.question
    assert found.log_format is not None
    return [
        (line["rejected"],) if "rejected" in line else tuple(line[name] for name in NAMES)
        for line in preview(found.path, found.log_format)
    ]


NAMES = ("customer_id", "item_id", "timestamp", "quantity", "type")


def test_a_plain_log_is_nothing_to_speak_of(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "plain.csv", KINDS["plain.csv"])

    assert found.assumed == found.warnings == found.options == []
    assert found.log_format is not None
    assert found.log_format.differences() == {}


def test_what_was_assumed_is_said_in_a_line(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "title lines.csv", KINDS["title lines.csv"].replace(b",", b";"))

    assert found.assumed == ["fields are separated by semicolons", "the first 3 lines are no data"]


def test_names_of_shops_are_mapped_and_must_be_confirmed(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "orders.csv", text(header=["User", "SKU", "Bought at", "Qty", "Invoice No"]))

    columns = "customer_id=User,item_id=SKU,timestamp=Bought at,quantity=Qty,order_id=Invoice No"
    assert found.options == ["--columns", columns]
    assert found.unconfirmed
    assert counted(found) == LINES


def test_an_ambiguous_date_is_asked_about_with_both_readings(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp\nann,tea,3/4/2023\nbob,tea,5/4/2023\n"

    found = looked_at(tmp_path / "orders.csv", content)

    assert found.question is not None
    assert "is '3/4/2023' 2023-04-03 (--timestamp-format day-first)" in found.question
    assert "or 2023-03-04 (--timestamp-format month-first)?" in found.question
    assert found.log_format is None
    settled = looked_at(tmp_path / "orders.csv", content, timestamp_format="day-first")
    assert [line[2] for line in counted(settled)] == ["2023-04-03T00:00:00Z", "2023-04-05T00:00:00Z"]


def test_a_day_above_12_far_down_decides(tmp_path: Path) -> None:
    days = [f"ann,tea,{day % 12 + 1}/{day % 11 + 1}/2023\n" for day in range(5000)]
    content = "customer_id,item_id,timestamp\n" + "".join(days) + "ann,tea,13/4/2023\n"

    found = looked_at(tmp_path / "orders.csv", content)

    assert found.options[:2] == ["--timestamp-format", "day-first"]


def test_views_are_no_purchases(tmp_path: Path) -> None:
    content = (
        "timestamp,visitorid,event,itemid,receipt\n1433221332117,7,view,20,\n1433224214164,8,addtocart,20,\n"
        "1433222276276,7,transaction,20,40\n"
    )

    found = looked_at(tmp_path / "events.csv", content)

    assert found.unconfirmed
    assert found.options[2:4] == ["--purchases", "event=transaction"]
    assert counted(found) == [("7", "20", "2015-06-02T05:17:56.276Z", 1, "purchase")]


def test_events_none_of_which_is_a_purchase_are_asked_about(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp,event\nann,tea,2023-01-01,view\nbob,tea,2023-01-02,zap\n"

    found = looked_at(tmp_path / "events.csv", content)

    assert found.question is not None
    assert "which values of event are purchases? It holds view, zap" in found.question


def test_a_type_that_means_something_else_is_switched_off(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp,type\nann,tea,2023-01-01,simple\nbob,tea,2023-01-02,variable\n"

    found = looked_at(tmp_path / "orders.csv", content)

    assert found.options == ["--columns", "type="]
    assert [line[4] for line in counted(found)] == ["purchase", "purchase"]


def test_types_in_any_case_and_word_are_known(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp,type\nann,tea,2023-01-01,PURCHASE\nbob,tea,2023-01-02,sale\n"

    found = looked_at(tmp_path / "orders.csv", content + "ann,tea,2023-01-03,Refund\n")

    assert [line[4] for line in counted(found)] == ["purchase", "purchase", "return"]


def test_negative_quantities_are_returns_once_confirmed(tmp_path: Path) -> None:
    rows = [*ROWS, ["ann", "tea", "2023-02-14 10:00:00", "-2", "C4"]]

    found = looked_at(tmp_path / "orders.csv", text(rows=rows))

    assert found.options == ["--negative-is-return"]
    assert found.unconfirmed
    assert counted(found)[-1] == ("ann", "tea", "2023-02-14T10:00:00Z", 2, "return")


def test_lines_below_the_first_of_an_order_are_filled(tmp_path: Path) -> None:
    rows = [row if number in (0, 2, 4) else ["", row[1], "", row[3], row[4]] for number, row in enumerate(ROWS)]

    found = looked_at(tmp_path / "orders.csv", text(rows=rows))

    assert found.options == ["--fill-down"]
    assert counted(found) == LINES


def test_guests_are_no_continuation_lines(tmp_path: Path) -> None:
    rows = [*ROWS, ["", "tea", "2023-02-14 10:00:00", "1", "o4"]]

    found = looked_at(tmp_path / "orders.csv", text(rows=rows))

    assert found.options == []
    assert "17% of the lines name no customer and are not counted" in found.warnings[0]
    assert counted(found) == [*LINES, ("customer_id is missing",)]
    settled = looked_at(tmp_path / "orders.csv", text(rows=rows), guests="order")
    assert counted(settled)[-1][0] == "guest:o4"


def test_one_customer_with_many_lines_is_named(tmp_path: Path) -> None:
    rows = [["0" if number % 3 else f"c{number}", "tea", "2023-01-15", "1", f"o{number}"] for number in range(300)]

    found = looked_at(tmp_path / "orders.csv", text(rows=rows))

    assert "customer '0' has 67% of the lines" in found.warnings[0]
    assert "--missing 0" in found.warnings[0]


def test_whole_floats_are_integers_in_columns_of_numbers_only(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp\n17001.0,1.0,2023-01-01\n17001,2.5,2023-01-02\n"

    found = looked_at(tmp_path / "orders.csv", content)

    assert found.log_format is not None
    assert found.log_format.number_columns == ("customer_id",)
    assert [line[:2] for line in counted(found)] == [("17001", "1.0"), ("17001", "2.5")]


def test_a_cell_that_holds_a_list_is_noticed(tmp_path: Path) -> None:
    cell = "name:Mug|sku:MUG-01|quantity:1;name:Tea|sku:TEA-02|quantity:2"

    found = looked_at(tmp_path / "orders.csv", f"customer_id,item_id,timestamp\nann,{cell},2023-01-01\n")

    assert found.question is not None
    assert "seems to hold lists of items" in found.question


def test_a_log_newest_first_is_noticed(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "orders.csv", text(rows=ROWS[::-1]))

    assert found.assumed == ["the log stands newest first"]
    assert "--sort" in found.options


def test_a_file_without_header_asks_which_column_is_which(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "orders.csv", text(header=None))

    assert found.question is not None
    assert "which of its columns is customer_id and which item_id? It has: 1, 2, 3, 4, 5" in found.question
    columns = {"customer_id": ("1",), "item_id": ("2",), "quantity": ("4",)}
    assert counted(looked_at(tmp_path / "orders.csv", text(header=None), columns=columns)) == LINES


def test_latin_1_is_read_as_windows_1252(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp\njürgen,käse,2023-01-01\nann,crème 5 €,2023-01-02\n"

    found = looked_at(tmp_path / "orders.csv", content.encode("cp1252"))

    assert [line[:2] for line in counted(found)] == [("jürgen", "käse"), ("ann", "crème 5 €")]


def test_an_encoding_that_is_not_western_is_asked_about(tmp_path: Path) -> None:
    content = "customer_id,item_id,timestamp\nиван,плов,2023-01-01\n".encode("cp1251")  # noqa: RUF001  Cyrillic

    found = looked_at(tmp_path / "orders.csv", content)

    assert found.question is not None
    assert "--encoding windows-1251" in found.question
    settled = looked_at(tmp_path / "orders.csv", content, encoding="windows-1251")
    assert counted(settled)[0][:2] == ("иван", "плов")


def test_an_archive_of_several_files_asks_for_one(tmp_path: Path) -> None:
    content = zipped(orders__csv=text(), other__csv="a,b\n")

    found = looked_at(tmp_path / "orders.zip", content)

    assert found.question is not None
    assert "--member NAME" in found.question
    assert counted(looked_at(tmp_path / "orders.zip", content, member="orders.csv")) == LINES


def test_a_day_and_a_time_in_two_columns_are_joined(tmp_path: Path) -> None:
    rows = [[row[0], row[1], row[2][:10], row[2][11:]] for row in ROWS]

    found = looked_at(tmp_path / "orders.csv", text(rows=rows, header=["customer_id", "item_id", "date", "time"]))

    assert found.options == ["--columns", "timestamp=date+time"]
    assert [line[2] for line in counted(found)] == [line[2] for line in LINES]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("page.csv", b"<!DOCTYPE html><html></html>", "is a web page"),
        ("page.xls", b"<table><tr><td>a</td></tr></table>", "is a web page, as which some shops export sheets"),
        ("database.csv", b"SQLite format 3\0", "is an SQLite database: export the table as CSV"),
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"customer_id,item_id,timestamp\n", "holds no rows below its header"),
    ],
)
def test_what_is_no_log_is_refused_by_what_it_is(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=message):
        looked_at(tmp_path / name, content)


def test_orders_with_a_list_of_lines_are_one_order_each(tmp_path: Path) -> None:
    content = (
        '{"created_at": "2023-01-15T10:11:12Z", "user": {"id": 7}, "line_items": [{"sku": "tea", "quantity": 2}, '
        '{"sku": "mug", "quantity": 1}]}\n'
    )

    found = looked_at(tmp_path / "orders.jsonl", content)

    assert found.options[1] == (
        "customer_id=user.id,item_id=line_items[].sku,timestamp=created_at,quantity=line_items[].quantity"
    )
    assert counted(found) == [
        ("7", "tea", "2023-01-15T10:11:12Z", 2, "purchase"),
        ("7", "mug", "2023-01-15T10:11:12Z", 1, "purchase"),
    ]


def test_nested_parquet_is_read(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415

    rows = [
        {"customer_id": b"0123456789abcdef", "timestamp": 20230115, "lines": [{"sku": "tea"}, {"sku": "mug"}]},
        {"customer_id": b"0123456789abcdef", "timestamp": 20230116, "lines": []},
        {"customer_id": b"0123456789abcdef", "timestamp": 20230117, "lines": [{"sku": "jam"}]},
    ]
    schema = pa.schema(
        {"customer_id": pa.binary(16), "timestamp": pa.int32(), "lines": pa.list_(pa.struct({"sku": pa.string()}))}
    )

    found = looked_at(tmp_path / "orders.parquet", parquet(pa.Table.from_pylist(rows, schema)))

    assert [line[:3] for line in counted(found)] == [
        ("30313233-3435-3637-3839-616263646566", "tea", "2023-01-15T00:00:00Z"),
        ("30313233-3435-3637-3839-616263646566", "mug", "2023-01-15T00:00:00Z"),
        ("30313233-3435-3637-3839-616263646566", "jam", "2023-01-17T00:00:00Z"),
    ]


def test_numbers_of_a_sheet_are_ids_without_decimals(tmp_path: Path) -> None:
    rows: list[list[object]] = [["customer_id", "item_id", "timestamp"], [17850, 71053, 44941.5]]

    found = looked_at(tmp_path / "orders.xlsx", workbook(rows))

    assert counted(found) == [("17850", "71053", "2023-01-15T12:00:00Z", 1, "purchase")]


def test_units_behind_quantities_are_found(tmp_path: Path) -> None:
    found = looked_at(tmp_path / "orders.csv", text(rows=[[*row[:3], f"{row[3]} pcs", row[4]] for row in ROWS]))

    assert found.options == ["--quantity-units", "pcs"]
    assert counted(found) == LINES


@pytest.mark.parametrize(
    ("times", "options"),
    [
        (["Dec 31 23:50", "Jan 1 00:10", "Jan 1 00:10", "Dec 31 23:59", "Feb 3 10:00"], "month-name"),
        (["31 Dec 11:50 PM", "1 Jan 0:10", "1 Jan 0:10", "31 Dec 23:59", "3 Feb 10:00"], "month-name"),
        (["31/12 23:50", "1/1 0:10", "01/01 00:10", "31/12 23:59", "3/2 10:00"], "day-first"),
        (["12/31 23:50", "1/1 0:10", "01/01 00:10", "12/31 23:59", "2/3 10:00"], "month-first"),
    ],
)
def test_times_without_a_year_turn_it_at_new_year(tmp_path: Path, times: list[str], options: str) -> None:
    rows = [[*row[:2], time, *row[3:]] for row, time in zip(ROWS, times, strict=True)]
    path = tmp_path / "orders.csv"

    found = looked_at(path, text(rows=rows))
    assert found.question is not None
    assert f"'{times[0]}' names no year: say the day of the first line, such as --start 2023-01-05" in found.question

    found = looked_at(path, text(rows=rows), start="2022-12-30")
    assert found.options == ["--timestamp-format", options]
    assert [line[2] for line in counted(found)] == [
        "2022-12-31T23:50:00Z",
        "2023-01-01T00:10:00Z",
        "2023-01-01T00:10:00Z",
        "2022-12-31T23:59:00Z",
        "2023-02-03T10:00:00Z",
    ]


def test_a_day_without_a_year_and_an_hour_of_day_are_a_time(tmp_path: Path) -> None:
    header = ["customer_id", "item_id", "date", "hour"]
    rows = [["ann", "tea", "30/12", "9"], ["bob", "tea", "31/12", "23"], ["cem", "mug", "1/1", "0"]]

    found = looked_at(tmp_path / "orders.csv", text(header=header, rows=rows), start="2022-12-30")

    assert found.options == ["--columns", "timestamp=date+hour", "--timestamp-format", "day-first"]
    assert [line[2] for line in counted(found)] == [
        "2022-12-30T09:00:00Z",
        "2022-12-31T23:00:00Z",
        "2023-01-01T00:00:00Z",
    ]


def test_the_whole_file_decides_whether_the_day_comes_first(tmp_path: Path) -> None:
    """Samples of a large file may have none but the first twelve days of months."""
    line = "ann,tea,3/1/2023,1,o\n"
    path = tmp_path / "orders.csv"
    path.write_text(text(rows=[]) + line * 47_000 + "bob,tea,25/1/2023,1,o\n" + line * 73_000)

    assert inspect(path).question is None
    assert inspect(path).log_format is None
    assert any("replay decides by the whole file" in text for text in inspect(path).warnings)
    assert inspect(path, whole=True).options == ["--timestamp-format", "day-first"]
