"""Item and customer ids: strings outside, small integers inside one store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

NOWHERE = np.uint32(0xFFFFFFFF)
"""The number of a string that has none: beyond every number there is."""


class Names:
    """A two-way dictionary, string <-> number, numbered in order of first appearance.

    >>> names = Names()
    >>> names.number(["tea", "milk", "tea"]).tolist(), names["milk"], names.text(1)
    ([0, 1, 0], 1, 'milk')
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._texts: list[str] = []
        self._blob = np.zeros(0, np.uint8)
        self._ends = np.zeros(1, np.int64)

    def __len__(self) -> int:
        """How many numbers were ever given out."""
        return len(self._texts)

    def __contains__(self, text: str) -> bool:
        return text in self._numbers

    def __getitem__(self, text: str) -> int:
        return self._numbers[text]

    def get(self, text: str, default: int) -> int:
        """The number of `text`, or `default` if it has none."""
        return self._numbers.get(text, default)

    def text(self, number: int) -> str:
        """The string behind a number; empty if it was forgotten."""
        return self._texts[number]

    @property
    def every(self) -> Sequence[str]:
        """All strings by number."""
        return self._texts

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The strings behind several numbers."""
        return list(map(self._texts.__getitem__, numbers))

    def number(self, texts: Sequence[str]) -> npt.NDArray[np.uint32]:
        """(n,) uint32 numbers of n strings; those not seen before get the next ones."""
        numbers = list(map(self._numbers.get, texts))
        if None in numbers:
            for place, number in enumerate(numbers):
                if number is None:
                    known = self._numbers.get(texts[place])
                    numbers[place] = self.add(texts[place]) if known is None else known
        return np.array(numbers, np.uint32)

    def add(self, text: str) -> int:
        """Give `text` the next number."""
        number = len(self._texts)
        self._numbers[text] = number
        self._texts.append(text)
        return number

    def skip_to(self, number: int) -> None:
        """Leave out the numbers before `number`: their strings were forgotten."""
        self._texts.extend([""] * (number - len(self._texts)))

    def forget(self, number: int) -> None:
        """Remove a string; its number is never given to another."""
        del self._numbers[self._texts[number]]
        self._texts[number] = ""

    def encoded(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """All strings as one UTF-8 blob and their (n + 1,) boundaries, for compiled comparison; grown on demand.

        UTF-8 sorts like code points, so comparing the bytes orders the strings as Python does.
        """
        known = len(self._ends) - 1
        if known < len(self._texts):
            fresh = [text.encode() for text in self._texts[known:]]
            ends = self._ends[-1] + np.cumsum([len(text) for text in fresh], dtype=np.int64)
            self._blob = np.concatenate([self._blob, np.frombuffer(b"".join(fresh), np.uint8)])
            self._ends = np.concatenate([self._ends, ends])
        return self._blob, self._ends


class Translation:
    """A table from one numbering to another, as of the last `extend`.

    Args:
        origin: whose numbers are given.
        target: whose numbers are wanted.

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
        """Add the strings that either side has numbered since; may run in a thread."""
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
        """(n,) the target's numbers of n numbers of the origin; NOWHERE where the target has none."""
        table = self._table
        translated: npt.NDArray[np.uint32] = table[np.minimum(numbers, len(table) - 1)]
        return translated
