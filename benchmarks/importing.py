"""Benchmarks of imports: orders in other formats and shapes, on a real Apache Kafka and a real schema registry.

    python -m benchmarks.importing                     everything, about six minutes
    python -m benchmarks.importing avro debezium       some of json, avro, json-schema, protobuf, shopify, segment,
                                                       debezium
    python -m benchmarks.importing avro --orders 20000

The orders are those of the grocery log, nine lines each; rows of debezium have one. The import is one process.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastavro
import msgspec
import psutil
import pyarrow.parquet as pq
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

from benchmarks.figures import Figure, table
from streams.demo.groceries import grocery_file
from tests.brokers import ApacheKafka
from tests.registries import Registry, framed
from tests.test_import_formats import SCHEMAS, encoded
from tests.vendor_records import SEGMENT, SHOPIFY, debezium
from tests.workers import ROOT, made_topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMATS, PROFILES = ("json", "avro", "json-schema", "protobuf"), ("shopify", "segment", "debezium")
LIMITS = {"avro": 50_000.0} | dict.fromkeys(PROFILES, 15_000.0)
MOST_ORDERS = 155_518
MOST_ROWS = 300_000
_DEBEZIUM = "customer_id=purchaser,item_id=product_id,timestamp=created_at"
_OPTIONS = {
    "shopify": ("--profile", "shopify-webhook"),
    "segment": ("--profile", "segment"),
    "debezium": ("--profile", "debezium", "--columns", _DEBEZIUM),
}

Order = dict[str, Any]


def grocery_orders(most: int) -> Iterator[Order]:
    """The first orders of the grocery log, as `purchases` has them."""
    names = ["household_id", "basket_id", "product_id", "quantity", "transaction_timestamp"]
    log = pq.read_table(grocery_file("transactions.parquet"), columns=names)
    times = log["transaction_timestamp"].cast("timestamp[ms]").cast("int64").to_pylist()
    rows = zip(*(log[name].to_pylist() for name in names[:4]), times, strict=True)
    for _, lines in itertools.islice(itertools.groupby(rows, key=lambda row: row[1]), most):
        kept = [row for row in lines if row[3] >= 1]
        if kept:
            yield {
                "customer_id": str(kept[0][0]),
                "timestamp": kept[0][4],
                "lines": [{"item_id": str(row[2]), "quantity": int(row[3])} for row in kept],
            }


def shopify(order: Order, number: int) -> Order:
    """An order as Shopify's webhook sends it."""
    item = SHOPIFY["line_items"][0]
    items = [item | {"product_id": int(line["item_id"]), "quantity": line["quantity"]} for line in order["lines"]]
    customer = SHOPIFY["customer"] | {"id": int(order["customer_id"])}
    return SHOPIFY | {"id": number, "customer": customer, "created_at": order["timestamp"], "line_items": items}


def segment(order: Order, number: int) -> Order:
    """An order as a track call."""
    product = SEGMENT["properties"]["products"][0]
    products = [product | {"product_id": line["item_id"], "quantity": line["quantity"]} for line in order["lines"]]
    properties = SEGMENT["properties"] | {"order_id": str(number), "products": products}
    return SEGMENT | {"userId": order["customer_id"], "timestamp": order["timestamp"], "properties": properties}


def rows_of(order: Order, number: int) -> Iterator[Order]:
    """An order's lines as rows that were inserted."""
    for line in order["lines"]:
        row = {"order_id": number, "purchaser": order["customer_id"], "product_id": line["item_id"]}
        yield debezium("c", None, row | {"quantity": line["quantity"], "created_at": order["timestamp"]})


def written(kind: str, orders: Iterable[Order], registry: Registry) -> Iterator[tuple[bytes, int]]:
    """The records of a topic, and how many lines each has."""
    number = registry.register(f"{kind}-value", *SCHEMAS[kind]) if kind in SCHEMAS else 0
    parsed = fastavro.parse_schema(SCHEMAS["avro"][0])
    for count, order in enumerate(orders):
        lines = len(order["lines"])
        if kind == "avro":
            stream = io.BytesIO()
            fastavro.schemaless_writer(stream, parsed, order)
            yield framed(number, stream.getvalue()), lines
        elif kind in SCHEMAS:
            yield framed(number, encoded(kind, order)), lines
        elif kind == "debezium":
            yield from ((msgspec.json.encode(row), 1) for row in rows_of(order, count))
        else:
            shape = {"shopify": shopify, "segment": segment}.get(kind)
            yield msgspec.json.encode(order if shape is None else shape(order, count)), lines


def measured(kind: str, broker: ApacheKafka, registry: Registry, most: int) -> list[Figure]:
    """How fast one import reads a topic of records of a kind."""
    topics = made_topics(broker.bootstrap, f"importing-{kind}", purchases=1, items=1)
    source = f"{topics.prefix}orders"
    with closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_topics([NewTopic(source, 1, 1)])
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=50, batch_size=1 << 19)
    records = lines = 0
    for value, count in itertools.islice(written(kind, grocery_orders(most), registry), MOST_ROWS):
        producer.send(source, value, partition=0)
        records, lines = records + 1, lines + count
    producer.close()
    command = [sys.executable, "-m", "streams.commands.kafka", "import", source, "--broker", broker.bootstrap]
    command += [*topics.options, "--until-end", "--json", *_OPTIONS.get(kind, ())]
    command += ["--orders", kind, "--schema-registry", registry.url] if kind in SCHEMAS else []
    seen, done = watched_import(command, broker.bootstrap, topics.purchases)
    assert done["complete"], done
    assert done["records"] == records, done
    (begun, first, cpu_before), (ended, last, cpu_after) = seen[0], seen[-1]
    share = (last - first) / last
    print(f"{kind}: {records:,} records of {lines:,} lines", file=sys.stderr, flush=True)
    return [
        Figure(f"{kind}: lines/s", share * lines / (ended - begun), LIMITS.get(kind), at_least=True),
        Figure(f"{kind}: records/s", share * records / (ended - begun), None),
        Figure(f"{kind}: processor time a record, us", (cpu_after - cpu_before) / (share * records) * 1e6, None),
        Figure(f"{kind}: lines a CPU second of the import", share * lines / (cpu_after - cpu_before), None),
    ]


Seen = list[tuple[float, int, float]]
"""When the topic of orders ended where, and the processor time that the import had used until then."""


def watched_import(command: list[str], broker: str, topic: str) -> tuple[Seen, dict[str, Any]]:
    """Run an import; return what was seen of it, and what it says it did."""
    place = TopicPartition(topic, 0)
    seen: Seen = []
    with (
        closing(KafkaConsumer(bootstrap_servers=broker)) as consumer,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
    ):
        running = psutil.Process(process.pid)
        while process.poll() is None:
            end = consumer.end_offsets([place])[place]
            if end and (not seen or end > seen[-1][1]):
                used = running.cpu_times()
                seen.append((time.monotonic(), end, used.user + used.system))
            time.sleep(0.05)
        assert process.stdout is not None
        return seen, json.loads(process.stdout.read())


def main() -> None:
    """Run the benchmarks that are named, and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="what to import; all by default")
    parser.add_argument("--orders", type=int, default=MOST_ORDERS, help="of the grocery log, at most")
    arguments = parser.parse_args()
    kinds = arguments.kinds or [*FORMATS, *PROFILES]
    if unknown := set(kinds) - {*FORMATS, *PROFILES}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join((*FORMATS, *PROFILES))}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "registry").mkdir()
        with ApacheKafka(Path(directory) / "kafka") as broker, Registry(Path(directory) / "registry") as registry:
            for kind in kinds:
                figures += measured(kind, broker, registry, arguments.orders)
    table(figures)
    sys.exit(not all(figure.met for figure in figures))


if __name__ == "__main__":
    main()
