"""Deltas: what stage A tells stage B, one packed record per commit, and the pair keys that B makes of it.

A record speaks for a range of one purchases partition, names no customer, and is a function of the log prefix and the
counting settings alone: items go by the numbers of their first appearance in the partition, and the ids behind new
numbers travel with the record in which they appear. It holds runs rather than pairs: a window of 100 items and 9 new
ones stand for 1,872 counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from producers.orders import DAY_MS, LONGEST_ID_BYTES, PURCHASE
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
    """A record of deltas is garbled, or says what no stretch of a log can have done: it is not one of ours."""


class Deltas(NamedTuple):
    """The change that positions `begin` up to `end` of one purchases partition make to every count."""

    source: int
    """The purchases partition."""
    begin: int
    end: int
    lines: int
    """Order lines read, whatever became of them."""
    duplicates: int
    rejected: int
    newest: int
    """Event time in milliseconds of the newest purchase counted; -1 if there is none."""
    holding: int
    """Change in the number of customers who hold anything."""
    first_item: int
    """Number of the first item that appears here for the first time in the partition."""
    items: list[str]
    """Ids of the items numbered from there."""
    runs: Runs
    purchase_item: npt.NDArray[np.uint32]
    """(p,) item of each purchase counted, repeats included."""
    purchase_day: npt.NDArray[np.int64]
    """(p,) its UTC day."""


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
    """The deltas of a stretch of orders.

    Args:
        source: the purchases partition.
        begin: log position of the stretch.
        end: log position after it.
        rejected: lines of the stretch that were rejected before they became orders.
        orders: the stretch.
        changes: what `apply_orders` made of it.
        first_item: number of the first item that appears in it for the first time.
        items: ids of those items.
    """
    order_of_line = np.repeat(np.arange(len(orders.customer)), np.diff(orders.start))
    purchases = np.flatnonzero((changes.status == COUNTED) & (orders.kind[order_of_line] == PURCHASE))
    bought = orders.item[purchases]
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
        purchase_item=bought,
        purchase_day=times // DAY_MS,
    )


def pack_deltas(deltas: Deltas) -> bytes:
    """Deltas as one record."""
    runs = deltas.runs
    sizes = runs.window + runs.active
    starts = np.cumsum(sizes) - sizes
    # within a run seqs lie close together, and so do the epochs and days of one commit: small differences pack narrow
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
    """Deltas from their record; seqs count from the lowest of their run, which is all that pairing needs.

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
    """Check what a record says of its stretch as a whole.

    Raises:
        DeltasInvalid: no stretch of a log is like that.
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
        "an item id is none",
    )


def check_runs(deltas: Deltas, pair_window: int, items: int, newest: int) -> None:
    """Check that the runs of a record are possible, item by item.

    Args:
        deltas: from `unpack_deltas`.
        pair_window: the pair window W; 0: no limit.
        items: how many items the purchases partition had before.
        newest: event time in milliseconds of the newest purchase counted, these included.

    Raises:
        DeltasInvalid: no stretch of a log brings such runs about, or others came before.
    """
    runs = deltas.runs
    _require(deltas.first_item == items, f"its items begin at number {deltas.first_item}, {items} are known")
    items += len(deltas.items)
    _require(runs.item.max(initial=0) < max(items, 1), "a run names an item that was never told")
    _require(deltas.purchase_item.max(initial=0) < max(items, 1), "a purchase is of an item that was never told")
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
    """How many pair keys `runs` make at most, exposure moves aside; the arguments are those of `pair_keys`.

    A window item pairs with active ones only, which lie on one side of it; an active one with items on both sides.
    """
    sizes = runs.window + runs.active
    of_window, of_active = runs.active, sizes - 1
    if pair_window:
        of_window, of_active = np.minimum(of_window, pair_window), np.minimum(of_active, 2 * pair_window)
    of_entry = np.where(active_entries(runs), np.repeat(of_active, sizes), np.repeat(of_window, sizes))
    return int(of_entry[wanted[runs.item]].sum())


def active_entries(runs: Runs) -> npt.NDArray[np.bool_]:
    """(k,) whether each entry of `runs` is an active one."""
    sizes = runs.window + runs.active
    place = np.arange(len(runs.item)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    active: npt.NDArray[np.bool_] = place >= np.repeat(runs.window, sizes)
    return active


def pair_keys(runs: Runs, pair_window: int, wanted: npt.NDArray[np.bool_]) -> dict[int, Keys]:
    """Every count that `runs` change, as sorted signed pair keys by epoch; exposure moves under EXPOSURES.

    Args:
        runs: with store numbers as items.
        pair_window: the pair window W; 0: no limit.
        wanted: (items,) bool whose rows are kept here: counts of other items are left out.
    """
    sizes = runs.window + runs.active
    room = most_keys(runs, pair_window, wanted)
    keys = np.empty(room, np.uint64)
    epochs = np.empty(room, np.uint16)
    moves = np.empty(2 * len(runs.item), np.uint64)
    row_keys = row_keys_of(runs.item)
    scratch = np.zeros(int(sizes.max(initial=0)), np.int64)
    pairs, moved, low, high = _expand(runs, pair_window, wanted[runs.item], row_keys, keys, epochs, moves, scratch)
    keys = keys[:pairs]
    chunks: dict[int, Keys] = {}
    if low == high:
        chunks[low] = np.sort(keys)
    else:
        epochs = epochs[:pairs]
        for epoch in np.unique(epochs).tolist():
            chunks[epoch] = np.sort(keys[epochs == epoch])
    if moved:
        chunks[EXPOSURES] = np.sort(moves[:moved])
    return chunks


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
    """Write the pair keys with their epochs, and the moves; return how many of each, and the range of epochs."""
    pairs = 0
    moved = 0
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
                    break  # entries before an active one rise by seq, unless all are within reach of it
                partners[later] += 1
                partners[earlier] += 1
                epoch = max(runs.epoch[x], runs.epoch[y])
                if wanted[x]:
                    keys[pairs] = high_x | np.uint64(runs.item[y]) << np.uint64(1) | negative
                    epochs[pairs] = epoch
                    pairs += 1
                if wanted[y]:
                    keys[pairs] = row_keys[y] << np.uint64(33) | low_x
                    epochs[pairs] = epoch
                    pairs += 1
                lowest = min(lowest, epoch)
                highest = max(highest, epoch)
        step = np.int64(runs.sign[run])
        for place in range(size):
            at = first + place
            if not wanted[at]:
                continue
            high = row_keys[at] << np.uint64(33)
            if place >= window:
                moves[moved] = high | np.uint64(bucket(partners[place])) << np.uint64(1) | negative
                moved += 1
                continue
            before = np.uint64(bucket(runs.exposure[at]))
            after = np.uint64(bucket(runs.exposure[at] + step * partners[place]))
            if before != after:
                moves[moved] = high | before << np.uint64(1) | np.uint64(1)
                moves[moved + 1] = high | after << np.uint64(1)
                moved += 2
        first += size
    return pairs, moved, lowest, highest
