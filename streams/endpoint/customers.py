"""The items that customers hold, from the histories open in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

import msgspec
import numpy as np

from streams.endpoint.answer_documents import history_entries
from streams.endpoint.answers import NotKnown
from streams.recommendations.recommend import NOTHING_HELD, Events, Held

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from state.history_store import HistoryStore
    from state.kept_events import KeptEvents
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
Weight = Annotated[float, msgspec.Meta(ge=0, le=100)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]


class HeldIds(msgspec.Struct, array_like=True):
    """The k items that a customer holds, by id, with the time of the last purchase, `seq` and purchases of each.

    The columns behind these are of events that are kept: items, types, times, and weights of the types.
    """

    item_ids: list[str] = []
    last: list[Time] = []
    seq: list[Count] = []
    purchases: list[Count] = []
    event_items: list[str] = []
    event_types: list[str] = []
    event_times: list[Time] = []
    event_weights: list[Weight] = []

    def __post_init__(self) -> None:
        """Check a decoded one: other workers send it.

        Raises:
            ValueError: not all columns have k entries.
        """
        if not len(self.item_ids) == len(self.last) == len(self.seq) == len(self.purchases):
            raise ValueError("the columns of what is held differ in length")
        events = (self.event_types, self.event_times, self.event_weights)
        if not all(len(column) == len(self.event_items) for column in events):
            raise ValueError("the columns of events differ in length")

    @classmethod
    def of(cls, held: Held, items: StoredNames) -> HeldIds:
        """Items held, with ids instead of numbers."""
        ids = items.texts(held.item.tolist())
        events = held.events
        return cls(
            ids,
            held.last.tolist(),
            held.seq.tolist(),
            held.purchases.tolist(),
            list(events.item_id),
            list(events.type),
            list(events.time),
            list(events.weight),
        )

    def numbered(self, items: Names | StoredNames) -> Held:
        """The items held, with the numbers of `items`, without those that have no number."""
        item = np.array([items.get(item_id, -1) for item_id in self.item_ids], np.int64)
        known = item >= 0
        last, seq, purchases = (np.array(column, np.int64)[known] for column in (self.last, self.seq, self.purchases))
        events = Events(self.event_items, self.event_types, self.event_times, self.event_weights)
        return Held(item[known], last, seq, purchases, events)


def held_items(store: HistoryStore, customer_id: str) -> Held:
    """The items that a customer holds, in the store's numbers, and events; none if the customer is not known."""
    customer = store.customers.get(customer_id, -1)
    if customer < 0:
        return NOTHING_HELD
    held = Held.of_row(*store.history(customer))
    return held if store.kept_events is None else held._replace(events=_events(store, store.kept_events, customer))


def _events(store: HistoryStore, events: KeptEvents, customer: int) -> Events:
    """The events of a customer that are kept, with today's weights."""
    kept = events.of(np.array([customer], np.uint32))
    types = [events.types[place] for place in kept.type.tolist()]
    weights = dict(store.settings.seed_weights)
    return Events(events.items.texts(kept.item.tolist()), types, kept.time.tolist(), [weights[name] for name in types])


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
