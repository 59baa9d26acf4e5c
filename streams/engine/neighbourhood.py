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

_NOTHING = np.int64(1 << 40)  # above every neighbour's number


class Neighbourhood(NamedTuple):
    """Scratch for the list of one item after another: its neighbours, by their index, under c components.

    `items` is how many items are numbered; an item's neighbours fill the front of each array that goes by index.
    """

    sums: Floats
    """(items, 2) by item number: where rows are added up, one column for each component; zeros between items."""
    neighbours: npt.NDArray[np.uint64]
    """(items + 1,) by index: the neighbours' numbers; unsigned, since indices need no check for being negative then."""
    together: Floats
    """(c, items) by index: N, customers who hold both, weighted."""
    bounds: Floats
    """(c, items) by index: the most that each neighbour's score can be; the score itself once it is evaluated."""
    evaluated: npt.NDArray[np.bool_]
    """(c, items) by index."""
    leaders: npt.NDArray[np.int64]
    """(groups,) index of the neighbour with the greatest bound in each group."""
    scale: Floats
    """(c,) in [0, 1]: what E is multiplied by, the weighted part of the item's pairs."""
    exposures: npt.NDArray[np.int64]
    """(b,) exposure of each filled bucket of the item's histogram, rising."""
    buyers: Floats
    """(b,) the item's buyers in each of them."""
    lanes: Floats
    """(4, LANES) for `expect`."""


@compiled
def read_exposures(
    scratch: Neighbourhood,
    row: int,
    row_key: int,
    addends: Addends,
    cursor: npt.NDArray[np.int64],
    bucket_exposures: npt.NDArray[np.int64],
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
        exposure_bucket, buyers = changed_bucket, np.int64(0)
        if waiting and bucket <= changed_bucket:
            exposure_bucket, buyers = bucket, customers
            waiting = False
        if changed and changed_bucket == exposure_bucket:
            buyers += addends.changes[change]
            change += 1
        scratch.exposures[filled], scratch.buyers[filled] = bucket_exposures[exposure_bucket], buyers
        if scratch.buyers[filled] != 0:
            filled += 1
    cursor[last] = change
    return filled


@compiled
def add_rows(
    scratch: Neighbourhood,
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
    width = len(weights)
    count = 0
    total = np.int64(0)
    scratch.scale[:] = 0.0
    for epoch in range(len(cursor) - 1):
        at, end = addends.begin[epoch, row], addends.end[epoch, row]
        change, change_end = cursor[epoch], addends.start[epoch + 1]
        while change < change_end and addends.keys[change] >> np.uint64(32) < row_key:
            change += 1
        weight, other_weight = weights[0, epoch], weights[width - 1, epoch]
        until = change
        while until < change_end and addends.keys[until] >> np.uint64(32) == row_key:
            until += 1
        if until == change:
            count, pairs = _add_row(addends.blob, at, end, scratch, count, weight, other_weight)
        else:
            count, pairs = _add_changed_row(addends, at, end, change, until, scratch, count, weight, other_weight)
        change = until
        cursor[epoch] = change
        total += pairs
        for component in range(width):
            scratch.scale[component] += weights[component, epoch] * pairs
    for component in range(width):
        scratch.scale[component] = scratch.scale[component] / total if total > 0 else 0.0
    return count


@compiled
def _add_row(
    blob: npt.NDArray[np.uint8],
    begin: int,
    end: int,
    scratch: Neighbourhood,
    count: int,
    weight: float,
    other_weight: float,
) -> tuple[int, int]:
    """Add up an encoded row; return how many neighbours there are by now, and the row's pairs.

    The innermost loop of a list. Its integers are unsigned, since numba checks each signed index for being negative:
    half the time.
    """
    sums, neighbours = scratch.sums, scratch.neighbours
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
    scratch: Neighbourhood,
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
        if scratch.sums[neighbour, 0] == 0.0:
            scratch.neighbours[count] = np.uint64(neighbour)
            count += 1
        scratch.sums[neighbour, 0] += weight * together
        scratch.sums[neighbour, 1] += other_weight * together
        pairs += together
    return count, pairs
