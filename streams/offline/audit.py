"""An independent recount from the histories: every pair count, exposure histogram, holder count and related list.

Nothing here is shared with the incremental path but the stores it reads: pairs are found by comparing each history with
itself shifted, expectations by the textbook formula, lists by sorting all neighbours.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.count_rows import EXPOSURES, bucket_exposures, bucket_of, items_of, slice_of
from state.journal import SLICES
from state.popularity_table import DAYS
from streams.engine.epochs import EPOCH_DAYS, EPOCH_MS, epoch_of
from streams.engine.scores import DEFAULT_SCORE, Scoring

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from state.count_store import CountStore
    from state.history_store import HistoryStore
    from state.related_store import RelatedStore, StoredList
    from streams.engine.embedded import Embedded

    _Rows = dict[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]
    """Epoch -> item << 32 | neighbour (of EXPOSURES: bucket), rising, and how often."""

_SHOWN = 20
_SLICES_AT_ONCE = 8
_BUCKETS = bucket_exposures(500).astype(np.float64)
_NOTHING = np.zeros(0, np.uint64), np.zeros(0, np.int64)


class Histories(NamedTuple):
    """All histories end to end, each by rising seq: k entries."""

    customer: npt.NDArray[np.int64]
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


def audit(embedded: Embedded, findings: Findings) -> Iterator[float]:
    """Recount everything and compare; yields the fraction done."""
    window = embedded.settings.pair_window
    partitions = len(embedded.counts)
    for place, (counts, related) in enumerate(zip(embedded.counts, embedded.related, strict=True)):
        histories = _histories(embedded.histories, counts)
        _compare_holders(counts, histories, findings)
        exposures = _exposures(histories, window)
        lists_current = related.score == DEFAULT_SCORE and related.exact_as_of == counts.purchases_offset_sum
        for first in range(0, SLICES, _SLICES_AT_ONCE):
            slices = range(first, min(first + _SLICES_AT_ONCE, SLICES))
            recounted = _pairs(counts, histories, window, slices)
            recounted[EXPOSURES] = _histograms(counts, histories, exposures, slices)
            for number in slices:
                rows = _of_slice(recounted, number)
                _compare_rows(counts, counts.slice_rows(number), rows, findings)
                if lists_current:
                    _compare_lists(counts, related, number, rows, findings)
                yield (place + (number + 1) / SLICES) / partitions


def _histories(store: HistoryStore, counts: CountStore) -> Histories:
    """Every history, with items as the count store numbers them."""
    numbers = np.array([counts.names.get(item, -1) for _, item in store.items.every()], np.int64)
    parts: list[tuple[Any, ...]] = []
    for customer, items, entries in store.histories():
        if len(items):
            parts.append((np.full(len(items), customer), entries["seq"], numbers[items], entries["first"] // EPOCH_MS))
    columns = [np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True)]
    return Histories(*(columns or [np.zeros(0, np.int64)] * 4))


def _shifted(histories: Histories, window: int) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Places of earlier and later entries of one customer within the window, for every distance between them."""
    for distance in range(1, len(histories.seq)):
        near = histories.customer[distance:] == histories.customer[:-distance]
        if not near.any():
            return
        if window:
            near &= histories.seq[distance:] - histories.seq[:-distance] <= window
            if not near.any():
                return
        earlier = np.flatnonzero(near)
        yield earlier, earlier + distance


def _exposures(histories: Histories, window: int) -> npt.NDArray[np.int64]:
    """(k,) the exposure of each entry."""
    exposures = np.zeros(len(histories.seq), np.int64)
    for earlier, later in _shifted(histories, window):
        exposures[earlier] += 1
        exposures[later] += 1
    return exposures


def _pairs(counts: CountStore, histories: Histories, window: int, slices: range) -> _Rows:
    """How often each item of the partition's own in `slices` is held with each neighbour, by epoch."""
    wanted = _wanted(counts, histories, slices)
    found: dict[int, list[npt.NDArray[np.uint64]]] = {}
    for earlier, later in _shifted(histories, window):
        epoch = np.maximum(histories.epoch[earlier], histories.epoch[later])
        for mine, other in ((earlier, later), (later, earlier)):
            here = wanted[mine]
            keys = histories.item[mine[here]] << 32 | histories.item[other[here]]
            for when, part in _by_epoch(epoch[here], keys.astype(np.uint64)):
                found.setdefault(when, []).append(part)
    return {when: np.unique(np.concatenate(parts), return_counts=True) for when, parts in found.items()}


def _by_epoch(
    epochs: npt.NDArray[np.int64], keys: npt.NDArray[np.uint64]
) -> Iterator[tuple[int, npt.NDArray[np.uint64]]]:
    order = np.argsort(epochs.astype(np.uint16), kind="stable")
    bounds = np.flatnonzero(np.diff(epochs[order], prepend=-1, append=-1))
    for begin, end in itertools.pairwise(bounds.tolist()):
        yield int(epochs[order[begin]]), keys[order[begin:end]]


def _wanted(counts: CountStore, histories: Histories, slices: range) -> npt.NDArray[np.bool_]:
    """(k,) whether each entry's item is the partition's own and in `slices`."""
    known = len(counts.names)
    slice_numbers = slice_of(np.arange(known))
    own = counts.owned[:known] & (slice_numbers >= slices.start) & (slice_numbers < slices.stop)
    chosen: npt.NDArray[np.bool_] = own[histories.item]
    return chosen


def _histograms(
    counts: CountStore, histories: Histories, exposures: npt.NDArray[np.int64], slices: range
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """How many hold each item of the partition's own in `slices` with an exposure in each bucket."""
    entries = _wanted(counts, histories, slices)
    buckets = np.array([bucket_of(exposure) for exposure in range(int(exposures.max(initial=0)) + 1)])
    keys = histories.item[entries] << 32 | buckets[exposures[entries]]
    return np.unique(keys.astype(np.uint64), return_counts=True)


def _of_slice(rows: _Rows, number: int) -> _Rows:
    """Those of one slice."""
    chosen = {}
    for epoch, (keys, how_often) in rows.items():
        here = slice_of(keys >> np.uint64(32)) == number
        if here.any():
            chosen[epoch] = keys[here], how_often[here]
    return chosen


def _compare_holders(counts: CountStore, histories: Histories, findings: Findings) -> None:
    known = len(counts.names)
    for epoch in sorted({*np.unique(histories.epoch).tolist(), *counts.popularity.holders}):
        recounted = np.bincount(histories.item[histories.epoch == epoch], minlength=known)
        stored = counts.popularity.epoch(epoch)[0][:known]
        findings.compared["holder counts"] += int(np.count_nonzero(recounted | stored))
        for item in np.flatnonzero(recounted != stored).tolist():
            findings.differ(
                f"holders of item {counts.names.text(item)!r} first bought in epoch {epoch}: "
                f"{stored[item]} counted, {recounted[item]} in the histories"
            )
    customers = len(np.unique(histories.customer))
    if customers != counts.holding:
        findings.differ(f"customers who hold anything: {counts.holding} counted, {customers} in the histories")


def _compare_rows(counts: CountStore, stored: dict[int, Any], recounted: _Rows, findings: Findings) -> None:
    for epoch in sorted(stored.keys() | recounted.keys()):
        keys, totals = stored.get(epoch, _NOTHING)
        keys = items_of(keys >> np.uint64(32)).astype(np.uint64) << np.uint64(32) | keys & np.uint64(0xFFFFFFFF)
        right_keys, right = recounted.get(epoch, _NOTHING)
        kind = "histogram buckets" if epoch == EXPOSURES else "pair counts"
        findings.compared[kind] += len(right_keys)
        if len(keys) == len(right_keys):
            order = np.argsort(keys)
            if (keys[order] == right_keys).all() and (totals[order] == right).all():
                continue
        mine = dict(zip(keys.tolist(), totals.tolist(), strict=True))
        theirs = dict(zip(right_keys.tolist(), right.tolist(), strict=True))
        for key in sorted(mine.keys() | theirs.keys()):
            if mine.get(key, 0) != theirs.get(key, 0):
                item, other = counts.names.text(key >> 32), key & 0xFFFFFFFF
                what = (
                    f"buyers of {item!r} with exposure {_BUCKETS[other]:.0f}"
                    if epoch == EXPOSURES
                    else f"customers with both {item!r} and {counts.names.text(other)!r} in epoch {epoch}"
                )
                findings.differ(f"{what}: {mine.get(key, 0)} counted, {theirs.get(key, 0)} in the histories")


def _compare_lists(counts: CountStore, related: RelatedStore, number: int, rows: _Rows, findings: Findings) -> None:
    """Compare the published lists of a slice with lists made from the recounted rows."""
    view = _Popularity(counts)
    known = np.flatnonzero(counts.owned[: len(counts.names)] & (view.purchases > 0))
    epochs = sorted(epoch for epoch in rows if epoch != EXPOSURES)
    for item in known[slice_of(known) == number].tolist():
        findings.compared["related lists"] += 1
        stored = related.get(item)
        name = counts.names.text(item)
        if stored is None:
            findings.differ(f"related list of {name!r}: missing")
            continue
        by_epoch = [(epoch, *_row(rows, epoch, item)) for epoch in epochs]
        text = _list_difference(stored, view, by_epoch, _row(rows, EXPOSURES, item))
        if text:
            findings.differ(f"related list of {name!r}: {text}")


def _row(rows: _Rows, epoch: int, item: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    keys, counts = rows.get(epoch, _NOTHING)
    begin, end = np.searchsorted(keys, np.array([item << 32, (item + 1) << 32], np.uint64))
    return (keys[begin:end] & np.uint64(0xFFFFFFFF)).astype(np.int64), counts[begin:end]


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


def _list_difference(
    stored: StoredList,
    view: _Popularity,
    by_epoch: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.int64]]],
    histogram: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> str:
    """How a published list differs from the one sorted from all neighbours; empty if it does not."""
    neighbours = np.sort(np.concatenate([others for _, others, _ in by_epoch] or [np.zeros(0, np.int64)]))
    neighbours = neighbours[np.diff(neighbours, prepend=-1) > 0]  # np.unique takes six times as long
    places = [np.searchsorted(neighbours, others) for _, others, _ in by_epoch]
    total = np.zeros(len(neighbours))
    columns = {}
    pairs = sum(int(counts.sum()) for _, _, counts in by_epoch)
    buckets, buyers = histogram
    for _, half_life in Scoring().components:
        weights = view.weights[half_life]
        together = np.zeros(len(neighbours))
        for where, (epoch, _, counts) in zip(places, by_epoch, strict=True):
            together[where] += weights[epoch] * counts
        scale = sum(weights[epoch] * int(counts.sum()) for epoch, _, counts in by_epoch) / max(pairs, 1)
        chance = view.chance[half_life][neighbours]
        missed = np.exp(np.outer(_BUCKETS[buckets], np.log1p(-np.minimum(chance, 1 - 1e-16))))
        expected = scale * (buyers @ (1 - missed))
        score = (together - expected) * view.trend[half_life][neighbours]
        mass = np.sort(score[score > 0])[::-1][:50].sum()
        total += 0.5 * score / np.sqrt(mass) if mass > 0 else 0.0
        columns[half_life] = together, expected
    best = np.sort(total[total > 0])[::-1][:50]
    tolerance = 1e-9 * max(1.0, float(best[0])) if len(best) else 1e-9
    if abs(len(best) - len(stored.item)) > np.count_nonzero(np.abs(total) < tolerance):
        return f"{len(stored.item)} entries, {len(best)} by the counts"
    shared = min(len(best), len(stored.score))
    place = np.searchsorted(neighbours, stored.item)
    if (place == len(neighbours)).any() or (neighbours[place] != stored.item).any():
        return "it names an item that is not a neighbour"
    wrong = np.abs(stored.score - total[place]) > tolerance
    wrong[:shared] |= np.abs(stored.score[:shared] - best[:shared]) > tolerance
    wrong |= np.abs(stored.together - columns[None][0][place]) > 0
    wrong |= np.abs(stored.expected - columns[None][1][place]) > 1e-9 * np.maximum(1.0, stored.expected)
    wrong |= np.abs(stored.trend / view.trend[None][stored.item] - 1) > 1e-9
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        return f"entry {first + 1} has score {stored.score[first]:.6g}, the counts say {total[place[first]]:.6g}"
    return ""
