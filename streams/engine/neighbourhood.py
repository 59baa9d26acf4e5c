"""The neighbourhood of one item: its rows added up and its histogram read, straight from how they are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled
from state.count_rows import read_varint

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.count_rows import Addends
    from streams.engine.relatedness import Floats

_NOTHING = np.int64(1 << 40)


class Neighbourhood(NamedTuple):
    """One item's neighbours while its list is made; (c, items) arrays go by place among the neighbours."""

    sums: Floats
    """(items, 2) where rows are added up, by item number; zeros in between."""
    neighbours: npt.NDArray[np.uint64]
    """(items + 1,) the neighbours' numbers; unsigned, as an index that need not be checked for being negative."""
    together: Floats
    """(c, items) N."""
    bounds: Floats
    """(c, items) the most each neighbour's score can be; the score itself once evaluated."""
    evaluated: npt.NDArray[np.bool_]
    """(c, items)"""
    leaders: npt.NDArray[np.int64]
    """(c, groups) place of the neighbour with the greatest bound in each of some groups."""
    scale: Floats
    """(c,) what E is multiplied by: the share of the item's pairs that the half-life leaves."""
    exposures: npt.NDArray[np.int64]
    buyers: Floats
    lanes: Floats
    """(4, LANES) room to evaluate expectations in."""


@compiled
def read_exposures(
    item: Neighbourhood,
    row: int,
    row_key: int,
    addends: Addends,
    cursor: npt.NDArray[np.int64],
    buckets: npt.NDArray[np.int64],
) -> int:
    """Read an item's histogram; return how many buckets are filled."""
    last = len(cursor) - 1
    at, end = addends.begin[last, row], addends.end[last, row]
    change, change_end = cursor[last], addends.start[last + 1]
    while change < change_end and addends.keys[change] >> np.uint64(32) < row_key:
        change += 1
    bucket = np.int64(-1)
    filled = 0
    customers = np.int64(0)
    waiting = False
    while True:
        if not waiting and at < end:
            gap, at = read_varint(addends.blob, at)
            bucket += (gap >> 1) + 1
            customers = np.int64(1)
            if gap & 1:
                customers, at = read_varint(addends.blob, at)
                customers += 2
            waiting = True
        changed = change < change_end and addends.keys[change] >> np.uint64(32) == row_key
        if not waiting and not changed:
            break
        changed_bucket = np.int64(addends.keys[change] & np.uint64(0xFFFFFFFF)) if changed else np.int64(1) << 40
        if waiting and bucket < changed_bucket:
            item.exposures[filled], item.buyers[filled] = buckets[bucket], customers
            waiting = False
        elif waiting and bucket == changed_bucket:
            item.exposures[filled], item.buyers[filled] = buckets[bucket], customers + addends.changes[change]
            waiting = False
            change += 1
        else:
            item.exposures[filled], item.buyers[filled] = buckets[changed_bucket], addends.changes[change]
            change += 1
        if item.buyers[filled] != 0:
            filled += 1
    cursor[last] = change
    return filled


@compiled
def add_rows(
    item: Neighbourhood,
    row: int,
    row_key: int,
    addends: Addends,
    cursor: npt.NDArray[np.int64],
    weights: Floats,
) -> int:
    """Add up an item's rows, those on disk merged with the changes that wait; return how many neighbours it has.

    Counts of an epoch are summed as integers before they are weighed, so that the floats do not tell which were
    written already.
    """
    parts = len(weights)
    count = 0
    total = np.int64(0)
    item.scale[:] = 0.0
    for epoch in range(len(cursor) - 1):
        at, end = addends.begin[epoch, row], addends.end[epoch, row]
        change, change_end = cursor[epoch], addends.start[epoch + 1]
        while change < change_end and addends.keys[change] >> np.uint64(32) < row_key:
            change += 1
        weight, other_weight = weights[0, epoch], weights[parts - 1, epoch]
        until = change
        while until < change_end and addends.keys[until] >> np.uint64(32) == row_key:
            until += 1
        if until == change:
            count, pairs = _add_row(addends.blob, at, end, item, count, weight, other_weight)
        else:
            count, pairs = _add_changed_row(addends, at, end, change, until, item, count, weight, other_weight)
        change = until
        cursor[epoch] = change
        total += pairs
        for part in range(parts):
            item.scale[part] += weights[part, epoch] * pairs
    for part in range(parts):
        item.scale[part] = item.scale[part] / total if total > 0 else 0.0
    return count


@compiled
def _add_row(
    blob: npt.NDArray[np.uint8],
    begin: int,
    end: int,
    item: Neighbourhood,
    count: int,
    weight: float,
    other_weight: float,
) -> tuple[int, int]:
    """Add up an encoded row; return how many neighbours there are by now, and the row's pairs.

    The innermost loop of a list. Its integers are unsigned, since numba checks each signed index for being negative:
    half the time.
    """
    sums, neighbours = item.sums, item.neighbours
    one, seven, low, more = np.uint64(1), np.uint64(7), np.uint64(127), np.uint64(128)
    at, last, found, other = np.uint64(begin), np.uint64(end), np.uint64(count), np.uint64(0)
    pairs = np.uint64(0)
    while at < last:
        byte = np.uint64(blob[at])
        gap = byte & low
        at += one
        shift = seven
        while byte >= more:
            byte = np.uint64(blob[at])
            gap |= (byte & low) << shift
            at += one
            shift += seven
        other += gap >> one
        customers = one
        if gap & one:
            byte = np.uint64(blob[at])
            customers = byte & low
            at += one
            shift = seven
            while byte >= more:
                byte = np.uint64(blob[at])
                customers |= (byte & low) << shift
                at += one
                shift += seven
            customers += np.uint64(2)
        before = sums[other, 0]
        neighbours[found] = other
        if before == 0.0:
            found += one
        sums[other, 0] = before + weight * np.float64(customers)
        sums[other, 1] += other_weight * np.float64(customers)
        pairs += customers
        other += one
    return np.int64(found), np.int64(pairs)


@compiled
def _add_changed_row(
    addends: Addends,
    at: int,
    end: int,
    change: int,
    until: int,
    item: Neighbourhood,
    count: int,
    weight: float,
    other_weight: float,
) -> tuple[int, int]:
    """Add up an encoded row merged with the changes `change` up to `until`; return what `_add_row` does."""
    other = np.int64(-1)
    customers = np.int64(0)
    pairs = np.int64(0)
    waiting = False
    while at < end or waiting or change < until:
        if not waiting and at < end:
            gap, at = read_varint(addends.blob, at)
            other += (gap >> 1) + 1
            customers = np.int64(1)
            if gap & 1:
                customers, at = read_varint(addends.blob, at)
                customers += 2
            waiting = True
        changed = np.int64(addends.keys[change] & np.uint64(0xFFFFFFFF)) if change < until else _NOTHING
        neighbour = other if waiting and other <= changed else changed
        together = np.int64(0)
        if neighbour == changed:
            together += addends.changes[change]
            change += 1
        if waiting and neighbour == other:
            together += customers
            waiting = False
        if together == 0:
            continue
        if item.sums[neighbour, 0] == 0.0:
            item.neighbours[count] = np.uint64(neighbour)
            count += 1
        item.sums[neighbour, 0] += weight * together
        item.sums[neighbour, 1] += other_weight * together
        pairs += together
    return count, pairs
