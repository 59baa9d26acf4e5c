"""Parts of the endpoint's answers, as plain dictionaries; item titles come from the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from streams.engine.documents import timestamp_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state.history_store import HistoryStore
    from state.names import Names
    from state.related_store import StoredList
    from streams.catalogue.catalogue import Catalogue
    from streams.recommendations.assortment import Assortment
    from streams.recommendations.bestsellers import Bestseller
    from streams.recommendations.recommend import Reason, Recommendation

Document: TypeAlias = Mapping[str, Any] | msgspec.Raw
"""A document to send as JSON; `Raw` is JSON already, such as an answer of another worker."""


def count_of(number: float) -> float | int:
    """A count as an integer if it is whole; counts weighted by a half-life may not be."""
    return int(number) if number.is_integer() else number


def titled(item_id: str, catalogue: Catalogue) -> dict[str, Any]:
    """An item's id, and its title if it has one. Every answer names items in this way."""
    item = catalogue.items.get(item_id)
    return {"item_id": item_id} if item is None or item.title is None else {"item_id": item_id, "title": item.title}


def item_facts(item_id: str, catalogue: Catalogue) -> dict[str, Any]:
    """An item's entry in the catalogue."""
    item = catalogue.get(item_id)
    facts = {**titled(item_id, catalogue), "category": item.category, "available": item.available}
    facts |= {"url": item.url, "image": item.image}
    return facts


def related_entries(stored: StoredList, names: Names, catalogue: Catalogue, limit: int) -> list[dict[str, Any]]:
    """The first `limit` available entries of a list."""
    entries: list[dict[str, Any]] = []
    unavailable = catalogue.unavailable
    columns = [column.tolist() for column in stored]
    for number, score, together, expected, trend in zip(*columns, strict=True):
        item_id = names.text(number)
        if item_id in unavailable:
            continue
        if len(entries) == limit:
            break
        entry = titled(item_id, catalogue)
        entry["score"] = score
        entry["bought_together"] = count_of(together)
        entry["expected"] = expected
        entry["trend"] = trend
        entries.append(entry)
    return entries


def history_entries(store: HistoryStore, customer: int, catalogue: Catalogue, limit: int) -> dict[str, Any]:
    """A customer's totals, and the `limit` items bought last, latest first."""
    items, entries = store.table.history.row(customer)
    latest = np.lexsort((-entries["seq"].astype(np.int64), -entries["last"]))[:limit]
    history = []
    for row in latest.tolist():
        entry = titled(store.items.text(int(items[row])), catalogue)
        entry["purchases"] = int(entries[row]["purchases"])
        entry["first"] = timestamp_text(int(entries[row]["first"]))
        entry["last"] = timestamp_text(int(entries[row]["last"]))
        history.append(entry)
    return {"items_held": len(items), "purchases": int(entries["purchases"].sum()), "history": history}


def recommendation_entries(
    recommendations: Sequence[Recommendation], assortment: Assortment, catalogue: Catalogue
) -> list[dict[str, Any]]:
    """Recommendations with their reasons; the shares of a recommendation's reasons add up to its score."""
    entries = []
    for recommendation in recommendations:
        entry = titled(assortment.ids[recommendation.item], catalogue)
        entry["score"] = recommendation.score
        popularity = float(assortment.popularity[recommendation.item])
        entry["because"] = [_reason(reason, popularity, assortment, catalogue) for reason in recommendation.because]
        entries.append(entry)
    return entries


def _reason(reason: Reason, popularity: float, assortment: Assortment, catalogue: Catalogue) -> dict[str, Any]:
    if reason.kind == "popularity":
        return {"popularity": popularity, "share": reason.share}
    if reason.kind in ("repeats", "others"):
        return {reason.kind: int(reason.together), "share": reason.share}
    entry = titled(assortment.ids[reason.seed], catalogue)
    entry["share"] = reason.share
    entry["bought_together"] = count_of(reason.together)
    entry["expected"] = reason.expected
    return entry


def bestseller_entries(
    bestsellers: Sequence[Bestseller], assortment: Assortment, catalogue: Catalogue
) -> list[dict[str, Any]]:
    """Bestsellers, best first."""
    return [
        {
            **titled(assortment.ids[bestseller.item], catalogue),
            "category": catalogue.get(assortment.ids[bestseller.item]).category,
            "purchases": bestseller.purchases,
            "popularity": bestseller.popularity,
        }
        for bestseller in bestsellers
    ]
