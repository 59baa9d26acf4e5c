"""Records in Confluent's wire format, decoded by the schemas of a real registry; and registries that cannot be used."""

from __future__ import annotations

import base64
import io
import json
import socket
import ssl
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import fastavro
import pytest
import trustme
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from producers.errors import OrderError, RegistryError, UnknownSchema
from producers.kafka_config import KafkaConfig, secured
from producers.log_format import LogFormat
from producers.records.decoding import FORMATS, ConfluentDecoder
from producers.records.mapping import RecordMapping, RecordReader
from producers.records.protobuf import ProtobufDecoder
from producers.records.registry import Schema, SchemaRegistry, registry_access
from streams.commands.record_options import record_reader
from tests.registries import Registry, framed, guarded

if TYPE_CHECKING:
    from pathlib import Path

AVRO_LINE = {
    "type": "record",
    "name": "Line",
    "namespace": "shop",
    "fields": [
        {"name": "sku", "type": "string"},
        {"name": "count", "type": ["null", "int"], "default": None},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    ],
}
AVRO_ORDER = {
    "type": "record",
    "name": "Order",
    "namespace": "shop",
    "fields": [
        {"name": "buyer", "type": ["null", "long", "string"]},
        {"name": "placed", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["SALE", "REFUND", "QUOTE"]}},
        {"name": "cart", "type": {"type": "array", "items": "shop.Line"}},
    ],
}
WHOLE = json.loads(json.dumps(AVRO_ORDER).replace('"shop.Line"', json.dumps(AVRO_LINE)))
PROTO = """
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "shop/line.proto";
message Customer { string id = 1; }
message Events {
  enum Kind { SALE = 0; REFUND = 1; }
  message Order {
    oneof who { Customer buyer = 1; string guest = 2; }
    google.protobuf.Timestamp placed = 3;
    repeated Line cart = 4;
    Kind kind = 5;
    google.protobuf.StringValue number = 6;
    map<string, int64> tags = 7;
    optional int32 floor = 8;
  }
}
"""
PROTO_LINE = 'syntax = "proto3"; package shop; message Line { string sku = 1; int32 count = 2; }'
PLACED = datetime(2024, 2, 17, 10, 11, 12, 500_000, UTC)
MAPPED = LogFormat(
    columns={
        "customer_id": ("buyer",),
        "timestamp": ("placed",),
        "item_id": ("cart[].sku",),
        "quantity": ("cart[].count",),
        "type": ("kind",),
    },
    purchases=("SALE",),
    returns=("REFUND",),
)


def decoder(url: str, orders: str, **options: bool) -> ConfluentDecoder:
    return ConfluentDecoder(FORMATS[orders], SchemaRegistry(registry_access(url, "nowhere:1")), **options)


def avro(schema: Any, value: object) -> bytes:  # noqa: ANN401
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), value)
    return stream.getvalue()


def avro_schema(registry: Registry) -> int:
    registry.register("shop.Line", AVRO_LINE)
    reference = {"name": "shop.Line", "subject": "shop.Line", "version": 1}
    return registry.register("orders-value", AVRO_ORDER, references=[reference])


def avro_order(**changes: object) -> bytes:
    cart = [{"sku": "tea", "count": 2, "price": Decimal("3.50")}, {"sku": "mug", "count": None, "price": Decimal(5)}]
    return avro(WHOLE, {"buyer": 7, "placed": PLACED, "kind": "SALE", "cart": cart} | changes)


def test_avro_is_read_by_the_schema_that_wrote_it(registry: Registry) -> None:
    number = avro_schema(registry)
    reader = RecordReader(decoder(registry.url, "avro"), RecordMapping(MAPPED))

    made = reader.read(
        [
            framed(number, avro_order()),
            framed(number, avro_order(kind="QUOTE")),
            framed(number, avro_order(kind="REFUND", buyer="ann")),
            None,
        ]
    )

    order = {"customer_id": 7, "timestamp": "2024-02-17T10:11:12.500000+00:00"}
    lines = [{"item_id": "tea", "quantity": 2}, {"item_id": "mug"}]
    found = [[json.loads(each) for each in orders] for orders in made if isinstance(orders, list)]
    assert found == [
        [order | {"lines": lines}],
        [],
        [order | {"customer_id": "ann", "type": "return", "lines": lines}],
        [],
    ]


def test_orders_of_our_own_shape_need_no_more_than_the_format(registry: Registry) -> None:
    line = {
        "type": "record",
        "name": "L",
        "fields": [{"name": n, "type": t} for n, t in (("item_id", "string"), ("quantity", "int"))],
    }
    fields = [("customer_id", "string"), ("timestamp", "long"), ("lines", {"type": "array", "items": line})]
    schema = {"type": "record", "name": "O", "fields": [{"name": n, "type": t} for n, t in fields]}
    number = registry.register("plain-value", schema)
    value = {"customer_id": "ann", "timestamp": 1_700_000_000_000, "lines": [{"item_id": "tea", "quantity": 2}]}

    [made] = RecordReader(decoder(registry.url, "avro"), RecordMapping(LogFormat())).read(
        [framed(number, avro(schema, value))]
    )

    assert isinstance(made, list)
    assert [json.loads(each) for each in made] == [value]


def test_change_events_in_avro_are_read_by_the_profile_of_those_in_json(registry: Registry) -> None:
    """Debezium writes them so with Confluent's AvroConverter: the row is a member of a union."""
    row = {
        "type": "record",
        "name": "Value",
        "fields": [
            {"name": "purchaser", "type": "int"},
            {"name": "product_id", "type": "int"},
            {"name": "quantity", "type": {"type": "int", "connect.default": 1}, "default": 1},
            {"name": "created_at", "type": {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}},
        ],
        "connect.name": "shop.order_lines.Value",
    }
    fields = [("before", ["null", row]), ("after", ["null", "Value"]), ("op", "string"), ("ts_ms", ["null", "long"])]
    schema = {"type": "record", "name": "Envelope", "fields": [{"name": name, "type": kind} for name, kind in fields]}
    number = registry.register("changes-value", schema)
    line = {"purchaser": 1003, "product_id": 109, "quantity": 2, "created_at": 1_559_033_904_863_000}
    events = [
        {"before": None, "after": line, "op": "c", "ts_ms": 1},
        {"before": line, "after": line | {"quantity": 3}, "op": "u", "ts_ms": 2},
        {"before": line, "after": None, "op": "d", "ts_ms": 3},
    ]
    options = {"orders": "avro", "schema_registry": registry.url, "reject_unknown_schemas": False}
    columns = "customer_id=purchaser,item_id=product_id,timestamp=created_at"
    reader = record_reader("nowhere:1", options | {"profile": "debezium", "columns": columns})
    assert reader is not None

    made = reader.read([framed(number, avro(schema, event)) for event in events])

    [order] = [each for orders in made if isinstance(orders, list) for each in orders]
    assert json.loads(order) == {
        "customer_id": 1003,
        "timestamp": 1_559_033_904_863_000,
        "lines": [{"item_id": 109, "quantity": 2}],
    }


def test_json_schema_is_json_behind_an_id(registry: Registry) -> None:
    number = registry.register("json-value", {"type": "object", "properties": {"buyer": {"type": "string"}}}, "JSON")

    found = decoder(registry.url, "json-schema").decode([framed(number, b'{"buyer": "ann"}'), framed(number, b"{")])

    assert found[0] == {"buyer": "ann"}
    assert str(found[1]) == f"not JSON: Input data was truncated (JSON schema {number})"


def message(files: list[FileDescriptorProto], name: str, **values: Any) -> bytes:  # noqa: ANN401
    pool = DescriptorPool()
    for file in files:
        pool.Add(file)
    kind = GetMessageClass(pool.FindMessageTypeByName(name))
    encoded: bytes = kind(**values).SerializeToString()
    return encoded


@pytest.mark.parametrize("registered", ["text", "descriptors"])
def test_protobuf_is_read_by_its_schema_however_that_is_registered(
    registry: Registry, registered: str, tmp_path: Path
) -> None:
    """Python's and .NET's serializers register descriptors in base64, which Confluent's registry turns into text."""
    files = compiled(tmp_path)
    texts = {file.name: base64.b64encode(file.SerializeToString()).decode() for file in files}
    line, main = (PROTO_LINE, PROTO) if registered == "text" else (texts["shop/line.proto"], texts["main.proto"])
    references = [{"name": "shop/line.proto", "subject": f"{registered}-line", "version": 1}]
    registry.register(f"{registered}-line", line, "PROTOBUF")
    number = registry.register(f"{registered}-value", main, "PROTOBUF", references)
    order = message(
        files,
        "shop.Events.Order",
        buyer={"id": "ann"},
        placed={"seconds": 1_708_164_672, "nanos": 500_000_000},
        cart=[{"sku": "tea", "count": 2}, {"sku": "mug"}],
        kind=1,
        number={"value": "N7"},
        tags={"a": 5},
    )
    customer = message(files, "shop.Customer", id="bob")

    found = decoder(registry.url, "protobuf").decode(
        [
            framed(number, b"\x04\x02\x00" + order),
            framed(number, b"\x00" + customer),
            framed(number, b"\x02\x12" + order),
        ]
    )

    assert found[0] == {
        "buyer": {"id": "ann"},
        "placed": 1_708_164_672_500,
        "cart": [{"sku": "tea", "count": 2}, {"sku": "mug", "count": 0}],
        "kind": "REFUND",
        "number": "N7",
        "tags": {"a": 5},
    }
    assert found[1] == {"id": "bob"}
    assert (
        str(found[2]) == f"record names message [9] of its schema, which has no such message (PROTOBUF schema {number})"
    )


def compiled(directory: Path) -> list[FileDescriptorProto]:
    """The files above as protoc has them, each behind those that it imports."""
    (directory / "shop").mkdir()
    (directory / "shop" / "line.proto").write_text(PROTO_LINE)
    (directory / "main.proto").write_text(PROTO)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{directory}", "--include_imports"]
    subprocess.run([*command, f"--descriptor_set_out={directory / 'set'}", "main.proto"], check=True)
    return list(FileDescriptorSet.FromString((directory / "set").read_bytes()).file)


def test_single_records_that_a_schema_cannot_read_are_rejected_alone(registry: Registry) -> None:
    number = avro_schema(registry)
    good = framed(number, avro_order())

    found = decoder(registry.url, "avro").decode(
        [good, b"", b'{"a": 1}', good[:-3], good + b"x", framed(number, b""), good]
    )

    assert found[0] == found[-1]
    reasons = [str(each) for each in found[1:-1]]
    assert reasons[0] == (
        "record is not in Confluent's wire format: it is empty, not with 00 and four bytes of a schema id"
    )
    assert reasons[1].startswith("record is not in Confluent's wire format: it begins with 7b 22 61 22 3a, not with 00")
    assert all(reason.startswith("record cannot be read by its schema: ") for reason in (reasons[2], reasons[4]))
    assert reasons[3] == f"record has 1 bytes more than its schema says (AVRO schema {number})"


class OneSchema(SchemaRegistry):
    """A registry that has been asked already."""

    def __init__(self) -> None:
        super().__init__(registry_access("http://127.0.0.1:1", "nowhere:1"))
        self._schemas["/schemas/ids/1"] = Schema("AVRO", json.dumps(WHOLE), ())


@given(st.binary(max_size=200))
def test_no_bytes_keep_others_from_being_read(payload: bytes) -> None:
    found = ConfluentDecoder("AVRO", OneSchema()).decode([framed(1, payload), framed(1, avro_order())])

    assert found[1]["buyer"] == 7
    assert isinstance(found[0], OrderError | dict)


def test_an_unknown_schema_is_an_error_unless_it_is_to_be_rejected(registry: Registry) -> None:
    good = framed(avro_schema(registry), avro_order())
    values = [good, framed(987_654, b"x")]

    with pytest.raises(UnknownSchema, match="schema 987654 is not known to the schema registry at http://") as e:
        decoder(registry.url, "avro").decode(values)
    assert e.value.index == 1
    with pytest.raises(UnknownSchema, match="Apicurio's own serializers write other ids"):
        decoder(registry.url, "avro").decode([framed(0, b"x")])

    found = decoder(registry.url, "avro", reject_unknown=True).decode(values)
    assert isinstance(found[0], dict)
    assert str(found[1]).startswith("schema 987654 is not known")


def test_a_schema_that_is_none_is_named(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry checks what is registered, unless it is told not to; this one has lost what another imports."""
    lost = 'syntax = "proto3"; import "lost.proto"; message Order { Lost lost = 1; }'
    for text, reason in (
        (lost, r"lost\.proto: File not found"),
        ('syntax = "proto3"; message {', "cannot be compiled: its text:1:28"),
    ):
        with pytest.raises(RegistryError, match=reason):
            ProtobufDecoder(text, {})
    with pytest.raises(RegistryError, match=r"it imports '\.\./x', which is no name of a file"):
        ProtobufDecoder(lost, {"../x": PROTO_LINE})
    monkeypatch.setattr(sys, "executable", "/bin/false")
    number = registry.register("none-value", PROTO_LINE, "PROTOBUF")
    with pytest.raises(RegistryError, match=f"schema {number} of the registry at http.*: it cannot be compiled"):
        decoder(registry.url, "protobuf").decode([framed(number, b"\x00")])


def test_a_schema_of_another_kind_says_which_format_to_name(registry: Registry) -> None:
    number = avro_schema(registry)

    with pytest.raises(RegistryError, match=f"schema {number} .* is AVRO, not PROTOBUF: give --orders avro"):
        decoder(registry.url, "protobuf").decode([framed(number, b"")])


def test_a_registry_that_cannot_be_used_is_named_within_seconds(registry: Registry) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        cases = {
            "http://127.0.0.1:1": "the schema registry at http://127.0.0.1:1 does not answer: .*refused",
            f"http://127.0.0.1:{silent.getsockname()[1]}": "does not answer: timed out; tried 2 times",
            registry.url.removesuffix("/apis/ccompat/v7"): "is no schema registry: it has no /schemas/types",
            "registry:8081": "--schema-registry is no URL",
        }
        for url, message_ in cases.items():
            begun = time.monotonic()
            with pytest.raises(RegistryError, match=message_):
                SchemaRegistry(registry_access(url, "nowhere:1")).check()
            assert time.monotonic() - begun < 10
    with pytest.raises(RegistryError, match="no schema registry is given"):
        registry_access(None, "nowhere:1")


@pytest.mark.parametrize(
    "properties",
    [
        {"basic.auth.user.info": "ann:s3cret"},
        {"schema.registry.basic.auth.user.info": "ann:s3cret", "basic.auth.credentials.source": "USER_INFO"},
        {"basic.auth.credentials.source": "URL"},
    ],
)
def test_a_registry_with_a_password_takes_it_from_the_kafka_configuration(
    registry: Registry, properties: dict[str, str]
) -> None:
    with guarded(registry, "ann", "s3cret") as url:
        by_url = url.replace("://", "://ann:s3cret@") if "URL" in properties.values() else url
        for given, answers in (
            ({"schema.registry.url": by_url, **properties}, True),
            ({"schema.registry.url": url}, False),
        ):
            broker = secured("nowhere:1", KafkaConfig(given, [], "client.properties"))
            access = registry_access(None, broker)
            assert access.url == url
            if answers:
                SchemaRegistry(access).check()
            else:
                with pytest.raises(RegistryError, match=r"does not accept our credentials \(401; we show none\)"):
                    SchemaRegistry(access).check()


def test_a_wrong_password_is_named_without_being_told(registry: Registry) -> None:
    with guarded(registry, "ann", "s3cret") as url:
        broker = secured("nowhere:1", KafkaConfig({"basic.auth.user.info": "ann:wr0ng"}, [], "client.properties"))

        with pytest.raises(RegistryError, match=r"\(401; we are ann\): correct basic.auth.user.info") as e:
            SchemaRegistry(registry_access(url, broker)).check()

    assert "wr0ng" not in str(e.value)


def test_a_registry_may_have_a_certificate_of_the_shops_own(registry: Registry, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with guarded(registry, "ann", "s3cret", context) as url:
        given = {"basic.auth.user.info": "ann:s3cret"}
        trusting = given | {"schema.registry.ssl.truststore.location": str(tmp_path / "authority.pem")}

        SchemaRegistry(registry_access(url, secured("n:1", KafkaConfig(trusting, [], "file")))).check()
        with pytest.raises(RegistryError, match=r"certificate verify failed.*schema.registry.ssl.truststore.location"):
            SchemaRegistry(registry_access(url, secured("n:1", KafkaConfig(given, [], "file")))).check()
