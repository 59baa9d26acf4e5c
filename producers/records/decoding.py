"""Records of a topic as plain objects: JSON, or what Confluent's serializers write with a schema registry."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Protocol

from producers.errors import OrderError, RegistryError, UnknownSchema
from producers.logs.tables.records import decode
from producers.records.registry import AVRO, JSON_SCHEMA, PROTOBUF

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from producers.records.registry import Schema, SchemaRegistry

FORMATS = {"avro": AVRO, "json-schema": JSON_SCHEMA, "protobuf": PROTOBUF}
"""What a record may be beside plain JSON, and what the registry calls it."""
FRAMED = 0
"""The first byte of a record that begins with a schema id."""
ID_BYTES = 5
_EXTRA = "pip install 'alsobought[registry]'"


class Decoder(Protocol):
    """Decodes the values of records."""

    def decode(self, values: Sequence[bytes]) -> list[Any]:
        """What each holds; an OrderError in place of what is nothing.

        Raises:
            RegistryError: they cannot be decoded, whatever they hold.
        """


class JsonDecoder:
    """Decodes JSON.

    >>> JsonDecoder().decode([b'{"a": 1}', b"{"])
    [{'a': 1}, OrderError('not JSON: Input data was truncated')]
    """

    def decode(self, values: Sequence[bytes]) -> list[Any]:
        """See `Decoder`."""
        return [_json(value) for value in values]


class ConfluentDecoder:
    """Decodes records that begin with a zero and the id of their schema.

    Args:
        kind: of their schemas, a value of `FORMATS`.
        registry: that has these.
        reject_unknown: whether a record whose schema the registry does not have is rejected alone.
    """

    def __init__(self, kind: str, registry: SchemaRegistry, *, reject_unknown: bool = False) -> None:
        self._kind = kind
        self._registry = registry
        self._reject_unknown = reject_unknown
        self._readers: dict[int, Callable[[bytes], Any]] = {}

    def decode(self, values: Sequence[bytes]) -> list[Any]:
        """See `Decoder`.

        Raises:
            UnknownSchema: the registry does not have the schema of one of them, whose place its `index` is.
        """
        found: list[Any] = []
        readers = self._readers
        for index, value in enumerate(values):
            if len(value) < ID_BYTES or value[0] != FRAMED:
                found.append(OrderError(_unframed(value)))
                continue
            number = int.from_bytes(value[1:ID_BYTES], "big")
            try:
                reader = readers.get(number) or self._reader(number)
                found.append(reader(value[ID_BYTES:]))
            except OrderError as error:
                found.append(OrderError(f"{error} ({self._kind} schema {number})"))
            except UnknownSchema as error:
                if not self._reject_unknown:
                    error.index = index
                    raise
                found.append(OrderError(f"schema {number} is not known to the registry at {self._registry.url}"))
        return found

    def _reader(self, number: int) -> Callable[[bytes], Any]:
        schema = self._registry.schema(number)
        if schema.kind != self._kind:
            formats = {kind: name for name, kind in FORMATS.items()}
            raise RegistryError(
                f"schema {number} of the registry at {self._registry.url} is {schema.kind}, not {self._kind}: give "
                f"--orders {formats.get(schema.kind, '...')}"
            )
        try:
            reader = self._readers[number] = _reader_of(schema, self._registry)
        except RegistryError as error:
            raise RegistryError(f"schema {number} of the registry at {self._registry.url}: {error}") from None
        return reader


def _unframed(value: bytes) -> str:
    what = f"begins with {value[:ID_BYTES].hex(' ')}" if value else "is empty"
    return f"record is not in Confluent's wire format: it {what}, not with 00 and four bytes of a schema id"


def _reader_of(schema: Schema, registry: SchemaRegistry) -> Callable[[bytes], Any]:
    if schema.kind == JSON_SCHEMA:
        return _json_or_error
    try:
        if schema.kind == AVRO:
            return _avro_reader(schema, registry)
        from producers.records.protobuf import ProtobufDecoder  # noqa: PLC0415 - an extra

        imported = {name: each.text for name, each in _imported(schema, registry)}
        return ProtobufDecoder(schema.text, imported).decode
    except ImportError as error:
        raise RegistryError(f"{schema.kind} takes a package more ({error.name}): {_EXTRA}") from None


def _imported(schema: Schema, registry: SchemaRegistry, within: tuple[str, ...] = ()) -> Iterator[tuple[str, Schema]]:
    """The schemas that one imports, each behind those that it imports itself."""
    for reference in schema.references:
        if reference.name in within:
            raise RegistryError(f"it imports itself, by {reference.name}")
        found = registry.referenced(reference)
        yield from _imported(found, registry, (*within, reference.name))
        yield reference.name, found


def _json(value: bytes) -> Any:  # noqa: ANN401
    document = decode(value)
    return OrderError(document.fault) if document.fault else document.value


def _json_or_error(value: bytes) -> Any:  # noqa: ANN401
    found = _json(value)
    if isinstance(found, OrderError):
        raise found
    return found


def _avro_reader(schema: Schema, registry: SchemaRegistry) -> Callable[[bytes], Any]:
    import fastavro  # noqa: PLC0415 - an extra

    named: dict[str, Any] = {}
    try:
        for _, each in _imported(schema, registry):
            fastavro.parse_schema(json.loads(each.text), named)
        parsed = fastavro.parse_schema(json.loads(schema.text), named)
    except RegistryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a schema that is none makes it raise
        raise RegistryError(f"it is no Avro schema: {error}") from None
    read = fastavro.schemaless_reader

    def reader(payload: bytes) -> Any:  # noqa: ANN401
        stream = io.BytesIO(payload)
        try:
            found = read(stream, parsed, None)
        except Exception as error:  # noqa: BLE001 - of bytes that are no record it raises what its reading meets
            raise OrderError(f"record cannot be read by its schema: {error!r}") from None
        if stream.tell() != len(payload):
            raise OrderError(f"record has {len(payload) - stream.tell()} bytes more than its schema says")
        return found

    return reader
