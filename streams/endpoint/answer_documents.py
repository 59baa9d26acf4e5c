"""Parts of the endpoint's answers, as plain dictionaries; item titles come from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from streams.catalogue.catalogue import SHOWN_FIELDS
from streams.engine.documents import day_text, timestamp_text
from streams.engine.epochs import EPOCH_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state.history_store import HistoryStore
    from state.kept_events import KeptEvents
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.engine.pair_epochs import PairEpoch
    from streams.recommendations.assortment import Assortment
    from streams.recommendations.bestsellers import Bestseller
    from streams.recommendations.recommend import Reason, Recommendation

Document: TypeAlias = Mapping[str, Any] | msgspec.Raw
"""A document to send as JSON; `Raw` is JSON already, such as an answer of another worker."""


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one question of several: an answer or, in its place, a problem document."""

    item_id: str | None = None
    customer_id: str | None = None
    answer: msgspec.Raw = msgspec.Raw()
    problem: dict[str, Any] | None = None


class Results(msgspec.Struct):
    """The results of several questions, in the order in which they were asked."""

    results: list[Result]


def count_of(number: float) -> float | int:
    """A count as an integer if it is whole; counts weighted by a half-life may not be."""
    return int(number) if number.is_integer() else number


def titled(item_id: str, catalogue: Catalogue) -> dict[str, Any]:
    """An item's id, and its title if it has one. Every answer names items in this way."""
    item = catalogue.items.get(item_id)
    return {"item_id": item_id} if item is None or item.title is None else {"item_id": item_id, "title": item.title}


def described(item_id: str, catalogue: Catalogue, fields: Sequence[str]) -> dict[str, Any]:
    """An item's id, and of these fields and attributes those that the catalogue has."""
    entry: dict[str, Any] = {"item_id": item_id}
    item = catalogue.items.get(item_id)
    if item is None:
        return entry
    attributes = {}
    for name in fields:
        if name in SHOWN_FIELDS:
            if (value := getattr(item, name)) is not None:
                entry[name] = value
        elif name in item.attributes:
            attributes[name] = item.attributes[name]
    if attributes:
        entry["attributes"] = attributes
    return entry


def item_facts(item_id: str, catalogue: Catalogue) -> dict[str, Any]:
    """An item's entry in the catalogue."""
    item = catalogue.get(item_id)
    facts = {**titled(item_id, catalogue), "category": item.category, "available": not catalogue.hidden(item_id)}
    facts |= {"url": item.url, "image": item.image, "price": item.price, "brand": item.brand}
    return facts | {"attributes": item.attributes, "in_stock": item.in_stock, "group_id": item.group_id}


def related_entries(
    item_ids: Sequence[str], stored: StoredList, catalogue: Catalogue, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """The entries of a list of these items."""
    entries: list[dict[str, Any]] = []
    columns = [column.tolist() for column in stored[1:]]
    for item_id, score, together, expected, trend in zip(item_ids, *columns, strict=True):
        entry = described(item_id, catalogue, fields)
        entry["score"] = score
        entry["bought_together"] = count_of(together)
        entry["expected"] = expected
        entry["trend"] = trend
        entries.append(entry)
    return entries


def pair_entries(epochs: Sequence[PairEpoch]) -> list[dict[str, Any]]:
    """The epochs of a pair, the oldest first."""
    return [
        {
            "first_day": day_text(row.epoch * EPOCH_DAYS),
            "last_day": day_text(row.epoch * EPOCH_DAYS + EPOCH_DAYS - 1),
            "new_pairs": row.customers,
            "bought_together": row.together,
            "expected": row.expected,
            "difference": row.together - row.expected,
        }
        for row in epochs
    ]


def history_entries(store: HistoryStore, customer: int, catalogue: Catalogue, limit: int) -> dict[str, Any]:
    """A customer's totals, and the `limit` items bought last, latest first."""
    items, entries = store.history(customer)
    latest = np.lexsort((-entries["seq"].astype(np.int64), -entries["last"]))[:limit]
    history = []
    for row, item_id in zip(latest.tolist(), store.items.texts(items[latest].tolist()), strict=True):
        entry = titled(item_id, catalogue)
        entry["purchases"] = int(entries[row]["purchases"])
        entry["first"] = timestamp_text(int(entries[row]["first"]))
        entry["last"] = timestamp_text(int(entries[row]["last"]))
        history.append(entry)
    document: dict[str, Any] = {"items_held": len(items), "purchases": int(entries["purchases"].sum())}
    document["history"] = history
    if store.kept_events is not None:
        document["events"] = _event_entries(store.kept_events, customer, catalogue, limit)
    return document


def _event_entries(events: KeptEvents, customer: int, catalogue: Catalogue, limit: int) -> list[dict[str, Any]]:
    """The `limit` latest events of a customer that are kept, latest first."""
    kept = events.of(np.array([customer], np.uint32))
    item, kind, time = (column[::-1][:limit].tolist() for column in (kept.item, kept.type, kept.time))
    found = zip(events.items.texts(item), kind, time, strict=True)
    return [
        {**titled(item_id, catalogue), "type": events.types[place], "timestamp": timestamp_text(time_ms)}
        for item_id, place, time_ms in found
    ]


def recommendation_entries(
    recommendations: Sequence[Recommendation], assortment: Assortment, catalogue: Catalogue, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Recommendations with their reasons; the shares of a recommendation's reasons add up to its score."""
    entries = []
    for recommendation in recommendations:
        entry = described(assortment.ids[recommendation.item], catalogue, fields)
        entry["score"] = recommendation.score
        popularity = float(assortment.popularity[recommendation.item])
        entry["because"] = [_reason(reason, popularity, assortment, catalogue) for reason in recommendation.because]
        entries.append(entry)
    return entries


def _reason(reason: Reason, popularity: float, assortment: Assortment, catalogue: Catalogue) -> dict[str, Any]:
    if reason.kind == "popularity":
        return {"popularity": popularity, "share": reason.share}
    if reason.kind in ("repeats", "others", "filler"):
        return {reason.kind: int(reason.together), "share": reason.share}
    entry = titled(assortment.ids[reason.seed], catalogue)
    entry["share"] = reason.share
    entry["bought_together"] = count_of(reason.together)
    entry["expected"] = reason.expected
    return entry | ({"event": reason.event} if reason.event else {})


def bestseller_entries(
    bestsellers: Sequence[Bestseller], assortment: Assortment, catalogue: Catalogue, fields: Sequence[str]
) -> list[dict[str, Any]]:
    """Bestsellers, best first."""
    return [
        {
            **described(assortment.ids[bestseller.item], catalogue, fields),
            "category": catalogue.get(assortment.ids[bestseller.item]).category,
            "purchases": bestseller.purchases,
            "popularity": bestseller.popularity,
        }
        for bestseller in bestsellers
    ]
