"""Rows of catalogue files as records, wherever those are kept: in a state directory or on a topic."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from streams.recommendations.catalogue import UNKNOWN, CatalogueError, decode_item, encode_item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from streams.recommendations.catalogue_files import CatalogueRow

_BATCH_ROWS = 5000
_SHOWN = 10


class Filled(NamedTuple):
    """What became of a file."""

    items: int
    """Rows that are in the catalogue now."""
    rejected: int
    first: list[tuple[str, str]]
    """Place and reason of the first rows rejected."""


def begun(rows: Iterator[CatalogueRow]) -> Iterator[CatalogueRow]:
    """The same rows, of which the first is read already: a file that cannot be read fails here.

    Raises:
        CatalogueError: it cannot be read.
    """
    return itertools.chain(list(itertools.islice(rows, 1)), rows)


def filled(
    rows: Iterable[CatalogueRow],
    write: Callable[[Sequence[tuple[str, bytes]]], None],
    on_row: Callable[[CatalogueRow], None] = lambda _: None,
) -> Filled:
    """Have the rows of a file written, some thousand at a time.

    Args:
        rows: of the file.
        write: keeps records by item id.
        on_row: told of each row, also of those rejected.

    Raises:
        CatalogueError: the file cannot be read any further; thousands before may be written.
    """
    items, rejected = 0, 0
    first: list[tuple[str, str]] = []
    batch: list[tuple[str, bytes]] = []
    for row in rows:
        on_row(row)
        if row.reason is not None:
            rejected += 1
            first += [(row.place, row.reason)] * (len(first) < _SHOWN)
            continue
        batch.append((row.item_id, encode_item(row.item)))
        items += 1
        if len(batch) == _BATCH_ROWS:
            write(batch)
            batch = []
    if batch:
        write(batch)
    return Filled(items, rejected, first)


def shown_records(known: Mapping[str, bytes | None], available: Mapping[str, bool]) -> list[tuple[str, bytes]]:
    """Records that show or hide items, and leave the rest of what is known of them as it is.

    Args:
        known: the items' records, None or missing where there is none.
        available: whether to show an item, by its id.

    >>> shown_records({"tea": b'{"title":"Tea"}'}, {"tea": False, "milk": True})
    [('tea', b'{"title":"Tea","available":false}'), ('milk', b'{}')]
    """
    records = []
    for item_id, shown in available.items():
        record = known.get(item_id)
        try:
            item = UNKNOWN if record is None else decode_item(record)
        except CatalogueError:
            item = UNKNOWN  # readers skip it, so nothing is known
        records.append((item_id, encode_item(msgspec.structs.replace(item, available=shown))))
    return records
