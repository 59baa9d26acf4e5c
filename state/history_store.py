"""The histories of one purchases partition's customers, in one RocksDB directory."""

from __future__ import annotations

import itertools
import struct
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from state.columns import pack, pack_ids, unpack, unpack_ids
from state.history_rows import StoredRows, packed_rows
from state.journal import SLICES, Journal
from state.kept_events import Kept, KeptEvents
from state.resident_histories import ResidentHistories
from state.rocks import WriteBatch
from state.settings import CountingSettings, check_settings, put_settings
from state.store import Store
from state.stored_names import StoredNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from state.history_table import HistoryTable
    from state.memory import Memory

KIND = "histories"
_LINES_PER_SLICE = 4096
_ROWS_AT_ONCE = 4096
_NUMBER = struct.Struct(">cI")
_ROW = struct.Struct(">cHI")  # slice first, so that the rows written together are adjacent
_OUTBOX = struct.Struct(">cQ")
_PART = struct.Struct(">I")
_POSITION = b"mhistories"
_LOG = b"l"


class HistoryStore(Store):
    """Histories of one partition's customers, the outbox of deltas that stage B may lack, and hit counts by day.

    A commit writes the orders it counts, the log position after them and their deltas in one batch. The deltas of a
    commit therefore survive SIGKILL with it, and are sent again, byte for byte, until they are acknowledged.

    In memory are the histories that commits changed since their slice was written, and those used last, within the
    store's share of the process's memory; more only while the customers of one commit need it, who are in memory
    together. Opening a store reads no others. One thread at a time loads, counts and commits; any thread may read a
    history that is not being counted meanwhile.

    Args:
        path: the directory; created if missing.
        settings: the counting settings.
        read_only: open without taking the directory's lock.
        memory: what the store shares with the others of the process; None: the default one.

    Attributes:
        customers, items: ids and their store numbers.
        kept_events: those that are kept as seeds; None: none are.
        purchases_offset: log position up to which orders are counted.
        documents: name -> document; what the caller stores about the logs that it counts, written with its commits.
        sources: name -> log position; the same in states written before `documents`.
        hit_counts: UTC day -> sums of the numbers that commits add for that day.

    Raises:
        SettingsMismatch: the state was written with other settings.
        StateDamaged: here, or by whatever reads it: something that is stored cannot be read.
    """

    def __init__(
        self, path: Path, settings: CountingSettings, *, read_only: bool = False, memory: Memory | None = None
    ) -> None:
        self.settings = settings
        self._read_only = read_only
        super().__init__(path, read_only=read_only, memory=memory)
        with self.closed_on_error():
            self._settings_stored = check_settings(self._rocks, KIND, settings)
            names = self.memory.names
            self.customers = StoredNames(self._rocks, "customer", b"n", b"N", names, forgettable=True)
            self.items = StoredNames(self._rocks, "item", b"i", b"I", names)
            self.kept_events = KeptEvents(self._rocks, settings.seeds, names) if settings.seeds else None
            self.purchases_offset = 0
            self.documents: dict[str, bytes] = {}
            self.sources: dict[str, int] = {}
            self.hit_counts: dict[int, tuple[int, ...]] = {}
            self._residents = ResidentHistories(settings.pairs)
            self.memory.histories.join(self._residents)
            self._moving = threading.Lock()
            """Held while rows are added, dropped or moved."""
            self._stored_customers = 0
            self.journal = Journal(self._rocks, _LINES_PER_SLICE)
            self._load()

    def _load(self) -> None:
        self._complete_names()
        for key, record in self._rocks.scan(_LOG):
            self.documents[key[len(_LOG) :].decode()] = record
        for key, record in self._rocks.scan(b"q"):
            self.hit_counts[_NUMBER.unpack(key)[1]] = tuple(unpack(record, [np.int64])[0].tolist())
        position = self._rocks.get(_POSITION)
        if position is None:
            return
        numbers, names = unpack(position, [np.int64, np.uint8])
        self.purchases_offset, self._stored_customers, *values = numbers.tolist()
        self.sources = dict(zip(unpack_ids(names.tobytes()), values, strict=True))
        self.customers.skip_to(self._stored_customers)

    def _complete_names(self) -> None:
        """Write what the ids of a state of an earlier version lack."""
        incomplete = [names for names in (self.customers, self.items) if not names.is_complete()]
        if incomplete and not self._read_only and not self._settings_stored:
            batch = WriteBatch(raw_mode=True)  # first, since an earlier version must not write to it any more
            put_settings(batch, KIND, self.settings)
            self._rocks.write(batch)
            self._settings_stored = True
        for names in incomplete:
            names.complete(in_place=not self._read_only)

    @property
    def table(self) -> HistoryTable:
        """The histories in memory; `load` says in which row each is."""
        return self._residents.table

    def load(self, customers: npt.NDArray[np.uint32], lines: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Have the histories of the customers of m orders in the table until the next commit, with room for the orders.

        Args:
            customers: (m,) each order's customer.
            lines: (m,) its lines.

        Returns:
            (m,) each customer's row in `table`.
        """
        distinct, code = np.unique(customers, return_inverse=True)
        extra = np.bincount(code, lines, len(distinct)).astype(np.int64)
        missing = np.flatnonzero(self._residents.rows_of(distinct) < 0)
        for begin in range(0, len(missing), _ROWS_AT_ONCE):
            some = missing[begin : begin + _ROWS_AT_ONCE]
            stored = self._stored_rows(distinct[some])
            with self._moving:
                self._residents.add(stored, extra[some], len(self.items))
        rows = self._residents.rows_of(distinct)
        self._residents.use(rows)
        found = rows[code].astype(np.uint32)
        with self._moving:
            self.table.reserve(found, lines)
        return found

    def _stored_rows(self, customers: npt.NDArray[np.uint32]) -> StoredRows:
        """The rows of customers as they are on disk, where new ones have none."""
        known = customers < self._stored_customers
        records = iter(self._rocks.get_many(list(map(_row_key, customers[known].tolist()))) if known.any() else [])
        return StoredRows(self.path, customers, [next(records) if is_known else None for is_known in known.tolist()])

    def history(self, customer: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any]]:
        """(k,) item numbers and (k,) ENTRYs of the items that a customer holds, as of the last commit; copies.

        Where pairs are of orders, they are summed up over the orders: see `HistoryTable.held`.
        """
        wanted = np.array([customer], np.uint32)
        with self._moving:
            row = int(self._residents.rows_of(wanted)[0])
            if row >= 0:
                return self.table.held(row)
        return self._table(self._stored_rows(wanted)).held(0)

    def _table(self, rows: StoredRows) -> HistoryTable:
        return rows.table(len(self.items), self.settings.pairs)

    def histories(self) -> Iterator[tuple[int, npt.NDArray[np.uint32], npt.NDArray[Any]]]:
        """Each customer's number and history, some of which are empty, in no order.

        A history is (k,) item numbers and (k,) ENTRYs or, where pairs are of orders, ORDER_LINEs. Takes the memory of
        a few thousand histories. Nothing may be counted meanwhile.
        """
        for number in range(SLICES):
            changed = self._residents.changed(number)
            for row in changed.tolist():
                items, entries = self.table.history.row(row)
                yield int(self._residents.customer[row]), items, entries
            newer = set(self._residents.customer[changed].tolist())
            stored = (
                (customer, record)
                for key, record in self._rocks.scan(_ROW.pack(b"h", number, 0)[:3])
                if (customer := _ROW.unpack(key)[2]) not in newer
            )
            while some := list(itertools.islice(stored, _ROWS_AT_ONCE)):
                customers = np.array([customer for customer, _ in some], np.uint32)
                table = self._table(StoredRows(self.path, customers, [record for _, record in some]))
                for row, (customer, _) in enumerate(some):
                    items, entries = table.history.row(row)
                    yield customer, items, entries

    def recover(self, apply: Callable[[bytes, npt.NDArray[np.bool_]], None]) -> None:
        """Apply the journal to the slices that do not contain it yet. Call it once, after opening.

        Args:
            apply: called with a record and a (SLICES,) bool mask; loads the customers of the record's orders who are
                in a slice of the mask, and applies these orders to the table.
        """
        for commit, record in self.journal.records():
            apply(record, self.journal.written < commit)
            due = 0 if self._read_only else self._slices_too_many()
            slices = [(self.journal.next_slice + number) % SLICES for number in range(due)]
            slices = [number for number in slices if self.journal.written[number] < commit]
            if slices:
                batch = WriteBatch(raw_mode=True)
                self.journal.wrote(batch, slices, commit)
                self._put_slices(batch, slices)
                self._rocks.write(batch)
            self._evict()

    @property
    def _most_bytes(self) -> int:
        return self.memory.histories.share_bytes // 2  # dropping some, and moving rows together, takes a copy

    def _slices_too_many(self) -> int:
        """How many slices must be written in turn for what waits to be written to take its share of the memory."""
        if self._residents.nbytes <= self._most_bytes // 2:
            return 0
        return self._residents.slices_to_write(self.journal.next_slice, self._most_bytes // 4)

    def _put_slices(self, batch: WriteBatch, slices: Sequence[int]) -> None:
        """Put every row of slices that changed into a batch."""
        for number in slices:
            changed = self._residents.changed(number)
            for begin in range(0, len(changed), _ROWS_AT_ONCE):
                rows = changed[begin : begin + _ROWS_AT_ONCE]
                customers = self._residents.customer[rows].tolist()
                for customer, record in zip(customers, packed_rows(self.table, rows), strict=True):
                    batch.put(_row_key(customer), record)
            self.table.changed[changed] = False

    def _evict(self) -> None:
        if self._residents.nbytes > self._most_bytes:
            with self._moving:
                self._residents.evict(self._most_bytes // 2)

    def commit(
        self,
        record: bytes,
        lines: int,
        purchases_offset: int,
        outbox: Sequence[bytes],
        refused: npt.NDArray[np.int64],
        erased: Sequence[int],
        documents: Mapping[str, bytes],
        hit_counts: Mapping[int, Sequence[int]],
        kept: tuple[npt.NDArray[np.uint32], Kept] | None = None,
    ) -> int:
        """Write what was applied to the table, together with the log position it is valid for.

        Args:
            record: the orders, for the journal.
            lines: number of order lines in the record.
            purchases_offset: log position after them.
            outbox: their deltas, one record or several, kept until `acknowledge`d.
            refused: log positions of the refused lines among them, kept as long as the deltas.
            erased: customers whose ids to delete.
            documents: name -> document; updates `documents`.
            hit_counts: UTC day -> numbers to add to that day's hit counts.
            kept: customers whose kept events change, and all that they keep then.

        Returns:
            The commit's number, which identifies its deltas in the outbox.
        """
        batch = WriteBatch(raw_mode=True)
        if not self._settings_stored:
            put_settings(batch, KIND, self.settings)
            self._settings_stored = True
        work = max(lines, self._slices_too_many() * _LINES_PER_SLICE)
        due_slices = self.journal.begin(batch, record, work)
        self.customers.put(batch)
        self.items.put(batch)
        for number in erased:
            self.customers.forget(batch, number)
            batch.delete(_row_key(number))
        if self.kept_events is not None and kept is not None:
            self.kept_events.put(batch, *kept)
        self._put_slices(batch, [number for number, _ in due_slices])
        for number, deltas in enumerate(outbox):
            batch.put(_outbox_key(self.journal.commit, number), deltas)
        if len(refused):
            batch.put(_OUTBOX.pack(b"r", self.journal.commit), pack([refused]))
        for day, added in hit_counts.items():
            sums = np.array(added, np.int64) + np.array(self.hit_counts.get(day, np.zeros(len(added))), np.int64)
            self.hit_counts[day] = tuple(sums.tolist())
            batch.put(_NUMBER.pack(b"q", day), pack([sums]))
        self.purchases_offset = purchases_offset
        for name, document in documents.items():
            self.documents[name] = document
            batch.put(_LOG + name.encode(), document)
        numbers = np.array([purchases_offset, len(self.customers), *self.sources.values()], np.int64)
        batch.put(_POSITION, pack([numbers, np.frombuffer(pack_ids(list(self.sources)), np.uint8)]))
        self._rocks.write(batch)
        self.customers.stored()
        self.items.stored()
        if self.kept_events is not None:
            self.kept_events.stored()
        self._stored_customers = len(self.customers)
        self._evict()
        self.memory.return_freed()
        return self.journal.commit

    def outbox(self) -> Iterator[tuple[int, bytes]]:
        """Commit number and record of all deltas that are not acknowledged yet, oldest first."""
        for key, record in self._rocks.scan(b"o"):
            yield _OUTBOX.unpack_from(key)[1], record

    def refused(self, commit: int) -> npt.NDArray[np.int64]:
        """(n,) log positions of the lines that a commit in the outbox refused."""
        record = self._rocks.get(_OUTBOX.pack(b"r", commit))
        positions: npt.NDArray[np.int64] = np.zeros(0, np.int64) if record is None else unpack(record, [np.int64])[0]
        return positions

    def acknowledge(self, commits: Sequence[int]) -> None:
        """Delete the deltas of `commits` from the outbox: stage B has them durably."""
        batch = WriteBatch(raw_mode=True)
        for commit in commits:
            for key, _ in self._rocks.between(_outbox_key(commit, 0), _outbox_key(commit + 1, 0)):
                batch.delete(key)
            batch.delete(_OUTBOX.pack(b"r", commit))
        self._rocks.write(batch)

    def close(self) -> None:
        """Release the directory, and the memory."""
        self.memory.histories.leave(self._residents)
        self.memory.names.leave(self.customers)
        self.memory.names.leave(self.items)
        if self.kept_events is not None:
            self.memory.names.leave(self.kept_events.items)
        super().close()


def _outbox_key(commit: int, number: int) -> bytes:
    """The key of a record that a commit has in the outbox; the first one's is that of versions that knew no others.

    >>> _outbox_key(7, 0) < _outbox_key(7, 1) < _outbox_key(8, 0)
    True
    """
    key = _OUTBOX.pack(b"o", commit)
    return key + _PART.pack(number) if number else key


def _row_key(customer: int) -> bytes:
    return _ROW.pack(b"h", customer % SLICES, customer)
