"""Deltas: what stage A sends to stage B, a packed record or several per commit, and the pair keys that B derives.

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


class CountedOrders(NamedTuple):
    """Orders of a purchases partition that are counted in its histories, in log order, and what they changed."""

    source: int
    """The purchases partition."""
    begin: int
    """Log position where they begin."""
    end: int
    """Log position after them."""
    orders: NumberedOrders
    after: npt.NDArray[np.int64]
    """(m,) log position after each order."""
    changes: HistoryChanges
    rejected: int
    """Lines between `begin` and `end` that were rejected before they became orders."""
    rejected_at: npt.NDArray[np.int64]
    """Log position of each of those lines; of orders that are not cut, perhaps none."""
    first_item: int
    """Number of the first item that appears for the first time."""
    items: list[str]
    """Ids of the items that do, in the order of their numbers."""

    def cut(self, first: int, last: int) -> CountedOrders:
        """Orders `first` up to, not including, `last`."""
        begin = int(self.after[first - 1]) if first else self.begin
        end = int(self.after[last - 1]) if last < len(self.after) else self.end
        first_item, end_item = self._items_before(first), self._items_before(last)
        rejected_at = self.rejected_at[(begin <= self.rejected_at) & (self.rejected_at < end)]
        return CountedOrders(
            self.source,
            begin,
            end,
            self.orders.cut(first, last),
            self.after[first:last],
            self.changes.cut(self.orders, first, last),
            len(rejected_at),
            rejected_at,
            first_item,
            self.items[first_item - self.first_item : end_item - self.first_item],
        )

    def _items_before(self, order: int) -> int:
        """How many items appear before an order; they are numbered by first appearance."""
        items = self.orders.item[: self.orders.start[order]]
        return max(self.first_item, int(items.max()) + 1) if len(items) else self.first_item


def make_deltas(counted: CountedOrders) -> Deltas:
    """The deltas of some orders."""
    orders, changes = counted.orders, counted.changes
    order_of_line = np.repeat(np.arange(len(orders.customer)), np.diff(orders.start))
    purchases = np.flatnonzero(
        (changes.status == COUNTED) & (orders.kind[order_of_line] & ~np.uint8(CONTINUED) == PURCHASE)
    )
    purchased_items = orders.item[purchases]
    times = orders.time[order_of_line[purchases]]
    not_held = int((changes.status == NOT_HELD).sum())
    return Deltas(
        source=counted.source,
        begin=counted.begin,
        end=counted.end,
        lines=len(orders.item) + counted.rejected,
        duplicates=int((changes.status == DUPLICATE).sum()),
        rejected=counted.rejected + not_held,
        newest=int(times.max(initial=-1)),
        holding=int(changes.holding.sum()),
        first_item=counted.first_item,
        items=counted.items,
        runs=changes.runs,
        purchase_item=purchased_items,
        purchase_day=times // DAY_MS,
    )


class DeltasRecord(NamedTuple):
    """Packed deltas, and the range of log positions that they are of."""

    begin: int
    end: int
    rejected: int
    """Rejected lines in the range."""
    packed: bytes


def delta_records(counted: CountedOrders, most_bytes: int | None = None) -> list[DeltasRecord]:
    """The deltas of some orders as records that follow each other.

    They are cut between orders, so each is of a stretch of the log, and what they change adds up to the same counts.
    A record that is too large all the same is of a single log position.

    Args:
        counted: the orders.
        most_bytes: how many a record should have at most; None: there is one record.
    """
    deltas = make_deltas(counted)
    packed = pack_deltas(deltas)
    if most_bytes is None or len(packed) <= most_bytes or not len(places := _places(counted)):
        return [DeltasRecord(deltas.begin, deltas.end, deltas.rejected, packed)]
    ends = [*_spread(counted, places, len(packed) // most_bytes), len(counted.after)]
    stretches = zip([0, *ends], ends, strict=False)
    return [record for first, last in stretches for record in delta_records(counted.cut(first, last), most_bytes)]


def _places(counted: CountedOrders) -> npt.NDArray[np.int64]:
    """Rising indices of the orders before which there may be a cut: the log can be read on from there."""
    return np.flatnonzero(np.diff(counted.after) > 0) + 1


def _spread(counted: CountedOrders, places: npt.NDArray[np.int64], cuts: int) -> list[int]:
    """At most so many of some places, between which about as much was changed."""
    runs = counted.changes.runs
    entries = np.concatenate([[0], np.cumsum(runs.window + runs.active)])[counted.changes.run_ends]
    weight = entries + counted.orders.start[1:]
    wanted = weight[-1] * np.arange(1, cuts + 1) / (cuts + 1)
    at = np.minimum(np.searchsorted(weight[places - 1], wanted), len(places) - 1)
    found: list[int] = np.unique(places[at]).tolist()
    return found


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
    sizes = _within(window, 0, len(item)) and _within(active, 1, len(item))
    _require(
        sizes and window.sum() + active.sum() == len(item),
        "its runs have more entries than it has, or fewer",
    )
    _require(len(item) == len(seq) == len(epoch) == len(exposure), "its entries differ in number from column to column")
    _require(_within(seq, 0, _MOST_SEQS - 1), "a seq is impossible")
    _require(len(purchase_item) == len(purchase_day), "its purchases differ in number from column to column")
    for low, column in ((low_epoch, epoch), (low_day, purchase_day)):
        _require(0 <= low < _MOST_DAYS, "its first day is in no calendar")
        _require(_within(column, 0, _MOST_DAYS - 1), "a day is in no calendar")
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
_MOST_SEQS = 1 << 32


def _within(column: npt.NDArray[np.int64], least: int, most: int) -> bool:
    return bool(((column >= least) & (column <= most)).all())


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
    return int(partners[wanted].sum())


def active_entries(runs: Runs) -> npt.NDArray[np.bool_]:
    """(k,) whether each entry of `runs` is active."""
    sizes = runs.window + runs.active
    index_in_run = np.arange(len(runs.item)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    active: npt.NDArray[np.bool_] = index_in_run >= np.repeat(runs.window, sizes)
    return active


def pair_keys(runs: Runs, pair_window: int, wanted: npt.NDArray[np.bool_]) -> dict[int, Keys]:
    """Every count that `runs` change: epoch -> signed pair keys, unsorted; the exposure moves are under EXPOSURES.

    Args:
        runs: the runs, with store numbers as items.
        pair_window: the pair window W; 0: no limit.
        wanted: (k,) bool, the entries of `runs` whose rows to return; counts in other rows are left out.
    """
    sizes = runs.window + runs.active
    capacity = most_keys(runs, pair_window, wanted)
    keys = np.empty(capacity, np.uint64)
    epochs = np.empty(capacity, np.uint16)
    moves = np.empty(2 * len(runs.item), np.uint64)
    row_keys = row_keys_of(runs.item)
    partners = np.zeros(int(sizes.max(initial=0)), np.int64)
    present = np.zeros(EXPOSURES, np.bool_)
    pair_count, move_count = _expand(runs, pair_window, wanted, row_keys, keys, epochs, present, moves, partners)
    keys, epochs = keys[:pair_count], epochs[:pair_count]
    distinct = np.flatnonzero(present).tolist()
    keys_by_epoch = {epoch: keys[epochs == epoch] if len(distinct) > 1 else keys for epoch in distinct}
    if move_count:
        keys_by_epoch[EXPOSURES] = moves[:move_count]
    return keys_by_epoch


@compiled_nogil
def _expand(
    runs: Runs,
    pair_window: int,
    wanted: npt.NDArray[np.bool_],
    row_keys: Keys,
    keys: Keys,
    epochs: npt.NDArray[np.uint16],
    present: npt.NDArray[np.bool_],
    moves: Keys,
    partners: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Write the pair keys with their epochs, mark the epochs that are present, and write the exposure moves.

    A move is two signed keys: -1 in the bucket of an item's exposure before the run, +1 in the one after it. An active
    item has only one of them. `partners` is scratch: how many items each entry of the run pairs with.

    Returns:
        The number of pair keys, and the number of move keys.
    """
    pair_count = 0
    move_count = 0
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
                present[epoch] |= wanted[x] | wanted[y]
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
    return pair_count, move_count
