"""Ids, which are strings outside and small integers inside, in arrays: no Python object an id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from state.compiled import compiled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Numbers = npt.NDArray[np.uint32]
    Ends = npt.NDArray[np.int64]

NOWHERE = np.uint32(0xFFFFFFFF)
"""Stands for a string without a number; larger than every number."""
_FNV_BASIS, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


class Names:
    """A two-way dictionary of strings and their numbers, which are given in order of first appearance.

    All strings stand in UTF-8 in one array, as ranking compares them, and a hash table of numbers finds them there: an
    id of 8 bytes takes 24 to 35 in all, where a dictionary and a list of Python take 120. One thread at a time numbers
    strings; others may read meanwhile.

    >>> names = Names()
    >>> names.number(["tea", "milk", "tea"]).tolist(), names["milk"], names.text(1), list(names.every)
    ([0, 1, 0], 1, 'milk', ['tea', 'milk'])
    """

    def __init__(self) -> None:
        self._length = 0
        self._blob = np.zeros(1 << 10, np.uint8)
        self._ends = np.zeros(1 << 8, np.int64)  # string i ends at i + 1
        self._table = np.full(1 << 8, NOWHERE)

    def __len__(self) -> int:
        """How many strings have a number."""
        return self._length

    def __contains__(self, text: str) -> bool:
        return self.get(text, -1) >= 0

    def __getitem__(self, text: str) -> int:
        number = self.get(text, -1)
        if number < 0:
            raise KeyError(text)
        return number

    def get(self, text: str, default: int) -> int:
        """The number of `text`, or `default` if it has none."""
        encoded = text.encode("utf-8", "surrogatepass")  # as `find` of one, a third faster
        number = int(self._find(np.frombuffer(encoded, np.uint8), np.array([0, len(encoded)]))[0])
        return default if number == NOWHERE else number

    def find(self, texts: Sequence[str]) -> Numbers:
        """(n,) the numbers of n strings, NOWHERE for those that have none."""
        return self._find(*_encoded(texts))

    def _find(self, blob: Bytes, ends: Ends) -> Numbers:
        found = np.empty(len(ends) - 1, np.uint32)
        _find(self._blob, self._ends, self._table, blob, ends, found)
        return found

    def text(self, number: int) -> str:
        """The string with a number."""
        blob, ends, length = self._blob.data, self._ends, self._length  # as `texts` of one, ten times faster
        if not 0 <= number < length:
            raise IndexError(f"number {number} of {length} items")
        return str(blob[ends[number] : ends[number + 1]], "utf-8")

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The strings with several numbers."""
        blob, ends, length = self._blob.data, self._ends, self._length
        chosen = np.fromiter(numbers, np.int64)
        wrong = chosen[(chosen < 0) | (chosen >= length)]
        if len(wrong):
            raise IndexError(f"number {wrong[0]} of {length} items")
        bounds = zip(ends[chosen].tolist(), ends[chosen + 1].tolist(), strict=True)
        return [str(blob[begin:end], "utf-8") for begin, end in bounds]

    @property
    def every(self) -> Sequence[str]:
        """The strings that have a number now, in the order of their numbers; each is made when it is asked for."""
        return _Texts(self, self._length)

    def number(self, texts: Sequence[str]) -> Numbers:
        """(n,) numbers of n strings; new strings get the next numbers."""
        return self.number_encoded(*_encoded(texts))

    def number_encoded(self, blob: Bytes, ends: Ends) -> Numbers:
        """`number` of n strings in UTF-8: (bytes,) all of them, and their (n + 1,) boundaries."""
        numbers = self._find(blob, ends)
        new = np.flatnonzero(numbers == NOWHERE)
        if len(new):
            self._reserve(len(new), int((ends[new + 1] - ends[new]).sum()))
            self._length = _add(self._blob, self._ends, self._table, self._length, blob, ends, new, numbers)
        return numbers

    def _reserve(self, strings: int, size: int) -> None:
        """Have room for more strings, of so many bytes in all."""
        strings += self._length
        self._blob = _extended(self._blob, int(self._ends[self._length]) + size)
        self._ends = _extended(self._ends, strings + 1)
        if 3 * strings > 2 * len(self._table):
            table = np.full(1 << (3 * strings // 2).bit_length(), NOWHERE)
            _index(self._blob, self._ends, table, self._length)
            self._table = table

    def encoded(self) -> tuple[Bytes, Ends]:
        """All n strings in UTF-8, concatenated: (bytes,) uint8, and their (n + 1,) boundaries, for compiled loops.

        UTF-8 sorts like code points, so that comparing the bytes orders the strings as Python does.
        """
        length = self._length
        return self._blob[: self._ends[length]], self._ends[: length + 1]

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._blob.nbytes + self._ends.nbytes + self._table.nbytes


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
        numbers = self.target.find(self._origin.texts(candidates))
        table = np.full(known + 1, NOWHERE)
        table[:translated] = self._table[:translated]
        table[candidates] = numbers
        self._missing = [candidates[index] for index in np.flatnonzero(numbers == NOWHERE).tolist()]
        self._table = table  # replaced as a whole, since other threads read it

    def __call__(self, numbers: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """(n,) the target's numbers of n numbers of the origin; NOWHERE where the target has none."""
        table = self._table
        translated: npt.NDArray[np.uint32] = table[np.minimum(numbers, len(table) - 1)]
        return translated


class _Texts(Sequence[str]):
    """The first strings of a dictionary, made when they are asked for."""

    def __init__(self, names: Names, length: int) -> None:
        self._names = names
        self._length = length

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return self._names.texts(range(self._length)[index])
        return self._names.text(index if 0 <= index < self._length else range(self._length)[index])

    def __iter__(self) -> Iterator[str]:
        for first in range(0, self._length, 1 << 12):
            yield from self._names.texts(range(first, min(first + (1 << 12), self._length)))


def _encoded(texts: Sequence[str]) -> tuple[Bytes, Ends]:
    """Strings in UTF-8, concatenated, and their (n + 1,) boundaries; halves of surrogates, which no id has, as such."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), ends


def _extended(array: npt.NDArray[np.int64] | npt.NDArray[np.uint8], size: int) -> npt.NDArray:  # type: ignore[type-arg]
    """The array, or a copy with room for more than `size` elements."""
    if size <= len(array):
        return array
    longer = np.zeros(size + size // 4, array.dtype)
    longer[: len(array)] = array
    return longer


@compiled
def _hash(blob: Bytes, begin: int, end: int) -> int:
    """FNV-1a."""
    value = _FNV_BASIS
    for at in range(begin, end):
        value = (value ^ np.uint64(blob[at])) * _FNV_PRIME
    return int(value ^ (value >> np.uint64(32)))


@compiled
def _place(blob: Bytes, ends: Ends, table: Numbers, other: Bytes, begin: int, end: int) -> int:
    """Where in the table a string is, or would be."""
    mask = np.int64(len(table) - 1)
    place = np.int64(_hash(other, begin, end)) & mask
    while table[place] != NOWHERE:
        number = table[place]
        first = ends[number]
        if ends[number + 1] - first == end - begin:
            at = 0
            while at < end - begin and blob[first + at] == other[begin + at]:
                at += 1
            if at == end - begin:
                return int(place)
        place = (place + 1) & mask
    return int(place)


@compiled
def _find(blob: Bytes, ends: Ends, table: Numbers, texts: Bytes, text_ends: Ends, found: Numbers) -> None:
    for text in range(len(found)):
        found[text] = table[_place(blob, ends, table, texts, text_ends[text], text_ends[text + 1])]


@compiled
def _add(
    blob: Bytes,
    ends: Ends,
    table: Numbers,
    length: int,
    texts: Bytes,
    text_ends: Ends,
    new: npt.NDArray[np.int64],
    numbers: Numbers,
) -> int:
    """Number the strings `new`, of which some may be the same; return how many there are then."""
    for text in new:
        begin, end = text_ends[text], text_ends[text + 1]
        place = _place(blob, ends, table, texts, begin, end)
        if table[place] == NOWHERE:
            first = ends[length]
            blob[first : first + end - begin] = texts[begin:end]
            ends[length + 1] = first + end - begin
            table[place] = length
            length += 1
        numbers[text] = table[place]
    return length


@compiled
def _index(blob: Bytes, ends: Ends, table: Numbers, length: int) -> None:
    """Put all strings into an empty table."""
    mask = np.int64(len(table) - 1)
    for number in range(length):
        place = np.int64(_hash(blob, ends[number], ends[number + 1])) & mask
        while table[place] != NOWHERE:
            place = (place + 1) & mask
        table[place] = number
