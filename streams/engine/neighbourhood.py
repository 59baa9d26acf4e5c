"""The neighbourhood of one item: the sum of its rows, and its exposure histogram, read from their stored encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from state.compiled import compiled
from state.count_rows import read_varint

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.count_rows import Addends
    from streams.engine.relatedness import Floats

_NO_NEIGHBOUR = np.int64(1 << 40)  # above every neighbour's number


class Neighbourhood(NamedTuple):
    """Scratch for ranking one item at a time: its neighbours under c components.

    `items` is how many items are numbered. An item's neighbours have indices from 0 on, and fill the front of the
    arrays that are by index.
    """

    sums: Floats
    """(items, 2) by item number: sums of rows, a column for each component; zeros between items."""
    neighbours: npt.NDArray[np.uint64]
    """(items + 1,) by index: the neighbours' numbers; unsigned, so that numba does not check for negative indices."""
    together: Floats
    """(c, items) by index: N, customers who hold both, weighted."""
    bounds: Floats
    """(c, items) by index: an upper bound of each neighbour's score; the score itself once it is evaluated."""
    evaluated: npt.NDArray[np.bool_]
    """(c, items) by index: whether the score is evaluated."""
    leaders: npt.NDArray[np.int64]
    """(groups,) index of the neighbour with the greatest bound in each group."""
    scale: Floats
    """(c,) in [0, 1]: factor of E, the sum of the item's weighted pairs divided by the sum of its pairs."""
    exposures: npt.NDArray[np.int64]
    """(b,) exposure of each filled bucket of the item's histogram, rising."""
    buyers: Floats
    """(b,) the item's buyers in each of them."""
    lanes: Floats
    """(4, LANES) scratch of `relatedness.expect`."""


@compiled
def read_exposures(
    scratch: Neighbourhood,
    row: int,
    row_key: int,
    addends: Addends,
    cursor: npt.NDArray[np.int64],
    bucket_exposures: npt.NDArray[np.int64],
) -> int:
    """Read an item's exposure histogram, merging the one on disk with its waiting changes.

    Args:
        scratch: set are `exposures` and `buyers`.
        row: index of the item among those of `addends`.
        row_key: its row key.
        addends: the rows.
        cursor: (epochs + 1,) index of the first change not yet passed, in each epoch; moved on.
        bucket_exposures: (b,) exposure of each bucket.

    Returns:
        The number of filled buckets.
    """
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
    """Add up an item's rows, merging those on disk with their waiting changes; return the number of neighbours.

    Counts of an epoch are summed as integers before they are weighted, so that the floats do not depend on which
    changes are already on disk.
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
        row_change_end = change
        while row_change_end < change_end and addends.keys[row_change_end] >> np.uint64(32) == row_key:
            row_change_end += 1
        if row_change_end == change:
            count, pairs = _add_row(addends.blob, at, end, scratch, count, weight, other_weight)
        else:
            count, pairs = _add_changed_row(
                addends, at, end, change, row_change_end, scratch, count, weight, other_weight
            )
        change = row_change_end
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
    """Add up an encoded row; return the number of neighbours so far, and the sum of the row's counts.

    The innermost loop of ranking. Its integers are unsigned, because numba checks signed indices for being negative,
    which would take half the time.
    """
    sums, neighbours = scratch.sums, scratch.neighbours
    one, seven, low_bits, continues = np.uint64(1), np.uint64(7), np.uint64(127), np.uint64(128)
    at, last, found, other = np.uint64(begin), np.uint64(end), np.uint64(count), np.uint64(0)
    pairs = np.uint64(0)
    while at < last:
        byte = np.uint64(blob[at])
        gap = byte & low_bits
        at += one
        shift = seven
        while byte >= continues:
            byte = np.uint64(blob[at])
            gap |= (byte & low_bits) << shift
            at += one
            shift += seven
        other += gap >> one
        customers = one
        if gap & one:
            byte = np.uint64(blob[at])
            customers = byte & low_bits
            at += one
            shift = seven
            while byte >= continues:
                byte = np.uint64(blob[at])
                customers |= (byte & low_bits) << shift
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
    change_end: int,
    scratch: Neighbourhood,
    count: int,
    weight: float,
    other_weight: float,
) -> tuple[int, int]:
    """Add up an encoded row merged with the changes `change` to `change_end`; return the same as `_add_row`."""
    other = np.int64(-1)
    customers = np.int64(0)
    pairs = np.int64(0)
    waiting = False
    while at < end or waiting or change < change_end:
        if not waiting and at < end:
            gap, at = read_varint(addends.blob, at)
            other += (gap >> 1) + 1
            customers = np.int64(1)
            if gap & 1:
                customers, at = read_varint(addends.blob, at)
                customers += 2
            waiting = True
        changed = np.int64(addends.keys[change] & np.uint64(0xFFFFFFFF)) if change < change_end else _NO_NEIGHBOUR
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
