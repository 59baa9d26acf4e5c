"""The items that customers hold, from the histories open in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import numpy as np

from streams.endpoint.answer_documents import history_entries
from streams.endpoint.answers import NotKnown
from streams.recommendations.recommend import NOTHING_HELD, Held

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from state.history_store import HistoryStore
    from state.names import Names
    from state.stored_names import StoredNames
    from streams.catalogue.catalogue import Catalogue


class OpenHistories(Protocol):
    """The purchases partitions that are open in this process."""

    def histories(self, customer_id: str) -> AbstractAsyncContextManager[HistoryStore]:
        """The store with a customer's history, as of a commit. Copy what you read before the next await.

        Raises:
            PartitionNotLocal: the customer's partition is not open in this process.
        """


Time = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class HeldIds(msgspec.Struct, array_like=True):
    """The k items that a customer holds, by id, with the time of the last purchase, `seq` and purchases of each."""

    item_ids: list[str] = []
    last: list[Time] = []
    seq: list[Count] = []
    purchases: list[Count] = []

    def __post_init__(self) -> None:
        """Check a decoded one: other workers send it.

        Raises:
            ValueError: not all columns have k entries.
        """
        if not len(self.item_ids) == len(self.last) == len(self.seq) == len(self.purchases):
            raise ValueError("the columns of what is held differ in length")

    @classmethod
    def of(cls, held: Held, items: StoredNames) -> HeldIds:
        """Items held, with ids instead of numbers."""
        ids = items.texts(held.item.tolist())
        return cls(ids, held.last.tolist(), held.seq.tolist(), held.purchases.tolist())

    def numbered(self, items: Names | StoredNames) -> Held:
        """The items held, with the numbers of `items`, without those that have no number."""
        item = np.array([items.get(item_id, -1) for item_id in self.item_ids], np.int64)
        known = item >= 0
        columns = (self.last, self.seq, self.purchases)
        return Held(item[known], *(np.array(column, np.int64)[known] for column in columns))


def held_items(store: HistoryStore, customer_id: str) -> Held:
    """The items that a customer holds, in the store's numbers; none if the customer is not known."""
    customer = store.customers.get(customer_id, -1)
    return NOTHING_HELD if customer < 0 else Held.of_row(*store.history(customer))


def customer_entries(store: HistoryStore, customer_id: str, catalogue: Catalogue, limit: int) -> dict[str, Any]:
    """A customer and the `limit` items bought last.

    Raises:
        NotKnown: the customer is not known.
    """
    customer = store.customers.get(customer_id, -1)
    if customer < 0:
        raise NotKnown(
            f"no order of customer {customer_id[:200]!r} was counted, or the customer was erased; "
            "ids are compared exactly, capitals included"
        )
    entries = history_entries(store, customer, catalogue, limit)
    return {"customer_id": customer_id, **entries}
