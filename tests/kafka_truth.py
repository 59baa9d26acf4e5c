"""What workers must have counted: an embedded run over the records of the topic."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from state.count_rows import EXPOSURES, items_of
from state.directory import COUNTS, HISTORIES, StateDirectory
from state.journal import SLICES
from state.settings import CountingSettings
from streams.engine.documents import related_document
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.engine.stages import open_counts, open_histories
from streams.workers.kafka.placement import Placement
from streams.workers.kafka.purchases import read_orders
from tests.streamed import histories, popularity
from tests.workers import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from streams.workers.kafka.topics import Topics

_RECORDS = 2_000


class Truth:
    """Everything that one undisturbed process counts from a topic of orders.

    Attributes:
        facts: counts, histograms, popularity and totals, by item id.
        histories: of every customer.
        lists: every related list as the bytes of its document, by item id.
        refused: (partition, offset) of records that were not counted completely.
        lines: order lines.
    """

    def __init__(
        self, broker: str, topics: Topics, directory: Path, pair_window: int = 100, placement: Placement | None = None
    ) -> None:
        embedded = Embedded(directory, CountingSettings(pair_window))
        self.refused: set[tuple[int, int]] = set()
        end = 0
        for partition, records in enumerate(read_topic(broker, topics.purchases, committed=True)):
            for first in range(0, len(records), _RECORDS):
                batch = records[first : first + _RECORDS]
                end += len(batch)
                misplaced = partial((placement or Placement(1)).misplaced, partition=partition)
                orders, rejections = read_orders(batch, misplaced)
                not_held = embedded.count(orders, end, len(rejections))
                self.refused |= {(partition, offset) for offset in not_held.tolist()}
                self.refused |= {(partition, rejection.position) for rejection in rejections}
        self.facts = facts(embedded.counts)
        self.histories = histories(embedded.histories)
        self.lists = lists(embedded.counts)
        self.lines = embedded.counts[0].lines
        embedded.close()

    def check(self, states: Iterable[Path], topics: Topics, items: int, pair_window: int = 100) -> None:
        """Compare with the state directories of workers: for each partition, the store with the greatest offset."""
        states = list(states)
        found_histories: dict[str, Any] = {}
        for histories_store in newest_histories(states, topics, CountingSettings(pair_window, items)):
            found_histories |= histories(histories_store)
            histories_store.close()
        assert found_histories == self.histories, "histories differ"
        counts = newest_counts(states, topics, CountingSettings(pair_window, items))
        found, found_lists = facts(counts), lists(counts)
        for store in counts:
            store.close()
        for name, expected in self.facts.items():
            assert found.get(name) == expected, f"{name} differ"
        assert found_lists == self.lists, "lists differ"


def newest_histories(states: list[Path], topics: Topics, settings: CountingSettings) -> list[HistoryStore]:
    """The store of each purchases partition with the greatest offset."""
    best: dict[str, HistoryStore] = {}
    for state in states:
        for path in sorted((state / topics.generation).glob(f"{HISTORIES}-*")):
            store = open_histories(path, settings)
            other = best.get(path.name)
            if other is None or other.purchases_offset < store.purchases_offset:
                best[path.name], store = store, other or store
            if store is not best[path.name]:
                store.close()
    return list(best.values())


def newest_counts(states: Iterable[Path], topics: Topics, settings: CountingSettings) -> list[CountStore]:
    """The store of each item partition with the greatest offset."""
    chosen = []
    states = list(states)
    for partition in range(settings.item_partitions):
        stores = []
        for state in states:
            with StateDirectory(state, topics.generation) as directory:
                path = directory.store(COUNTS, partition)
            if (path / "CURRENT").exists():
                stores.append(open_counts(path, partition, settings))
        best = max(stores, key=lambda store: store.co_purchases_offset)
        for store in stores:
            if store is not best:
                store.close()
        chosen.append(best)
    return chosen


def facts(counts: list[CountStore]) -> dict[str, Any]:
    """Everything that is counted; pairs and histograms as digests, since a small shop has millions of pairs."""
    every = [popularity(store) for store in counts]
    assert all(one == every[0] for one in every), "item partitions differ in the popularity of all items"
    ids = sorted(counts[0].names.every)
    rank = {item: place for place, item in enumerate(ids)}
    found: dict[str, Any] = {"items": ids, "duplicates": counts[0].duplicates} | every[0]
    parts: dict[int, list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]] = {}
    for store in counts:
        ranks = np.array([rank[item] for item in store.names.every], np.uint64)
        for number in range(SLICES):
            for epoch, (keys, amounts) in store.slice_rows(number).items():
                item = ranks[items_of(keys >> np.uint64(32))]
                other = keys & np.uint64(0xFFFFFFFF)
                if epoch != EXPOSURES:
                    other = ranks[other.astype(np.int64)]
                parts.setdefault(epoch, []).append((item << np.uint64(32) | other, amounts.astype(np.int64)))
    for epoch, several in parts.items():
        keys = np.concatenate([keys for keys, _ in several])
        order = np.argsort(keys)
        amounts = np.concatenate([amounts for _, amounts in several])
        name = "exposures" if epoch == EXPOSURES else f"pairs of epoch {epoch}"
        digest = hashlib.sha256(keys[order].tobytes() + amounts[order].tobytes()).hexdigest()
        found[name] = (len(keys), int(amounts.sum()), digest)
    return found


def lists(counts: list[CountStore]) -> dict[str, bytes]:
    """Every list as `related --json` and the export print it."""
    found = {}
    for store in counts:
        for items, made in Ranker(store, Scoring()).every():
            for row, item in enumerate(items.tolist()):
                document = related_document(store, item, "blend", made.entries(row, store.names))
                found[store.names.text(item)] = msgspec.json.encode(document)
    return dict(sorted(found.items()))


def differences(published: dict[str, Any], truth: Truth) -> list[str]:
    """Items whose list on the topic differs from the one computed from the counts."""
    expected = {item: msgspec.json.decode(document)["related"] for item, document in truth.lists.items()}
    return [
        item
        for item in sorted(expected.keys() | published.keys())
        if item not in published or item not in expected or published[item]["related"] != expected[item]
    ]
