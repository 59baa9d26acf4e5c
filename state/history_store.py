"""The histories of one purchases partition's customers, in one RocksDB directory."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from state.columns import pack, pack_ids, unpack, unpack_ids
from state.errors import StateDamaged
from state.history_table import ENTRY, HistoryTable
from state.journal import SLICES, Journal
from state.names import Names
from state.rocks import WriteBatch
from state.settings import CountingSettings, check_settings, put_settings
from state.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

KIND = "histories"
_LINES_PER_SLICE = 4096
_NUMBER = struct.Struct(">cI")
_ROW = struct.Struct(">cHI")  # slice first, so that the rows written together are adjacent
_ROW_HEAD = struct.Struct("<IBII")
_OUTBOX = struct.Struct(">cQ")
_POSITION = b"mhistories"
_LOG = b"l"


class HistoryStore(Store):
    """Histories of one partition's customers, the outbox of deltas that stage B may lack, and hit counts by day.

    A commit writes the orders it counts, the log position after them and their deltas in one batch. The deltas of a
    commit therefore survive SIGKILL with it, and are sent again, byte for byte, until they are acknowledged.

    Args:
        path: the directory; created if missing.
        settings: the counting settings.
        read_only: open without taking the directory's lock.

    Attributes:
        table: the histories, by store number of the customer.
        customers, items: ids and their store numbers.
        purchases_offset: log position up to which orders are counted.
        documents: name -> document; what the caller stores about the logs that it counts, written with its commits.
        sources: name -> log position; the same in states written before `documents`.
        hit_counts: UTC day -> sums of the numbers that commits add for that day.

    Raises:
        SettingsMismatch: the state was written with other settings.
    """

    def __init__(self, path: Path, settings: CountingSettings, *, read_only: bool = False) -> None:
        self.settings = settings
        super().__init__(path, read_only=read_only)
        with self.closed_on_error():
            self._settings_stored = check_settings(self._rocks, KIND, settings)
            self.table = HistoryTable()
            self.customers = Names()
            self.items = Names()
            self.purchases_offset = 0
            self.documents: dict[str, bytes] = {}
            self.sources: dict[str, int] = {}
            self.hit_counts: dict[int, tuple[int, ...]] = {}
            self._stored_customers = 0
            self._stored_items = 0
            self.journal = Journal(self._rocks, _LINES_PER_SLICE)
            self._load()

    def _load(self) -> None:
        for key, record in self._rocks.scan(b"i"):
            if _NUMBER.unpack(key)[1] != len(self.items):
                raise StateDamaged(f"{self.path}: item ids from number {len(self.items)} on are missing")
            self.items.number(unpack_ids(record))
        for key, record in self._rocks.scan(b"n"):
            self.customers.skip_to(_NUMBER.unpack(key)[1])
            self.customers.add(record.decode())
        for key, record in self._rocks.scan(_LOG):
            self.documents[key[len(_LOG) :].decode()] = record
        for key, record in self._rocks.scan(b"q"):
            self.hit_counts[_NUMBER.unpack(key)[1]] = tuple(unpack(record, [np.int64])[0].tolist())
        position = self._rocks.get(_POSITION)
        if position is None:
            return
        numbers, names = unpack(position, [np.int64, np.uint8])
        self.purchases_offset, customers, *values = numbers.tolist()
        self.sources = dict(zip(unpack_ids(names.tobytes()), values, strict=True))
        self.customers.skip_to(customers)
        self._stored_customers, self._stored_items = customers, len(self.items)
        self.table.grow_to(customers)
        for key, record in self._rocks.scan(b"h"):
            self._load_row(_ROW.unpack(key)[2], record)
        self.table.check(len(self.items))

    def _load_row(self, customer: int, record: bytes) -> None:
        """Put a stored row into the table."""
        columns: list[npt.NDArray[Any]] = []
        try:
            next_seq, order_count, held, remembered = _ROW_HEAD.unpack_from(record)
            offset = _ROW_HEAD.size
            for kind, length in ((np.uint32, held), (ENTRY, held), (np.uint64, remembered), (np.uint32, remembered)):
                columns.append(np.frombuffer(record, kind, length, offset))
                offset += columns[-1].nbytes
        except (struct.error, ValueError) as error:
            raise StateDamaged(f"{self.path}: the history of customer {customer} is cut off: {error}") from None
        if offset != len(record):
            raise StateDamaged(f"{self.path}: the history of customer {customer} has {len(record) - offset} bytes more")
        self.table.next_seq[customer] = next_seq
        self.table.order_count[customer] = order_count
        self.table.history.put(customer, *columns[:2])
        self.table.remembered.put(customer, *columns[2:])

    def _packed_row(self, customer: int) -> bytes:
        """A customer's row as it is stored."""
        columns = [*self.table.history.row(customer), *self.table.remembered.row(customer)]
        head = _ROW_HEAD.pack(
            self.table.next_seq[customer], self.table.order_count[customer], len(columns[0]), len(columns[2])
        )
        return head + b"".join([column.tobytes() for column in columns])

    def recover(self, apply: Callable[[bytes, npt.NDArray[np.bool_]], None]) -> None:
        """Apply the journal to the slices that do not contain it yet. Call it once, after opening.

        Args:
            apply: called with a record and a (customers,) bool mask; applies the record's orders to the table for the
                customers in the mask.
        """
        for commit, record in self.journal.records():
            apply(record, np.resize(self.journal.written < commit, max(len(self.customers), 1)))

    def commit(
        self,
        record: bytes,
        lines: int,
        purchases_offset: int,
        outbox: bytes,
        refused: npt.NDArray[np.int64],
        erased: Sequence[int],
        documents: Mapping[str, bytes],
        hit_counts: Mapping[int, Sequence[int]],
    ) -> int:
        """Write what was applied to the table, together with the log position it is valid for.

        Args:
            record: the orders, for the journal.
            lines: number of order lines in the record.
            purchases_offset: log position after them.
            outbox: their deltas, kept until `acknowledge`d.
            refused: log positions of the refused lines among them, kept as long as the deltas.
            erased: customers whose ids to delete.
            documents: name -> document; updates `documents`.
            hit_counts: UTC day -> numbers to add to that day's hit counts.

        Returns:
            The commit's number, which identifies its deltas in the outbox.
        """
        batch = WriteBatch(raw_mode=True)
        if not self._settings_stored:
            put_settings(batch, KIND, self.settings)
            self._settings_stored = True
        due_slices = self.journal.begin(batch, record, lines)
        for number in range(self._stored_customers, len(self.customers)):
            batch.put(_NUMBER.pack(b"n", number), self.customers.text(number).encode())
        for number in erased:
            self.customers.forget(number)
            batch.delete(_NUMBER.pack(b"n", number))
            batch.delete(_ROW.pack(b"h", number % SLICES, number))
        self._stored_customers = len(self.customers)
        if self._stored_items < len(self.items):
            new_items = self.items.texts(range(self._stored_items, len(self.items)))
            batch.put(_NUMBER.pack(b"i", self._stored_items), pack_ids(new_items))
            self._stored_items = len(self.items)
        changed = self.table.changed
        for number, _ in due_slices:
            for customer in (np.flatnonzero(changed[number::SLICES]) * SLICES + number).tolist():
                batch.put(_ROW.pack(b"h", number, customer), self._packed_row(customer))
            changed[number::SLICES] = False
        batch.put(_OUTBOX.pack(b"o", self.journal.commit), outbox)
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
        return self.journal.commit

    def outbox(self) -> Iterator[tuple[int, bytes]]:
        """Commit numbers and deltas that are not acknowledged yet, oldest first."""
        for key, record in self._rocks.scan(b"o"):
            yield _OUTBOX.unpack(key)[1], record

    def refused(self, commit: int) -> npt.NDArray[np.int64]:
        """(n,) log positions of the lines that a commit in the outbox refused."""
        record = self._rocks.get(_OUTBOX.pack(b"r", commit))
        positions: npt.NDArray[np.int64] = np.zeros(0, np.int64) if record is None else unpack(record, [np.int64])[0]
        return positions

    def acknowledge(self, commits: Sequence[int]) -> None:
        """Delete the deltas of `commits` from the outbox: stage B has them durably."""
        batch = WriteBatch(raw_mode=True)
        for commit in commits:
            batch.delete(_OUTBOX.pack(b"o", commit))
            batch.delete(_OUTBOX.pack(b"r", commit))
        self._rocks.write(batch)
