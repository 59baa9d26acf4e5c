"""Item and customer ids, which are strings outside a store and small integers inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

NOWHERE = np.uint32(0xFFFFFFFF)
"""Stands for a string without a number; larger than every number."""


class Names:
    """A two-way dictionary of strings and their numbers, which are given in order of first appearance.

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
        """How many numbers were ever given, those of forgotten strings included."""
        return len(self._texts)

    def __contains__(self, text: str) -> bool:
        return text in self._numbers

    def __getitem__(self, text: str) -> int:
        return self._numbers[text]

    def get(self, text: str, default: int) -> int:
        """The number of `text`, or `default` if it has none."""
        return self._numbers.get(text, default)

    def text(self, number: int) -> str:
        """The string with a number; empty if it was forgotten."""
        return self._texts[number]

    @property
    def every(self) -> Sequence[str]:
        """All strings, in the order of their numbers."""
        return self._texts

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The strings with several numbers."""
        return list(map(self._texts.__getitem__, numbers))

    def number(self, texts: Sequence[str]) -> npt.NDArray[np.uint32]:
        """(n,) uint32 numbers of n strings; new strings get the next numbers."""
        numbers = list(map(self._numbers.get, texts))
        if None in numbers:
            for index, number in enumerate(numbers):
                if number is None:
                    added = self._numbers.get(texts[index])  # a string may be new twice
                    numbers[index] = self.add(texts[index]) if added is None else added
        return np.array(numbers, np.uint32)

    def add(self, text: str) -> int:
        """Give `text` the next number."""
        number = len(self._texts)
        self._numbers[text] = number
        self._texts.append(text)
        return number

    def skip_to(self, number: int) -> None:
        """Skip the unused numbers before `number`, whose strings were forgotten."""
        self._texts.extend([""] * (number - len(self._texts)))

    def forget(self, number: int) -> None:
        """Remove a string; its number is not reused."""
        del self._numbers[self._texts[number]]
        self._texts[number] = ""

    def encoded(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """All n strings in UTF-8, concatenated: (bytes,) uint8, and their (n + 1,) boundaries, for compiled loops.

        UTF-8 sorts like code points, so that comparing the bytes orders the strings as Python does.
        """
        encoded = len(self._ends) - 1
        if encoded < len(self._texts):
            new = [text.encode() for text in self._texts[encoded:]]
            ends = self._ends[-1] + np.cumsum([len(text) for text in new], dtype=np.int64)
            self._blob = np.concatenate([self._blob, np.frombuffer(b"".join(new), np.uint8)])
            self._ends = np.concatenate([self._ends, ends])
        return self._blob, self._ends


class Translation:
    """A table from one store's numbers to another's, as of the last `extend`.

    Args:
        origin: the names whose numbers are translated.
        target: the names whose numbers are returned.

    >>> origin, target = Names(), Names()
    >>> _ = origin.number(["tea", "milk", "rye"]), target.number(["milk", "tea"])
    >>> translation = Translation(origin, target)
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
        """Add the strings that either side has numbered since the last call; may run in a thread."""
        translated, known = len(self._table) - 1, len(self._origin)
        candidates = [*self._missing, *range(translated, known)]
        if not candidates:
            return
        numbers = [self.target.get(text, int(NOWHERE)) for text in self._origin.texts(candidates)]
        table = np.full(known + 1, NOWHERE)
        table[:translated] = self._table[:translated]
        table[candidates] = numbers
        self._missing = [origin for origin, number in zip(candidates, numbers, strict=True) if number == NOWHERE]
        self._table = table  # replaced as a whole, since other threads read it

    def __call__(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """(n,) the target's numbers of n numbers of the origin; NOWHERE where the target has none."""
        table = self._table
        translated: npt.NDArray[np.uint32] = table[np.minimum(numbers, len(table) - 1)]
        return translated
