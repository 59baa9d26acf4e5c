"""Texts by their layout, which is the text with every digit as 0: a column of dates or numbers has few of them.

So a regular expression that takes all digits alike is asked about each layout, not about each text, and the numbers in
texts of one layout stand at the same places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence

    from producers.arrays import Whole

_ZERO, _NINE = ord("0"), ord("9")


class Layout:
    """Texts that differ in nothing but their digits.

    Attributes:
        text: one of them with every digit as 0.
        rows: (n,) where they stand in their column.
    """

    def __init__(self, text: str, rows: Whole, content: npt.NDArray[np.uint8], begins: Whole) -> None:
        self.text = text
        self.rows = rows
        self._content = content
        self._begins = begins

    def number(self, begin: int, end: int) -> Whole:
        """(n,) the number that the characters from `begin` up to, not including, `end` stand for: digits or spaces."""
        number = np.zeros(len(self.rows), np.int64)
        for place in range(begin, end):
            number = number * 10 + (self._content[self._begins + place] & 15)
        return number


def layouts(texts: pa.Array) -> Iterator[Layout]:
    """The texts by layout; those that are not ASCII are left out.

    Args:
        texts: (n,) strings, none of them null.

    >>> [(one.text, one.rows.tolist()) for one in layouts(pa.array(["12:05", "x", "23:59"]))]
    [('00:00', [0, 2]), ('x', [1])]
    >>> next(layouts(pa.array(["12:05", "23:59"]))).number(3, 5).tolist()
    [5, 59]
    """
    if not len(texts):
        return
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, 4 * texts.offset)
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)
    masked = np.where((content >= _ZERO) & (content <= _NINE), np.uint8(_ZERO), content)
    alike = pa.Array.from_buffers(
        pa.binary(), len(texts), [None, texts.buffers()[1], pa.py_buffer(masked)], 0, texts.offset
    ).dictionary_encode()
    names, of = alike.dictionary.to_pylist(), alike.indices.to_numpy()
    order = np.argsort(of, kind="stable") if len(names) > 1 else np.arange(len(texts))
    bounds = np.cumsum(np.bincount(of))[:-1]
    for name, rows in zip(names, np.split(order, bounds), strict=True):
        if name.isascii():
            yield Layout(name.decode(), rows, content, offsets[rows].astype(np.int64))


def matching(texts: pa.Array, patterns: Sequence[re.Pattern[str]]) -> Iterator[tuple[Layout, re.Match[str]]]:
    """The layouts that match a pattern in full; one that matches several comes with each, in their order.

    Args:
        texts: as for `layouts`.
        patterns: regular expressions that take all digits alike.
    """
    for layout in layouts(texts):
        for pattern in patterns:
            match = pattern.fullmatch(layout.text)
            if match is not None:
                yield layout, match
