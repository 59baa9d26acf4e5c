"""Numbers of one store's items in another's: each item partition numbers items in the order in which it met them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from state.names import Names

NOWHERE = np.uint32(0xFFFFFFFF)
"""The number of what has none: beyond every item there is."""


class Translation:
    """A table from one numbering to another, as of the last `extend`.

    Args:
        origin: whose numbers are given.
        target: whose numbers are wanted.

    >>> from state.names import Names
    >>> here, there = Names(), Names()
    >>> _ = here.number(["tea", "milk", "rye"]), there.number(["milk", "tea"])
    >>> translation = Translation(here, there)
    >>> translation.extend()
    >>> translation(np.array([1, 0, 2, 3])).tolist()
    [0, 1, 4294967295, 4294967295]
    """

    def __init__(self, origin: Names, target: Names) -> None:
        self.target = target
        self._origin = origin
        self._table = np.full(1, NOWHERE)
        self._missing: list[int] = []

    def extend(self) -> None:
        """Take note of items that have come since, on either side; may run in a thread."""
        known, now = len(self._table) - 1, len(self._origin)
        candidates = [*self._missing, *range(known, now)]
        if not candidates:
            return
        numbers = [self.target.get(text, int(NOWHERE)) for text in self._origin.texts(candidates)]
        table = np.full(now + 1, NOWHERE)
        table[:known] = self._table[:known]
        table[candidates] = numbers
        self._missing = [place for place, number in zip(candidates, numbers, strict=True) if number == NOWHERE]
        self._table = table  # whole, since others read it meanwhile

    def __call__(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """The target's numbers; NOWHERE for items that are not known there."""
        table = self._table
        translated: npt.NDArray[np.uint32] = table[np.minimum(numbers, len(table) - 1)]
        return translated
