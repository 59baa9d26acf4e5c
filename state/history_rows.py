"""Customers' rows as bytes: how the history store keeps histories and remembered orders.

A row is a HEAD, the item numbers and ENTRYs or ORDER_LINEs of what is held, and the keys and lines of the orders
remembered, each column on its own. Many rows are packed and read at once.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.errors import StateDamaged
from state.history_table import HistoryTable, move_rows
from state.settings import CUSTOMER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    Integers = npt.NDArray[np.int64]

HEAD = np.dtype([("next_seq", "<u4"), ("order_count", "u1"), ("held", "<u4"), ("remembered", "<u4")])
_NOTHING = bytes(HEAD.itemsize)


def packed_rows(table: HistoryTable, rows: Integers) -> list[bytes]:
    """`rows`, (n,), of a table as they are stored."""
    head = np.zeros(len(rows), HEAD)
    head["next_seq"], head["order_count"] = table.next_seq[rows], table.order_count[rows]
    head["held"], head["remembered"] = table.history.length[rows], table.remembered.length[rows]
    sizes = _sizes(table, head)
    ends = np.cumsum(sizes)
    blob = np.empty(int(sizes.sum()), np.uint8)
    at = ends - sizes
    head_bytes = np.full(len(rows), HEAD.itemsize)
    move_rows(head.view(np.uint8), np.arange(len(rows)) * HEAD.itemsize, blob, at, head_bytes)
    at += HEAD.itemsize
    for kind in (table.history, table.remembered):
        for column in kind.columns:
            lengths = kind.length[rows] * column.itemsize
            move_rows(column.view(np.uint8), kind.start[rows] * column.itemsize, blob, at, lengths)
            at += lengths
    data = blob.tobytes()
    return [data[begin:end] for begin, end in itertools.pairwise([0, *ends.tolist()])]


class StoredRows(NamedTuple):
    """Rows of n customers as a store has them."""

    path: Path
    """Of the store, for messages."""
    customer: npt.NDArray[np.uint32]
    """(n,) store numbers."""
    records: Sequence[bytes | None]
    """n rows; None: there is none, the customer holds nothing."""

    def put_into(self, table: HistoryTable, first: int, extra: Integers, items: int) -> None:
        """Put them into rows `first` to first + n of a table, which are empty.

        Args:
            table: changed in place.
            first: the row of the first customer.
            extra: (n,) elements to reserve in each row besides.
            items: how many items there are.

        Raises:
            StateDamaged: a row is cut off or impossible. Compiled loops look at nothing twice.
        """
        count = len(self.records)
        records = [_NOTHING if record is None else record for record in self.records]
        sizes = np.fromiter(map(len, records), np.int64, count)
        self._check(sizes < HEAD.itemsize, "is cut off")
        blob = np.frombuffer(b"".join(records), np.uint8)
        at = np.cumsum(sizes) - sizes
        head = np.zeros(count, HEAD)
        head_bytes = np.full(count, HEAD.itemsize)
        move_rows(blob, at, head.view(np.uint8), np.arange(count) * HEAD.itemsize, head_bytes)
        wanted = _sizes(table, head)
        self._check(sizes < wanted, "is cut off")
        self._check(sizes > wanted, "has more bytes than it should")
        rows = np.arange(first, first + count)
        table.grow_to(first + count)
        table.next_seq[rows], table.order_count[rows] = head["next_seq"], head["order_count"]
        at += HEAD.itemsize
        for kind, length in ((table.history, head["held"]), (table.remembered, head["remembered"])):
            kind.reserve(rows, length + extra)
            kind.length[rows] = length
            for column in kind.columns:
                lengths = length * np.int64(column.itemsize)
                move_rows(blob, at, column.view(np.uint8), kind.start[rows] * column.itemsize, lengths)
                at += lengths
        impossible = table.impossible(rows, items)
        if impossible >= 0:
            raise self._damaged(impossible, "is garbled")

    def table(self, items: int, pairs: str = CUSTOMER) -> HistoryTable:
        """A table of them, of the kind `pairs`; the other arguments and errors are those of `put_into`."""
        table = HistoryTable(pairs)
        self.put_into(table, 0, np.zeros(len(self.records), np.int64), items)
        return table

    def _check(self, bad: npt.NDArray[np.bool_], what: str) -> None:
        if bad.any():
            raise self._damaged(int(bad.argmax()), what)

    def _damaged(self, index: int, what: str) -> StateDamaged:
        return StateDamaged(
            f"{self.path}: the history of customer {self.customer[index]} {what}; restore a snapshot, or replay the log"
        )


def _sizes(table: HistoryTable, head: npt.NDArray[Any]) -> Integers:
    """(n,) bytes of rows with these heads."""
    held, remembered = (
        sum(column.itemsize for column in kind.columns) * head[name].astype(np.int64)
        for kind, name in ((table.history, "held"), (table.remembered, "remembered"))
    )
    sizes: Integers = HEAD.itemsize + held + remembered
    return sizes
