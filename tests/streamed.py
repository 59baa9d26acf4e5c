"""The streamed state in the terms of the batch definition, so that `==` compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from state.count_rows import EXPOSURES, items_of
from state.journal import SLICES
from tests.batch_definition import Line, Order, State, bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from streams.engine.embedded import Embedded

SPREAD = 17
"""Item numbers between two items of a spread log, so that no two share a bundle or a slice."""


def spread_order(items: Sequence[str]) -> Order:
    """An order that only assigns item numbers: a return of `items`, which nobody holds, among others.

    Without it, the few items of a small log would share one bundle, and the rotation of slices would not be tested.
    """
    lines = [Line(f"{item}.{filler}" if filler else item) for item in items for filler in range(SPREAD)]
    return Order("nobody", 0, tuple(lines), type="return")


def facts(state: State, log: Sequence[Order]) -> dict[str, Any]:
    """All counts of the batch definition."""
    exposures: dict[tuple[str, int], int] = {}
    for item, histogram in state.exposures.items():
        for exposure, customers in histogram.items():
            exposures[item, bucket(exposure)] = exposures.get((item, bucket(exposure)), 0) + customers
    return {
        "histories": {
            customer: {
                item: (entry.seq, entry.first, entry.last, entry.purchases, entry.quantity)
                for item, entry in history.items()
            }
            for customer, history in state.histories.items()
            if history
        },
        "pairs": dict(state.pairs),
        "exposures": exposures,
        "holders": dict(state.holders),
        "customers": state.customers,
        "purchases": dict(state.purchases_by_epoch),
        "days": dict(state.purchases_by_day),
        "newest": state.newest,
        "lines": sum(len(order.lines) for order in log),
        "rejected": sum(
            line.item_id == rejection.item_id for rejection in state.rejected for line in log[rejection.order].lines
        ),
    }


def streamed_facts(embedded: Embedded) -> dict[str, Any]:
    """All counts of the stores."""
    counts = embedded.counts
    found: dict[str, Any] = {"histories": histories(embedded.histories), "pairs": {}, "exposures": {}}
    for store in counts:
        pairs, exposures = rows(store)
        assert not found["pairs"].keys() & pairs.keys()
        found["pairs"] |= pairs
        found["exposures"] |= exposures
    every = [popularity(store) for store in counts]
    assert all(one == every[0] for one in every), "item partitions differ in the popularity of all items"
    return found | every[0]


def histories(store: HistoryStore) -> dict[str, dict[str, tuple[int, ...]]]:
    """Customers' histories by id."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    ids = dict(store.customers.every())
    for customer, items, entries in store.histories():
        if store.settings.pairs == "order":
            items, entries = store.history(customer)  # noqa: PLW2901 - the lines of orders, summed up
        if len(items):
            found[ids[customer]] = {
                store.items.text(item): (
                    int(entry["seq"]),
                    int(entry["first"]),
                    int(entry["last"]),
                    int(entry["purchases"]),
                    int(entry["quantity"]),
                )
                for item, entry in zip(items.tolist(), entries, strict=True)
            }
    return found


def rows(store: CountStore) -> tuple[dict[tuple[str, str, int], int], dict[tuple[str, int], int]]:
    """Pair counts and exposure histograms by item id."""
    pairs = {}
    exposures = {}
    name = store.names.text
    for number in range(SLICES):
        for epoch, (keys, counts) in store.slice_rows(number).items():
            for item, other, count in zip(*parts(keys), counts.tolist(), strict=True):
                if epoch == EXPOSURES:
                    exposures[name(item), other] = count
                else:
                    pairs[name(item), name(other), epoch] = count
    return pairs, exposures


def parts(keys: Any) -> tuple[list[int], list[int]]:  # noqa: ANN401 - an array of keys
    """Items and neighbours of pair keys."""
    return items_of(keys >> np.uint64(32)).tolist(), (keys & np.uint64(0xFFFFFFFF)).tolist()


def popularity(store: CountStore) -> dict[str, Any]:
    """Holders, purchases and totals."""
    table, known, name = store.popularity, len(store.names), store.names.text

    def named(columns: dict[int, Any]) -> dict[tuple[str, int], int]:
        return {
            (name(item), when): int(column[item])
            for when, column in columns.items()
            for item in range(known)
            if column[item]
        }

    days = {}
    if table.newest_day >= 0:
        days = {day: table.days[day % 60] for day in range(table.newest_day - 59, table.newest_day + 1)}
    return {
        "holders": named(table.holders),
        "purchases": named(table.purchases),
        "days": named(days),
        "customers": store.holding,
        "newest": store.newest if store.newest >= 0 else None,
        "lines": store.lines,
        "rejected": store.rejected,
    }
