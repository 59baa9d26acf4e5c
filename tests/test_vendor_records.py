"""Profiles on the wire: each kind of record as its vendor documents it, and what it is as an order."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from producers.errors import LogError, OrderError
from producers.orders import RETURN
from producers.wire import decode_orders
from streams.commands.record_options import record_reader
from tests.vendor_records import (
    CLOUDEVENT,
    CREATED,
    DELETED,
    GA4_EVENTS,
    KINDS,
    SHOPIFY,
    UPDATED,
    WOOCOMMERCE,
    Kind,
    Line,
    Record,
    connect,
)


def read(kind: Kind | None, name: str, *records: Any, **options: str) -> list[list[bytes] | OrderError]:  # noqa: ANN401
    """Records as `import --profile NAME` reads them; a record of None has no value."""
    given = {"orders": None, "schema_registry": None, "profile": name, **options}
    if kind is not None:
        given |= {name: value for name, value in (("columns", kind.columns), ("purchases", kind.purchases)) if value}
    reader = record_reader("nowhere:1", given)
    assert reader is not None
    return reader.read([None if record is None else msgspec.json.encode(record) for record in records])


def lines_of(*made: list[bytes] | OrderError) -> list[Line]:
    """The lines of orders that a worker would count."""
    records = [order for each in made if isinstance(each, list) for order in each]
    orders, rejected = decode_orders(records, range(len(records)))
    assert rejected == []
    found = []
    for number in range(len(orders)):
        time = str(np.datetime64(int(orders.time[number]), "ms")).removesuffix(".000") + "Z"
        kind = "return" if orders.kind[number] == RETURN else "purchase"
        customer = orders.customers[orders.customer[number]]
        found += [
            (customer, orders.items[orders.item[line]], time, int(orders.quantity[line]), kind)
            for line in range(orders.start[number], orders.start[number + 1])
        ]
    return found


@pytest.mark.parametrize("name", KINDS)
def test_a_vendors_record_is_the_order_that_it_says(name: str) -> None:
    kind = KINDS[name]

    made = read(kind, name, *kind.records)

    assert [str(each) for each in made if isinstance(each, OrderError)] == []
    assert lines_of(*made) == kind.lines


def test_a_changed_row_counts_once_whoever_changes_it() -> None:
    """Neither an update nor a deletion, with its tombstone, is an order."""
    kind = KINDS["debezium"]
    events: list[Record | None] = [CREATED, UPDATED, UPDATED, DELETED, None]

    for changes in (events, [event and connect(event) for event in events]):
        assert [len(each) for each in read(kind, "debezium", *changes) if isinstance(each, list)] == [1, 0, 0, 0, 0]


def test_deleted_rows_are_returns_if_the_user_says_so() -> None:
    """Of a table that is never tidied up, and whose deletions carry the row."""
    row = CREATED["after"]
    deletion = DELETED | {"before": row}

    made = read(KINDS["debezium"], "debezium", CREATED, deletion, returns="d")

    assert [line[-1] for line in lines_of(*made)] == ["purchase", "return"]


def test_an_order_that_is_sent_again_has_the_same_order_id() -> None:
    """By which workers know it: see `test_an_order_that_is_updated_counts_once` in tests/test_import_formats.py."""
    for name, record, change in (
        ("shopify-webhook", SHOPIFY, {"updated_at": "2008-02-10T11:00:00-05:00"}),
        ("woocommerce-webhook", WOOCOMMERCE, {"status": "completed", "date_modified_gmt": "2017-03-29T19:28:08"}),
    ):
        first, again = read(None, name, record, record | change)
        assert first == again
        assert isinstance(first, list)
        assert msgspec.json.decode(first[0])["order_id"] == record["id"]


def test_guests_are_rejected_or_customers_of_their_own() -> None:
    guest = WOOCOMMERCE | {"customer_id": 0}

    [rejected] = read(None, "woocommerce-webhook", guest)
    [counted] = read(None, "woocommerce-webhook", guest, guest="order")

    assert isinstance(rejected, list)
    assert "customer_id" not in msgspec.json.decode(rejected[0])
    assert isinstance(counted, list)
    assert msgspec.json.decode(counted[0])["customer_id"] == "guest:727"


def test_each_event_of_a_request_is_an_order_of_its_own() -> None:
    purchase = GA4_EVENTS["events"][1]
    refund = {"name": "refund", "params": purchase["params"] | {"items": [{"item_id": "SKU_12345", "quantity": 1}]}}

    [made] = read(None, "ga4-events", GA4_EVENTS | {"events": [purchase, refund, purchase]})

    assert isinstance(made, list)
    assert len(made) == 3
    assert [line[1:] for line in lines_of(made)][2] == ("SKU_12345", "2023-01-15T10:11:12Z", 1, "return")


@pytest.mark.parametrize(
    ("name", "record", "reason"),
    [
        (
            "debezium",
            {"op": "t", "ts_ms": 1, "source": {}},
            "there is no record at payload.after, after, payload.before",
        ),
        ("cloudevents", CLOUDEVENT | {"data": "<order/>"}, "there is no record at data"),
        ("ga4-events", {"client_id": "1", "events": ["purchase"]}, r"not every element of events\[\] is an object"),
        ("kafka-connect", [1, 2], "there is no record at payload"),
        ("segment", [1, 2], "record is no object"),
    ],
)
def test_what_is_no_such_record_is_rejected_with_the_reason(name: str, record: object, reason: str) -> None:
    [made] = read(None, name, record)

    assert isinstance(made, OrderError)
    with pytest.raises(OrderError, match=reason):
        raise made


def test_which_cloud_events_are_purchases_is_for_the_user_to_say() -> None:
    kind = KINDS["cloudevents"]._replace(purchases="")

    [made] = read(kind, "cloudevents", CLOUDEVENT)

    assert isinstance(made, list)
    [rejected] = decode_orders(made, [0])[1]
    assert (
        rejected.reason
        == "type 'com.example.order.placed' is neither purchase, return, erase nor another word of a to z"
    )


def test_a_profile_of_files_is_refused() -> None:
    with pytest.raises(LogError, match="shopify is a profile of files: fill_down says how lines of a file make an ord"):
        read(None, "shopify", SHOPIFY)
