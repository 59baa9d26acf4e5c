"""An independent recount from the histories: every pair count, exposure histogram, holder count and related list.

Nothing here is shared with the incremental path but the stores it reads: pairs are found by comparing each history with
itself shifted, expectations by the textbook formula, lists by sorting all neighbours.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.compiled import compiled_nogil
from state.count_rows import EXPOSURES, bucket_exposures, bucket_of, items_of, slice_of
from state.journal import SLICES
from state.key_sorting import sort_keys
from state.popularity_table import DAYS
from state.settings import CUSTOMER, ORDER
from streams.engine.epochs import EPOCH_DAYS, EPOCH_MS, epoch_of
from streams.engine.scores import DEFAULT_SCORE, Scoring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from state.related_store import RelatedStore, StoredList
    from streams.engine.embedded import Embedded

    _Rows = dict[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]
    """Epoch -> item << 32 | neighbour (of EXPOSURES: bucket), rising, and how often."""

_SHOWN = 20
_LIST = 50
_ENTRIES_AT_ONCE = 1 << 20
_PAIRS_AT_ONCE = 8_000_000
_MOST_THREADS = 4  # each takes some 300 MB
_BUCKETS = bucket_exposures(500)
_BUYERS = {CUSTOMER: "buyers", ORDER: "orders"}
_NOTHING = np.zeros(0, np.uint64), np.zeros(0, np.int64)


class Histories(NamedTuple):
    """All histories end to end, each by rising seq: k entries."""

    holder: npt.NDArray[np.int64]
    """The customer, or the customer's order, that holds the item."""
    seq: npt.NDArray[np.int64]
    item: npt.NDArray[np.int64]
    epoch: npt.NDArray[np.int64]


class Findings:
    """What an audit compared, and what differs.

    Attributes:
        compared: how many of each kind were compared.
        differences: the first of them, in words.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.compared = {"pair counts": 0, "histogram buckets": 0, "holder counts": 0, "related lists": 0}
        self.differences: list[str] = []
        self.count = 0

    def differ(self, text: str) -> None:
        """Note a difference."""
        self.count += 1
        if len(self.differences) < _SHOWN:
            self.differences.append(text)

    def add(self, others: Findings) -> None:
        """Add what was compared elsewhere."""
        for kind, compared in others.compared.items():
            self.compared[kind] += compared
        self.count += others.count
        self.differences += others.differences[: _SHOWN - len(self.differences)]


def audit(embedded: Embedded, findings: Findings) -> Iterator[float]:
    """Recount everything and compare; yields the fraction done.

    Histories are read some at a time, once for every few slices; a state whose histories fit is read once. A thread for
    each processor compares some slices.
    """
    window = embedded.settings.pair_window
    partitions = len(embedded.counts)
    for place, (counts, related) in enumerate(zip(embedded.counts, embedded.related, strict=True)):
        few = list(itertools.islice(_histories(embedded.histories, counts), 2))
        read = partial(iter, few) if len(few) < 2 else partial(_histories, embedded.histories, counts)
        pairs = _compare_holders(counts, read(), window, findings)
        lists_current = related.score == DEFAULT_SCORE and related.exact_as_of == counts.purchases_offset_sum
        at_once = max(SLICES * _PAIRS_AT_ONCE // max(pairs, 1), 1)
        groups = [range(first, min(first + at_once, SLICES)) for first in range(0, SLICES, at_once)]
        view = _Popularity(counts) if lists_current else None
        compare = partial(_compare_slices, counts, related, view, read, window)
        executor = ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _MOST_THREADS))
        try:
            for slices, found in zip(groups, executor.map(compare, groups), strict=True):
                findings.add(found)
                yield (place + slices.stop / SLICES) / partitions
        finally:
            executor.shutdown(cancel_futures=True)


def _compare_slices(
    counts: CountStore,
    related: RelatedStore,
    view: _Popularity | None,
    read: Callable[[], Iterator[Histories]],
    window: int,
    slices: range,
) -> Findings:
    """Recount some slices and compare their counts, and their lists if there is a view to rank them by."""
    findings = Findings()
    recounted = _recounted(counts, read(), window, slices)
    for number in slices:
        rows = _of_slice(recounted, number)
        _compare_rows(counts, counts.slice_rows(number), rows, findings)
        if view:
            _compare_lists(counts, related, view, number, rows, findings)
    return findings


def _histories(store: HistoryStore, counts: CountStore) -> Iterator[Histories]:
    """Every history, some at a time, with items as the count store numbers them."""
    numbers = np.array([counts.names.get(item, -1) for _, item in store.items.every()], np.int64)
    parts: list[tuple[Any, ...]] = []
    size = 0
    for customer, items, entries in store.histories():
        if len(items):
            holder = np.full(len(items), customer << 32)
            if store.settings.pairs == ORDER:
                holder |= entries["order"]
            parts.append((holder, entries["seq"], numbers[items], entries["first"] // EPOCH_MS))
            size += len(items)
        if size >= _ENTRIES_AT_ONCE:
            yield _joined(parts)
            parts, size = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: list[tuple[Any, ...]]) -> Histories:
    return Histories(*(np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)))


def _recounted(counts: CountStore, read: Iterator[Histories], window: int, slices: range) -> _Rows:
    """The rows of the partition's own items in `slices`, exposure histograms included."""
    own = counts.owned[: len(counts.names)].copy()
    numbers = slice_of(np.arange(len(own)))
    own[(numbers < slices.start) | (numbers >= slices.stop)] = False
    found: dict[int, _Sums] = {}
    for histories in read:
        wanted = own[histories.item]
        exposures = np.zeros(len(wanted), np.int64)
        ends = np.zeros(EXPOSURES, np.int64)
        _walk(*histories, window, wanted, exposures, ends, _NOTHING[0])
        buckets = np.array([bucket_of(exposure) for exposure in range(int(exposures.max(initial=0)) + 1)])
        keys = (histories.item[wanted] << 32 | buckets[exposures[wanted]]).astype(np.uint64)
        found.setdefault(EXPOSURES, _Sums()).add(keys)
        starts = np.cumsum(ends) - ends
        keys = np.zeros(int(ends.sum()), np.uint64)
        ends = starts.copy()
        _walk(*histories, window, wanted, exposures, ends, keys)
        for epoch in np.flatnonzero(ends > starts).tolist():
            found.setdefault(epoch, _Sums()).add(keys[starts[epoch] : ends[epoch]])
    return {epoch: sums.total() for epoch, sums in found.items()}


@compiled_nogil
def _walk(
    holder: npt.NDArray[np.int64],
    seq: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    epoch: npt.NDArray[np.int64],
    window: int,
    wanted: npt.NDArray[np.bool_],
    exposures: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    keys: npt.NDArray[np.uint64],
) -> None:
    """Walk over all pairs of entries of one holder within the window, once to measure, then to write `keys`.

    Args:
        holder: (k,) those of the histories, the entries of each together.
        seq: (k,) theirs, rising for each holder.
        item: (k,) theirs.
        epoch: (k,) theirs.
        window: 0: without a limit.
        wanted: (k,) whether to write the pairs of an entry, its item first.
        exposures: (k,) zeros; afterwards how many pairs each entry is in. Only changed while measuring.
        ends: (EXPOSURES,) by epoch, is raised by the number of pairs wanted; while writing, where they go in `keys`.
        keys: (n,) item << 32 | neighbour; empty: only measure.
    """
    for later in range(len(seq)):
        for earlier in range(later - 1, -1, -1):
            if holder[earlier] != holder[later] or (window and seq[later] - seq[earlier] > window):
                break
            when = max(epoch[earlier], epoch[later])
            if len(keys) == 0:
                exposures[earlier] += 1
                exposures[later] += 1
            for mine, other in ((earlier, later), (later, earlier)):
                if wanted[mine]:
                    if len(keys):
                        keys[ends[when]] = item[mine] << 32 | item[other]
                    ends[when] += 1


class _Sums:
    """Counts of keys, added up whenever those that wait outgrow the sum."""

    def __init__(self) -> None:
        self._parts = [_NOTHING]
        self._waiting = 0

    def add(self, keys: npt.NDArray[np.uint64]) -> None:
        """Count keys, which come in any order."""
        self._parts.append(_counted(keys))
        self._waiting += len(self._parts[-1][0])
        if self._waiting > len(self._parts[0][0]):
            self.total()

    def total(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """All keys, rising, and how often each was found."""
        filled = [part for part in self._parts if len(part[0])]
        if len(filled) > 1:
            keys, _ = _counted(np.concatenate([keys for keys, _ in filled]))
            how_often = np.zeros(len(keys), np.int64)
            for part, found in filled:
                how_often[np.searchsorted(keys, part)] += found
            filled = [(keys, how_often)]
        self._parts, self._waiting = filled or [_NOTHING], 0
        return self._parts[0]


def _counted(keys: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The distinct keys, rising, and how often each occurs; np.unique takes up to six times as long."""
    keys = sort_keys([keys])
    starts = np.flatnonzero(np.diff(keys, prepend=keys[:1] ^ np.uint64(1)))
    return keys[starts], np.diff(starts, append=len(keys))


def _of_slice(rows: _Rows, number: int) -> _Rows:
    """Those of one slice."""
    chosen = {}
    for epoch, (keys, how_often) in rows.items():
        here = slice_of(keys >> np.uint64(32)) == number
        if here.any():
            chosen[epoch] = keys[here], how_often[here]
    return chosen


def _compare_holders(counts: CountStore, read: Iterator[Histories], window: int, findings: Findings) -> int:
    """Compare who holds what; returns how many pairs all histories make, each from both sides."""
    known = len(counts.names)
    recounted: dict[int, npt.NDArray[np.int64]] = {}
    holding = pairs = 0
    for histories in read:
        for epoch in np.unique(histories.epoch).tolist():
            holders = np.bincount(histories.item[histories.epoch == epoch], minlength=known)
            recounted[epoch] = recounted.get(epoch, 0) + holders
        holding += len(np.unique(histories.holder))
        everything, ends = np.ones(len(histories.item), bool), np.zeros(EXPOSURES, np.int64)
        _walk(*histories, window, everything, np.zeros(len(everything), np.int64), ends, _NOTHING[0])
        pairs += int(ends.sum())
    for epoch in sorted({*recounted, *counts.popularity.holders}):
        found = recounted.get(epoch, np.zeros(known, np.int64))
        stored = counts.popularity.epoch(epoch)[0][:known]
        findings.compared["holder counts"] += int(np.count_nonzero(found | stored))
        for item in np.flatnonzero(found != stored).tolist():
            findings.differ(
                f"holders of item {counts.names.text(item)!r} first bought in epoch {epoch}: "
                f"{stored[item]} counted, {found[item]} in the histories"
            )
    if holding != counts.holding:
        findings.differ(
            f"{counts.settings.pairs}s holding anything: {counts.holding} counted, {holding} in the histories"
        )
    return pairs


def _compare_rows(counts: CountStore, stored: dict[int, Any], recounted: _Rows, findings: Findings) -> None:
    for epoch in sorted(stored.keys() | recounted.keys()):
        keys, totals = stored.get(epoch, _NOTHING)
        keys = items_of(keys >> np.uint64(32)).astype(np.uint64) << np.uint64(32) | keys & np.uint64(0xFFFFFFFF)
        right_keys, right = recounted.get(epoch, _NOTHING)
        kind = "histogram buckets" if epoch == EXPOSURES else "pair counts"
        findings.compared[kind] += len(right_keys)
        if np.array_equal(keys, right_keys) and np.array_equal(totals, right):  # one slice is stored by rising item
            continue
        mine = dict(zip(keys.tolist(), totals.tolist(), strict=True))
        theirs = dict(zip(right_keys.tolist(), right.tolist(), strict=True))
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key, 0) != theirs.get(key, 0):
                item, other = counts.names.text(key >> 32), key & 0xFFFFFFFF
                holder = counts.settings.pairs
                what = (
                    f"{_BUYERS[holder]} of {item!r} with exposure {_BUCKETS[other]}"
                    if epoch == EXPOSURES
                    else f"{holder}s with both {item!r} and {counts.names.text(other)!r} in epoch {epoch}"
                )
                findings.differ(f"{what}: {mine.get(key, 0)} counted, {theirs.get(key, 0)} in the histories")


def _compare_lists(
    counts: CountStore, related: RelatedStore, view: _Popularity, number: int, rows: _Rows, findings: Findings
) -> None:
    """Compare the published lists of a slice with lists made from the recounted rows."""
    ranked = _ranked(
        view, {epoch: row for epoch, row in rows.items() if epoch != EXPOSURES}, rows.get(EXPOSURES, _NOTHING)
    )
    known = np.flatnonzero(counts.owned[: len(counts.names)] & (view.purchases > 0))
    for item in known[slice_of(known) == number].tolist():
        findings.compared["related lists"] += 1
        stored = related.get(item)
        text = "missing" if stored is None else _list_difference(stored, view, ranked.of(item))
        if text:
            findings.differ(f"related list of {counts.names.text(item)!r}: {text}")


class _Popularity:
    """Chance and trend of every item, without half-life and with that of the blend's recent half."""

    def __init__(self, counts: CountStore) -> None:
        table, known = counts.popularity, len(counts.names)
        epochs = sorted(table.holders)
        holders = np.array([table.holders[epoch][:known] for epoch in epochs], np.float64).reshape(-1, known)
        bought = np.array([table.purchases[epoch][:known] for epoch in epochs], np.float64).reshape(-1, known)
        self.purchases = bought.sum(0)
        ages = epoch_of(table.newest_day) - np.array(epochs, np.float64)
        days = np.arange(max(table.newest_day - DAYS + 1, 0), table.newest_day + 1)
        weights = 0.5 ** ((table.newest_day - days) / 7)
        recent = weights @ np.array([table.days[day % DAYS][:known] for day in days], np.float64).reshape(-1, known)
        recent = recent / recent.sum() if recent.sum() else recent
        self.weights = {}
        self.chance = {}
        self.trend = {}
        for _, half_life in Scoring().components:
            weight = np.ones(len(epochs)) if half_life is None else 0.5 ** (EPOCH_DAYS * ages / half_life)
            self.weights[half_life] = dict(zip(epochs, weight.tolist(), strict=True))
            self.chance[half_life] = _share(weight @ holders)
            self.trend[half_life] = (recent + 1e-7) / (_share(weight @ bought) + 1e-6)


def _share(totals: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return totals / totals.sum() if totals.sum() > 0 else totals


class _Ranked(NamedTuple):
    """What the recounted rows say of every neighbour of some items: k pairs."""

    keys: npt.NDArray[np.uint64]
    """(k,) item << 32 | neighbour, rising."""
    score: npt.NDArray[np.float64]
    """(k,) of the default score."""
    together: npt.NDArray[np.float64]
    """(k,) customers who hold both."""
    expected: npt.NDArray[np.float64]
    """(k,) customers expected to."""

    def of(self, item: int) -> _Ranked:
        """Those of one item, its neighbours in place of the keys."""
        begin, end = np.searchsorted(self.keys, np.array([item << 32, (item + 1) << 32], np.uint64))
        here = slice(begin, end)
        keys = self.keys[here] & np.uint64(0xFFFFFFFF)
        return _Ranked(keys, self.score[here], self.together[here], self.expected[here])


def _ranked(
    view: _Popularity, rows: _Rows, histograms: tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]
) -> _Ranked:
    """Score every neighbour by the textbook formula."""
    keys, _ = _counted(np.concatenate([keys for keys, _ in rows.values()] or [_NOTHING[0]]))
    neighbour = (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
    items, starts, which = np.unique(keys >> np.uint64(32), return_index=True, return_inverse=True)
    of_item = np.append(starts, len(keys))
    of_buckets = np.searchsorted(histograms[0], np.stack([items, items + np.uint64(1)]) << np.uint64(32))
    exposures = _BUCKETS[(histograms[0] & np.uint64(0xFFFFFFFF)).astype(np.int64)]
    places = {epoch: np.searchsorted(keys, row) for epoch, (row, _) in rows.items()}
    pairs = np.bincount(which, _sums(rows, places, dict.fromkeys(rows, 1.0), len(keys)), len(items))
    score = np.zeros(len(keys))
    columns = []
    for _, half_life in Scoring().components:
        together = _sums(rows, places, view.weights[half_life], len(keys))
        scale = np.bincount(which, together, len(items)) / np.maximum(pairs, 1)
        chance = view.chance[half_life][neighbour]
        expected = scale[which] * _chance_to_buy(exposures, histograms[1], of_buckets, chance, of_item)
        difference = (together - expected) * view.trend[half_life][neighbour]
        mass = _mass(difference, of_item)[which]
        score += np.where(mass > 0, 0.5 * difference / np.sqrt(np.where(mass > 0, mass, 1)), 0.0)
        columns.append((together, expected))
    return _Ranked(keys, score, *columns[[half_life for _, half_life in Scoring().components].index(None)])


def _sums(
    rows: _Rows, places: dict[int, npt.NDArray[np.int64]], weights: dict[int, float], pairs: int
) -> npt.NDArray[np.float64]:
    """(pairs,) weighted sums of the epochs' counts."""
    total = np.zeros(pairs)
    for epoch, (_, how_often) in rows.items():
        total[places[epoch]] += weights[epoch] * how_often
    return total


def _list_difference(stored: StoredList, view: _Popularity, ranked: _Ranked) -> str:
    """How a published list differs from the one sorted from all neighbours of its item; empty if it does not."""
    neighbours, total, together, expected = ranked
    best = np.sort(total[total > 0])[::-1][:_LIST]
    tolerance = 1e-9 * max(1.0, float(best[0])) if len(best) else 1e-9
    if abs(len(best) - len(stored.item)) > np.count_nonzero(np.abs(total) < tolerance):
        return f"{len(stored.item)} entries, {len(best)} by the counts"
    shared = min(len(best), len(stored.score))
    place = np.searchsorted(neighbours, stored.item.astype(np.uint64))
    if (place == len(neighbours)).any() or (neighbours[place] != stored.item).any():
        return "it names an item that is not a neighbour"
    wrong = np.abs(stored.score - total[place]) > tolerance
    wrong[:shared] |= np.abs(stored.score[:shared] - best[:shared]) > tolerance
    wrong |= np.abs(stored.together - together[place]) > 0
    wrong |= np.abs(stored.expected - expected[place]) > 1e-9 * np.maximum(1.0, stored.expected)
    wrong |= np.abs(stored.trend / view.trend[None][stored.item] - 1) > 1e-9
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        return f"entry {first + 1} has score {stored.score[first]:.6g}, the counts say {total[place[first]]:.6g}"
    return ""


@compiled_nogil
def _mass(score: npt.NDArray[np.float64], of_item: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(n,) what the positive scores of each item's list add up to; `of_item`, (n + 1,), bounds its neighbours."""
    mass = np.zeros(len(of_item) - 1)
    for item in range(len(mass)):
        scores = score[of_item[item] : of_item[item + 1]]
        scores = scores[scores > 0]
        if len(scores) > _LIST:
            scores = np.partition(scores, len(scores) - _LIST)[-_LIST:]
        mass[item] = scores.sum()
    return mass


@compiled_nogil
def _chance_to_buy(
    exposures: npt.NDArray[np.int64],
    buyers: npt.NDArray[np.int64],
    of_buckets: npt.NDArray[np.int64],
    chance: npt.NDArray[np.float64],
    of_item: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """(k,) how many of an item's buyers would buy each neighbour by chance: the sum of 1 - (1 - p)^exposure.

    Args:
        exposures: (m,) rising for each item.
        buyers: (m,) how many have each exposure.
        of_buckets: (2, n) where the exposures of the n items begin and end.
        chance: (k,) p, the chance that one purchase is of the neighbour.
        of_item: (n + 1,) bounds of the items' neighbours.
    """
    total = np.zeros(len(chance))
    bought = np.zeros(len(chance))  # 1 - (1 - p)^purchases, one purchase at a time, so that nothing cancels out
    for item in range(len(of_item) - 1):
        here = slice(of_item[item], of_item[item + 1])
        p, enough, sums = chance[here], bought[here], total[here]
        purchases = 0
        for bucket in range(of_buckets[0, item], of_buckets[1, item]):
            while purchases < exposures[bucket]:
                for pair in range(len(p)):
                    enough[pair] += p[pair] * (1 - enough[pair])
                purchases += 1
            for pair in range(len(p)):
                sums[pair] += buyers[bucket] * enough[pair]
    return total
