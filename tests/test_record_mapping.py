"""Orders in JSON of any shape, rewritten as orders of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import LogError, OrderError
from producers.log_format import LogFormat
from producers.logs.columns import parse_columns
from producers.logs.inspection.preview import preview
from producers.orders import ERASE, PURCHASE, RETURN
from producers.records.decoding import JsonDecoder
from producers.records.mapping import RecordMapping, RecordReader
from producers.wire import decode_orders

if TYPE_CHECKING:
    from pathlib import Path

NESTED = "customer_id=buyer.id,timestamp=placed.$date,order_id=number,item_id=cart[].sku,quantity=cart[].n,type=kind"


def reader_of(columns: str, **settings: Any) -> RecordReader:  # noqa: ANN401 - attributes of LogFormat
    paths = {field: (path,) for field, path in parse_columns(columns).items()}
    typed = paths.pop("type", None) != ("",) if paths.get("type") == ("",) else True
    log_format = LogFormat.from_settings({"columns": paths, "typed": typed, **settings})
    return RecordReader(JsonDecoder(), RecordMapping(log_format))


def orders_of(columns: str, *records: Any, **settings: Any) -> tuple[list[Any], list[str]]:  # noqa: ANN401
    """Customer, kind and lines of each valid order, and the reasons of the others."""
    values = [record if isinstance(record, bytes) else msgspec.json.encode(record) for record in records]
    made = reader_of(columns, **settings).read(values)
    read = [order for each in made if not isinstance(each, OrderError) for order in each]
    orders, rejected = decode_orders(read, range(len(read)))
    unread = [str(each) for each in made if isinstance(each, OrderError)]
    found = []
    for number in range(len(orders)):
        lines = range(orders.start[number], orders.start[number + 1])
        items = [(orders.items[orders.item[line]], int(orders.quantity[line])) for line in lines]
        found.append((orders.customers[orders.customer[number]], int(orders.kind[number]), items))
    return found, unread + [each.reason for each in rejected]


def record(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    cart = [{"sku": 7, "n": 2}, {"sku": "tea", "n": None, "price": 1.5}]
    return {"buyer": {"id": 42.0}, "placed": {"$date": "2024-02-17T10:00:00Z"}, "number": 5, "cart": cart} | changes


def test_fields_are_found_wherever_they_are() -> None:
    found, rejected = orders_of(
        NESTED,
        record(),
        record(kind="return", cart=[{"sku": "tea"}]),
        record(kind="erase", cart=[]),
    )

    assert rejected == []
    assert found == [
        ("42", PURCHASE, [("7", 2), ("tea", 1)]),
        ("42", RETURN, [("tea", 1)]),
        ("42", ERASE, []),
    ]


def test_what_is_no_order_stays_none() -> None:
    found, rejected = orders_of(
        NESTED,
        b"not JSON",
        b"[1]",
        b"",
        record(buyer=None),
        record(cart=[]),
        record(cart=[{"n": 1}]),
        record(placed={"$date": "never"}),
        record(cart=[{"sku": "tea", "n": "many"}]),
    )

    assert found == []
    assert len(rejected) == 8
    assert "customer_id is missing" in rejected
    assert "item_id is missing" in rejected


def test_fields_that_are_not_named_are_where_orders_have_them() -> None:
    lines = {"user": "ann", "timestamp": 1_700_000_000, "lines": [{"item_id": "tea", "quantity": 3}]}
    flat = {"user": "bob", "timestamp": 1_700_000_000, "item_id": "milk"}

    assert orders_of("customer_id=user", lines, flat) == (
        [("ann", PURCHASE, [("tea", 3)]), ("bob", PURCHASE, [("milk", 1)])],
        [],
    )


def test_a_field_that_means_something_else_is_left_out() -> None:
    order = {"customer_id": "ann", "timestamp": 1_700_000_000, "item_id": "tea", "type": "order.created"}

    assert orders_of("customer_id=customer_id", order)[1] != []
    assert orders_of("type=", order) == ([("ann", PURCHASE, [("tea", 1)])], [])


def test_lists_within_lists_are_the_lines_of_one_order() -> None:
    parcels = [{"lines": [{"sku": "a"}, {"sku": "b"}]}, {"lines": []}, {"lines": [{"sku": "c"}]}]
    order = {"customer_id": "ann", "timestamp": 1_700_000_000, "parcels": parcels}

    assert orders_of("item_id=parcels[].lines[].sku", order)[0] == [("ann", PURCHASE, [("a", 1), ("b", 1), ("c", 1)])]


ROWS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "returns": (
        {"negative_is_return": True},
        [{"n": 2}, {"n": -1}, {"n": "-3"}, {"n": 0}, {"n": "x"}, {"n": None}],
    ),
    "units": ({"quantity_units": ("pcs",), "decimal_mark": ","}, [{"n": "2 pcs"}, {"n": "3,0"}, {"n": "pcs"}]),
    "no items": ({"excluded_items": ("POST", "FEE-*")}, [{"sku": "POST"}, {"sku": "FEE-7"}, {"sku": "tea"}]),
    "guests": ({"guests": "order", "missing": ("0",)}, [{"who": 0}, {"who": None, "no": "7"}, {"who": "0", "no": 0}]),
    "kinds": (
        {"purchases": ("sale",), "returns": ("credit",)},
        [{"type": "SALE"}, {"type": "credit"}, {"type": "view"}, {"type": None}, {}],
    ),
    "days first": ({"timestamp_format": "day-first"}, [{"at": "5.1.2024 10:11"}, {"at": "2024-01-05"}, {"at": None}]),
    "microseconds": (
        {"timestamp_format": "us"},
        [{"at": 1_704_449_472_000_000}, {"at": "1704449472000000"}, {"at": "x"}],
    ),
    "zone": (
        {"timezone": "Europe/Berlin"},
        [{"at": "2024-01-05T10:11:12"}, {"at": "2024-01-05T10:11:12Z"}, {"at": 1.7e9}],
    ),
    "a day and a time": (
        {"columns": {"timestamp": ("day", "clock")}},
        [{"day": "2024-01-05", "clock": "10:11"}, {"day": "2024-01-05T00:00:00", "clock": "10:11"}],
    ),
    "numbers": ({"number_columns": ("customer_id",)}, [{"who": "17.0"}, {"who": 17.0}, {"who": 17}]),
}
"""By what a format says: its attributes, and what is particular to each of some records."""


@pytest.mark.parametrize("name", ROWS)
def test_a_format_means_for_records_what_it_means_for_a_file_of_them(name: str, tmp_path: Path) -> None:
    settings, particulars = ROWS[name]
    columns = {
        "customer_id": ("who",),
        "item_id": ("sku",),
        "quantity": ("n",),
        "order_id": ("no",),
        "timestamp": ("at",),
    }
    settings = settings | {"columns": columns | settings.get("columns", {})}
    plain = {"who": "ann", "sku": "tea", "no": 1, "n": 1, "at": 1_704_449_472} | (
        {"at": "5.1.2024"} if name == "days first" else {"at": 1_704_449_472_000_000} if name == "microseconds" else {}
    )
    records = [msgspec.json.encode(plain | particular) for particular in particulars]
    log = tmp_path / "records.jsonl"
    log.write_bytes(b"".join(record + b"\n" for record in records))

    made = RecordReader(JsonDecoder(), RecordMapping(LogFormat.from_settings(settings))).read(records)
    [*lines] = preview(log, LogFormat.from_settings({**settings, "container": "jsonl"}))

    read = [order for each in made if not isinstance(each, OrderError) for order in each]
    orders, rejected = decode_orders(read, range(len(read)))
    found = [
        (
            orders.customers[customer],
            orders.items[item],
            time,
            int(quantity),
            "return" if kind == RETURN else "purchase",
        )
        for customer, item, time, quantity, kind in zip(
            orders.customer, orders.item, orders.time.tolist(), orders.quantity, orders.kind, strict=True
        )
    ]
    expected = [
        (*list(line.values())[:2], np.datetime64(line["timestamp"][:-1], "ms").astype(int), *list(line.values())[3:])
        for line in lines
        if "rejected" not in line
    ]
    assert found == expected
    unread = sum(isinstance(each, OrderError) for each in made)
    assert len(rejected) + unread == sum("rejected" in line for line in lines)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ("customer_id=buyers[].id", "customer_id=buyers\\[\\].id goes into a list"),
        ("item_id=cart[].sku,quantity=amounts[].n", "go into different lists"),
    ],
)
def test_paths_that_no_order_can_have_are_refused(columns: str, why: str) -> None:
    with pytest.raises(LogError, match=why):
        reader_of(columns)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["buyer", "id", "placed", "$date", "cart", "sku", "n"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(_json, max_size=5))
def test_no_record_keeps_others_from_being_read(documents: list[Any]) -> None:
    good = record()
    values: list[Any] = [value for document in documents for value in (document, good)]

    found, rejected = orders_of(NESTED, *values)

    assert len(found) + len(rejected) >= len(values)
    assert [each for each in found if each == ("42", PURCHASE, [("7", 2), ("tea", 1)])] != [] or not documents
    assert sum(each == ("42", PURCHASE, [("7", 2), ("tea", 1)]) for each in found) >= len(documents)
