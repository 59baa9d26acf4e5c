"""Orders in JSON of any shape, rewritten as orders of ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import LogError, OrderError
from producers.log_format import LogFormat
from producers.logs.columns import parse_columns
from producers.orders import ERASE, PURCHASE, RETURN
from producers.records.decoding import JsonDecoder
from producers.records.mapping import RecordMapping, RecordReader
from producers.wire import decode_orders

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
