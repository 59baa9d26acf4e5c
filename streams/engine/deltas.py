"""Deltas: what stage A sends to stage B, one packed record per commit, and the pair keys that B derives from it.

A record covers a range of one purchases partition, names no customer, and depends on nothing but the log prefix and the
counting settings. Items are numbered by first appearance in the partition, and a record carries the ids of the items
that first appear in it. It holds runs rather than pairs: a run of 100 window items and 9 new ones changes 1,872 counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.orders import CONTINUED, DAY_MS, LONGEST_ID_BYTES, PURCHASE
from state.columns import pack, pack_ids, unpack, unpack_ids
from state.compiled import compiled, compiled_nogil
from state.count_rows import EXPOSURES, bucket, row_keys_of
from state.errors import StateDamaged
from streams.engine.epochs import EPOCH_DAYS, epoch_of
from streams.engine.histories import COUNTED, DUPLICATE, NOT_HELD, Runs

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.count_rows import Keys
    from streams.engine.histories import HistoryChanges, NumberedOrders


MOST_PARTITIONS = 1 << 31
MOST_ITEMS = 1 << 31
_MOST_LINES = 1 << 21  # of a log position: a line of a JSON lines log has at most 16 MiB


class DeltasInvalid(StateDamaged):
    """A deltas record is garbled, or no orders can have such deltas: stage A did not write it."""


class Deltas(NamedTuple):
    """The change that log positions `begin` to `end` of one purchases partition make to every count.

    Items are numbered by first appearance in the partition.
    """

    source: int
    """The purchases partition."""
    begin: int
    """Log position of the first line."""
    end: int
    """Log position after the last line."""
    lines: int
    """Order lines read: counted, duplicate or rejected."""
    duplicates: int
    """Duplicate lines among them."""
    rejected: int
    """Rejected lines among them, the returns of items not held included."""
    newest: int
    """Event time in milliseconds of the newest purchase counted; -1 if there is none."""
    holding: int
    """Change in the number of customers who hold anything."""
    first_item: int
    """Number of the first item that appears in the partition for the first time."""
    items: list[str]
    """Ids of the new items, numbered from `first_item`."""
    runs: Runs
    """Items that entered or left histories."""
    purchase_item: npt.NDArray[np.uint32]
    """(p,) item of each purchase counted, repeats included."""
    purchase_day: npt.NDArray[np.int64]
    """(p,) its UTC day, in days since 1970-01-01."""


def make_deltas(
    source: int,
    begin: int,
    end: int,
    rejected: int,
    orders: NumberedOrders,
    changes: HistoryChanges,
    first_item: int,
    items: list[str],
) -> Deltas:
    """The deltas of some orders.

    Args:
        source: the purchases partition.
        begin: log position where the orders begin.
        end: log position after them.
        rejected: lines between `begin` and `end` that were rejected before they became orders.
        orders: the orders, in log order.
        changes: the result of `apply_orders`.
        first_item: number of the first item that appears for the first time.
        items: ids of the items that do, in the order of their numbers.
    """
    order_of_line = np.repeat(np.arange(len(orders.customer)), np.diff(orders.start))
    purchases = np.flatnonzero(
        (changes.status == COUNTED) & (orders.kind[order_of_line] & ~np.uint8(CONTINUED) == PURCHASE)
    )
    purchased_items = orders.item[purchases]
    times = orders.time[order_of_line[purchases]]
    not_held = int((changes.status == NOT_HELD).sum())
    return Deltas(
        source=source,
        begin=begin,
        end=end,
        lines=len(orders.item) + rejected,
        duplicates=int((changes.status == DUPLICATE).sum()),
        rejected=rejected + not_held,
        newest=int(times.max(initial=-1)),
        holding=changes.holding,
        first_item=first_item,
        items=items,
        runs=changes.runs,
        purchase_item=purchased_items,
        purchase_day=times // DAY_MS,
    )


def no_deltas(source: int, position: int) -> Deltas:
    """Deltas of no orders, at a log position of a purchases partition: counting them changes nothing."""
    entries, numbers = np.zeros(0, np.uint32), np.zeros(0, np.int64)
    runs = Runs(np.zeros(0, np.int8), numbers, numbers, entries, numbers, numbers, numbers)
    return Deltas(source, position, position, 0, 0, 0, -1, 0, 0, [], runs, entries, numbers)


def pack_deltas(deltas: Deltas) -> bytes:
    """Deltas as one record."""
    runs = deltas.runs
    sizes = runs.window + runs.active
    starts = np.cumsum(sizes) - sizes
    # seqs of a run are close together, and so are the epochs and days of a commit: small differences pack narrowly
    low_seq = np.minimum.reduceat(runs.seq, starts) if len(starts) else starts
    low_epoch = int(runs.epoch.min(initial=0)) if len(runs.epoch) else 0
    low_day = int(deltas.purchase_day.min()) if len(deltas.purchase_day) else 0
    head = [deltas.source, deltas.begin, deltas.end, deltas.lines, deltas.duplicates, deltas.rejected]
    head += [deltas.newest, deltas.holding, deltas.first_item, low_epoch, low_day]
    return pack(
        [
            np.array(head, np.int64),
            np.frombuffer(pack_ids(deltas.items), np.uint8),
            runs.sign,
            runs.window,
            runs.active,
            runs.item,
            runs.seq - np.repeat(low_seq, sizes),
            runs.epoch - low_epoch,
            runs.exposure,
            deltas.purchase_item,
            deltas.purchase_day - low_day,
        ]
    )


def unpack_deltas(record: bytes) -> Deltas:
    """Deltas from their record. Seqs are relative to the lowest of their run, which is all that pairing needs.

    Raises:
        DeltasInvalid: the record is cut off or garbled.
    """
    try:
        head, ids, sign, window, active, item, seq, epoch, exposure, purchase_item, purchase_day = unpack(
            record, _COLUMNS
        )
        items = unpack_ids(ids.tobytes())
    except StateDamaged as error:
        raise DeltasInvalid(f"no deltas: {error}") from None
    _require(len(head) == _HEAD, f"it has {len(head)} numbers ahead, not {_HEAD}")
    source, begin, end, lines, duplicates, rejected, newest, holding, first_item, low_epoch, low_day = head.tolist()
    _require(len(sign) == len(window) == len(active), "its runs differ in number from column to column")
    most = max(window.max(initial=0), active.max(initial=0))
    least = min(window.min(initial=0), active.min(initial=1) - 1)
    _require(
        least == 0 and most <= len(item) and window.sum() + active.sum() == len(item),
        "its runs have more entries than it has, or fewer",
    )
    _require(len(item) == len(seq) == len(epoch) == len(exposure), "its entries differ in number from column to column")
    _require(len(purchase_item) == len(purchase_day), "its purchases differ in number from column to column")
    for low, column in ((low_epoch, epoch), (low_day, purchase_day)):
        _require(0 <= low < _MOST_DAYS, "its first day is in no calendar")
        _require(column.min(initial=0) >= 0 and column.max(initial=0) < _MOST_DAYS, "a day is in no calendar")
    deltas = Deltas(
        source,
        begin,
        end,
        lines,
        duplicates,
        rejected,
        newest,
        holding,
        first_item,
        items,
        Runs(sign, window, active, item, seq, epoch + low_epoch, exposure),
        purchase_item,
        purchase_day + low_day,
    )
    _check_totals(deltas)
    return deltas


_COLUMNS = [
    np.int64,
    np.uint8,
    np.int8,
    np.int64,
    np.int64,
    np.uint32,
    np.int64,
    np.int64,
    np.int64,
    np.uint32,
    np.int64,
]
_HEAD = 11
_MOST_DAYS = EPOCH_DAYS * EXPOSURES
"""Days of the epochs before EXPOSURES, up to the year 7352."""


def _require(condition: bool, fault: str) -> None:
    if not condition:
        raise DeltasInvalid(f"no deltas: {fault}")


def _check_totals(deltas: Deltas) -> None:
    """Check the totals of a record.

    Raises:
        DeltasInvalid: no orders have such deltas.
    """
    purchases = len(deltas.purchase_item)
    positive = deltas.runs.sign > 0
    _require(0 <= deltas.source < MOST_PARTITIONS, f"there is no purchases partition {deltas.source}")
    _require(0 <= deltas.begin <= deltas.end, f"it goes from position {deltas.begin} to {deltas.end}")
    _require(deltas.lines <= (deltas.end - deltas.begin) * _MOST_LINES, f"{deltas.lines} lines are too many")
    _require(min(deltas.duplicates, deltas.rejected) >= 0, "it has fewer than no lines")
    of_lines = purchases + deltas.duplicates + deltas.rejected
    _require(of_lines <= deltas.lines, f"it has {deltas.lines} lines, of which {of_lines} were counted or not")
    _require(
        int(positive.sum()) >= deltas.holding >= -int((~positive).sum()), f"{deltas.holding} customers more hold items"
    )
    newest_day = int(deltas.purchase_day.max(initial=-1))
    _require(-1 <= deltas.newest < _MOST_DAYS * DAY_MS, "its newest purchase is in no calendar")
    _require(deltas.newest // DAY_MS == newest_day, "its newest purchase is of another day than its purchases")
    _require(0 <= deltas.first_item <= MOST_ITEMS - len(deltas.items), "it has more items than there can be")
    _require(len(set(deltas.items)) == len(deltas.items), "an item is named twice")
    _require(
        not any("\0" in item or not 0 < len(item.encode()) <= LONGEST_ID_BYTES for item in deltas.items),
        "an item id is empty, too long or has a NUL",
    )


def check_runs(deltas: Deltas, pair_window: int, items: int, newest: int) -> None:
    """Check that the runs of a record are possible, item by item.

    Args:
        deltas: from `unpack_deltas`.
        pair_window: the pair window W; 0: no limit.
        items: number of items of the purchases partition before this record.
        newest: event time in milliseconds of the newest purchase counted, these included.

    Raises:
        DeltasInvalid: no orders have such runs, or the records counted before are not those before this one.
    """
    runs = deltas.runs
    _require(deltas.first_item == items, f"its items begin at number {deltas.first_item}, {items} are known")
    items += len(deltas.items)
    _require(runs.item.max(initial=0) < max(items, 1), "a run has an item number without an id")
    _require(deltas.purchase_item.max(initial=0) < max(items, 1), "a purchase has an item number without an id")
    widest = 2 * pair_window if pair_window else 1 << 32
    seen = np.zeros(items, np.uint32)
    fault = _FAULTS[_fault(runs, pair_window, widest, epoch_of(newest // DAY_MS), seen)]
    _require(not fault, fault)
    bought = int(runs.active[runs.sign > 0].sum())
    _require(bought <= len(deltas.purchase_item), f"{bought} items are new, {len(deltas.purchase_item)} were bought")


_FAULTS = (
    "",
    "a run has a sign that is neither 1 nor -1",
    "its runs have more entries than it has, or fewer",
    "a run of several returns has a window",
    "an item is in a run twice",
    "the seqs of a run do not rise",
    "an item is farther than the pair window from those it pairs with",
    "an exposure is impossible",
    "an item was bought later than the newest purchase",
)


@compiled
def _fault(  # noqa: PLR0911 - one for each fault
    runs: Runs, pair_window: int, widest: int, newest: int, seen: npt.NDArray[np.uint32]
) -> int:
    """What is impossible about `runs`, as a number in _FAULTS; `seen` has a zero for each item."""
    first = 0
    entries = len(runs.item)
    for run in range(len(runs.sign)):
        window, active = runs.window[run], runs.active[run]
        if runs.sign[run] != 1 and runs.sign[run] != -1:
            return 1
        if not (0 <= window < entries - first and 1 <= active <= entries - first - window):
            return 2
        returned = runs.sign[run] < 0
        if returned and window > 0 and active != 1:
            return 3
        enters = runs.seq[first + window]
        for at in range(first, first + window + active):
            if seen[runs.item[at]] == run + 1:
                return 4
            seen[runs.item[at]] = run + 1
            if not 0 <= runs.seq[at] < 1 << 32:
                return 5
            is_active = at >= first + window
            if at > first and runs.seq[at] <= runs.seq[at - 1] and not (returned and is_active and window > 0):
                return 5
            distance = abs(runs.seq[at] - enters)
            if not is_active and (distance == 0 or (pair_window > 0 and distance > pair_window)):
                return 6
            least = 1 if returned and not is_active else 0
            if not least <= runs.exposure[at] <= (0 if is_active else widest):
                return 7
            if not 0 <= runs.epoch[at] <= newest:
                return 8
        first += window + active
    return 0 if first == entries else 2


def most_keys(runs: Runs, pair_window: int, wanted: npt.NDArray[np.bool_]) -> int:
    """An upper bound on the pair keys of `runs`, exposure moves excluded; the arguments are those of `pair_keys`.

    A window item pairs with active items only, all on one side of it; an active item with items on both sides.
    """
    sizes = runs.window + runs.active
    window_partners, active_partners = runs.active, sizes - 1
    if pair_window:
        window_partners = np.minimum(window_partners, pair_window)
        active_partners = np.minimum(active_partners, 2 * pair_window)
    partners = np.where(active_entries(runs), np.repeat(active_partners, sizes), np.repeat(window_partners, sizes))
    return int(partners[wanted[runs.item]].sum())


def active_entries(runs: Runs) -> npt.NDArray[np.bool_]:
    """(k,) whether each entry of `runs` is active."""
    sizes = runs.window + runs.active
    index_in_run = np.arange(len(runs.item)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    active: npt.NDArray[np.bool_] = index_in_run >= np.repeat(runs.window, sizes)
    return active


def pair_keys(runs: Runs, pair_window: int, wanted: npt.NDArray[np.bool_]) -> dict[int, Keys]:
    """Every count that `runs` change: epoch -> sorted signed pair keys; the exposure moves are under EXPOSURES.

    Args:
        runs: the runs, with store numbers as items.
        pair_window: the pair window W; 0: no limit.
        wanted: (items,) bool, the items whose rows to return; counts in other rows are left out.
    """
    sizes = runs.window + runs.active
    capacity = most_keys(runs, pair_window, wanted)
    keys = np.empty(capacity, np.uint64)
    epochs = np.empty(capacity, np.uint16)
    moves = np.empty(2 * len(runs.item), np.uint64)
    row_keys = row_keys_of(runs.item)
    partners = np.zeros(int(sizes.max(initial=0)), np.int64)
    pair_count, move_count, lowest, highest = _expand(
        runs, pair_window, wanted[runs.item], row_keys, keys, epochs, moves, partners
    )
    keys = keys[:pair_count]
    keys_by_epoch: dict[int, Keys] = {}
    if lowest == highest:
        keys_by_epoch[lowest] = np.sort(keys)
    else:
        epochs = epochs[:pair_count]
        for epoch in np.unique(epochs).tolist():
            keys_by_epoch[epoch] = np.sort(keys[epochs == epoch])
    if move_count:
        keys_by_epoch[EXPOSURES] = np.sort(moves[:move_count])
    return keys_by_epoch


@compiled_nogil
def _expand(
    runs: Runs,
    pair_window: int,
    wanted: npt.NDArray[np.bool_],
    row_keys: Keys,
    keys: Keys,
    epochs: npt.NDArray[np.uint16],
    moves: Keys,
    partners: npt.NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Write the pair keys with their epochs, and the exposure moves.

    A move is two signed keys: -1 in the bucket of an item's exposure before the run, +1 in the one after it. An active
    item has only one of them. `partners` is scratch: how many items each entry of the run pairs with.

    Returns:
        The number of pair keys, the number of move keys, and the lowest and highest epoch of a pair.
    """
    pair_count = 0
    move_count = 0
    lowest, highest = np.int64(1 << 30), np.int64(-1)
    first = 0
    for run in range(len(runs.sign)):
        window = runs.window[run]
        size = window + runs.active[run]
        negative = np.uint64(runs.sign[run] < 0)
        partners[:size] = 0
        for later in range(window, size):
            x = first + later
            high_x = row_keys[x] << np.uint64(33)
            low_x = np.uint64(runs.item[x]) << np.uint64(1) | negative
            for earlier in range(later - 1, -1, -1):
                y = first + earlier
                if pair_window > 0 and abs(runs.seq[x] - runs.seq[y]) > pair_window:
                    break  # seqs of the entries before an active one rise, unless all are within the pair window
                partners[later] += 1
                partners[earlier] += 1
                epoch = max(runs.epoch[x], runs.epoch[y])
                if wanted[x]:
                    keys[pair_count] = high_x | np.uint64(runs.item[y]) << np.uint64(1) | negative
                    epochs[pair_count] = epoch
                    pair_count += 1
                if wanted[y]:
                    keys[pair_count] = row_keys[y] << np.uint64(33) | low_x
                    epochs[pair_count] = epoch
                    pair_count += 1
                lowest = min(lowest, epoch)
                highest = max(highest, epoch)
        sign = np.int64(runs.sign[run])
        for index in range(size):
            entry = first + index
            if not wanted[entry]:
                continue
            high = row_keys[entry] << np.uint64(33)
            if index >= window:
                moves[move_count] = high | np.uint64(bucket(partners[index])) << np.uint64(1) | negative
                move_count += 1
                continue
            before = np.uint64(bucket(runs.exposure[entry]))
            after = np.uint64(bucket(runs.exposure[entry] + sign * partners[index]))
            if before != after:
                moves[move_count] = high | before << np.uint64(1) | np.uint64(1)
                moves[move_count + 1] = high | after << np.uint64(1)
                move_count += 2
        first += size
    return pair_count, move_count, lowest, highest
