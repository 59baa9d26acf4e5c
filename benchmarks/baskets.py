"""How well related lists complete a basket: pairs of customers against pairs of orders, on the grocery log.

    python -m benchmarks.baskets [--days 28]

All orders but those of the last days are counted, once for each kind of pairs. Of each later order with three items or
more that were bought before, one is hidden; the lists of the others are added up, and the six best items that are not
among them are compared with it. The order in time is that of the log, and nothing is tuned.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.figures import Figure, table
from evaluation.purchases import count_prefix
from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.orders import DAY_MS, PURCHASE
from state.settings import PAIR_KINDS, CountingSettings
from streams.demo.groceries import GROCERY_COLUMNS, grocery_file, grocery_items
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN = 6
LEAST_ITEMS = 3


class Basket(NamedTuple):
    """A later order."""

    shown: list[str]
    hidden: str


class Lists(NamedTuple):
    """Related lists by item id: what is listed, best first, with its score."""

    entries: Mapping[str, list[tuple[str, float]]]
    megabytes: float
    """What the histories take on disk."""

    def completed(self, basket: Basket) -> list[str]:
        """The best items beside those in a basket."""
        total: dict[str, float] = {}
        for item in basket.shown:
            for other, score in self.entries.get(item, ()):
                total[other] = total.get(other, 0.0) + score
        ranked = sorted(total.keys() - set(basket.shown), key=lambda item: (-total[item], item))
        return ranked[:SHOWN]


def orders_of(log: Path, log_format: LogFormat) -> Iterator[tuple[int, list[str]]]:
    """Time and distinct items of each purchase."""
    for batch in open_log(log, log_format):
        orders = batch.orders
        for number in np.flatnonzero(orders.kind == PURCHASE).tolist():
            lines = orders.item[orders.start[number] : orders.start[number + 1]].tolist()
            yield int(orders.time[number]), [orders.items[item] for item in dict.fromkeys(lines)]


def lists_of(log: Path, log_format: LogFormat, before_ms: int, items: frozenset[str], pairs: str) -> Lists:
    """The lists of all items, of what was bought before a time."""
    with TemporaryDirectory(prefix="alsobought-") as directory:
        embedded = Embedded(Path(directory), CountingSettings(pairs=pairs))
        count_prefix(embedded, [log], {log: log_format}, before_ms, items)
        (counts,) = embedded.counts
        entries = {
            counts.names.text(item): [(entry.item_id, entry.score) for entry in lists.entries(row, counts.names)]
            for numbers, lists in Ranker(counts, Scoring()).every()
            for row, item in enumerate(numbers.tolist())
        }
        size = embedded.histories.size_bytes() / 1e6
        embedded.close()
    return Lists(entries, size)


def figures_of(kind: str, lists: Lists, baskets: list[Basket], category: Mapping[str, str | None]) -> list[Figure]:
    """How many baskets are completed, and how alike what is listed together is."""
    hits = np.mean([basket.hidden in lists.completed(basket) for basket in baskets])
    tops = [(item, other) for item, entries in lists.entries.items() for other, _ in entries[:SHOWN]]
    alike = np.mean([category.get(item) == category.get(other) for item, other in tops])
    return [
        Figure(f"pairs of {kind}s: hidden items among the first {SHOWN}, %", 100 * float(hits), None),
        Figure(f"pairs of {kind}s: first {SHOWN} of a list in the category of its item, %", 100 * float(alike), None),
        Figure(f"pairs of {kind}s: histories, MB", lists.megabytes, None),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=28)
    days = parser.parse_args().days
    log, log_format = grocery_file("transactions.parquet"), LogFormat(container="parquet", columns=_columns())
    orders = list(orders_of(log, log_format))
    before_ms = max(time for time, _ in orders) - days * DAY_MS
    known = frozenset(item for time, items in orders if time < before_ms for item in items)
    random = np.random.default_rng(1)
    baskets = []
    for time, items in orders:
        bought = [item for item in items if item in known]
        if time >= before_ms and len(bought) >= LEAST_ITEMS:
            hidden = bought.pop(int(random.integers(len(bought))))
            baskets.append(Basket(bought, hidden))
    category = {item: entry.category for item, entry in grocery_items().items()}
    found = {pairs: lists_of(log, log_format, before_ms, known, pairs) for pairs in PAIR_KINDS}
    figures = [figure for pairs, lists in found.items() for figure in figures_of(pairs, lists, baskets, category)]
    tops = [[{other for other, _ in lists.entries[item][:SHOWN]} for lists in found.values()] for item in known]
    shared = np.mean([len(one & other) / max(len(one | other), 1) for one, other in tops if one or other])
    figures.append(Figure(f"first {SHOWN} that both kinds have, of those that one has, %", 100 * float(shared), None))
    figures.append(Figure("orders with a hidden item", len(baskets), None))
    table(figures)


def _columns() -> dict[str, tuple[str, ...]]:
    return {name: (column,) for name, column in GROCERY_COLUMNS.items()}


if __name__ == "__main__":
    main()
