"""Answers from one history store: what a customer holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streams.endpoint.answers import NotKnown
from streams.recommendations.recommend import Held

if TYPE_CHECKING:
    from state.history_store import HistoryStore


def held_items(histories: HistoryStore, customer: int) -> Held:
    """What a customer holds, as copies, in the store's numbers of items."""
    items, entries = histories.table.history.row(customer)
    return Held(
        items.astype(np.int64),
        entries["last"].astype(np.int64),
        entries["seq"].astype(np.int64),
        entries["purchases"].astype(np.int64),
    )


def not_known(customer_id: str) -> NotKnown:
    """What is said of a customer without history."""
    return NotKnown(
        f"no order of customer {customer_id[:200]!r} was counted, or the customer was erased; "
        "ids are compared exactly, capitals included"
    )
