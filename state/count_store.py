"""Co-purchase counts of one item partition in one RocksDB directory."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.columns import join_records, pack, pack_ids, split_records, unpack, unpack_ids
from state.count_rows import (
    BUNDLE,
    EXPOSURES,
    Addends,
    add,
    bundle_key,
    bundles_of,
    decode,
    encode,
    epoch_prefix,
    locate,
    net,
    parse_bundle_key,
    slice_of,
    slice_of_row_keys,
)
from state.errors import StateDamaged
from state.journal import SLICES, Journal
from state.names import Names
from state.popularity_table import PopularityTable
from state.rocks import WriteBatch
from state.settings import CountingSettings, check_settings, put_settings
from state.store import Store
from state.waiting_counts import WaitingCounts, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from state.count_rows import Counts, Keys

KIND = "co-purchase counts"
_PAIRS_PER_SLICE = 1 << 19  # pair updates that pay for writing one slice whole: a sixty-fourth waits in memory, 300 MB
_MOST_KEYS = 1 << 24  # pair keys that a commit may make at once, 170 MB; an order of 10,000 lines has 100 million
_KEYS_AT_ONCE = 1 << 23  # pair keys made at a time of a commit that makes more
_NAMES = struct.Struct(">cI")
_NUMBERS = struct.Struct(">cII")
_POSITION = b"mcounts"


class CountChange(NamedTuple):
    """What a record of deltas changes here, with items as this store's numbers."""

    source: int
    end: int
    totals: npt.NDArray[np.int64]
    """(4,) lines, duplicates and rejected lines read, and the change in customers who hold anything."""
    newest: int
    newest_day: int
    most_keys: int
    """Signed pair keys that `keys` gives at most, exposure moves aside."""
    keys: Callable[[npt.NDArray[np.bool_]], dict[int, Keys]]
    """Sorted signed pair keys by epoch, in the rows of the items for which a given (items,) bool holds."""
    holder_item: npt.NDArray[np.uint32]
    holder_epoch: npt.NDArray[np.int64]
    holder_change: npt.NDArray[np.int64]
    purchase_item: npt.NDArray[np.uint32]
    purchase_day: npt.NDArray[np.int64]
    purchase_epoch: npt.NDArray[np.int64]


class CountStore(Store):
    """Co-purchase counts and exposures of one partition's items, and the popularity of all items.

    State and the offsets it stands for share a write batch: a commit that returned survives SIGKILL; after a power cut
    the last commits may be missing, offsets and counts together.

    Args:
        path: the directory; made if missing.
        partition: which partition of the items this is.
        settings: what is counted.
        owns: (item id) whether an item belongs to this partition.
        read_only: open without taking the directory's lock.

    Attributes:
        purchases_offsets: purchases partition -> log position up to which it is counted.
        lines, duplicates, rejected: order lines read, by what became of them.
        newest: event time in milliseconds of the newest purchase; -1 before the first.
        holding: customers who hold anything.
        co_purchases_offset: where the caller reads on in its partition of co-purchases; written with the next commit.

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
    ) -> None:
        self.partition = partition
        self.settings = settings
        self._owns = owns
        super().__init__(path, read_only=read_only)
        check_settings(self._rocks, KIND, settings)
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
        self._waiting = WaitingCounts()
        self.journal = Journal(self._rocks, _PAIRS_PER_SLICE)
        self._load()

    @property
    def purchases_offset_sum(self) -> int:
        """Sum of `purchases_offsets`: the version of the counts, which every change raises, an erasure too."""
        return sum(self.purchases_offsets.values())

    @property
    def lines(self) -> int:
        """Order lines read."""
        return int(self._totals[0])

    @property
    def duplicates(self) -> int:
        """Order lines ignored because they came again."""
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
        for key, record in self._rocks.scan(b"n"):
            if _NAMES.unpack(key)[1] != len(self.names):
                raise StateDamaged(f"{self.path}: item ids from number {len(self.names)} on are missing")
            self._number(unpack_ids(record))
        self._stored_names = len(self.names)
        for key, record in self._rocks.scan(b"t"):
            _, source, first = _NUMBERS.unpack(key)
            table = self._numbers_of.get(source, np.zeros(0, np.uint32))
            if first != len(table):
                raise StateDamaged(f"{self.path}: item numbers of partition {source} from {len(table)} on are missing")
            self._numbers_of[source] = np.concatenate([table, *unpack(record, [np.uint32])])
            self._stored_numbers[source] = len(self._numbers_of[source])
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
            stale = np.repeat(self.journal.written < commit, BUNDLE)
            for record in split_records(joined):
                change = change_of(record)
                self._count(commit, change, np.resize(stale, len(self.names)))
                self._waiting.add(change.keys(self.owned & np.resize(stale, len(self.owned))))

    def numbers_of(self, source: int, first: int, ids: Sequence[str]) -> npt.NDArray[np.uint32]:
        """(n,) this store's numbers of a purchases partition's items, by their number there.

        Args:
            source: the purchases partition.
            first: number there of the first of `ids`, which may be new here; they are written with the next commit.
            ids: the items numbered there from `first` on.

        Raises:
            StateDamaged: these items do not follow those known, or others have their numbers.
        """
        table = self._numbers_of.get(source, np.zeros(0, np.uint32))
        if first == len(table):
            known = [self.names[item_id] for item_id in ids if item_id in self.names]
            if known and np.isin(table, known).any():
                raise StateDamaged(f"{self.path}: purchases partition {source} numbers an item a second time")
            if ids:
                table = self._numbers_of[source] = np.concatenate([table, self._number(ids)])
        elif self.names.texts(table[first : first + len(ids)].tolist()) != list(ids):
            raise StateDamaged(
                f"{self.path}: purchases partition {source} numbers {len(ids)} items from {first} on, which are not "
                f"those of the {len(table)} known here"
            )
        return table

    def items_of(self, source: int) -> int:
        """How many items of a purchases partition are known."""
        return len(self._numbers_of.get(source, ()))

    def _number(self, ids: Sequence[str]) -> npt.NDArray[np.uint32]:
        known = len(self.names)
        numbers = self.names.number(ids)
        if len(self.names) > len(self.owned):
            room = -(-len(self.names) * 3 // 2 // 1024) * 1024
            self.owned = np.concatenate([self.owned, np.zeros(room - len(self.owned), np.bool_)])
        for number in range(known, len(self.names)):
            self.owned[number] = self._owns(self.names.text(number))
        self.popularity.grow_to(len(self.names))
        return numbers

    def commit(self, records: Sequence[bytes], changes: Sequence[CountChange]) -> None:
        """Count `changes`, and make them durable together with the offsets they stand for.

        Args:
            records: the packed deltas behind the changes, kept in the journal until every slice was rewritten.
            changes: one for each record, with `number`ed items.
        """
        batch = WriteBatch(raw_mode=True)
        if self.journal.commit == 0:
            put_settings(batch, KIND, self.settings)
        joined = join_records(records)
        many = sum(change.most_keys for change in changes) > _MOST_KEYS
        if many:
            turns = self.journal.begin(batch, joined, SLICES * _PAIRS_PER_SLICE)  # every slice is written
        else:
            turns = self._count_pairs(batch, joined, changes)
        for change in changes:
            self._count(self.journal.commit, change)
            self.purchases_offsets[change.source] = change.end
            self.newest = max(self.newest, change.newest)
            self._totals += change.totals
        if many:
            self._count_many_pairs(batch, changes, turns)
        else:
            for number, since in turns:
                self._write_slice(batch, number, since)
        if self._stored_names < len(self.names):
            fresh = self.names.texts(range(self._stored_names, len(self.names)))
            batch.put(_NAMES.pack(b"n", self._stored_names), pack_ids(fresh))
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

    def _count(self, commit: int, change: CountChange, only: npt.NDArray[np.bool_] | None = None) -> None:
        """Add a change to what is in memory; with `only`, (items,) bool, only for the items where it is set."""
        holders: list[npt.NDArray[Any]] = [change.holder_item, change.holder_epoch, change.holder_change]
        purchases: list[npt.NDArray[Any]] = [change.purchase_item, change.purchase_day, change.purchase_epoch]
        if only is not None:
            holders = [column[only[change.holder_item]] for column in holders]
            purchases = [column[only[change.purchase_item]] for column in purchases]
        self.popularity.advance(change.newest_day)
        self.popularity.add_holders(commit, *holders)
        self.popularity.add_purchases(commit, *purchases)

    def _count_pairs(self, batch: WriteBatch, joined: bytes, changes: Sequence[CountChange]) -> list[tuple[int, int]]:
        """Count the pairs of changes that fit into memory together; return the slices to be written."""
        keys = [change.keys(self.owned) for change in changes]
        turns = self.journal.begin(batch, joined, sum(len(part) for more in keys for part in more.values()))
        for more in keys:
            self._waiting.add(more)
        return turns

    def _count_many_pairs(
        self, batch: WriteBatch, changes: Sequence[CountChange], turns: list[tuple[int, int]]
    ) -> None:
        """Count the pairs of changes a few slices at a time, each of which is written at once."""
        parts = min(sum(change.most_keys for change in changes) // _KEYS_AT_ONCE + 1, SLICES)
        part_of_item = slice_of(np.arange(len(self.owned))) % parts
        for part in range(parts):
            for change in changes:
                self._waiting.add(change.keys(self.owned & (part_of_item == part)))
            for number, since in turns:
                if number % parts == part:
                    self._write_slice(batch, number, since)

    def _write_slice(self, batch: WriteBatch, number: int, since: int) -> None:
        """Put into `batch` every row of a slice that changed since a commit."""
        self.popularity.write_slice(batch, number, since)
        for epoch in self._waiting.epochs():
            keys, changes = net(self._waiting.keys(epoch, number))
            if not len(keys):
                continue
            bundles = bundles_of(keys)
            keys, counts = self._sum(*decode(*self._stored(epoch, bundles)), keys, changes)
            left, values, ends = encode(keys, counts)
            blob = values.tobytes()
            bounds = ends.tolist()
            for bundle, begin, end in zip(left.tolist(), bounds, bounds[1:], strict=False):
                batch.put(bundle_key(epoch, bundle), blob[begin:end])
            if len(left) < len(bundles):
                for bundle in np.setdiff1d(bundles, left).tolist():
                    batch.delete(bundle_key(epoch, bundle))
        self._waiting.forget(number)

    def _sum(self, keys: Keys, counts: Counts, more: Keys, changes: Counts) -> tuple[Keys, Counts]:
        keys, counts = add(keys, counts, more, changes)
        if len(counts) and counts.min() < 0:
            raise StateDamaged(f"{self.path}: a count would fall below zero; restore a snapshot, or replay the log")
        return keys, counts

    def _stored(self, epoch: int, bundles: npt.NDArray[np.uint64]) -> _Values:
        """The values of some bundles as they are on disk; `bundles` rise."""
        wanted = bundles.tolist()
        entries: Iterable[tuple[int, bytes | None]]
        if len(wanted) > 1 and wanted[-1] - wanted[0] < 2 * len(wanted):  # the next entry costs a fifth of another look
            found = self._rocks.between(bundle_key(epoch, wanted[0]), bundle_key(epoch, wanted[-1] + 1))
            entries = [(parse_bundle_key(key)[2], value) for key, value in found]
        else:
            values = self._rocks.get_many([bundle_key(epoch, bundle) for bundle in wanted])
            entries = zip(wanted, values, strict=True)
        return _Values.of([(bundle, value) for bundle, value in entries if value])

    def _stored_slice(self, epoch: int, number: int) -> _Values:
        """The values of all bundles of a slice as they are on disk."""
        return _Values.of(
            [(parse_bundle_key(key)[2], value) for key, value in self._rocks.scan(epoch_prefix(epoch, number))]
        )

    def bought(self, number: int) -> bool:
        """Whether an item was ever bought, rather than only named."""
        return any(column[number] for column in self.popularity.purchases.values())

    def epochs(self) -> list[int]:
        """Every epoch of which there may be pairs, oldest first."""
        return sorted(self.popularity.holders)

    def addends(self, row_keys: Keys) -> Addends:
        """The rows of some of this partition's items, by their rising row_keys."""
        bundles = bundles_of(row_keys << np.uint64(32))
        low = row_keys << np.uint64(33)
        edge = np.stack([low, low + np.uint64(1 << 33)], axis=1).ravel()  # where each item's keys begin and end
        slices = slice_of_row_keys(row_keys)
        numbers, firsts = np.unique(slices, return_index=True)
        bounds = itertools.pairwise([*firsts.tolist(), len(row_keys)])
        stretches = list(zip(numbers.tolist(), bounds, strict=False))  # of no row_keys, there is one bound and no slice
        stored, waiting = [], []
        for epoch in [*self.epochs(), EXPOSURES]:
            parts = []
            for number, (first, end) in stretches:
                for keys in self._waiting.runs(epoch, number):
                    edges = keys.searchsorted(edge[2 * first : 2 * end]).tolist()
                    parts += [keys[at:to] for at, to in zip(edges[::2], edges[1::2], strict=True) if at < to]
            stored.append(self._stored(epoch, bundles))
            waiting.append(merged(parts))
        return _added(row_keys, stored, waiting)

    def slice_rows(self, number: int) -> dict[int, tuple[Keys, Counts]]:
        """Every count of a slice: epoch -> pair keys and counts by rising key."""
        rows = {}
        for epoch in [*self.epochs(), EXPOSURES]:
            keys, counts = decode(*self._stored_slice(epoch, number))
            rows[epoch] = self._sum(keys, counts, *net(self._waiting.keys(epoch, number)))
        return rows


class _Values(NamedTuple):
    """Stored values of bundles, end to end."""

    bundles: npt.NDArray[np.uint64]
    blob: npt.NDArray[np.uint8]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, entries: list[tuple[int, bytes]]) -> _Values:
        ends = np.zeros(len(entries) + 1, np.int64)
        np.cumsum([len(value) for _, value in entries], out=ends[1:])
        blob = np.frombuffer(b"".join([value for _, value in entries]), np.uint8)
        return cls(np.array([bundle for bundle, _ in entries], np.uint64), blob, ends)


def _added(row_keys: Keys, stored: list[_Values], waiting: list[Keys]) -> Addends:
    """Rows as kept: `stored` and `waiting` by epoch, the exposures last."""
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
