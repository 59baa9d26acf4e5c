"""The catalogue of a state directory: filled from files, and followed while others fill it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from state.catalogue_store import CatalogueStore, stamp
from streams.catalogue.catalogue import decode_item, encode_item
from streams.catalogue.files import begun, filled, shown_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from streams.catalogue.catalogue import Catalogue, CatalogueItem
    from streams.catalogue.files import CatalogueRow, Filled


def directory_of(state_dir: Path) -> Path:
    """Where a state directory keeps its catalogue."""
    return state_dir / "catalogue"


def fill(
    state_dir: Path,
    rows: Iterator[CatalogueRow],
    on_row: Callable[[CatalogueRow], None] = lambda _: None,
    *,
    complete: bool = False,
) -> Filled:
    """Put rows into the catalogue of a state directory; if they are complete, hide the items that they lack.

    Raises:
        CatalogueError: the rows cannot be read.
        StateError: the catalogue cannot be written.
    """
    rows = begun(rows)  # a file that cannot be read leaves no trace
    store = CatalogueStore(directory_of(state_dir))
    try:
        return filled(rows, store.write, on_row, store.every if complete else None)
    finally:
        store.close()


def put(state_dir: Path, items: Mapping[str, CatalogueItem]) -> None:
    """Put items, by their ids, into the catalogue of a state directory.

    Raises:
        StateError: the catalogue cannot be written.
    """
    store = CatalogueStore(directory_of(state_dir))
    try:
        store.write([(item_id, encode_item(item)) for item_id, item in items.items()])
    finally:
        store.close()


def set_available(state_dir: Path, available: Mapping[str, bool]) -> None:
    """Show or hide items, and leave the rest of what is known of them as it is.

    Args:
        state_dir: whose catalogue.
        available: by item id.

    Raises:
        StateError: the catalogue cannot be written.
    """
    store = CatalogueStore(directory_of(state_dir))
    try:
        store.write(shown_records({item_id: store.get(item_id) for item_id in available}, available))
    finally:
        store.close()


def remove(state_dir: Path, item_ids: Iterable[str]) -> None:
    """Forget items.

    Raises:
        StateError: the catalogue cannot be written.
    """
    store = CatalogueStore(directory_of(state_dir))
    try:
        store.write([(item_id, None) for item_id in item_ids])
    finally:
        store.close()


class News(NamedTuple):
    """What is new in a stored catalogue."""

    stamp: object
    """Of the directory when it was read."""
    writes: int
    records: dict[str, bytes | None]
    """By item id; None: forgotten."""
    complete: bool
    """Whether these are all records, rather than those that changed."""


class StoredCatalogue:
    """A catalogue in memory that follows the one in a state directory.

    Args:
        state_dir: whose catalogue.
        catalogue: is brought up to date.
    """

    def __init__(self, state_dir: Path, catalogue: Catalogue) -> None:
        self._directory = directory_of(state_dir)
        self._catalogue = catalogue
        self._stamp: object = None
        self._writes = 0

    def changed(self) -> bool:
        """Whether the directory was written to since the last `take`."""
        return stamp(self._directory) != self._stamp

    def refresh(self) -> None:
        """Bring the catalogue up to date.

        Raises:
            CatalogueError, StateError: what is stored cannot be read.
        """
        self.take(self.read())

    def read(self) -> News:
        """What is new, for `take`; may run in another thread.

        Raises:
            StateError: what is stored cannot be read.
        """
        seen = stamp(self._directory)
        if seen is None:
            return News(None, 0, {}, complete=True)
        store = CatalogueStore(self._directory, read_only=True)
        try:
            writes = store.writes
            follows = self._stamp is not None and self._writes <= writes
            changed = store.since(self._writes) if follows else None
            if changed is None:
                return News(seen, writes, store.every(), complete=True)
            return News(seen, writes, changed, complete=False)
        finally:
            store.close()

    def take(self, news: News) -> None:
        """Bring the catalogue to what was read.

        Raises:
            CatalogueError: a record is none.
        """
        if news.complete:
            for item_id in self._catalogue.items.keys() - news.records.keys():
                self._catalogue.put(item_id, None)
        for item_id, record in news.records.items():
            self._catalogue.put(item_id, None if record is None else decode_item(record))
        self._stamp, self._writes = news.stamp, news.writes
