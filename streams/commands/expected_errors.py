"""Errors that commands expect of Kafka and of stores, printed as sentences."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from producers.errors import ProducerError
from state.errors import StateError
from streams.workers.kafka.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Print expected errors as messages, and exit with code 1."""
    try:
        yield
    except (ProducerError, WorkerError, StateError) as error:
        raise click.ClickException(str(error)) from error
