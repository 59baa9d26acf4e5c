"""The options that say what a topic's records are, for every command that reads a topic of a shop's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from producers.log_format import LogFormat
    from producers.records.decoding import Decoder
    from producers.records.mapping import RecordReader

F = TypeVar("F", bound="Callable[..., Any]")

JSON = "json"
FORMATS = (JSON, "avro", "json-schema", "protobuf")
_OPTIONS = (
    click.option(
        "--orders",
        "orders",
        type=click.Choice(FORMATS),
        help="What records are written in: JSON, or by Confluent's serializers with a schema registry.  "
        "[default: json]",
        show_default=False,
    ),
    click.option(
        "--schema-registry",
        metavar="URL",
        help="The registry that has the schemas; user, password and certificates are those of --kafka-config.  "
        "[default: schema.registry.url there]",
        show_default=False,
    ),
    click.option(
        "--reject-unknown-schemas",
        is_flag=True,
        help="Reject records whose schema the registry does not have, and go on.",
    ),
)


def wire_options(command: F) -> F:
    """Add the options to a command, which takes them as keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def record_reader(broker: str, options: Mapping[str, Any]) -> RecordReader | None:
    """What the options say; None: records are orders as on `purchases`.

    Raises:
        LogError: an option is not as it should be.
        RegistryError: the registry does not answer, or does not let us in.
    """
    from producers.log_format import LogFormat
    from producers.logs.inspection.profiles import merged
    from producers.records.mapping import RecordMapping, RecordReader
    from streams.commands.format_options import RECORD_NAMES, format_settings

    settings, profile = format_settings({name: options.get(name) for name in RECORD_NAMES})
    settings = settings if profile is None else merged(profile, settings)
    if "columns" in settings:
        settings["columns"] = {
            field: tuple(part.strip() for path in paths for part in path.split("+"))
            for field, paths in settings["columns"].items()
        }
    name = "--columns" if profile is None else profile.name
    log_format: LogFormat = LogFormat.from_settings(settings)
    decoder = record_decoder(broker, options)
    if options["orders"] in (None, JSON) and not log_format.differences():
        return None
    return RecordReader(decoder, RecordMapping(log_format, name))


def record_decoder(broker: str, options: Mapping[str, Any]) -> Decoder:
    """What decodes records.

    Raises:
        LogError: there is a registry, and nothing that it is for.
        RegistryError: it does not answer, or does not let us in.
    """
    from producers.errors import LogError
    from producers.records import decoding
    from producers.records.registry import SchemaRegistry, registry_access

    if options["orders"] in (None, JSON):
        if options["schema_registry"]:
            raise LogError("--schema-registry has the schemas of records: say which, --orders avro for example")
        return decoding.JsonDecoder()
    registry = SchemaRegistry(registry_access(options["schema_registry"], broker))
    registry.check()
    kind = decoding.FORMATS[options["orders"]]
    return decoding.ConfluentDecoder(kind, registry, reject_unknown=options["reject_unknown_schemas"])
