"""The co-purchase counts of one item partition, in one RocksDB directory."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.columns import join_records, pack, pack_ids, split_records, unpack, unpack_encoded
from state.count_rows import (
    EXPOSURES,
    Addends,
    add,
    bundle_key,
    bundles_of,
    decode,
    encode,
    epoch_prefix,
    first_keys,
    locate,
    net,
    parse_bundle_key,
    slice_of,
    slice_of_row_keys,
    within,
)
from state.errors import StateDamaged
from state.journal import SLICES, Journal
from state.key_sorting import sort_keys
from state.names import NOWHERE, Names
from state.popularity_table import PopularityTable
from state.rocks import WriteBatch
from state.settings import CountingSettings, check_settings, put_settings
from state.store import Store
from state.waiting_counts import WaitingCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from state.count_rows import Counts, Keys
    from state.memory import Memory

KIND = "co-purchase counts"
_PAIRS_PER_SLICE = 1 << 19  # pair updates per slice written in full; up to SLICES times as many wait in memory, 300 MB
_MOST_KEYS = 1 << 24  # pair keys that a commit may expand at once, 170 MB; an order of 10,000 lines has 100 million
_KEYS_AT_ONCE = 1 << 23  # pair keys expanded at a time in a commit that has more
_KEY_BYTES = 16
"""Of a pair key while it is counted: it is expanded, grouped by slice, and copied."""
_BUNDLES_AT_ONCE = 1024
"""Of a slice, decoded and added to at a time: rows of 4,096 items."""
_NAMES = struct.Struct(">cI")
_NUMBERS = struct.Struct(">cII")
_POSITION = b"mcounts"
_EVERY_SLICE = np.ones(SLICES, np.bool_)


class CountChange(NamedTuple):
    """The change that one deltas record makes to a store, with items as the store's numbers.

    It has h changes of holders and p purchases.
    """

    source: int
    """The purchases partition."""
    end: int
    """Log position in it after the record."""
    totals: npt.NDArray[np.int64]
    """(4,) lines, duplicates and rejected lines read, and the change in customers who hold anything."""
    newest: int
    """Event time in milliseconds of the newest purchase; -1 if there is none."""
    newest_day: int
    """Its UTC day, in days since 1970-01-01; -1 if there is none."""
    most_keys: int
    """An upper bound on the signed pair keys that `keys` returns, exposure moves excluded."""
    keys: Callable[[npt.NDArray[np.bool_]], dict[int, Keys]]
    """Called with a (SLICES,) bool mask; returns epoch -> signed pair keys, in the rows of the partition's own items
    that are in those slices."""
    holder_item: npt.NDArray[np.uint32]
    """(h,) item that a customer holds, or no longer holds."""
    holder_epoch: npt.NDArray[np.int64]
    """(h,) epoch of the customer's first purchase of it."""
    holder_change: npt.NDArray[np.int64]
    """(h,) 1 or -1."""
    purchase_item: npt.NDArray[np.uint32]
    """(p,) item of each purchase, repeats included."""
    purchase_day: npt.NDArray[np.int64]
    """(p,) its UTC day."""
    purchase_epoch: npt.NDArray[np.int64]
    """(p,) its epoch."""


class CountStore(Store):
    """Co-purchase counts and exposures of one partition's items, and the popularity of all items.

    Changes of counts wait in memory, within this store's share of `memory.waiting_counts`, for the turn of their slice.
    Where they do not fit, slices are written before their turn, each in a batch of its own, as of the last commit: that
    changes what is waiting and what the journal has to keep, but no count.

    A commit writes the counts and the offsets they are valid for in one batch, which survives SIGKILL. After a power
    cut the last commits may be missing, counts and offsets together.

    Args:
        path: the directory; created if missing.
        partition: number of the item partition.
        settings: the counting settings.
        owns: called with an item id; whether the item belongs to this partition.
        read_only: open without taking the directory's lock.
        memory: what the store shares with the others of the process; None: the default one.

    Attributes:
        purchases_offsets: purchases partition -> log position up to which it is counted.
        lines, duplicates, rejected: order lines read, and how many of them were duplicates or rejected.
        newest: event time in milliseconds of the newest purchase; -1 before the first.
        holding: customers who hold anything.
        co_purchases_offset: next offset to read in the partition of co-purchases; set by the caller, written with the
            next commit.

    Raises:
        SettingsMismatch: the state was written with other settings.
    """

    def __init__(
        self,
        path: Path,
        partition: int,
        settings: CountingSettings,
        owns: Callable[[str], bool],
        *,
        read_only: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.partition = partition
        self.settings = settings
        self._owns = owns
        self._waiting = WaitingCounts()
        super().__init__(path, read_only=read_only, memory=memory)
        with self.closed_on_error():
            self._settings_stored = check_settings(self._rocks, KIND, settings)
            self.names = Names()
            self.owned = np.zeros(1024, np.bool_)
            self.popularity = PopularityTable()
            self.purchases_offsets: dict[int, int] = {}
            self.newest = -1
            self.co_purchases_offset = 0
            self._totals = np.zeros(4, np.int64)
            self._numbers_of: dict[int, npt.NDArray[np.uint32]] = {}
            self._stored_numbers: dict[int, int] = {}
            self._stored_names = 0
            self._read_only = read_only
            self.memory.waiting_counts.join(self._waiting)
            self.journal = Journal(self._rocks, _PAIRS_PER_SLICE)
            self._load()

    @property
    def purchases_offset_sum(self) -> int:
        """Sum of `purchases_offsets`: a version of the counts, which rises with every change, erasures included."""
        return sum(self.purchases_offsets.values())

    @property
    def lines(self) -> int:
        """Order lines read."""
        return int(self._totals[0])

    @property
    def duplicates(self) -> int:
        """Order lines ignored as duplicates."""
        return int(self._totals[1])

    @property
    def rejected(self) -> int:
        """Order lines rejected."""
        return int(self._totals[2])

    @property
    def holding(self) -> int:
        """Customers who hold anything."""
        return int(self._totals[3])

    def _load(self) -> None:
        firsts, records = [], []
        for key, record in self._rocks.scan(b"n"):
            firsts.append(_NAMES.unpack(key)[1])
            records.append(record)
        blob, ends, counts = unpack_encoded(records)
        missing = np.flatnonzero(firsts != np.cumsum(counts) - counts)
        if len(missing):
            raise StateDamaged(f"{self.path}: item ids before number {firsts[missing[0]]} are missing")
        stored = len(ends) - 1
        self.names.number_encoded(blob, ends)  # at once: a table that grows is indexed again
        if len(self.names) != stored:
            raise StateDamaged(f"{self.path}: an item id has two numbers")
        self._own(0)
        self._stored_names = stored
        tables: dict[int, list[npt.NDArray[np.uint32]]] = {}
        for key, record in self._rocks.scan(b"t"):
            _, source, first = _NUMBERS.unpack(key)
            known = self._stored_numbers.get(source, 0)
            if first != known:
                raise StateDamaged(f"{self.path}: item numbers of partition {source} from {known} on are missing")
            (table,) = unpack(record, [np.uint32])
            if table.max(initial=0) >= max(stored, 1):
                raise StateDamaged(f"{self.path}: an item number of partition {source} has no id")
            tables.setdefault(source, []).append(table)
            self._stored_numbers[source] = known + len(table)
        self._numbers_of = {source: np.concatenate(parts) for source, parts in tables.items()}
        position = self._rocks.get(_POSITION)
        if position is None:
            return
        sources, ends, self._totals, log = unpack(position, [np.int64] * 4)
        self.purchases_offsets = dict(zip(sources.tolist(), ends.tolist(), strict=True))
        self.newest, self.co_purchases_offset = log.tolist()
        self.popularity.load(self._rocks, len(self.names))

    def recover(self, change_of: Callable[[bytes], CountChange]) -> None:
        """Apply the journal to the slices that have not seen it; to be called once, after opening.

        Args:
            change_of: the change that a record makes.
        """
        for commit, joined in self.journal.records():
            changes = [change_of(record) for record in split_records(joined)]
            fits = self._make_room(commit - 1, changes)
            stale = self.journal.written < commit
            for change in changes:
                self._count(commit, change, stale)
            if fits:
                for change in changes:
                    self._waiting.add(change.keys(stale))
            else:
                self._count_in_parts(commit, changes)

    def numbers_of(self, source: int, first: int, ids: Sequence[str]) -> npt.NDArray[np.uint32]:
        """(n,) this store's numbers of a purchases partition's items, by their number there.

        Args:
            source: the purchases partition.
            first: number there of the first of `ids`, which may be new here; they are written with the next commit.
            ids: the ids of the items numbered there from `first` on.

        Raises:
            StateDamaged: the items do not follow those known, or differ from known items with their numbers.
        """
        table = self._numbers_of.get(source, np.zeros(0, np.uint32))
        if first == len(table):
            known = self.names.find(ids)
            if np.isin(table, known[known != NOWHERE]).any():
                raise StateDamaged(f"{self.path}: purchases partition {source} numbers an item a second time")
            if ids:
                table = self._numbers_of[source] = np.concatenate([table, self._number(ids)])
        elif self.names.texts(table[first : first + len(ids)].tolist()) != list(ids):
            raise StateDamaged(
                f"{self.path}: purchases partition {source} numbers {len(ids)} items from {first} on, "
                f"which do not match the {len(table)} known items"
            )
        return table

    def items_of(self, source: int) -> int:
        """How many items of a purchases partition are known."""
        return len(self._numbers_of.get(source, ()))

    def _number(self, ids: Sequence[str]) -> npt.NDArray[np.uint32]:
        known = len(self.names)
        numbers = self.names.number(ids)
        self._own(known)
        return numbers

    def _own(self, known: int) -> None:
        """Have columns for the items from number `known` on."""
        if len(self.names) > len(self.owned):
            size = -(-len(self.names) * 3 // 2 // 1024) * 1024
            self.owned = np.concatenate([self.owned, np.zeros(size - len(self.owned), np.bool_)])
        new = range(known, len(self.names))
        everything = self.settings.item_partitions == 1
        self.owned[known : len(self.names)] = everything or [self._owns(text) for text in self.names.texts(new)]
        self.popularity.grow_to(len(self.names))

    def commit(self, records: Sequence[bytes], changes: Sequence[CountChange]) -> None:
        """Count `changes`, and write them together with the offsets after them.

        Args:
            records: the packed deltas of the changes, kept in the journal until every slice has been written.
            changes: one for each record; items are numbered by `numbers_of`.
        """
        fits = self._make_room(self.journal.commit, changes)
        batch = WriteBatch(raw_mode=True)
        if not self._settings_stored:
            put_settings(batch, KIND, self.settings)
            self._settings_stored = True
        keys_of_changes = [change.keys(_EVERY_SLICE) for change in changes] if fits else []
        work = sum(len(keys) for keys_by_epoch in keys_of_changes for keys in keys_by_epoch.values())
        due_slices = self.journal.begin(batch, join_records(records), work)
        while keys_of_changes:
            self._waiting.add(keys_of_changes.pop())
        for change in changes:
            self._count(self.journal.commit, change)
            self.purchases_offsets[change.source] = change.end
            self.newest = max(self.newest, change.newest)
            self._totals += change.totals
        for number, since in due_slices:
            self._write_slice(batch, number, since)
        if self._stored_names < len(self.names):
            new_names = self.names.texts(range(self._stored_names, len(self.names)))
            batch.put(_NAMES.pack(b"n", self._stored_names), pack_ids(new_names))
            self._stored_names = len(self.names)
        for source, table in self._numbers_of.items():
            stored = self._stored_numbers.get(source, 0)
            if stored < len(table):
                batch.put(_NUMBERS.pack(b"t", source, stored), pack([table[stored:]]))
                self._stored_numbers[source] = len(table)
        batch.put(
            _POSITION,
            pack(
                [
                    np.array(list(self.purchases_offsets), np.int64),
                    np.array(list(self.purchases_offsets.values()), np.int64),
                    self._totals,
                    np.array([self.newest, self.co_purchases_offset]),
                ]
            ),
        )
        self._rocks.write(batch)
        if not fits:
            self._count_in_parts(self.journal.commit, changes)
        self.memory.return_freed()

    def close(self) -> None:
        """Release the directory, and the memory."""
        self.memory.waiting_counts.leave(self._waiting)
        super().close()

    def _make_room(self, commit: int, changes: Sequence[CountChange]) -> bool:
        """Write slices as of a commit until the pairs of the next changes fit into memory beside those that wait.

        Returns:
            Whether they fit; if not, they are to be counted in parts.
        """
        room = self.memory.waiting_counts.share_bytes
        most_keys = sum(change.most_keys for change in changes)
        fits = most_keys <= min(_MOST_KEYS, room // 2 // _KEY_BYTES) or self._read_only
        if fits and not self._read_only:
            while self._waiting.nbytes > max(room - most_keys * _KEY_BYTES, 0):
                self._write_early(self.journal.oldest_slice(), commit)
        return fits

    def _count_in_parts(self, commit: int, changes: Sequence[CountChange]) -> None:
        """Count the pairs of changes that are in the journal as `commit`, a few slices at a time, and write those."""
        most_keys = sum(change.most_keys for change in changes)
        at_once = min(_KEYS_AT_ONCE, self.memory.waiting_counts.share_bytes // 2 // _KEY_BYTES)
        parts = min(most_keys // max(at_once, 1) + 1, SLICES)
        for part in range(parts):
            due = self.journal.written < commit
            due[np.arange(SLICES) % parts != part] = False
            for change in changes:
                self._waiting.add(change.keys(due))
            for number in np.flatnonzero(due).tolist():
                self._write_early(number, commit)

    def _write_early(self, number: int, commit: int) -> None:
        """Write a slice as of a commit."""
        batch = WriteBatch(raw_mode=True)
        self._write_slice(batch, number, int(self.journal.written[number]))
        self.journal.wrote(batch, [number], commit)
        self._rocks.write(batch)

    def _count(self, commit: int, change: CountChange, slices: npt.NDArray[np.bool_] = _EVERY_SLICE) -> None:
        """Add a change to the popularity in memory, of the items of some slices, given as (SLICES,) bool."""
        holders: list[npt.NDArray[Any]] = [change.holder_item, change.holder_epoch, change.holder_change]
        purchases: list[npt.NDArray[Any]] = [change.purchase_item, change.purchase_day, change.purchase_epoch]
        if not slices.all():
            holders = [column[slices[slice_of(change.holder_item)]] for column in holders]
            purchases = [column[slices[slice_of(change.purchase_item)]] for column in purchases]
        self.popularity.advance(change.newest_day)
        self.popularity.add_holders(commit, *holders)
        self.popularity.add_purchases(commit, *purchases)

    def _write_slice(self, batch: WriteBatch, number: int, since: int) -> None:
        """Put every row of a slice that changed since a commit into `batch`."""
        self.popularity.write_slice(batch, number, since)
        for epoch in self._waiting.epochs():
            keys, changes = net(self._waiting.keys(epoch, number))
            if not len(keys):
                continue
            bundles = bundles_of(keys)
            for first in range(0, len(bundles), _BUNDLES_AT_ONCE):
                some = bundles[first : first + _BUNDLES_AT_ONCE]
                begin, end = np.searchsorted(keys, first_keys(np.array([some[0], some[-1] + np.uint64(1)]))).tolist()
                self._write_bundles(batch, epoch, some, keys[begin:end], changes[begin:end])
        self._waiting.forget(number)

    def _write_bundles(
        self, batch: WriteBatch, epoch: int, bundles: npt.NDArray[np.uint64], keys: Keys, changes: Counts
    ) -> None:
        """Put some bundles of an epoch, with the changes of their rows added, into `batch`."""
        keys, counts = self._sum(*decode(*self._stored(epoch, bundles)), keys, changes)
        kept_bundles, values, ends = encode(keys, counts)
        blob = values.tobytes()
        bounds = ends.tolist()
        for bundle, begin, end in zip(kept_bundles.tolist(), bounds, bounds[1:], strict=False):
            batch.put(bundle_key(epoch, bundle), blob[begin:end])
        if len(kept_bundles) < len(bundles):
            for bundle in np.setdiff1d(bundles, kept_bundles).tolist():
                batch.delete(bundle_key(epoch, bundle))

    def _sum(self, keys: Keys, counts: Counts, changed_keys: Keys, changes: Counts) -> tuple[Keys, Counts]:
        """The counts after their changes, by rising key."""
        keys, counts = add(keys, counts, changed_keys, changes)
        if len(counts) and counts.min() < 0:
            raise StateDamaged(f"{self.path}: a count would fall below zero; restore a snapshot, or replay the log")
        return keys, counts

    def _stored(self, epoch: int, bundles: npt.NDArray[np.uint64]) -> _Values:
        """The values of some bundles, given in rising order, as they are on disk."""
        numbers = bundles.tolist()
        entries: Iterable[tuple[int, bytes | None]]
        if len(numbers) > 1 and numbers[-1] - numbers[0] < 2 * len(numbers):  # a scan step costs a fifth of a lookup
            found = self._rocks.between(bundle_key(epoch, numbers[0]), bundle_key(epoch, numbers[-1] + 1))
            entries = [(parse_bundle_key(key)[2], value) for key, value in found]
        else:
            values = self._rocks.get_many([bundle_key(epoch, bundle) for bundle in numbers])
            entries = zip(numbers, values, strict=True)
        return _Values.of([(bundle, value) for bundle, value in entries if value])

    def _stored_slice(self, epoch: int, number: int) -> _Values:
        """The values of all bundles of a slice as they are on disk."""
        return _Values.of(
            [(parse_bundle_key(key)[2], value) for key, value in self._rocks.scan(epoch_prefix(epoch, number))]
        )

    def bought(self, number: int) -> bool:
        """Whether an item was ever bought; others occur only in rejected lines."""
        return any(column[number] for column in self.popularity.purchases.values())

    def epochs(self) -> list[int]:
        """Every epoch that may have pairs, oldest first."""
        return sorted(self.popularity.holders)

    def addends(self, row_keys: Keys) -> Addends:
        """The rows of some of this partition's items, whose `row_keys`, (n,), rise."""
        bundles = bundles_of(row_keys << np.uint64(32))
        low = row_keys << np.uint64(33)
        key_bounds = np.stack([low, low + np.uint64(1 << 33)], axis=1).ravel()  # (2 n,) of each item's signed keys
        slices = slice_of_row_keys(row_keys)
        numbers, firsts = np.unique(slices, return_index=True)
        item_ranges = itertools.pairwise([*firsts.tolist(), len(row_keys)])
        items_by_slice = list(zip(numbers.tolist(), item_ranges, strict=False))  # no row_keys: no slice, but one range
        stored, waiting = [], []
        for epoch in [*self.epochs(), EXPOSURES]:
            keys_of_items = []
            for number, (first, end) in items_by_slice:
                bounds = key_bounds[2 * first : 2 * end]
                keys_of_items += [within(keys, bounds) for keys in self._waiting.runs(epoch, number)]
            stored.append(self._stored(epoch, bundles))
            waiting.append(sort_keys(keys_of_items))
        return _addends(row_keys, stored, waiting)

    def slice_rows(self, number: int) -> dict[int, tuple[Keys, Counts]]:
        """Every count of a slice: epoch -> pair keys, rising, and their counts."""
        rows = {}
        for epoch in [*self.epochs(), EXPOSURES]:
            keys, counts = decode(*self._stored_slice(epoch, number))
            rows[epoch] = self._sum(keys, counts, *net(self._waiting.keys(epoch, number)))
        return rows


class _Values(NamedTuple):
    """The stored values of b bundles, concatenated."""

    bundles: npt.NDArray[np.uint64]
    """(b,) rising."""
    blob: npt.NDArray[np.uint8]
    """(bytes,) the values."""
    ends: npt.NDArray[np.int64]
    """(b + 1,) their boundaries in `blob`."""

    @classmethod
    def of(cls, entries: list[tuple[int, bytes]]) -> _Values:
        """The values of (bundle, value) entries."""
        ends = np.zeros(len(entries) + 1, np.int64)
        np.cumsum([len(value) for _, value in entries], out=ends[1:])
        blob = np.frombuffer(b"".join([value for _, value in entries]), np.uint8)
        return cls(np.array([bundle for bundle, _ in entries], np.uint64), blob, ends)


def _addends(row_keys: Keys, stored: list[_Values], waiting: list[Keys]) -> Addends:
    """The rows of items: values on disk and signed keys in memory of each epoch, those of the exposures last."""
    offset = 0
    bounds = []
    for values in stored:
        begin, end = locate(row_keys, *values)
        bounds.append((begin + offset, end + offset))
        offset += len(values.blob)
    changes = [net(keys) for keys in waiting]
    return Addends(
        blob=np.concatenate([values.blob for values in stored]),
        begin=np.stack([begin for begin, _ in bounds]),
        end=np.stack([end for _, end in bounds]),
        keys=np.concatenate([keys for keys, _ in changes]),
        changes=np.concatenate([change for _, change in changes]),
        start=np.cumsum([0] + [len(keys) for keys, _ in changes]),
    )
