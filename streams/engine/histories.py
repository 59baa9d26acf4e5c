"""Orders -> changes of customers' histories, and the runs of pairs that come and go with them.

One pure step over arrays: given a history table and a stretch of orders, the table afterwards and what stage B needs to
know of it follow, and nothing else has a say. docs/definition.md defines the terms: history, seq, pair window,
exposure, return, duplicate, erasure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.orders import ERASE, PURCHASE
from state.compiled import compiled, compiled_nogil
from streams.engine.epochs import EPOCH_MS

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.history_table import HistoryArrays, HistoryTable

REMEMBERED_ORDERS = 64
"""Orders of a customer, the latest, among which duplicates are recognised."""

COUNTED, MERGED, DUPLICATE, NOT_HELD = 0, 1, 2, 3
"""What became of an order line: counted; part of a line before it that names the same item; seen before; a return of
something the customer does not hold."""


class NumberedOrders(NamedTuple):
    """The columns of `producers.orders.Orders` with customers and items as store numbers: m orders, n lines."""

    customer: npt.NDArray[np.uint32]
    time: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    key: npt.NDArray[np.uint64]
    start: npt.NDArray[np.int64]
    item: npt.NDArray[np.uint32]
    quantity: npt.NDArray[np.int64]


def selected(orders: NumberedOrders, here: npt.NDArray[np.bool_]) -> NumberedOrders:
    """The orders for which `here`, (m,), holds."""
    lengths = np.diff(orders.start)
    lines = np.repeat(here, lengths)
    return NumberedOrders(
        orders.customer[here],
        orders.time[here],
        orders.kind[here],
        orders.key[here],
        np.concatenate([[0], np.cumsum(lengths[here])]),
        orders.item[lines],
        orders.quantity[lines],
    )


class Runs(NamedTuple):
    """What came into or left a customer's window at once: r runs with k entries.

    A run has window items, whose exposure changes, and active items, which enter (sign 1) or leave (sign -1) the
    history; its entries stand in that order. Every active item pairs with the window items and with the active items
    before it that are within the pair window.
    """

    sign: npt.NDArray[np.int8]
    """(r,)"""
    window: npt.NDArray[np.int64]
    """(r,) window items of each run."""
    active: npt.NDArray[np.int64]
    """(r,) active items of each run."""
    item: npt.NDArray[np.uint32]
    """(k,)"""
    seq: npt.NDArray[np.int64]
    """(k,)"""
    epoch: npt.NDArray[np.int64]
    """(k,) epoch of the item's first purchase by this customer."""
    exposure: npt.NDArray[np.int64]
    """(k,) of a window item: its exposure before the run; of an active item 0, it follows from the run."""


class HistoryChanges(NamedTuple):
    """What a stretch of orders did."""

    status: npt.NDArray[np.uint8]
    """(n,) COUNTED, MERGED, DUPLICATE or NOT_HELD, of each line."""
    holding: int
    """By how much the number of customers who hold anything changed."""
    runs: Runs


def apply_orders(table: HistoryTable, orders: NumberedOrders, pair_window: int) -> HistoryChanges:
    """Carry `orders` into `table` and tell what changed.

    Args:
        table: the customers' histories; changed in place.
        orders: a stretch of the log, in log order.
        pair_window: the pair window W; 0: no limit.
    """
    lines = np.diff(orders.start)
    table.reserve(orders.customer, lines)
    erased = orders.kind == ERASE
    purchased = orders.kind == PURCHASE
    # the most that each order's runs can hold: its reach for each purchase order, and for each line of a return
    longest = table.history.length[orders.customer] + lines_before(orders.customer, lines) + lines
    reach = np.minimum(2 * pair_window, longest) if pair_window else longest
    stars = np.where(purchased, 1, lines)
    room = int((stars * (reach + 1)).sum()) + len(orders.item) + int(longest[erased].sum())
    most = int(stars.sum()) + int(erased.sum())
    runs = Runs(
        sign=np.empty(most, np.int8),
        window=np.empty(most, np.int64),
        active=np.empty(most, np.int64),
        item=np.empty(room, np.uint32),
        seq=np.empty(room, np.int64),
        epoch=np.empty(room, np.int64),
        exposure=np.empty(room, np.int64),
    )
    distinct, code = np.unique(orders.item, return_inverse=True)
    seen = np.full(len(distinct), -1, np.int64)
    status = np.zeros(len(orders.item), np.uint8)
    amount = orders.quantity.copy()
    run_count, entry_count, holding = _apply(table.arrays(), orders, pair_window, code, seen, amount, status, runs)
    return HistoryChanges(
        status,
        holding,
        Runs(
            runs.sign[:run_count],
            runs.window[:run_count],
            runs.active[:run_count],
            runs.item[:entry_count],
            runs.seq[:entry_count],
            runs.epoch[:entry_count],
            runs.exposure[:entry_count],
        ),
    )


def lines_before(customer: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(m,) lines of the orders of the same customer that stand before each order.

    >>> lines_before(np.array([7, 8, 7, 7], np.uint32), np.array([2, 5, 1, 3])).tolist()
    [0, 0, 2, 3]
    """
    order = np.argsort(customer, kind="stable")
    total = np.cumsum(lines[order]) - lines[order]
    first = np.flatnonzero(np.diff(customer[order], prepend=np.uint32(0)) != 0) if len(order) else order
    begins = np.zeros(len(order), np.int64)
    begins[first] = first
    before = np.empty(len(order), np.int64)
    before[order] = total - total[np.maximum.accumulate(begins)] if len(order) else total
    return before


@compiled_nogil
def _apply(
    table: HistoryArrays,
    orders: NumberedOrders,
    pair_window: int,
    code: npt.NDArray[np.int64],
    seen: npt.NDArray[np.int64],
    amount: npt.NDArray[np.int64],
    status: npt.NDArray[np.uint8],
    runs: Runs,
) -> tuple[int, int, int]:
    """Carry the orders in; return how many runs and entries were written, and the change in customers who hold."""
    run = 0
    entry = 0
    holding = 0
    for order in range(len(orders.customer)):
        customer = orders.customer[order]
        table.changed[customer] = True
        first = table.start[customer]
        before = table.length[customer]
        if orders.kind[order] == ERASE:
            if before > 0:
                entry = _emit(table, first, 0, 0, 0, before, before, pair_window, entry, runs)
                runs.sign[run], runs.window[run], runs.active[run] = -1, 0, before
                run += 1
                holding -= 1
            table.length[customer] = 0
            table.next_seq[customer] = 0
            table.order_length[customer] = 0
            table.orders[customer] = 0
            continue
        lo, hi = orders.start[order], orders.start[order + 1]
        for line in range(lo, hi):
            same = seen[code[line]]
            if same >= lo:
                amount[same] += amount[line]
                status[line] = MERGED
            else:
                seen[code[line]] = line
                status[line] = COUNTED
        known = _remembers(table, customer, orders.key[order])
        counted = 0
        for line in range(lo, hi):
            if status[line] != COUNTED:
                continue
            item = orders.item[line]
            if known and _remembers_line(table, customer, orders.key[order], item, orders.kind[order]):
                status[line] = DUPLICATE
                continue
            at = _find(table, first, table.length[customer], item)
            if orders.kind[order] == PURCHASE:
                counted += 1
                if at < 0:
                    at = first + table.length[customer]
                    table.item[at] = item
                    table.entry[at].seq = table.next_seq[customer]
                    table.entry[at].purchases = 1
                    table.entry[at].first = orders.time[order]
                    table.entry[at].last = orders.time[order]
                    table.entry[at].quantity = amount[line]
                    table.next_seq[customer] += 1
                    table.length[customer] += 1
                else:
                    table.entry[at].purchases += 1
                    table.entry[at].last = max(table.entry[at].last, orders.time[order])
                    table.entry[at].quantity += amount[line]
                continue
            if at < 0:
                status[line] = NOT_HELD
                continue
            counted += 1
            table.entry[at].quantity -= amount[line]
            if table.entry[at].quantity > 0:
                continue
            length = table.length[customer]
            place = at - first
            low, high = _reach(table, first, length, place, pair_window)
            runs.sign[run], runs.window[run], runs.active[run] = -1, high - low - 1, 1
            run += 1
            entry = _emit(table, first, low, place, place, place, length, pair_window, entry, runs)
            entry = _emit(table, first, place + 1, high, place, place, length, pair_window, entry, runs)
            entry = _emit(table, first, 0, 0, place, place + 1, length, pair_window, entry, runs)
            for later in range(at, first + length - 1):
                table.item[later] = table.item[later + 1]
                table.entry[later] = table.entry[later + 1]
            table.length[customer] = length - 1
            if length == 1:
                holding -= 1
        for line in range(lo, hi):
            if status[line] == MERGED and status[seen[code[line]]] != COUNTED:
                status[line] = status[seen[code[line]]]
        if orders.key[order] != 0 and counted > 0:
            if not known:
                _forget_oldest(table, customer)
            at = table.order_start[customer] + table.order_length[customer]
            for line in range(lo, hi):
                if status[line] == COUNTED:
                    table.order_key[at] = orders.key[order]
                    table.order_line[at] = (orders.item[line] << 1) | orders.kind[order]
                    at += 1
            table.order_length[customer] = at - table.order_start[customer]
        length = table.length[customer]
        if orders.kind[order] == PURCHASE and length > before:
            low = before
            new = np.int64(table.entry[first + before].seq)
            while low > 0 and (pair_window == 0 or new - np.int64(table.entry[first + low - 1].seq) <= pair_window):
                low -= 1
            runs.sign[run], runs.window[run], runs.active[run] = 1, before - low, length - before
            run += 1
            entry = _emit(table, first, low, before, before, length, before, pair_window, entry, runs)
            if before == 0:
                holding += 1
    return run, entry, holding


@compiled
def _find(table: HistoryArrays, first: int, length: int, item: int) -> int:
    """Where a history keeps an item, or -1; the latest first, since repeats tend to be recent."""
    for at in range(first + length - 1, first - 1, -1):
        if table.item[at] == item:
            return at
    return -1


@compiled
def _reach(table: HistoryArrays, first: int, length: int, place: int, pair_window: int) -> tuple[int, int]:
    """Bounds, within a history, of the entries within the pair window of the one at `place`, itself included."""
    if pair_window == 0:
        return 0, length
    seq = np.int64(table.entry[first + place].seq)
    low = place
    while low > 0 and seq - np.int64(table.entry[first + low - 1].seq) <= pair_window:
        low -= 1
    high = place + 1
    while high < length and np.int64(table.entry[first + high].seq) - seq <= pair_window:
        high += 1
    return low, high


@compiled
def _emit(
    table: HistoryArrays,
    first: int,
    window_low: int,
    window_high: int,
    active_low: int,
    active_high: int,
    length: int,
    pair_window: int,
    entry: int,
    runs: Runs,
) -> int:
    """Write a history's places `window_low:window_high` as window and `active_low:active_high` as active entries.

    `length` is the history's length for the exposures, which are those before the run.
    """
    low = 0
    high = 0
    for place in range(window_low, window_high):
        at = first + place
        if place == window_low:
            low, high = _reach(table, first, length, place, pair_window)
        elif pair_window > 0:
            seq = np.int64(table.entry[at].seq)
            while seq - np.int64(table.entry[first + low].seq) > pair_window:
                low += 1
            while high < length and np.int64(table.entry[first + high].seq) - seq <= pair_window:
                high += 1
        runs.item[entry] = table.item[at]
        runs.seq[entry] = table.entry[at].seq
        runs.epoch[entry] = table.entry[at].first // EPOCH_MS
        runs.exposure[entry] = high - low - 1
        entry += 1
    for place in range(active_low, active_high):
        at = first + place
        runs.item[entry] = table.item[at]
        runs.seq[entry] = table.entry[at].seq
        runs.epoch[entry] = table.entry[at].first // EPOCH_MS
        runs.exposure[entry] = 0
        entry += 1
    return entry


@compiled
def _remembers(table: HistoryArrays, customer: int, key: int) -> bool:
    """Whether an order with this key is among those remembered of the customer."""
    if key == 0:
        return False
    start = table.order_start[customer]
    for at in range(start, start + table.order_length[customer]):
        if table.order_key[at] == key:
            return True
    return False


@compiled
def _remembers_line(table: HistoryArrays, customer: int, key: int, item: int, kind: int) -> bool:
    """Whether the remembered order with this key has the line."""
    line = (item << 1) | kind
    start = table.order_start[customer]
    for at in range(start, start + table.order_length[customer]):
        if table.order_key[at] == key and table.order_line[at] == line:
            return True
    return False


@compiled
def _forget_oldest(table: HistoryArrays, customer: int) -> None:
    """Make room for one more order to remember."""
    if table.orders[customer] < REMEMBERED_ORDERS:
        table.orders[customer] += 1
        return
    start = table.order_start[customer]
    oldest = table.order_key[start]
    kept = start
    for at in range(start, start + table.order_length[customer]):
        if table.order_key[at] != oldest:
            table.order_key[kept] = table.order_key[at]
            table.order_line[kept] = table.order_line[at]
            kept += 1
    table.order_length[customer] = kept - start
