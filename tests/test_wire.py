"""Orders as JSON records."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import OrderError
from producers.fields import FieldReader
from producers.orders import DAY_MS, ERASE, LARGEST_ORDER_LINES, PURCHASE, RETURN, order_key
from producers.wire import MOST_LINES_ALONE, decode_orders, encode_order

NEW_YEAR_MS = 1_483_228_800_000  # 2017-01-01 00:00 UTC


def is_plain(text: str) -> bool:
    """Whether an id stands as it is read."""
    try:
        return text.isprintable() and FieldReader().id("item_id", text) == text
    except OrderError:
        return False


ids = st.text(min_size=1, max_size=128).filter(is_plain)
lines = st.lists(st.tuples(ids, st.integers(1, 1_000_000_000)), min_size=1, max_size=5)


def reason(record: bytes | dict[str, object], latest_ms: int | None = None) -> str:
    """Why the record is rejected."""
    text = record if isinstance(record, bytes) else json.dumps(record).encode()
    orders, rejected = decode_orders([text], [41], latest_ms)
    assert len(orders) == 0
    assert [rejection.position for rejection in rejected] == [41]
    return rejected[0].reason


def record(**fields: object) -> dict[str, object]:
    return {"customer_id": "ann", "timestamp": NEW_YEAR_MS, "item_id": "milk"} | fields


@given(
    customer=ids,
    time_ms=st.integers(NEW_YEAR_MS, NEW_YEAR_MS + 4000 * DAY_MS),
    bought=lines,
    order_id=st.none() | ids,
    kind=st.sampled_from([PURCHASE, RETURN]),
)
def test_what_is_encoded_is_decoded(
    customer: str, time_ms: int, bought: list[tuple[str, int]], order_id: str | None, kind: int
) -> None:
    """A producer and a worker of this project agree, whatever the ids hold."""
    encoded = encode_order(customer, time_ms, bought, order_id=order_id, kind=kind)

    orders, rejected = decode_orders([encoded], [7])

    assert rejected == []
    assert [orders.customers[place] for place in orders.customer] == [customer]
    assert orders.time.tolist() == [time_ms]
    assert orders.kind.tolist() == [kind]
    assert orders.key.tolist() == [order_key(order_id) if order_id is not None else 0]
    assert orders.after.tolist() == [8]
    assert [orders.items[place] for place in orders.item] == [item for item, _ in bought]
    assert orders.quantity.tolist() == [quantity for _, quantity in bought]
    assert orders.position.tolist() == [7] * len(bought)


def test_the_short_form_is_an_order_of_one_line() -> None:
    orders, rejected = decode_orders([json.dumps(record(quantity=3, order_id=9)).encode()], [0])

    assert rejected == []
    assert orders.items == ["milk"]
    assert orders.quantity.tolist() == [3]
    assert orders.key.tolist() == [order_key("9")]


def test_an_erasure_has_no_lines_and_needs_none() -> None:
    orders, rejected = decode_orders([encode_order("ann", NEW_YEAR_MS, [], kind=ERASE)], [0])

    assert rejected == []
    assert orders.kind.tolist() == [ERASE]
    assert orders.start.tolist() == [0, 0]


def test_numbers_as_ids_are_the_same_ids_as_text() -> None:
    """Shops whose ids are numbers send them now as numbers, now as text."""
    records = [
        record(customer_id=12, item_id=7),
        record(customer_id="12", item_id="7"),
        record(customer_id=12.0, item_id=7),
    ]

    orders, _ = decode_orders([json.dumps(each).encode() for each in records], range(3))

    assert orders.customers == ["12"]
    assert orders.items == ["7"]


@pytest.mark.parametrize(
    "timestamp",
    [
        NEW_YEAR_MS,
        NEW_YEAR_MS // 1000,
        1_483_228_800.0,
        "2017-01-01",
        "2017-01-01T00:00:00Z",
        "2017-01-01 01:00:00+01:00",
        "1483228800",
    ],
)
def test_a_timestamp_may_be_written_in_many_ways(timestamp: object) -> None:
    orders, rejected = decode_orders([json.dumps(record(timestamp=timestamp)).encode()], [0])

    assert rejected == []
    assert orders.time.tolist() == [NEW_YEAR_MS]


def test_fields_of_null_are_fields_left_out() -> None:
    orders, rejected = decode_orders(
        [json.dumps(record(quantity=None, order_id=None, type=None, lines=None)).encode()], [0]
    )

    assert rejected == []
    assert (orders.quantity.tolist(), orders.key.tolist(), orders.kind.tolist()) == ([1], [0], [PURCHASE])


def test_unknown_fields_are_ignored() -> None:
    """Producers add fields before workers learn of them."""
    assert decode_orders([json.dumps(record(price=1.5, tags=["a"])).encode()], [0])[1] == []


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (b"", "not JSON: Input data was truncated"),
        (b"milk", "not JSON: JSON is malformed: invalid character (byte 0)"),
        (b'{"customer_id":"ann"', "not JSON: Input data was truncated"),
        (b'{"customer_id":"caf\xe9"}', "not JSON: 'utf-8' codec can't decode byte 0xe9"),
        (b'{"x":' + b"[" * 100_000, "not JSON: maximum recursion depth exceeded"),
        (b"[1]", "not an order: Expected `object`, got `array`"),
        (b"null", "not an order: Expected `object`, got `null`"),
        (record(customer_id=[]), "not an order: Expected `int | float | str | null`, got `array` - at `$.customer_id`"),
        (record(item_id=None, lines="milk"), "not an order: Expected `array | null`, got `str` - at `$.lines`"),
        (record(item_id=None, lines=["milk"]), "not an order line: Expected `object`, got `str`"),
        (record(quantity=True), "not an order: Expected `int | float | str | null`, got `bool` - at `$.quantity`"),
        ({}, "customer_id is missing"),
        (record(customer_id=""), "customer_id is missing"),
        (record(customer_id="x" * 513), "customer_id has 513 bytes, more than 512"),
        (record(customer_id="ü" * 257), "customer_id has 514 bytes, more than 512"),
        (record(customer_id=1.5), "customer_id '1.5' is not a whole number"),
        (record(item_id=None), "item_id is missing"),
        (record(item_id="x" * 513), "item_id has 513 bytes, more than 512"),
        (record(order_id="x" * 513), "order_id has 513 bytes, more than 512"),
        (record(lines=[{"item_id": "eggs"}]), "has both item_id and lines"),
        (record(item_id=None, lines=[]), "lines is empty"),
        (record(item_id=None, lines=[{}, {"item_id": ""}]), "item_id is missing"),
        (record(customer_id=" NULL "), "customer_id is missing"),
        (record(item_id="4.00638E+12"), "item_id '4.00638E+12' is in scientific notation"),
        (record(item_id=None, lines=[{"item_id": "eggs", "quantity": 0}]), "quantity '0' is below 1"),
        (record(quantity=True), "not an order: Expected"),
        (record(quantity="two"), "quantity 'two' is not a number"),
        (record(quantity=-1), "quantity '-1' is below 1"),
        (record(quantity=10**10), "quantity '10000000000' is above 1,000,000,000"),
        (record(quantity=10**400), "quantity '1000"),
        (record(type="a gift"), "type 'a gift' is neither purchase, return, erase nor another word of a to z"),
        (record(type="erase"), "type 'erase' erases a whole customer and takes no items"),
        (record(timestamp=None), "timestamp is missing"),
        (record(timestamp="soon"), "timestamp 'soon' is not a date"),
        (record(timestamp="2017-13-01"), "timestamp '2017-13-01' is not a date"),
        (record(timestamp=0), "timestamp '0' is before 1990"),
        (record(timestamp="1989-12-31"), "timestamp '1989-12-31' is before 1990"),
        (record(timestamp=10**30), "timestamp '1000000000000000000000000000000' is after"),
    ],
)  # fmt: skip
def test_a_bad_record_is_rejected_with_what_is_wrong(bad: bytes | dict[str, object], why: str) -> None:
    assert reason(bad).startswith(why)


def test_an_order_of_too_many_lines_is_rejected() -> None:
    """Without a pair window its pairs would take more memory than a worker has."""
    most = [(f"item {number}", 1) for number in range(LARGEST_ORDER_LINES)]

    assert decode_orders([encode_order("ann", NEW_YEAR_MS, most)], [0])[1] == []
    assert reason(encode_order("ann", NEW_YEAR_MS, [*most, ("one more", 1)])) == (
        "the order has 10,001 lines, more than 10,000"
    )


def test_a_record_from_the_future_is_rejected() -> None:
    """One wrong clock would move every trend, which counts back from the newest purchase."""
    late = reason(record(timestamp=NEW_YEAR_MS + 1), latest_ms=NEW_YEAR_MS)

    assert late == "timestamp '1483228800001' is after 2017-01-01 00:00:00Z, later than an order can be"
    assert decode_orders([json.dumps(record()).encode()], [0], latest_ms=NEW_YEAR_MS)[1] == []


def test_a_bad_record_leaves_nothing_of_itself_among_the_good_ones() -> None:
    """Its first lines may have been read before its last was found bad."""
    bad = record(item_id=None, customer_id="eve", lines=[{"item_id": "ghost", "quantity": 0}, {"item_id": ""}])
    good = encode_order("ann", NEW_YEAR_MS, [("milk", 2)])

    orders, rejected = decode_orders([good, json.dumps(bad).encode(), good], [5, 6, 9])

    assert (orders.customers, orders.items) == (["ann"], ["milk"])
    assert orders.start.tolist() == [0, 1, 2]
    assert orders.after.tolist() == [6, 10]
    assert rejected[0].position == 6
    assert json.loads(rejected[0].record) == bad


SHORT = st.text(st.characters(codec="utf-8"), max_size=6)


@given(customer=SHORT, item=SHORT, order=SHORT)
def test_an_id_is_kept_as_it_is_or_rejected_however_short(customer: str, item: str, order: str) -> None:
    """Short ids take a quick path, on which a NUL once passed and split an item in two."""
    encoded = json.dumps(record(customer_id=customer, item_id=item, order_id=order)).encode()

    orders, rejected = decode_orders([encoded], [0])

    if rejected:
        plain = is_plain(customer) and is_plain(item) and is_plain(order)
        assert not plain or "\0" in customer + item + order
    else:
        assert "\0" not in customer + item + order
        if is_plain(customer) and is_plain(item):
            assert (orders.customers, orders.items) == ([customer], [item])


def test_a_bad_line_of_an_order_is_rejected_alone_and_can_be_sent_again() -> None:
    """An order of twenty lines is not lost for a free gift of quantity 0."""
    lines = [{"item_id": "milk"}, {"item_id": "gift", "quantity": 0}, {"item_id": ["eggs"]}, {"item_id": " tea "}]
    order = {"customer_id": " ann ", "timestamp": NEW_YEAR_MS * 1000, "order_id": 7, "type": "PURCHASE", "lines": lines}

    orders, rejected = decode_orders([json.dumps(order).encode()], [5])

    assert (orders.customers, orders.time.tolist()) == (["ann"], [NEW_YEAR_MS])
    assert [orders.items[item] for item in orders.item] == ["milk", "tea"]
    assert [(line.position, line.reason, line.partial) for line in rejected] == [
        (5, "quantity '0' is below 1", True),
        (5, "not an order line: Expected `int | float | str | null`, got `array` - at `$.item_id`", True),
    ]
    assert json.loads(rejected[0].record) == order | {"lines": [lines[1]]}
    repaired, left = decode_orders([rejected[0].record.replace('"quantity":0', '"quantity":1').encode()], [6])
    assert (repaired.items, left) == (["gift"], [])


@pytest.mark.parametrize(
    ("fields", "customers", "items", "quantities", "kind"),
    [
        ({"customer_id": "a\t", "item_id": '="0007"'}, ["a"], ["0007"], [1], PURCHASE),
        ({"item_id": "'007"}, ["ann"], ["007"], [1], PURCHASE),
        ({"item_id": "'s-Hertogenbosch"}, ["ann"], ["'s-Hertogenbosch"], [1], PURCHASE),
        ({"quantity": 1.5}, ["ann"], ["milk"], [1], PURCHASE),
        ({"quantity": "0.35", "type": "Refund"}, ["ann"], ["milk"], [1], RETURN),
        ({"quantity": "null", "type": "SALE"}, ["ann"], ["milk"], [1], PURCHASE),
        ({"order_id": "N/A"}, ["ann"], ["milk"], [1], PURCHASE),
    ],
)
def test_a_record_means_what_a_line_of_a_file_means(
    fields: dict[str, object], customers: list[str], items: list[str], quantities: list[int], kind: int
) -> None:
    """Shops send to Kafka what they also export."""
    orders, rejected = decode_orders([json.dumps(record(**fields)).encode()], [0])

    assert rejected == []
    assert (orders.customers, orders.items) == (customers, items)
    assert (orders.quantity.tolist(), orders.kind.tolist(), orders.key.tolist()) == (quantities, [kind], [0])


@pytest.mark.parametrize("text", ["NULL", "null", " NaN ", "None", "N/A", "\\N", "#N/A", ""])
def test_text_that_means_missing_is_no_customer(text: str) -> None:
    """One giant customer called NULL would bind all items together."""
    assert reason(record(customer_id=text)) == "customer_id is missing"


@pytest.mark.parametrize("unknown", [b"1e999", b'"caf\xe9"', b'{"caf\xe9": -}', b'"\\ud800"'])
def test_an_invalid_line_is_rejected_whatever_an_unknown_field_holds(unknown: bytes) -> None:
    """Unknown fields are skipped, not decoded; to decode them for the rejected record once stopped the worker."""
    head = b'{"customer_id":"ann","timestamp":1483228800,"lines":[{"item_id":"milk"},{"quantity":2}],"x":'

    orders, rejected = decode_orders([head + unknown + b"}"], [0])

    assert (len(orders), len(rejected)) in ((1, 1), (0, 1))
    assert [rejection.partial for rejection in rejected] == [len(orders) == 1]


def test_a_record_of_thousands_of_invalid_lines_takes_neither_time_nor_memory() -> None:
    """Each with the record's other fields, they took 16 seconds and a gigabyte."""
    lines = b'{"item_id":"milk"},' + b",".join([b'{"quantity":2}'] * 9_000)
    sent = b'{"customer_id":"ann","timestamp":1483228800,"note":"' + b"y" * 100_000 + b'","lines":[' + lines + b"]}"

    orders, rejected = decode_orders([sent], [0])

    assert len(orders) == 1
    assert len(rejected) == MOST_LINES_ALONE + 1
    assert rejected[-1].reason == f"{9_000 - MOST_LINES_ALONE:,} more lines, of the first: item_id is missing"
    assert len(json.loads(rejected[-1].record)["lines"]) == 9_000 - MOST_LINES_ALONE
