"""Records within others: the row in a change event, the data of a cloud event, the payload of a record of Connect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from producers.errors import OrderError
from producers.logs.tables.records import dug, keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVELOPE = "envelope"
"""Below it a record has what was around it."""
_EACH = "[]"


class _Place(NamedTuple):
    """Where a record may be."""

    path: str
    around: tuple[str, ...]
    """Keys of the object that holds it."""
    key: str
    each: bool
    """Whether each element of a list is a record."""


class Unwrapping:
    """Takes records out of what is around them.

    Args:
        paths: of which the first where there is an object is the record; with "[]" behind it, of a list of records.
        skip_if: paths of a record that have something in those that are no orders.

    >>> unwrap = Unwrapping(["payload.after", "after", "events[]"])
    >>> unwrap.records({"op": "c", "after": {"id": 7}}), unwrap.records({"events": [{"id": 1}, {"id": 2}]})
    ([{'id': 7, 'envelope': {'op': 'c'}}], [{'id': 1, 'envelope': {}}, {'id': 2, 'envelope': {}}])
    >>> unwrap.records({"id": 7})
    Traceback (most recent call last):
    producers.errors.OrderError: there is no record at payload.after, after or events[]
    >>> Unwrapping([], ["cancelled_at", "test"]).records({"id": 7, "test": True, "cancelled_at": None})
    []
    """

    def __init__(self, paths: Sequence[str], skip_if: Sequence[str] = ()) -> None:
        self._places = [_place(path) for path in paths]
        self._skip_if = [keys_of(path) for path in skip_if]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._places or self._skip_if)

    @property
    def divides(self) -> bool:
        """Whether there may be several records in one."""
        return any(place.each for place in self._places)

    def records(self, document: Any) -> list[Any]:  # noqa: ANN401
        """The records in a document; none, if it is to be skipped.

        Raises:
            OrderError: it is another kind of document.
        """
        found = self._found(document) if self._places else [document]
        if not self._skip_if:
            return found
        return [record for record in found if not any(_holds(dug(record, keys)) for keys in self._skip_if)]

    def _found(self, document: Any) -> list[Any]:  # noqa: ANN401
        for path, around, key, each in self._places:
            outside = dug(document, around)
            inside = outside.get(key) if type(outside) is dict else None
            if each and type(inside) is list:
                rest = {name: value for name, value in outside.items() if name != key}
                if all(type(element) is dict for element in inside):
                    return [{**element, ENVELOPE: rest} for element in inside]
                raise OrderError(f"not every element of {path} is an object")
            if not each and type(inside) is dict:
                return [{**inside, ENVELOPE: {name: value for name, value in outside.items() if name != key}}]
        *first, last = (place.path for place in self._places)
        raise OrderError(f"there is no record at {', '.join(first)}{' or ' if first else ''}{last}")


def _place(path: str) -> _Place:
    *around, key = path.removesuffix(_EACH).split(".")
    return _Place(path, tuple(around), key, path.endswith(_EACH))


def _holds(value: Any) -> bool:  # noqa: ANN401
    return value not in (None, False, "", 0)
