"""Event types: what a record says happened, such as purchase, view or cart.

A generation counts one type. It may keep others as seeds of recommendations; what is of any other type is skipped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

from producers.errors import OrderError

if TYPE_CHECKING:
    import numpy.typing as npt

Kinds = TypeVar("Kinds", int, "npt.NDArray[Any]")
PURCHASES = "purchase"
"""The type of a record that names none."""
MOST_SEED_TYPES = 16
LONGEST_EVENT_TYPE = 32
EVENT, _SEED_SHIFT = 8, 4
"""The kind of an order of events that are kept as seeds: EVENT, and above it which of the types they are."""

_TYPE = re.compile(rf"[a-z][a-z0-9_-]{{0,{LONGEST_EVENT_TYPE - 1}}}")
_OTHER_SIGNS = re.compile(r"[^a-z0-9_-]+")
_NOT_COUNTED = frozenset({"return", "erase"})


def seed_kind(place: int) -> int:
    """The kind of an order of events of the seed type at a place."""
    return EVENT | place << _SEED_SHIFT


def seed_place(kind: Kinds) -> Kinds:
    """The place of the seed type of an order of events, or of several orders.

    >>> [seed_place(seed_kind(place)) for place in (0, 15)]
    [0, 15]
    """
    return kind >> _SEED_SHIFT


def event_type(value: str) -> str:
    """The event type that a value stands for.

    >>> event_type("Product Viewed"), event_type(" add_to_cart")
    ('product_viewed', 'add_to_cart')
    """
    return _OTHER_SIGNS.sub("_", value.strip().lower())


def is_event_type(text: str) -> bool:
    """Whether a text in lower case is a type, perhaps one that is never counted.

    >>> is_event_type("view"), is_event_type("2nd"), is_event_type("to cart")
    (True, False, False)
    """
    return _TYPE.fullmatch(text) is not None


def checked_event_type(text: str) -> str:
    """An event type that a generation may count or keep.

    Raises:
        OrderError: it is none.

    >>> checked_event_type("View")
    'view'
    """
    found = text.strip().lower()
    if found in _NOT_COUNTED:
        raise OrderError(f"'{found}' is no event type: a {found} goes with purchases")
    if not is_event_type(found):
        raise OrderError(
            f"'{text}' is no event type: a type is a letter of a to z, and up to {LONGEST_EVENT_TYPE - 1} more, "
            "digits, _ or -"
        )
    return found
