"""The two stages: orders into histories, deltas into counts. The worker, a replay and the evaluation all call these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.orders import CONTINUED, DAY_MS, ERASE
from producers.partitioning import item_partition
from state.columns import pack, unpack
from state.count_rows import slice_of
from state.count_store import CountChange, CountStore
from state.errors import StateDamaged
from state.history_store import HistoryStore
from state.journal import SLICES
from state.settings import ORDER
from streams.engine.deltas import (
    CountedOrders,
    active_entries,
    check_runs,
    delta_records,
    most_keys,
    pair_keys,
    unpack_deltas,
)
from streams.engine.epochs import epoch_of
from streams.engine.events import ERASED, keep_events, split
from streams.engine.histories import NOT_HELD, NumberedOrders, apply_to_histories, selected
from streams.engine.order_lines import apply_to_order_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from producers.orders import Orders
    from state.history_table import HistoryTable
    from state.kept_events import Kept
    from state.memory import Memory
    from state.settings import CountingSettings
    from streams.engine.deltas import Deltas, DeltasRecord
    from streams.engine.events import EventLines
    from streams.engine.histories import HistoryChanges

    OrderScorer = Callable[[Orders, NumberedOrders, HistoryTable], Mapping[int, Sequence[int]]]
    """Scores orders before they are counted.

    It is called with the orders, by id and by number, and a table of the histories before them, in which customers have
    those numbers; it returns hit counts by UTC day.
    """

_ORDER_COLUMNS = [np.uint32, np.int64, np.uint8, np.uint64, np.int64, np.uint32, np.int64]


class DeltasOutOfOrder(StateDamaged):
    """A deltas record does not follow the one before it: records are missing, or the log was split differently."""


def apply_orders(table: HistoryTable, orders: NumberedOrders, pair_window: int) -> HistoryChanges:
    """Apply orders to a table of either kind and return what changed; the arguments are those of `apply_to_histories`.

    The loops of the other kind are not compiled.
    """
    apply = apply_to_order_lines if table.pairs == ORDER else apply_to_histories
    return apply(table, orders, pair_window)


def open_histories(
    path: Path, settings: CountingSettings, *, read_only: bool = False, memory: Memory | None = None
) -> HistoryStore:
    """Open the histories of a purchases partition as of its last commit."""
    store = HistoryStore(path, settings, read_only=read_only, memory=memory)

    def apply(record: bytes, stale: npt.NDArray[np.bool_]) -> None:
        orders = check_orders(record, len(store.customers), len(store.items))
        orders = selected(orders, stale[orders.customer % SLICES])
        apply_orders(store.table, _loaded(store, orders), settings.pair_window)

    with store.closed_on_error():
        store.recover(apply)
    return store


def _loaded(store: HistoryStore, orders: NumberedOrders) -> NumberedOrders:
    """The orders with their customers' rows in the store's table, where `load` has their histories."""
    return orders._replace(customer=store.load(orders.customer, np.diff(orders.start)))


def check_orders(record: bytes, customers: int, items: int) -> NumberedOrders:
    """The orders of a commit, from the journal of a history store that has so many customers and items.

    Raises:
        StateDamaged: the record is garbled, or of another store.
    """
    orders = NumberedOrders(*unpack(record, _ORDER_COLUMNS))
    lines = len(orders.item)
    if (
        not len(orders.customer) == len(orders.time) == len(orders.kind) == len(orders.key) == len(orders.start) - 1
        or orders.start[0] != 0
        or orders.start[-1] != lines
        or (np.diff(orders.start) < 0).any()
        or len(orders.quantity) != lines
        or orders.customer.max(initial=0) >= max(customers, 1)
        or orders.item.max(initial=0) >= max(items, 1)
        or (orders.kind & ~np.uint8(CONTINUED)).max(initial=0) > ERASE
        or orders.quantity.min(initial=1) < 1
    ):
        raise StateDamaged(f"a record of {len(orders.customer)} orders with {lines} lines is garbled")
    return orders


def open_counts(
    path: Path, partition: int, settings: CountingSettings, *, read_only: bool = False, memory: Memory | None = None
) -> CountStore:
    """Open the counts of an item partition as of its last commit."""

    def owns(item_id: str) -> bool:
        return item_partition(item_id, settings.item_partitions) == partition

    store = CountStore(path, partition, settings, owns, read_only=read_only, memory=memory)
    with store.closed_on_error():
        store.recover(lambda record: _count_change(store, unpack_deltas(record)))
    return store


def count_orders(
    store: HistoryStore,
    source: int,
    orders: Orders,
    end: int,
    rejected: int = 0,
    documents: Mapping[str, bytes] | None = None,
    on_refused: Callable[[npt.NDArray[np.int64]], None] = lambda _: None,
    scorer: OrderScorer = lambda *_: {},
    rejected_at: Sequence[int] = (),
    most_bytes: int | None = None,
) -> tuple[int, list[DeltasRecord], npt.NDArray[np.int64]]:
    """Stage A: apply orders to the histories and commit them together with their deltas.

    Args:
        store: the histories; `orders` begin at its `purchases_offset`.
        source: the purchases partition.
        orders: its next orders.
        end: log position after them.
        rejected: lines before `end` that were rejected before they became orders.
        documents: name -> document to store with the commit, about the logs that the orders are from.
        on_refused: called before the commit with the indices (into `orders.item`) of returns not held.
        scorer: scores the orders before they are counted; its hit counts are part of the commit.
        rejected_at: log position of each of the lines that were rejected, if deltas are cut.
        most_bytes: how many a record of deltas should have at most, see `delta_records`; None: there is one record.

    Returns:
        The commit's number, the records of its deltas, and the log positions of returned lines whose item was not held.
    """
    whole = orders
    orders, places, seen = split(orders)
    first_item = len(store.items)
    numbered = NumberedOrders(
        customer=_store_numbers(store.customers.number, orders.customers, orders.customer),
        time=orders.time,
        kind=orders.kind,
        key=orders.key,
        start=orders.start,
        item=_store_numbers(store.items.number, orders.items, orders.item),
        quantity=orders.quantity,
    )
    loaded = _loaded(store, numbered)
    hit_counts = scorer(orders, loaded, store.table)
    changes = apply_orders(store.table, loaded, store.settings.pair_window)
    items = store.items.texts(range(first_item, len(store.items)))
    begin, positions = store.purchases_offset, np.array(rejected_at, np.int64)
    counted = CountedOrders(source, begin, end, numbered, orders.after, changes, rejected, positions, first_item, items)
    records = delta_records(counted, most_bytes)
    erasures = (numbered.kind == ERASE) & (store.table.next_seq[loaded.customer] == 0)  # others bought again since
    erased = np.unique(numbered.customer[erasures])
    kept = _kept(store, whole, seen)
    if kept is not None:
        erased = np.setdiff1d(erased, kept[1].customer)
    not_held = np.flatnonzero(changes.status == NOT_HELD)
    on_refused(places[not_held])
    refused = orders.position[not_held]
    commit = store.commit(
        record=pack(numbered),
        lines=len(whole.item),
        purchases_offset=end,
        outbox=[record.packed for record in records],
        refused=refused,
        erased=erased.tolist(),
        documents=documents or {},
        hit_counts=hit_counts,
        kept=kept,
    )
    return commit, records, refused


def _kept(store: HistoryStore, orders: Orders, seen: EventLines) -> tuple[npt.NDArray[np.uint32], Kept] | None:
    """The customers of events and erasures, and the events that they keep after these; None if the store keeps none."""
    if store.kept_events is None or not len(seen.customer):
        return None
    happened = seen.type != ERASED
    item = np.zeros(len(seen.item), np.uint32)
    item[happened] = _store_numbers(store.kept_events.items.number, orders.items, seen.item[happened])
    seen = seen._replace(customer=_store_numbers(store.customers.number, orders.customers, seen.customer), item=item)
    customers = np.unique(seen.customer)
    return customers, keep_events(store.kept_events.of(customers), seen)


def count_deltas(store: CountStore, records: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """Stage B: count packed deltas and commit them. Records that were counted before are dropped.

    Returns:
        (n,) store numbers of the items bought, returned or erased with their customer, whose lists changed most; empty
        if every record was counted before.

    Raises:
        DeltasInvalid: a record is not valid deltas; nothing was counted.
        DeltasOutOfOrder: a record is not counted yet, and does not begin at the log position its partition is counted
            up to.
    """
    new_records: list[bytes] = []
    new_deltas: list[Deltas] = []
    ends = dict(store.purchases_offsets)
    items: dict[int, int] = {}
    newest = store.newest
    for record in records:
        deltas = unpack_deltas(record)
        counted_to = ends.get(deltas.source, 0)
        if deltas.end <= counted_to:
            continue
        if deltas.begin != counted_to:
            raise DeltasOutOfOrder(
                f"{store.path} has counted purchases partition {deltas.source} up to {counted_to}, "
                f"but the next deltas run from {deltas.begin} to {deltas.end}"
            )
        newest = max(newest, deltas.newest)
        known = items.get(deltas.source, store.items_of(deltas.source))
        check_runs(deltas, store.settings.pair_window, known, newest)
        items[deltas.source] = known + len(deltas.items)
        ends[deltas.source] = deltas.end
        new_records.append(record)
        new_deltas.append(deltas)
    changes = [_count_change(store, deltas) for deltas in new_deltas]
    if not new_records:
        return np.zeros(0, np.uint32)
    store.commit(new_records, changes)
    changed_items = [change.purchase_item for change in changes]
    changed_items += [change.holder_item[change.holder_change < 0] for change in changes]
    return np.unique(np.concatenate(changed_items))


def _store_numbers(
    number: Callable[[list[str]], npt.NDArray[np.uint32]], ids: list[str], codes: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """(n,) store number of the id behind each of n codes, which are indices into `ids`.

    `number` numbers ids; it is given each used id once, by first occurrence among the codes.
    """
    used, first = np.unique(codes, return_index=True)
    used = used[np.argsort(first)]
    numbers = np.zeros(len(ids), np.uint32)
    numbers[used] = number([ids[code] for code in used.tolist()])
    return numbers[codes]


def _count_change(store: CountStore, deltas: Deltas) -> CountChange:
    """The change that deltas make to the rows of the partition's own items, and to the popularity of all items."""
    numbers = store.numbers_of(deltas.source, deltas.first_item, deltas.items)
    runs = deltas.runs._replace(item=numbers[deltas.runs.item])
    pair_window = store.settings.pair_window
    active = active_entries(runs)
    owned = store.owned[runs.item]
    return CountChange(
        source=deltas.source,
        end=deltas.end,
        totals=np.array([deltas.lines, deltas.duplicates, deltas.rejected, deltas.holding]),
        newest=deltas.newest,
        newest_day=deltas.newest // DAY_MS if deltas.newest >= 0 else -1,
        most_keys=most_keys(runs, pair_window, owned),
        keys=lambda slices: pair_keys(runs, pair_window, owned & slices[slice_of(runs.item)]),
        holder_item=runs.item[active],
        holder_epoch=runs.epoch[active],
        holder_change=np.repeat(runs.sign, runs.active).astype(np.int64),
        purchase_item=numbers[deltas.purchase_item],
        purchase_day=deltas.purchase_day,
        purchase_epoch=epoch_of(deltas.purchase_day),
    )
