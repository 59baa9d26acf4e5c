"""Published documents: the one shape for command line, topics, endpoint and export."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from producers.orders import DAY_MS
from streams.engine.ranking import RelatedItem

if TYPE_CHECKING:
    from state.count_store import CountStore


def timestamp_text(milliseconds: int) -> str | None:
    """Event time as ISO 8601 in UTC; None for -1, which means never.

    >>> timestamp_text(1_483_271_606_000), timestamp_text(-1)
    ('2017-01-01T11:53:26Z', None)
    """
    if milliseconds < 0:
        return None
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="auto")
    return text.replace("+00:00", "Z")


def day_text(day: int) -> str:
    """A UTC day, in days since 1970-01-01, as ISO 8601.

    >>> day_text(17_167)
    '2017-01-01'
    """
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()


def as_of(store: CountStore) -> dict[str, Any]:
    """The log prefix that a store reflects."""
    return {"timestamp": timestamp_text(store.newest), "lines": store.lines}


class RelatedList(msgspec.Struct, frozen=True, gc=False):
    """An item's related list, as it is published."""

    item_id: str
    buyers: int
    purchases: int
    as_of: dict[str, Any]
    score: str
    related: Sequence[RelatedItem]


def related_list(
    store: CountStore, number: int, score: str, entries: Sequence[RelatedItem], log_prefix: dict[str, Any]
) -> RelatedList:
    """An item's related list.

    Args:
        store: the counts of the item's partition.
        number: the item's number in the store.
        score: name of the score by which the list is ranked.
        entries: the list, best first.
        log_prefix: the `as_of` of the store.
    """
    table = store.popularity
    buyers = sum([column.item(number) for column in table.holders.values()])
    purchases = sum([column.item(number) for column in table.purchases.values()])
    return RelatedList(store.names.text(number), buyers, purchases, log_prefix, score, entries)


def related_document(store: CountStore, number: int, score: str, entries: Sequence[RelatedItem]) -> dict[str, Any]:
    """An item's related list as a dictionary, with the arguments of `related_list`."""
    document: dict[str, Any] = msgspec.to_builtins(related_list(store, number, score, entries, as_of(store)))
    return document
