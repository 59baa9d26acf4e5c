"""Records of a topic, brought as a file that `inspect` looks at like any other."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from producers.connection import admin_client
from producers.errors import LogError, OrderError, Undecided
from producers.logs.log_file import LogFile
from producers.logs.tables.records import as_cell
from producers.records.decoding import FORMATS, FRAMED, ID_BYTES, JsonDecoder
from producers.records.registry import SchemaRegistry, registry_access
from streams.commands.broker_options import broker_words
from streams.commands.record_options import JSON, record_decoder
from streams.workers.kafka.reading import TopicReader
from streams.workers.kafka.topic_sample import sampled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from producers.records.decoding import Decoder

MOST_RECORDS = 5000
TIMEOUT_S = 10.0
_TITLES = {JSON: "JSON", "avro": "Avro", "json-schema": "JSON Schema", "protobuf": "Protobuf"}


class TopicLog(NamedTuple):
    """Some records of a topic in a file, as JSON."""

    file: LogFile
    what: str
    """What its records are, in a few words."""
    warnings: list[str]
    complete: bool
    """Whether these are all of its records."""
    command: list[str]
    """What imports the topic, but for what its fields are called."""


@contextmanager
def topic_log(broker: str, topic: str, options: Mapping[str, Any]) -> Iterator[TopicLog]:
    """Some records of a topic, for as long as they are looked at.

    Args:
        broker: where the topic is.
        topic: its name.
        options: those of `wire_options`.

    Raises:
        LogError: it has no records, or none that can be decoded.
        Undecided: they have schemas, and no registry is named.
        RegistryError, BrokerUnavailable: what is asked does not answer.
    """
    partitions = _partitions(broker, topic)
    records, total = asyncio.run(_sampled(broker, topic, partitions))
    values = [record.value for record in records if record.value is not None]
    if not values:
        raise LogError(f"topic {topic} holds no records{' but such without a value' if records else ''}")
    orders, decoder, words = _decoder(broker, topic, values, options)
    documents = decoder.decode(values)
    good = [document for document in documents if not isinstance(document, OrderError)]
    bad = [str(document) for document in documents if isinstance(document, OrderError)]
    if not good:
        raise LogError(f"none of {len(bad):,} records of topic {topic} can be decoded as {_TITLES[orders]}: {bad[0]}")
    warnings = [f"{len(bad):,} of {len(values):,} records cannot be decoded: {bad[0]}"] if bad else []
    with TemporaryDirectory(prefix="alsobought-") as scratch:
        path = Path(scratch) / "records.jsonl"
        path.write_bytes(b"".join(msgspec.json.encode(_plain(each)) + b"\n" for each in good))
        file = LogFile(path, "", f"topic {topic}", path.stat().st_size, -1)
        what = f"{partitions} partition{'s' if partitions > 1 else ''}, {_TITLES[orders]}"
        yield TopicLog(file, what, warnings, len(records) == total, ["import", topic, *broker_words(broker), *words])


def _partitions(broker: str, topic: str) -> int:
    with admin_client(broker, TIMEOUT_S) as admin:
        [described] = admin.describe_topics([topic])
    if described["error_code"] != 0:
        raise LogError(f"there is no topic {topic} at {broker}, or this user may not see it")
    return len(described["partitions"])


async def _sampled(broker: str, topic: str, partitions: int) -> tuple[list[Any], int]:
    """Some records, and how many there are by their offsets."""
    async with TopicReader(broker) as reader:
        bounds = [await reader.bounds(topic, number) for number in range(partitions)]
        return await sampled(reader, topic, partitions, MOST_RECORDS), sum(end - begin for begin, end in bounds)


def _decoder(
    broker: str, topic: str, values: list[bytes], options: Mapping[str, Any]
) -> tuple[str, Decoder, list[str]]:
    """What the records are, what decodes them, and the options that say so."""
    orders = options["orders"]
    ids = [int.from_bytes(value[1:ID_BYTES], "big") for value in values if _is_framed(value)]
    if orders is None and 2 * len(ids) > len(values):
        if not options["schema_registry"] and not getattr(broker, "properties", {}).get("schema.registry.url"):
            raise Undecided(
                f"records of topic {topic} begin with the id of a schema, as Confluent's serializers write them: name "
                "the registry that has it, --schema-registry URL"
            )
        registry = SchemaRegistry(registry_access(options["schema_registry"], broker))
        registry.check()
        kind = registry.schema(ids[-1]).kind
        orders = next((name for name, title in FORMATS.items() if title == kind), None)
    if orders in (None, JSON):
        return JSON, JsonDecoder(), []
    words = ["--orders", orders]
    if options["schema_registry"]:  # shown without the password that it may have
        words += ["--schema-registry", registry_access(options["schema_registry"], broker).url]
    # a schema that is not known is one of the things that are found
    return orders, record_decoder(broker, {**options, "orders": orders, "reject_unknown_schemas": True}), words


def _is_framed(value: bytes) -> bool:
    return len(value) > ID_BYTES and value[0] == FRAMED


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A value with what JSON does not have as the text that a record's field is read as."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | None) else as_cell(value)
