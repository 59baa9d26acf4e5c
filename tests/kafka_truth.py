"""What workers must have counted: an embedded run over the records of the topic."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from state.count_rows import EXPOSURES, items_of
from state.directory import COUNTS, HISTORIES, StateDirectory
from state.errors import StateDamaged
from state.journal import SLICES
from state.settings import CUSTOMER, CountingSettings
from streams.engine.documents import related_document
from streams.engine.embedded import Embedded
from streams.engine.ranker import Ranker
from streams.engine.scores import Scoring
from streams.engine.stages import open_counts, open_histories
from streams.workers.kafka.placement import Placement
from streams.workers.kafka.purchases import NOT_HELD_REASON, read_orders, rejection_record
from streams.workers.kafka.sources import original
from tests.streamed import histories, popularity
from tests.workers import read_topic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from streams.workers.kafka.producers import OutgoingRecord
    from streams.workers.kafka.topics import Topics

_RECORDS = 2_000


class Truth:
    """Everything that one undisturbed process counts from a topic of orders.

    Args:
        broker: host:port.
        topics: names; those of orders and of rejected records matter.
        directory: for the state.
        pair_window, pairs: as the workers have them.
        placement: where customers are; by default that is not checked.
        growing: read what was appended since by `grow`, until `close`.

    Attributes:
        facts: counts, histograms, popularity and totals, by item id.
        histories: of every customer.
        lists: every related list as the bytes of its document, by item id.
        refused: (partition, offset) of records that were not counted completely.
        rejections: what a worker writes to the topic of rejected records.
        lines: order lines.
        records: of the topic, by partition.
    """

    def __init__(
        self,
        broker: str,
        topics: Topics,
        directory: Path,
        pair_window: int = 100,
        placement: Placement | None = None,
        *,
        growing: bool = False,
        pairs: str = CUSTOMER,
    ) -> None:
        self._broker = broker
        self._topics = topics
        self._placement = placement or Placement(1)
        self._embedded = Embedded(directory, CountingSettings(pair_window, pairs=pairs))
        self._end = 0
        self.refused: set[tuple[int, int]] = set()
        self.rejections: list[OutgoingRecord] = []
        self.records: dict[int, list[Any]] = {}
        self.grow()
        if not growing:
            self.close()

    def grow(self) -> None:
        """Count what was appended to the topic since."""
        begin = {partition: records[-1].offset + 1 for partition, records in self.records.items() if records}
        for partition, records in enumerate(read_topic(self._broker, self._topics.log, committed=True, begin=begin)):
            if self._topics.rekey:
                records = list(map(original, records))  # noqa: PLW2901 - as a worker reads them
            self.records.setdefault(partition, []).extend(records)
            for first in range(0, len(records), _RECORDS):
                self._count(partition, records[first : first + _RECORDS])
        self.facts = facts(self._embedded.counts)
        self.histories = histories(self._embedded.histories)
        self.lists = lists(self._embedded.counts)
        self.lines = self._embedded.counts[0].lines

    def _count(self, partition: int, batch: list[Any]) -> None:
        self._end += len(batch)
        orders, rejections, _ = read_orders(batch, partial(self._placement.misplaced, partition=partition))
        not_held = self._embedded.count(orders, self._end, len(rejections)).tolist()
        self.refused |= {(partition, offset) for offset in not_held}
        self.refused |= {(partition, rejection.position) for rejection in rejections}
        by_offset = {record.offset: record for record in batch}
        reasons = [(bad.position, bad.reason, bad.record if bad.partial else None) for bad in rejections]
        reasons += [(offset, NOT_HELD_REASON, None) for offset in sorted(set(not_held))]
        self.rejections += [
            rejection_record(by_offset[offset], reason, self._topics, part) for offset, reason, part in reasons
        ]

    def close(self) -> None:
        """Release the state."""
        self._embedded.close()

    def check(self, states: Iterable[Path], topics: Topics, items: int, pair_window: int = 100) -> None:
        """Compare with the state directories of workers: for each partition, the store with the greatest offset."""
        states = list(states)
        counting = CountingSettings(pair_window, items, pairs=self._embedded.settings.pairs)
        found_histories: dict[str, Any] = {}
        for histories_store in newest_histories(states, topics, counting):
            found_histories |= histories(histories_store)
            histories_store.close()
        assert found_histories == self.histories, "histories differ"
        counts = newest_counts(states, topics, counting)
        found, found_lists = facts(counts), lists(counts)
        for store in counts:
            store.close()
        for name, expected in self.facts.items():
            assert found.get(name) == expected, f"{name} differ"
        assert found_lists == self.lists, "lists differ"


def newest_histories(states: list[Path], topics: Topics, settings: CountingSettings) -> list[HistoryStore]:
    """The store of each purchases partition with the greatest offset; a damaged one is nobody's, or will be missed."""
    best: dict[str, HistoryStore] = {}
    for state in states:
        for path in sorted((state / topics.generation).glob(f"{HISTORIES}-*")):
            try:
                store = open_histories(path, settings)
            except StateDamaged:
                continue
            other = best.get(path.name)
            if other is None or other.purchases_offset < store.purchases_offset:
                best[path.name], store = store, other or store
            if store is not best[path.name]:
                store.close()
    return list(best.values())


def newest_counts(states: Iterable[Path], topics: Topics, settings: CountingSettings) -> list[CountStore]:
    """The store of each item partition with the greatest offset; a damaged one is nobody's, or will be missed."""
    chosen = []
    states = list(states)
    for partition in range(settings.item_partitions):
        stores = []
        for state in states:
            with StateDirectory(state, topics.generation) as directory:
                path = directory.store(COUNTS, partition)
            if (path / "CURRENT").exists():
                with suppress(StateDamaged):
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
