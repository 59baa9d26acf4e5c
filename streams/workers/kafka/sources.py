"""Where a record stands in the topic that it was copied from; its headers say so."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import msgspec

SOURCE = "alsobought-source"
"""Header of a copy that says where the record stands in `purchases`."""
IMPORTED = "alsobought-import"
"""Header of a record of `purchases` that says from where it was imported."""

T = TypeVar("T")


class Source(NamedTuple):
    """Where a record stands in `purchases`."""

    log_id: str
    """Of the topic; empty if it is not known."""
    partition: int
    offset: int
    timestamp: int
    """When it arrived there, by the broker's clock."""


class Imported(NamedTuple):
    """Where an imported record stands in another topic of orders."""

    importer: str
    """The consumer group that has imported it."""
    topic: str
    source: Source


class Original(NamedTuple):
    """A record of `purchases` as its copy tells: with the copy's place, and the time at which it arrived."""

    partition: int
    """Of the copy, as the offset is."""
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    source: Source | None
    """None: nobody copied it, and it is its own original."""


def original(record: Any) -> Original:  # noqa: ANN401 - the client's records have no types
    """The record of `purchases` of which another is the copy."""
    source = source_of(record)
    arrived = record.timestamp if source is None else source.timestamp
    return Original(record.partition, record.offset, arrived, record.key, record.value, record.headers, source)


def imported_from(record: Any) -> Imported | None:  # noqa: ANN401
    """Where a record was imported from; None: it was not imported."""
    return _header_of(record, IMPORTED, Imported)


def source_of(record: Any) -> Source | None:  # noqa: ANN401
    """Where the record stands of which this is the copy; None: nobody copied it."""
    return _header_of(record, SOURCE, Source)


def _header_of(record: Any, wanted: str, kind: type[T]) -> T | None:  # noqa: ANN401
    for name, value in reversed(record.headers):  # ours is the last, whatever the original has
        if name == wanted:
            with suppress(msgspec.MsgspecError):
                return msgspec.json.decode(value or b"", type=kind)
    return None
