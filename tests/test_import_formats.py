"""Importing topics of other formats and shapes: each order counts once, and what is none is kept with the reason."""

from __future__ import annotations

import io
import json
import os
import signal
from datetime import datetime
from typing import TYPE_CHECKING, Any

import fastavro
import msgspec
import pytest

from streams.workers.kafka.sources import imported_from
from tests.kafka_truth import Truth
from tests.registries import Registry, framed, guarded
from tests.test_import import imported, made_source, send, shop
from tests.vendor_records import CREATED, DELETED, GA4_EVENTS, SHOPIFY, UPDATED
from tests.workers import made_topics, read_topic

if TYPE_CHECKING:
    from pathlib import Path

    from streams.workers.kafka.topics import Topics
    from tests.brokers import Broker

LINE = {
    "type": "record",
    "name": "Line",
    "fields": [{"name": "item_id", "type": "string"}, {"name": "quantity", "type": ["null", "int"], "default": None}],
}
AVRO = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "customer_id", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "lines", "type": {"type": "array", "items": LINE}},
    ],
}
PROTOBUF = """
syntax = "proto3";
message Order {
  message Line { string item_id = 1; optional int32 quantity = 2; }
  string customer_id = 1;
  int64 timestamp = 2;
  repeated Line lines = 3;
}
"""
SCHEMAS: dict[str, tuple[Any, str]] = {
    "avro": (AVRO, "AVRO"),
    "json-schema": ({"type": "object", "properties": {"customer_id": {"type": "string"}}}, "JSON"),
    "protobuf": (PROTOBUF, "PROTOBUF"),
}


def encoded(format_: str, order: dict[str, Any]) -> bytes:
    """An order of ours as the payload of a format."""
    if format_ == "avro":
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(AVRO), order)
        return stream.getvalue()
    if format_ == "json-schema":
        return msgspec.json.encode(order)
    lines = [_field(1, line["item_id"].encode()) + _field(2, line["quantity"]) for line in order["lines"]]
    body = _field(1, order["customer_id"].encode()) + _field(2, order["timestamp"])
    return b"\0" + body + b"".join(_field(3, line) for line in lines)


def _field(number: int, value: bytes | int) -> bytes:
    """A field of Protobuf's wire format."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    return (
        b""
        if number < 0
        else bytes([number])
        if number < 0x80
        else bytes([number & 0x7F | 0x80]) + _varint(number >> 7)
    )


def purchases(kafka: Broker, topics: Topics) -> list[Any]:
    return [record for records in read_topic(kafka.bootstrap, topics.purchases, committed=True) for record in records]


@pytest.mark.parametrize("format_", SCHEMAS)
def test_orders_in_a_format_are_the_orders_that_were_written(
    kafka: Broker, registry: Registry, format_: str, tmp_path: Path
) -> None:
    topics = made_topics(kafka.bootstrap, f"import-{format_}", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    number = registry.register(f"{source}-value", *SCHEMAS[format_])
    orders = [json.loads(order) for order in shop(0, 60)]
    for order in orders:
        order["lines"] = [{"item_id": line["item_id"], "quantity": line.get("quantity", 1)} for line in order["lines"]]
    broken = [framed(number, b"\xff\xff"), b"not framed", b"", framed(number, b"x" * 600_000)]
    send(kafka.bootstrap, source, [*(framed(number, encoded(format_, order)) for order in orders), *broken])

    options = ("--orders", format_, "--schema-registry", registry.url, "--json")
    code, output, log = imported(kafka, topics, source, *options)

    assert code == 0, log
    assert json.loads(output)["records"] == len(orders) + len(broken)
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    counted = [json.loads(record.value) for record in purchases(kafka, topics) if record.value.startswith(b"{")]
    for order in counted:
        order["timestamp"] = as_ms(order["timestamp"])
    assert sorted(counted, key=str) == sorted(orders, key=str)
    assert truth.lines == sum(len(order["lines"]) for order in orders) + len(broken)
    kept = {record.value: dict(record.headers) for record in truth.rejections}
    assert {value[:600] for value in kept} == {value[:600] for value in broken}
    reasons = sorted(headers["reason"].decode() for headers in kept.values())
    assert reasons[0].startswith(("not JSON", "record cannot be read by its schema", "record ends before it names"))
    assert reasons[1] == "record has 600,005 bytes, more than 524,288"
    assert reasons[2].startswith("record is not in Confluent's wire format: it begins with 6e 6f 74 20 66")
    assert reasons[3].startswith("record is not in Confluent's wire format: it is empty")
    assert {headers["source-topic"].decode() for headers in kept.values()} == {source}


def as_ms(value: int | str) -> int:
    return value if isinstance(value, int) else int(datetime.fromisoformat(value).timestamp() * 1000)


def test_an_order_that_is_updated_counts_once(kafka: Broker, tmp_path: Path) -> None:
    """Workers know it by its order id; a cancellation and a test order are none."""
    topics = made_topics(kafka.bootstrap, "import-updates", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    cancelled = {"cancelled_at": "2008-01-11T11:00:00-05:00"}
    orders = [SHOPIFY, SHOPIFY | {"note": "paid"}, SHOPIFY | cancelled, SHOPIFY | {"id": 1, "test": True}]
    send(kafka.bootstrap, source, [value for each in orders for value in (msgspec.json.encode(each), b"?", b"?")])

    code, output, log = imported(kafka, topics, source, "--profile", "shopify-webhook")

    assert code == 0, log
    assert output == f"{2 + 8} records imported from {source} to {topics.purchases}, 2 skipped\n"
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    assert truth.facts["duplicates"] == 2
    assert truth.histories.keys() == {"207119551"}
    assert len(truth.rejections) == 8


def test_changes_of_rows_count_once_and_tombstones_not_at_all(kafka: Broker, tmp_path: Path) -> None:
    topics = made_topics(kafka.bootstrap, "import-changes", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    values = [msgspec.json.encode(each) for each in (CREATED, UPDATED, DELETED)]
    send(kafka.bootstrap, source, [*values, None, None])  # type: ignore[list-item]

    columns = "customer_id=purchaser,item_id=product_id,timestamp=created_at"
    code, output, log = imported(kafka, topics, source, "--profile", "debezium", "--columns", columns)

    assert code == 0, log
    assert output == f"1 records imported from {source} to {topics.purchases}, 4 skipped\n"
    truth = Truth(kafka.bootstrap, topics, tmp_path / "truth")
    assert (truth.lines, truth.rejections) == (1, [])


@pytest.mark.parametrize("step", ["before-offset", "after-commit"])
def test_each_order_is_imported_once_whatever_dies_also_of_records_with_none_or_several(
    kafka: Broker, step: str
) -> None:
    topics = made_topics(kafka.bootstrap, f"import-several-{step}", purchases=2, items=1)
    source = made_source(kafka.bootstrap, topics)
    purchase = GA4_EVENTS["events"][1]
    deaths = sent = 0
    for _ in range(30):
        values = []
        for number in range(30):
            purchases_ = [
                purchase | {"params": purchase["params"] | {"transaction_id": f"T{sent}-{n}"}}
                for n in range(number % 3)
            ]
            events = [*purchases_, {"name": "scroll", "params": {}}]
            values.append(GA4_EVENTS | {"client_id": f"c{number}", "events": events})
            sent += 1
        send(kafka.bootstrap, source, map(msgspec.json.encode, values))
        code, _, log = imported(kafka, topics, source, "--profile", "ga4-events", faults=f"die_while_copying:{step}")
        deaths += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL), log
        if deaths == 2:
            break
    code, _, log = imported(kafka, topics, source, "--profile", "ga4-events")

    assert deaths == 2
    assert code == 0, log
    found = [json.loads(record.value)["order_id"] for record in purchases(kafka, topics)]
    assert sorted(found) == sorted(f"T{record}-{n}" for record in range(sent) for n in range(record % 30 % 3))
    assert all(imported_from(record) is not None for record in purchases(kafka, topics))


def refused(kafka: Broker, topics: Topics, source: str, *options: str) -> str:
    """What an import says that ends with an error; how soon is asserted by tests/test_schema_records.py."""
    code, _, log = imported(kafka, topics, source, *options)
    assert code == 1, log
    return log


def test_what_cannot_be_read_at_all_is_an_error_that_names_it(
    kafka: Broker, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics = made_topics(kafka.bootstrap, "import-unreadable", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    number = registry.register(f"{source}-value", AVRO)
    send(kafka.bootstrap, source, [framed(number, encoded("avro", _order())), framed(987_654, b"x")])
    avro = ("--orders", "avro", "--schema-registry")

    log = refused(kafka, topics, source, *avro, registry.url)
    place = f"record 0 of topic {source} partition 1"
    assert f"{place}: schema 987654 is not known to the schema registry at {registry.url}" in log
    assert "the schema registry at http://127.0.0.1:1 does not answer" in refused(
        kafka, topics, source, *avro, "http://127.0.0.1:1"
    )
    with guarded(registry, "ann", "s3cret") as url:
        monkeypatch.setitem(os.environ, "ALSOBOUGHT_KAFKA_BASIC_AUTH_USER_INFO", "ann:wr0ng")
        log = refused(kafka, topics, source, *avro, url)
        assert f"the schema registry at {url} does not accept our credentials (401; we are ann)" in log
        assert "wr0ng" not in log
        monkeypatch.setitem(os.environ, "ALSOBOUGHT_KAFKA_BASIC_AUTH_USER_INFO", "ann:s3cret")
        code, _, log = imported(kafka, topics, source, *avro, url, "--reject-unknown-schemas")
        assert code == 0, log
    assert len(purchases(kafka, topics)) == 2
    # what was rejected does not stand in the way for ever
    assert imported(kafka, topics, source, *avro, registry.url)[0] == 0


def test_a_schema_that_becomes_unknown_stops_an_import_at_its_record(kafka: Broker, registry: Registry) -> None:
    """Those before it are imported, and the same command goes on there."""
    topics = made_topics(kafka.bootstrap, "import-late", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    number = registry.register(f"{source}-value", AVRO)
    good = framed(number, encoded("avro", _order()))
    send(kafka.bootstrap, source, [good] * 900)
    avro = ("--orders", "avro", "--schema-registry", registry.url)
    assert imported(kafka, topics, source, *avro)[0] == 0
    # beyond what an import looks at before it begins
    send(kafka.bootstrap, source, [*[good] * 3, framed(987_654, b"x"), *[good] * 600])

    log = refused(kafka, topics, source, *avro)

    assert f"record 301 of topic {source} partition 0: schema 987654 is not known" in log


def test_a_profile_that_finds_nothing_is_an_error_that_says_what_was_sought(kafka: Broker) -> None:
    topics = made_topics(kafka.bootstrap, "import-nothing", purchases=1, items=1)
    source = made_source(kafka.bootstrap, topics)
    send(kafka.bootstrap, source, shop(0, 30))

    log = refused(kafka, topics, source, "--profile", "shopify-webhook")

    assert f"none of 30 records of topic {source} is an order, read so: customer_id is missing (30)" in log
    assert f"alsobought inspect --topic {source}" in log


def _order() -> dict[str, Any]:
    return {"customer_id": "ann", "timestamp": 1_700_000_000_000, "lines": [{"item_id": "tea", "quantity": 2}]}
