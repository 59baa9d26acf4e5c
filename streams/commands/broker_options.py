"""The options of commands that talk to Kafka: where the broker is, and how it is reached."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from streams.commands.environment import drop_contradicted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def broker_options(purpose: str, *, required: bool) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """`--broker` and `--kafka-config`, which the command gets as one argument `broker`, a `str`.

    Args:
        purpose: what the broker is for, in a sentence.
        required: whether there is no command without a broker; otherwise it is None where none is named.
    """

    def with_options(command: Callable[..., T]) -> Callable[..., T]:
        @click.option("--broker", metavar="HOST:PORT", help=f"{purpose} Several with commas.")
        @click.option(
            "--kafka-config",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="ALSOBOUGHT_KAFKA_CONFIG",
            help="A Java client's properties file, for TLS and passwords; ALSOBOUGHT_KAFKA_... variables do the same.",
        )
        @functools.wraps(command)
        def called(*arguments: object, **options: Any) -> T:  # noqa: ANN401 - those of the command
            if not required:
                drop_contradicted(options, "state_dir", "broker")
                drop_contradicted(options, "state_dir", "kafka_config")
            broker, kafka_config = options.pop("broker"), options.pop("kafka_config")
            wanted = required or broker is not None or kafka_config is not None
            return command(*arguments, broker=_reached(broker, kafka_config) if wanted else None, **options)

        return called

    return with_options


def _reached(broker: str | None, path: Path | None) -> str:
    """The broker, with what file and environment say."""
    from producers.kafka_config import SecuredBroker, read_config, secured

    config = read_config(path)
    if config is not None and config.without_effect:
        ignored = ", ".join(config.without_effect)
        click.echo(f"{config.source}: without effect, since alsobought decides them: {ignored}", err=True)
    if broker is None and (config is None or "bootstrap.servers" not in config.properties):
        raise click.UsageError("Missing option '--broker' (or bootstrap.servers in --kafka-config).")
    reached = secured(broker, config)
    if isinstance(reached, SecuredBroker):
        reached.file = path
    return reached


def broker_words(broker: str) -> list[str]:
    """The options that name a broker, for a command that is printed."""
    file = getattr(broker, "file", None)
    return ["--broker", broker, *(["--kafka-config", str(file)] if file else [])]
