"""Events that are kept as seeds: which of a log are read, and what they do to those that a customer has.

Pure steps over arrays. docs/definition.md defines which events are kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.event_types import EVENT, seed_place
from producers.orders import ERASE, arranged
from state.kept_events import MOST_KEPT, Kept
from state.settings import PURCHASES

if TYPE_CHECKING:
    import numpy.typing as npt

    from producers.orders import Orders
    from state.settings import CountingSettings

ERASED = 255
"""In place of an event type: the customer is erased."""


def events_read(settings: CountingSettings) -> dict[str, Any]:
    """Which events are read of a log, as attributes of `LogFormat`, where they are not the usual ones.

    >>> from state.settings import CountingSettings
    >>> events_read(CountingSettings()), events_read(CountingSettings(events="view", seed_weights=(("cart", 0.5),)))
    ({}, {'events': 'view', 'seeds': ('cart',)})
    """
    found: dict[str, Any] = {} if settings.events == PURCHASES else {"events": settings.events}
    return found | ({"seeds": settings.seeds} if settings.seeds else {})


class EventLines(NamedTuple):
    """The events in a stretch of a log, and its erasures, k in all, in log order."""

    customer: npt.NDArray[np.uint32]
    """(k,) index among the ids of the orders, or store number."""
    item: npt.NDArray[np.uint32]
    """(k,) likewise; of an erasure any."""
    type: npt.NDArray[np.uint8]
    """(k,) place among the types that are kept, or ERASED."""
    time: npt.NDArray[np.int64]
    """(k,) milliseconds since 1970 UTC."""


def split(orders: Orders) -> tuple[Orders, npt.NDArray[np.int64], EventLines]:
    """The orders without those of events, where each of their lines stood, and the events.

    >>> from producers.orders import erasure
    >>> split(erasure("ann", 5, 7))[2]
    EventLines(customer=array([0], dtype=uint32), item=array([0], dtype=uint32), type=array([255], dtype=uint8), \
time=array([5]))
    """
    lengths = np.diff(orders.start)
    is_event = orders.kind & EVENT != 0
    concerned = np.flatnonzero(is_event | (orders.kind == ERASE))
    counts = np.where(is_event[concerned], lengths[concerned], 1)
    order = np.repeat(concerned, counts)
    ends = np.cumsum(counts)
    line = orders.start[order] + np.arange(len(order)) - np.repeat(ends - counts, counts)
    happened = is_event[order]
    item = np.zeros(len(order), np.uint32)
    item[happened] = orders.item[line[happened]]
    kind = np.where(happened, seed_place(orders.kind[order]), ERASED).astype(np.uint8)
    events = EventLines(orders.customer[order], item, kind, orders.time[order])
    if not is_event.any():
        return orders, np.arange(len(orders.item)), events
    places = np.flatnonzero(np.repeat(~is_event, lengths))
    return arranged(orders, np.flatnonzero(~is_event)), places, events


def keep_events(before: Kept, events: EventLines) -> Kept:
    """What customers keep after some events.

    Args:
        before: what they kept.
        events: by store numbers, in log order.

    >>> none = Kept(*(np.zeros(0, kind) for kind in (np.uint32, np.uint32, np.uint8, np.int64)))
    >>> viewed = EventLines(*(np.array(column) for column in ([7, 7, 7], [1, 2, 1], [0, 0, 1], [30, 20, 10])))
    >>> kept = keep_events(none, viewed)
    >>> kept.item.tolist(), kept.type.tolist(), kept.time.tolist()
    ([2, 1], [0, 0], [20, 30])
    """
    customer = np.concatenate([before.customer, events.customer]).astype(np.uint32)
    item = np.concatenate([before.item, events.item]).astype(np.uint32)
    kind = np.concatenate([before.type, events.type]).astype(np.uint8)
    time = np.concatenate([before.time, events.time]).astype(np.int64)
    place = np.arange(len(customer))
    erased = np.flatnonzero(kind == ERASED)
    if len(erased):
        _, code = np.unique(customer, return_inverse=True)
        last = np.full(code.max() + 1, -1)
        last[code[erased]] = erased  # the last of a customer stands last
        place = place[place > last[code]]
    place = place[np.lexsort((place, time[place], item[place], customer[place]))]
    newest = np.ones(len(place), bool)
    newest[:-1] = (np.diff(item[place].astype(np.int64)) != 0) | (np.diff(customer[place].astype(np.int64)) != 0)
    place = place[newest]
    place = place[np.lexsort((place, time[place], customer[place]))]
    _, begins, counts = np.unique(customer[place], return_index=True, return_counts=True)
    behind = np.repeat(begins + counts, counts) - np.arange(len(place))
    place = place[behind <= MOST_KEPT]
    return Kept(customer[place], item[place], kind[place], time[place])
