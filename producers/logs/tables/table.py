"""What logs of every container have in common: Arrow batches of the columns asked for, with where each row stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from producers.arrays import Whole
    from producers.orders import Rejection

BATCH_ROWS = 65_536


class TableBatch(NamedTuple):
    """Some rows of a table, and the invalid lines among them."""

    columns: dict[str, pa.Array]
    """Those asked for, n rows each: text (binary where it need not be UTF-8), numbers, times."""
    positions: Whole
    """(n,) where each row stands: rows count from 0."""
    nested: bool
    """Whether rows that stand at one place are one record."""
    rejected: list[Rejection]
    end: int
    """The position behind the last row or line."""


class Table(Protocol):
    """A log as a table.

    Attributes:
        names: its columns, or the paths that it is known to have.
        rows_total: None if only reading it tells.
    """

    names: list[str]
    rows_total: int | None

    @property
    def fraction(self) -> float:
        """How much of it has been read, 0 to 1."""

    def place(self, position: int) -> str:
        """How people find a position in the file."""

    def batches(self, columns: Sequence[str]) -> Iterator[TableBatch]:
        """The table from its beginning on.

        Args:
            columns: to be read, each one of `names` or a path.

        Raises:
            LogError: the file is damaged; what stands before the damage has been delivered.
        """


def utf8(text: str) -> bytes:
    """Text as UTF-8: bytes that were no UTF-8 as they were, halves of surrogate pairs spelt out."""
    return (
        text.encode("utf-8", "surrogateescape" if any("\udc80" <= c <= "\udcff" for c in text) else "backslashreplace")
        if not text.isascii()
        else text.encode()
    )
