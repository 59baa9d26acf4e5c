"""Events that histories keep as seeds of recommendations: the last of each customer, beside what the customer holds.

A customer's row is written by each commit that changes it, in the commit's batch, so that it needs no journal. None of
them is kept in memory but by RocksDB.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from state.errors import StateDamaged
from state.stored_names import StoredNames

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from state.memory import Part
    from state.rocks import Rocks, WriteBatch

MOST_KEPT = 100
"""Events of a customer."""
_ENTRY = np.dtype([("item", "<u4"), ("type", "u1"), ("time", "<i8")])
_ROW = struct.Struct(">cI")


class Kept(NamedTuple):
    """Events of some customers, k in all: those of a customer side by side, by rising time."""

    customer: npt.NDArray[np.uint32]
    """(k,) store number."""
    item: npt.NDArray[np.uint32]
    """(k,) number of the item among those of events."""
    type: npt.NDArray[np.uint8]
    """(k,) place of the event type among those that are kept."""
    time: npt.NDArray[np.int64]
    """(k,) milliseconds since 1970 UTC."""


class KeptEvents:
    """The kept events of one store's customers.

    Args:
        rocks: the store's directory.
        types: the event types that are kept.
        names: the part of the memory in which ids used last are kept.

    Attributes:
        types: the same.
        items: ids of the items of events, and their numbers, which are not those of items that are counted.

    Raises:
        StateDamaged: here, or by any method that reads: a row is missing or garbled.
    """

    def __init__(self, rocks: Rocks, types: Sequence[str], names: Part) -> None:
        self.types = tuple(types)
        self.items = StoredNames(rocks, "item of an event", b"v", b"V", names)
        self._rocks = rocks

    def of(self, customers: npt.NDArray[np.uint32]) -> Kept:
        """The events of n customers, who are distinct, as of the last commit."""
        records = self._rocks.get_many(list(map(_row_key, customers.tolist()))) if len(customers) else []
        rows = [b"" if record is None else record for record in records]
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        if (bad := (sizes % _ENTRY.itemsize != 0) | (sizes > MOST_KEPT * _ENTRY.itemsize)).any():
            raise self._damaged(int(customers[bad.argmax()]), "are cut off")
        entries: npt.NDArray[Any] = np.frombuffer(b"".join(rows), _ENTRY)
        owner = np.repeat(customers, sizes // _ENTRY.itemsize)
        bad = (entries["item"] >= len(self.items)) | (entries["type"] >= len(self.types))
        bad[1:] |= (np.diff(entries["time"]) < 0) & (owner[1:] == owner[:-1])
        if bad.any():
            raise self._damaged(int(owner[bad.argmax()]), "are garbled")
        return Kept(owner, *(entries[name].copy() for name in ("item", "type", "time")))

    def put(self, batch: WriteBatch, customers: npt.NDArray[np.uint32], kept: Kept) -> None:
        """Write the events of n customers, perhaps none, and the new ids, as part of a commit; then call `stored`."""
        self.items.put(batch)
        entries = np.empty(len(kept.item), _ENTRY)
        for name in ("item", "type", "time"):
            entries[name] = getattr(kept, name)
        data = entries.tobytes()
        begins, ends = (np.searchsorted(kept.customer, np.sort(customers), side) for side in ("left", "right"))
        for customer, begin, end in zip(np.sort(customers).tolist(), begins.tolist(), ends.tolist(), strict=True):
            if begin == end:
                batch.delete(_row_key(customer))
            else:
                batch.put(_row_key(customer), data[begin * _ENTRY.itemsize : end * _ENTRY.itemsize])

    def stored(self) -> None:
        """The commit is written."""
        self.items.stored()

    def _damaged(self, customer: int, what: str) -> StateDamaged:
        return StateDamaged(
            f"{self._rocks.path}: the events of customer {customer} {what}; restore a snapshot, or replay the log"
        )


def _row_key(customer: int) -> bytes:
    return _ROW.pack(b"k", customer)
