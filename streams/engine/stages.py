"""The two stages: orders into histories, deltas into counts. Everything that counts purchases goes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.orders import DAY_MS, ERASE
from producers.partitioning import item_partition
from state.columns import pack, unpack
from state.count_store import CountChange, CountStore
from state.errors import StateDamaged
from state.history_store import HistoryStore
from streams.engine.deltas import (
    active_entries,
    check_runs,
    make_deltas,
    most_keys,
    pack_deltas,
    pair_keys,
    unpack_deltas,
)
from streams.engine.epochs import epoch_of
from streams.engine.histories import NOT_HELD, NumberedOrders, apply_orders, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from producers.orders import Orders
    from state.history_table import HistoryTable
    from state.settings import CountingSettings
    from streams.engine.deltas import Deltas

    Score = Callable[[Orders, NumberedOrders, HistoryTable], Mapping[int, Sequence[int]]]
    """Told orders before they are counted, with ids and with store numbers, and the histories; tallies them by day."""

_ORDER_COLUMNS = [np.uint32, np.int64, np.uint8, np.uint64, np.int64, np.uint32, np.int64]


class DeltasOutOfOrder(StateDamaged):
    """A record of deltas does not follow the one before: some are missing, or the log was cut differently."""


def open_histories(path: Path, settings: CountingSettings, *, read_only: bool = False) -> HistoryStore:
    """Open a purchases partition's histories, as of the last commit."""
    store = HistoryStore(path, settings, read_only=read_only)

    def apply(record: bytes, stale: npt.NDArray[np.bool_]) -> None:
        orders = NumberedOrders(*unpack(record, _ORDER_COLUMNS))
        apply_orders(store.table, selected(orders, stale[orders.customer]), settings.pair_window)

    store.recover(apply)
    return store


def open_counts(path: Path, partition: int, settings: CountingSettings, *, read_only: bool = False) -> CountStore:
    """Open an item partition's counts, as of the last commit."""

    def owns(item_id: str) -> bool:
        return item_partition(item_id, settings.item_partitions) == partition

    store = CountStore(path, partition, settings, owns, read_only=read_only)
    store.recover(lambda record: _change(store, unpack_deltas(record)))
    return store


def count_orders(
    store: HistoryStore,
    source: int,
    orders: Orders,
    end: int,
    rejected: int = 0,
    logs: Mapping[str, bytes | None] | None = None,
    on_refused: Callable[[npt.NDArray[np.int64]], None] = lambda _: None,
    score: Score = lambda *_: {},
) -> tuple[int, bytes, npt.NDArray[np.int64]]:
    """Stage A: carry orders into the histories, and commit them with the deltas they make.

    Args:
        store: the histories, which stand at the position where `orders` begin.
        source: the purchases partition.
        orders: what comes next in it.
        end: log position after them.
        rejected: lines in this stretch that were rejected before they became orders.
        logs: what to keep with the commit about the logs that the orders are from.
        on_refused: told, before the commit, the positions of returned lines whose item was not held.
        score: told the orders, with ids and with store numbers, and the histories before them; what it tallies of them
            by UTC day is committed with them.

    Returns:
        The commit's number, its packed deltas, and the positions of returned lines whose item was not held.
    """
    first_item = len(store.items)
    numbered = NumberedOrders(
        customer=_numbers(store.customers.number, orders.customers, orders.customer),
        time=orders.time,
        kind=orders.kind,
        key=orders.key,
        start=orders.start,
        item=_numbers(store.items.number, orders.items, orders.item),
        quantity=orders.quantity,
    )
    hit_counts = score(orders, numbered, store.table)
    changes = apply_orders(store.table, numbered, store.settings.pair_window)
    deltas = make_deltas(
        source,
        store.purchases_offset,
        end,
        rejected,
        numbered,
        changes,
        first_item,
        store.items.texts(range(first_item, len(store.items))),
    )
    packed = pack_deltas(deltas)
    erased = np.unique(numbered.customer[numbered.kind == ERASE])
    erased = erased[store.table.next_seq[erased] == 0]  # the others have bought again since
    refused = orders.position[changes.status == NOT_HELD]
    on_refused(refused)
    commit = store.commit(
        record=pack(numbered),
        lines=len(numbered.item),
        purchases_offset=end,
        outbox=packed,
        refused=refused,
        erased=erased.tolist(),
        logs=logs or {},
        hit_counts=hit_counts,
    )
    return commit, packed, refused


def count_deltas(store: CountStore, records: Sequence[bytes]) -> npt.NDArray[np.uint32]:
    """Stage B: count packed deltas and commit them; those counted before are dropped.

    Returns:
        (n,) numbers of the items bought, returned or erased with their customer, whose lists changed most; empty if
        every record was counted before.

    Raises:
        DeltasInvalid: a record is not one of ours; nothing was counted.
        DeltasOutOfOrder: a record begins after, or ends before and begins before, where its partition stands.
    """
    fresh: list[bytes] = []
    news: list[Deltas] = []
    ends = dict(store.purchases_offsets)
    items: dict[int, int] = {}
    newest = store.newest
    for record in records:
        deltas = unpack_deltas(record)
        stands = ends.get(deltas.source, 0)
        if deltas.end <= stands:
            continue
        if deltas.begin != stands:
            raise DeltasOutOfOrder(
                f"{store.path} has counted purchases partition {deltas.source} up to {stands}, "
                f"the next deltas are those from {deltas.begin} to {deltas.end}"
            )
        newest = max(newest, deltas.newest)
        known = items.get(deltas.source, store.items_of(deltas.source))
        check_runs(deltas, store.settings.pair_window, known, newest)
        items[deltas.source] = known + len(deltas.items)
        ends[deltas.source] = deltas.end
        fresh.append(record)
        news.append(deltas)
    changes = [_change(store, deltas) for deltas in news]
    if not fresh:
        return np.zeros(0, np.uint32)
    store.commit(fresh, changes)
    moved = [change.purchase_item for change in changes]
    moved += [change.holder_item[change.holder_change < 0] for change in changes]
    return np.unique(np.concatenate(moved))


def _numbers(
    number: Callable[[list[str]], npt.NDArray[np.uint32]], ids: list[str], codes: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Store numbers behind indices into a list of ids; new ids are numbered in the order in which they occur."""
    used, first = np.unique(codes, return_index=True)
    used = used[np.argsort(first)]
    numbers = np.zeros(len(ids), np.uint32)
    numbers[used] = number([ids[code] for code in used.tolist()])
    return numbers[codes]


def _change(store: CountStore, deltas: Deltas) -> CountChange:
    """What deltas change in the rows of the partition's own items, and in popularity."""
    numbers = store.numbers_of(deltas.source, deltas.first_item, deltas.items)
    runs = deltas.runs._replace(item=numbers[deltas.runs.item])
    window = store.settings.pair_window
    active = active_entries(runs)
    return CountChange(
        source=deltas.source,
        end=deltas.end,
        totals=np.array([deltas.lines, deltas.duplicates, deltas.rejected, deltas.holding]),
        newest=deltas.newest,
        newest_day=deltas.newest // DAY_MS if deltas.newest >= 0 else -1,
        most_keys=most_keys(runs, window, store.owned),
        keys=lambda wanted: pair_keys(runs, window, wanted),
        holder_item=runs.item[active],
        holder_epoch=runs.epoch[active],
        holder_change=np.repeat(runs.sign, runs.active).astype(np.int64),
        purchase_item=numbers[deltas.purchase_item],
        purchase_day=deltas.purchase_day,
        purchase_epoch=epoch_of(deltas.purchase_day),
    )
