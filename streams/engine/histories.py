"""Apply orders to customers' histories, and collect the runs of items that enter and leave them.

One pure step over arrays: a history table and some orders determine the table afterwards and what stage B needs.
docs/definition.md defines the terms: history, seq, pair window, exposure, return, duplicate, erasure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.orders import CONTINUED, ERASE, PURCHASE
from state.compiled import ZERO, compiled, compiled_nogil
from streams.engine.epochs import EPOCH_MS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from state.history_table import HistoryArrays, HistoryTable

REMEMBERED_ORDERS = 64
"""The latest orders of each customer, among which duplicates are recognised."""

COUNTED, MERGED, DUPLICATE, NOT_HELD = 0, 1, 2, 3
"""Status of an order line: counted; merged into an earlier line of the order with the same item; a duplicate; a return
of an item that the customer does not hold."""


class NumberedOrders(NamedTuple):
    """The columns of `producers.orders.Orders` with customers and items as numbers: m orders, n lines."""

    customer: npt.NDArray[np.uint32]
    """(m,) store number, or the row in a history table."""
    time: npt.NDArray[np.int64]
    """(m,) milliseconds since 1970 UTC."""
    kind: npt.NDArray[np.uint8]
    """(m,) PURCHASE, RETURN or ERASE of `producers.orders`; perhaps CONTINUED."""
    key: npt.NDArray[np.uint64]
    """(m,) `producers.orders.order_key` of the order id; 0 without one."""
    start: npt.NDArray[np.int64]
    """(m + 1,) the lines of order i are start[i] to start[i + 1]."""
    item: npt.NDArray[np.uint32]
    """(n,) store number."""
    quantity: npt.NDArray[np.int64]
    """(n,) units bought or returned."""

    def cut(self, first: int, last: int) -> NumberedOrders:
        """Orders `first` up to, not including, `last`."""
        lines = slice(int(self.start[first]), int(self.start[last]))
        return NumberedOrders(
            self.customer[first:last],
            self.time[first:last],
            self.kind[first:last],
            self.key[first:last],
            self.start[first : last + 1] - self.start[first],
            self.item[lines],
            self.quantity[lines],
        )


def selected(orders: NumberedOrders, mask: npt.NDArray[np.bool_]) -> NumberedOrders:
    """The orders for which `mask`, (m,), is true."""
    lengths = np.diff(orders.start)
    line_mask = np.repeat(mask, lengths)
    return NumberedOrders(
        orders.customer[mask],
        orders.time[mask],
        orders.kind[mask],
        orders.key[mask],
        np.concatenate([[0], np.cumsum(lengths[mask])]),
        orders.item[line_mask],
        orders.quantity[line_mask],
    )


class Runs(NamedTuple):
    """Items that enter or leave a customer's history together: r runs with k entries in all.

    The entries of a run are first its window items, whose exposure changes, then its active items, which enter (sign 1)
    or leave (sign -1) the history. Each active item pairs with the window items and with the active items before it, as
    far as they are within the pair window.
    """

    sign: npt.NDArray[np.int8]
    """(r,) 1: the active items enter the history; -1: they leave it."""
    window: npt.NDArray[np.int64]
    """(r,) number of window items."""
    active: npt.NDArray[np.int64]
    """(r,) number of active items."""
    item: npt.NDArray[np.uint32]
    """(k,) number of the item: of the history store, or of the store that counts them."""
    seq: npt.NDArray[np.int64]
    """(k,) seq of the item in the customer's history, or its distance from the lowest of the run."""
    epoch: npt.NDArray[np.int64]
    """(k,) epoch of the customer's first purchase of the item."""
    exposure: npt.NDArray[np.int64]
    """(k,) a window item's exposure before the run; 0 for an active item, whose exposure follows from the run."""

    def cut(self, first: int, last: int) -> Runs:
        """Runs `first` up to, not including, `last`."""
        sizes = self.window[:last] + self.active[:last]
        entries = slice(int(sizes[:first].sum()), int(sizes.sum()))
        return Runs(
            self.sign[first:last],
            self.window[first:last],
            self.active[first:last],
            self.item[entries],
            self.seq[entries],
            self.epoch[entries],
            self.exposure[entries],
        )


class HistoryChanges(NamedTuple):
    """What orders changed in the histories."""

    status: npt.NDArray[np.uint8]
    """(n,) COUNTED, MERGED, DUPLICATE or NOT_HELD, of each line."""
    holding: npt.NDArray[np.int64]
    """(m,) change in the number of customers who hold anything, or of orders that do, by each order."""
    runs: Runs
    """Items that entered or left histories."""
    run_ends: npt.NDArray[np.int64]
    """(m,) number of runs up to the end of each order."""

    def cut(self, orders: NumberedOrders, first: int, last: int) -> HistoryChanges:
        """What orders `first` up to, not including, `last` of `orders` changed."""
        begin = int(self.run_ends[first - 1]) if first else 0
        end = int(self.run_ends[last - 1]) if last else 0
        return HistoryChanges(
            self.status[orders.start[first] : orders.start[last]],
            self.holding[first:last],
            self.runs.cut(begin, end),
            self.run_ends[first:last] - begin,
        )


def apply_to_histories(table: HistoryTable, orders: NumberedOrders, pair_window: int) -> HistoryChanges:
    """Apply `orders` to `table`, whose pairs are of customers, and return what changed.

    Args:
        table: the customers' histories; changed in place.
        orders: the next orders of the log, in log order; customers are rows of the table.
        pair_window: the pair window W; 0: no limit.
    """
    lines = np.diff(orders.start)
    table.reserve(orders.customer, lines)
    erased = orders.kind == ERASE
    purchased = orders.kind & ~np.uint8(CONTINUED) == PURCHASE
    # upper bounds: a purchase order is one run and a return one for each line, each with the items of a full window;
    # an erasure is one run with the whole history
    longest = table.history.length[orders.customer] + lines_before(orders.customer, lines) + lines
    window_items = np.minimum(2 * pair_window, longest) if pair_window else longest
    windowed_runs = np.where(purchased, 1, lines)
    most_entries = int((windowed_runs * (window_items + 1)).sum()) + len(orders.item) + int(longest[erased].sum())
    most_runs = int(windowed_runs.sum()) + int(erased.sum())
    return applied(_apply, table, orders, pair_window, most_runs, most_entries)


def applied(
    loop: Callable[..., int],
    table: HistoryTable,
    orders: NumberedOrders,
    pair_window: int,
    most_runs: int,
    most_entries: int,
) -> HistoryChanges:
    """What a compiled loop changes, with the arguments of `_apply`, that makes at most so many runs and entries."""
    continued = (orders.kind & CONTINUED) != 0
    orders = orders._replace(kind=orders.kind & ~np.uint8(CONTINUED))
    runs = Runs(
        sign=np.empty(most_runs, np.int8),
        window=np.empty(most_runs, np.int64),
        active=np.empty(most_runs, np.int64),
        item=np.empty(most_entries, np.uint32),
        seq=np.empty(most_entries, np.int64),
        epoch=np.empty(most_entries, np.int64),
        exposure=np.empty(most_entries, np.int64),
    )
    distinct, item_code = np.unique(orders.item, return_inverse=True)
    line_of_item = np.full(len(distinct), -1, np.int64)
    status = np.zeros(len(orders.item), np.uint8)
    quantity = orders.quantity.copy()
    changes = HistoryChanges(
        status, np.zeros(len(orders.customer), np.int64), runs, np.zeros(len(orders.customer), np.int64)
    )
    run_count = loop(table.arrays(), orders, continued, pair_window, item_code, line_of_item, quantity, changes)
    return changes._replace(runs=runs.cut(0, run_count))


def lines_before(customer: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(m,) number of lines in the earlier orders of each order's customer.

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
    continued: npt.NDArray[np.bool_],
    pair_window: int,
    item_code: npt.NDArray[np.int64],
    line_of_item: npt.NDArray[np.int64],
    quantity: npt.NDArray[np.int64],
    changes: HistoryChanges,
) -> int:
    """Apply the orders to the table.

    Args:
        table: changed in place.
        orders: the orders.
        continued: (m,) whether lines of the same order were counted before as an order.
        pair_window: the pair window W; 0: no limit.
        item_code: (n,) index of each line's item among the distinct items of the orders.
        line_of_item: (distinct items,) -1; becomes the last counted line of each item.
        quantity: (n,) copy of the lines' quantities; a counted line gets those of the lines merged into it added.
        changes: set to what changes.

    Returns:
        The number of runs.
    """
    status, runs = changes.status, changes.runs
    run = entry = ZERO
    for order in range(len(orders.customer)):
        customer = orders.customer[order]
        table.changed[customer] = True
        first = table.start[customer]
        before = table.length[customer]
        if orders.kind[order] == ERASE:
            if before > 0:
                entry = emit_erased(table, first, before, pair_window, run, entry, runs)
                run += 1
                changes.holding[order] = -1
            forget(table, customer)
            changes.run_ends[order] = run
            continue
        begin, end = orders.start[order], orders.start[order + 1]
        merge_lines(begin, end, item_code, line_of_item, quantity, status)
        known = remembers(table, customer, orders.key[order])
        counted = 0
        for line in range(begin, end):
            if status[line] != COUNTED:
                continue
            item = orders.item[line]
            repeated = known and remembers_line(table, customer, orders.key[order], item, orders.kind[order])
            if repeated and not continued[order]:
                status[line] = DUPLICATE
                continue
            at = find(table, first, table.length[customer], item)
            if repeated and (at < 0 or orders.kind[order] == PURCHASE):  # merged into a line that was counted before
                status[line] = MERGED
                if at >= 0:
                    table.entry[at].quantity += quantity[line]
                continue
            if orders.kind[order] == PURCHASE:
                counted += 1
                if at < 0:
                    at = first + table.length[customer]
                    table.item[at] = item
                    table.entry[at].seq = table.next_seq[customer]
                    table.entry[at].purchases = 1
                    table.entry[at].first = orders.time[order]
                    table.entry[at].last = orders.time[order]
                    table.entry[at].quantity = quantity[line]
                    table.next_seq[customer] += 1
                    table.length[customer] += 1
                else:
                    table.entry[at].purchases += 1
                    table.entry[at].last = max(table.entry[at].last, orders.time[order])
                    table.entry[at].quantity += quantity[line]
                continue
            if at < 0:
                status[line] = NOT_HELD
                continue
            counted += 1
            table.entry[at].quantity -= quantity[line]
            if table.entry[at].quantity > 0:
                continue
            length = table.length[customer]
            entry = emit_returned(table, first, at - first, length, pair_window, run, entry, runs)
            run += 1
            remove(table, customer, at)
            if length == 1:
                changes.holding[order] -= 1
        settle_merged(begin, end, item_code, line_of_item, status)
        if orders.key[order] != 0 and counted > 0:
            if not known:
                forget_oldest(table, customer)
            remember(table, customer, orders, order, status)
        length = table.length[customer]
        if orders.kind[order] == PURCHASE and length > before:
            entry = emit_bought(table, first, before, length, pair_window, run, entry, runs)
            run += 1
            if before == 0:
                changes.holding[order] += 1
        changes.run_ends[order] = run
    return run


@compiled
def merge_lines(
    begin: int,
    end: int,
    item_code: npt.NDArray[np.int64],
    line_of_item: npt.NDArray[np.int64],
    quantity: npt.NDArray[np.int64],
    status: npt.NDArray[np.uint8],
) -> None:
    """Merge the lines `begin` up to `end` of an order that name the same item; the other arguments are `_apply`'s."""
    for line in range(begin, end):
        earlier_line = line_of_item[item_code[line]]
        if earlier_line >= begin:
            quantity[earlier_line] += quantity[line]
            status[line] = MERGED
        else:
            line_of_item[item_code[line]] = line
            status[line] = COUNTED


@compiled
def settle_merged(
    begin: int,
    end: int,
    item_code: npt.NDArray[np.int64],
    line_of_item: npt.NDArray[np.int64],
    status: npt.NDArray[np.uint8],
) -> None:
    """Give merged lines the status of the line they were merged into, unless that was counted."""
    for line in range(begin, end):
        if status[line] == MERGED and status[line_of_item[item_code[line]]] != COUNTED:
            status[line] = status[line_of_item[item_code[line]]]


@compiled
def remember(
    table: HistoryArrays, customer: int, orders: NumberedOrders, order: int, status: npt.NDArray[np.uint8]
) -> None:
    """Remember the lines of an order that were counted."""
    at = table.order_start[customer] + table.order_length[customer]
    for line in range(orders.start[order], orders.start[order + 1]):
        if status[line] == COUNTED:
            table.order_key[at] = orders.key[order]
            table.order_line[at] = (orders.item[line] << 1) | orders.kind[order]
            at += 1
    table.order_length[customer] = at - table.order_start[customer]


@compiled
def forget(table: HistoryArrays, customer: int) -> None:
    """Empty a customer's row."""
    table.length[customer] = 0
    table.next_seq[customer] = 0
    table.order_length[customer] = 0
    table.order_count[customer] = 0


@compiled
def remove(table: HistoryArrays, customer: int, at: int) -> None:
    """Remove an entry, given by its index in the table, from a customer's history."""
    last = table.start[customer] + table.length[customer] - 1
    for later in range(at, last):
        table.item[later] = table.item[later + 1]
        table.entry[later] = table.entry[later + 1]
    table.length[customer] -= 1


@compiled
def find(table: HistoryArrays, first: int, length: int, item: int) -> int:
    """The index of an item in the table, or -1. Searched from the latest entry, since repeats tend to be recent."""
    for at in range(first + length - 1, first - 1, -1):
        if table.item[at] == item:
            return at
    return -1


@compiled
def _window_bounds(table: HistoryArrays, first: int, length: int, index: int, pair_window: int) -> tuple[int, int]:
    """Bounds of the entries of a history within the pair window of entry `index`, that entry included."""
    if pair_window == 0:
        return 0, length
    seq = np.int64(table.entry[first + index].seq)
    low = index
    while low > 0 and seq - np.int64(table.entry[first + low - 1].seq) <= pair_window:
        low -= 1
    high = index + 1
    while high < length and np.int64(table.entry[first + high].seq) - seq <= pair_window:
        high += 1
    return low, high


# A history is `length` entries of the table from index `first` on: all of a customer's, or those of one order. The next
# three append a run of it, number `run`, whose first entry is number `entry`, and return the number after its last one.


@compiled
def emit_bought(
    table: HistoryArrays, first: int, before: int, length: int, pair_window: int, run: int, entry: int, runs: Runs
) -> int:
    """Append the run of what a purchase added: the entries from index `before` of a history on."""
    low = before
    seq = np.int64(table.entry[first + before].seq)
    while low > 0 and (pair_window == 0 or seq - np.int64(table.entry[first + low - 1].seq) <= pair_window):
        low -= 1
    runs.sign[run], runs.window[run], runs.active[run] = 1, before - low, length - before
    return _emit(table, first, low, before, before, length, before, pair_window, entry, runs)


@compiled
def emit_returned(
    table: HistoryArrays, first: int, index: int, length: int, pair_window: int, run: int, entry: int, runs: Runs
) -> int:
    """Append the run of entry `index` of a history, which is about to leave it."""
    low, high = _window_bounds(table, first, length, index, pair_window)
    runs.sign[run], runs.window[run], runs.active[run] = -1, high - low - 1, 1
    entry = _emit(table, first, low, index, index, index, length, pair_window, entry, runs)
    entry = _emit(table, first, index + 1, high, index, index, length, pair_window, entry, runs)
    return _emit(table, first, ZERO, ZERO, index, index + 1, length, pair_window, entry, runs)


@compiled
def emit_erased(
    table: HistoryArrays, first: int, length: int, pair_window: int, run: int, entry: int, runs: Runs
) -> int:
    """Append the run of a history that is about to be erased."""
    runs.sign[run], runs.window[run], runs.active[run] = -1, 0, length
    return _emit(table, first, ZERO, ZERO, ZERO, length, length, pair_window, entry, runs)


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
    """Append entries of a history to `runs`; return the index after the last one written.

    Args:
        table: the histories.
        first: index in the table of the history's first entry.
        window_low: index in the history of the first entry to write as a window item.
        window_high: index after the last of them.
        active_low: index in the history of the first entry to write as an active item.
        active_high: index after the last of them.
        length: length of the history before the run, which the exposures refer to.
        pair_window: the pair window W; 0: no limit.
        entry: index in `runs` to write at.
        runs: where to write.
    """
    low = 0
    high = 0
    for index in range(window_low, window_high):
        at = first + index
        if index == window_low:
            low, high = _window_bounds(table, first, length, index, pair_window)
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
    for index in range(active_low, active_high):
        at = first + index
        runs.item[entry] = table.item[at]
        runs.seq[entry] = table.entry[at].seq
        runs.epoch[entry] = table.entry[at].first // EPOCH_MS
        runs.exposure[entry] = 0
        entry += 1
    return entry


@compiled
def remembers(table: HistoryArrays, customer: int, key: int) -> bool:
    """Whether an order with this key is among the customer's remembered orders."""
    if key == 0:
        return False
    start = table.order_start[customer]
    for at in range(start, start + table.order_length[customer]):
        if table.order_key[at] == key:
            return True
    return False


@compiled
def remembers_line(table: HistoryArrays, customer: int, key: int, item: int, kind: int) -> bool:
    """Whether the remembered order with this key has a line of this item and kind."""
    line = (item << 1) | kind
    start = table.order_start[customer]
    for at in range(start, start + table.order_length[customer]):
        if table.order_key[at] == key and table.order_line[at] == line:
            return True
    return False


@compiled
def forget_oldest(table: HistoryArrays, customer: int) -> None:
    """Make room for one more remembered order: drop the oldest if there are REMEMBERED_ORDERS."""
    if table.order_count[customer] < REMEMBERED_ORDERS:
        table.order_count[customer] += 1
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
