"""Columns: which of a log's columns holds which field."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from producers.errors import LogError
from producers.logs.columns import parse_columns
from producers.logs.reading import open_log
from producers.orders import PURCHASE
from tests.written_logs import ENDINGS, FIELDS, LINES, REASONS, Fields, csv_log, expected, line, read_log, write

if TYPE_CHECKING:
    from pathlib import Path


def test_columns_of_other_names_are_mapped_in_every_format(tmp_path: Path) -> None:
    columns = {"customer_id": "household", "item_id": "sku", "order_id": "basket"}
    names = {"customer_id": "household", "item_id": "sku", "order_id": "basket"}
    renamed = [{names.get(field, field): value for field, value in each.items()} for each in LINES]
    fields = [names.get(field, field) for field in FIELDS]
    for ending in ENDINGS:
        path = write(tmp_path / f"orders{ending}", renamed, fields)

        assert read_log(open_log(path, columns))[0] == expected(LINES, list(REASONS))


@pytest.mark.parametrize("ending", ENDINGS)
def test_without_the_optional_columns_every_line_is_a_purchase_of_one(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"orders{ending}", [line("ann", "milk", "1")] * 2, FIELDS[:3])

    orders, _ = read_log(open_log(path))

    assert [order[2:] for order in orders] == [
        (PURCHASE, 0, [("milk", 1, 0)], 1),
        (PURCHASE, 0, [("milk", 1, 1)], 2),
    ]


@pytest.mark.parametrize(
    ("header", "option"),
    [
        ("household_id,basket_id,product_id,transaction_timestamp",
         "customer_id=household_id,item_id=product_id,timestamp=transaction_timestamp,order_id=basket_id"),
        ("userId,movieId,rating,timestamp", "customer_id=userId,item_id=movieId"),
        ("Invoice,StockCode,Quantity,InvoiceDate,Price,Customer ID",
         "'customer_id=Customer ID,item_id=StockCode,timestamp=InvoiceDate,quantity=Quantity,order_id=Invoice'"),
        ("a,b,timestamp", "customer_id=...,item_id=..."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_missing_columns_are_named_with_the_option_that_helps(
    tmp_path: Path, ending: str, header: str, option: str
) -> None:
    """Nearly every log calls its columns something else: the first error a user sees should be the last."""
    fields = header.split(",")
    path = write(tmp_path / f"orders{ending}", [dict.fromkeys(fields, "1")], fields)

    with pytest.raises(LogError) as error:
        open_log(path)

    assert str(error.value).startswith(f"{path} has no column customer_id, item_id")
    assert f"It has: {', '.join(fields)}. Needed are customer_id, item_id, timestamp;" in str(error.value)
    assert str(error.value).endswith(f"--columns {option}")


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"item_id": "sku"}, "has no column sku (as item_id). It has: customer_id, item_id, timestamp, title"),
        ({"quantity": "units"}, "has no column units (as quantity)"),
        ({"itm": "sku"}, "--columns names itm; the fields of an order line are customer_id, item_id"),
    ],
)
def test_columns_asked_for_that_are_not_there_are_an_error(tmp_path: Path, columns: Fields, why: str) -> None:
    with pytest.raises(LogError, match=re.escape(why)):
        open_log(csv_log(tmp_path / "orders.csv"), columns)


def test_two_columns_of_the_same_name_are_an_error_if_one_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("customer_id,item_id,item_id,timestamp,x,x\nann,milk,eggs,2017-01-01,1,2\n")

    with pytest.raises(LogError, match="has several columns called item_id: rename all but one"):
        open_log(path)
    path.write_text("customer_id,item_id,timestamp,x,x\nann,milk,2017-01-01,1,2\n")
    assert len(read_log(open_log(path))[0]) == 1


@pytest.mark.parametrize(
    ("text", "mapping"),
    [
        (None, {}),
        ("", {}),
        ("customer_id=user", {"customer_id": "user"}),
        ("customer_id=Customer ID, item_id=Item, no.", {"customer_id": "Customer ID", "item_id": "Item, no."}),
        ("order_id=a=b", {"order_id": "a=b"}),
    ],
)
def test_a_mapping_is_read_from_one_line(text: str | None, mapping: Fields) -> None:
    """Real headers hold spaces, commas and equals signs."""
    assert parse_columns(text) == mapping


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("customer_id", "'customer_id' is not FIELD=COLUMN"),
        ("customer_id=", "'customer_id=' is not FIELD=COLUMN"),
        ("customer_id=a,customer_id=b", "--columns names customer_id twice"),
        ("who=user", "'who' is no field; fields are customer_id, item_id, timestamp"),
    ],
)
def test_a_mapping_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(LogError, match=re.escape(why)):
        parse_columns(text)
