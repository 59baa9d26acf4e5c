"""Apply orders to customers' order lines, where pairs are of orders: each order is a history that is made at once.

The same step as `streams.engine.histories`, whose runs it makes: a run is of one order's lines, whose seqs are their
places in it. docs/definition.md defines which order a line belongs to, and which lines a return takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.orders import CONTINUED, ERASE, PURCHASE
from state.compiled import ZERO, compiled, compiled_nogil
from streams.engine.histories import (
    COUNTED,
    DUPLICATE,
    MERGED,
    NOT_HELD,
    REMEMBERED_ORDERS,
    HistoryChanges,
    NumberedOrders,
    applied,
    emit_bought,
    emit_erased,
    emit_returned,
    find,
    forget,
    forget_oldest,
    lines_before,
    merge_lines,
    remember,
    remembers,
    remembers_line,
    remove,
    settle_merged,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.history_table import HistoryArrays, HistoryTable


def apply_to_order_lines(table: HistoryTable, orders: NumberedOrders, pair_window: int) -> HistoryChanges:
    """Apply `orders` to `table`, whose pairs are of orders; the arguments are those of `apply_to_histories`."""
    lines = np.diff(orders.start)
    table.reserve(orders.customer, lines)
    kind = orders.kind & ~np.uint8(CONTINUED)
    # upper bounds: a purchase is one run, with the window of what it adds; a return takes a line from one order for
    # each unit at most, all of different orders; an erasure takes every line, in as many runs as there are orders
    longest = table.history.length[orders.customer] + lines_before(orders.customer, lines) + lines
    window = np.minimum(2 * pair_window, longest) if pair_window else longest
    order_of_line = np.repeat(np.arange(len(lines)), lines)
    returned = np.flatnonzero(kind[order_of_line] != PURCHASE)
    taken = np.minimum(orders.quantity[returned], longest[order_of_line[returned]])
    entries = np.minimum(taken * (window[order_of_line[returned]] + 1), longest[order_of_line[returned]])
    erased = int(longest[kind == ERASE].sum())
    purchases = kind == PURCHASE
    most_runs = int(purchases.sum() + taken.sum()) + erased
    most_entries = int(window[purchases].sum() + entries.sum()) + len(orders.item) + erased
    return applied(_apply, table, orders, pair_window, most_runs, most_entries)


@compiled_nogil
def _apply(
    table: HistoryArrays,
    orders: NumberedOrders,
    continued: npt.NDArray[np.bool_],
    pair_window: int,
    item_code: npt.NDArray[np.int64],
    line_of_item: npt.NDArray[np.int64],
    quantity: npt.NDArray[np.int64],
    changes: HistoryChanges,
) -> int:
    """Apply the orders to the table; arguments and result are those of the loop in `histories`."""
    status, runs = changes.status, changes.runs
    run = entry = ZERO
    for order in range(len(orders.customer)):
        customer = orders.customer[order]
        table.changed[customer] = True
        first = table.start[customer]
        if orders.kind[order] == ERASE:
            at = first
            end_of_lines = first + table.length[customer]
            while at < end_of_lines:
                end = _end_of_order(table, at, end_of_lines)
                entry = emit_erased(table, at, end - at, pair_window, run, entry, runs)
                run += 1
                changes.holding[order] -= 1
                at = end
            forget(table, customer)
            changes.run_ends[order] = run
            continue
        begin, end = orders.start[order], orders.start[order + 1]
        merge_lines(begin, end, item_code, line_of_item, quantity, status)
        key = orders.key[order]
        known = remembers(table, customer, key)
        # the lines of this order: those from index `low` up to `high` are there, and its new ones go behind them
        high = _behind_order(table, customer, key) if known else first + table.length[customer]
        low = high
        if known and high > first and table.entry[high - 1].key == key:
            low = _begin_of_order(table, first, high - 1)
        added = 0
        counted = 0
        for line in range(begin, end):
            if status[line] != COUNTED:
                continue
            item = orders.item[line]
            repeated = known and remembers_line(table, customer, key, item, orders.kind[order])
            if repeated and not continued[order]:
                status[line] = DUPLICATE
                continue
            if orders.kind[order] == PURCHASE:
                if repeated:  # merged into a line that was counted before
                    status[line] = MERGED
                    at = find(table, low, high - low, item)
                    if at >= 0:
                        table.entry[at].quantity += quantity[line]
                    continue
                counted += 1
                _insert(table, customer, low, high + added, item, key, orders.time[order], quantity[line])
                added += 1
                continue
            at = _line_to_take(table, first, table.length[customer], key, item)
            if at < 0:
                status[line] = MERGED if repeated else NOT_HELD
                continue
            counted += 1
            left = quantity[line]
            while left > 0 and at >= 0:
                units = np.int64(table.entry[at].quantity)
                table.entry[at].quantity = units - min(left, units)
                left -= min(left, units)
                if table.entry[at].quantity > 0:
                    break
                of_order = _begin_of_order(table, first, at)
                length = _end_of_order(table, at, first + table.length[customer]) - of_order
                entry = emit_returned(table, of_order, at - of_order, length, pair_window, run, entry, runs)
                run += 1
                remove(table, customer, at)
                if length == 1:
                    changes.holding[order] -= 1
                at = _line_to_take(table, first, table.length[customer], key, item)
        settle_merged(begin, end, item_code, line_of_item, status)
        if key != 0 and counted > 0:
            if not known:
                if table.order_count[customer] == REMEMBERED_ORDERS:
                    _clear_key(table, customer, table.order_key[table.order_start[customer]])
                forget_oldest(table, customer)
            remember(table, customer, orders, order, status)
        if added > 0:
            entry = emit_bought(table, low, high - low, high + added - low, pair_window, run, entry, runs)
            run += 1
            if low == high:
                changes.holding[order] += 1
        changes.run_ends[order] = run
    return run


@compiled
def _begin_of_order(table: HistoryArrays, first: int, at: int) -> int:
    """Index of the first line of the order that has line `at`; the customer's lines begin at `first`."""
    while at > first and table.entry[at - 1].order == table.entry[at].order:
        at -= 1
    return at


@compiled
def _end_of_order(table: HistoryArrays, at: int, end_of_lines: int) -> int:
    """Index behind the last line of the order that has line `at`; the customer's lines end at `end_of_lines`."""
    order = table.entry[at].order
    while at < end_of_lines and table.entry[at].order == order:
        at += 1
    return at


@compiled
def _behind_order(table: HistoryArrays, customer: int, key: int) -> int:
    """Index behind the last line of the remembered order with this key, or behind all lines if it holds none."""
    first = int(table.start[customer])
    end = first + int(table.length[customer])
    for at in range(end, first, -1):
        if table.entry[at - 1].key == key:
            return at
    return end


@compiled
def _line_to_take(table: HistoryArrays, first: int, length: int, key: int, item: int) -> int:
    """Index of the line from which a return takes first: that of its own order, else the latest one; -1: none."""
    latest = -1
    for at in range(first + length - 1, first - 1, -1):
        if table.item[at] == item:
            if key == 0 or table.entry[at].key == key:
                return at
            latest = at if latest < 0 else latest
    return latest


@compiled
def _insert(
    table: HistoryArrays, customer: int, low: int, at: int, item: int, key: int, time: int, quantity: int
) -> None:
    """Insert a line at index `at`, behind those of its order from `low` on; a first line begins an order."""
    for later in range(table.start[customer] + table.length[customer], at, -1):
        table.item[later] = table.item[later - 1]
        table.entry[later] = table.entry[later - 1]
    table.length[customer] += 1
    table.item[at] = item
    if at > low:
        table.entry[at].order = table.entry[at - 1].order
        table.entry[at].seq = table.entry[at - 1].seq + 1
    else:
        table.entry[at].order = table.next_seq[customer]
        table.entry[at].seq = 0
        table.next_seq[customer] += 1
    table.entry[at].first = time
    table.entry[at].key = key
    table.entry[at].quantity = quantity


@compiled
def _clear_key(table: HistoryArrays, customer: int, key: int) -> None:
    """Take the key from the lines of an order that is about to be forgotten."""
    first = table.start[customer]
    for at in range(first, first + table.length[customer]):
        if table.entry[at].key == key:
            table.entry[at].key = 0
