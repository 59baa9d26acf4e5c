"""What the formats of logs have in common: they yield stretches of orders, one order for each line or record."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.arrays import Mask
    from producers.fields import FieldReader
    from producers.orders import Orders, Rejection


class Chunk(NamedTuple):
    """Some lines of a log: m orders of one line or record each, and the lines that are none."""

    orders: Orders
    flat: Mask
    """(m,) whether the order is one line, to be joined with its neighbours; else it is a whole record."""
    rejected: list[Rejection]
    end: int
    """The position behind the last line, whatever became of it."""


class Format(Protocol):
    """A log file of some format."""

    rows_total: int | None

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""

    def place(self, position: int) -> str:
        """How people find a position in the file."""

    def chunks(self, start_row: int, most: int, reader: FieldReader) -> Iterator[Chunk]:
        """The lines from `start_row` on, at most `most` at a time.

        Raises:
            LogError: the file is damaged; what stands before the damage has been delivered.
        """


def damaged(path: Path, place: str, error: Exception) -> LogError:
    """The error for a file that cannot be read beyond `place`."""
    return LogError(
        f"{path} is damaged or cut short at {place} ({error}): "
        "fetch it again and go on; what was read before the damage stays counted"
    )


def check_length(path: Path, rows: int, start_row: int) -> None:
    """Whether a file read to its end, `rows` rows, went as far as `start_row`.

    Raises:
        LogError: it ended before.
    """
    if rows < start_row:
        raise LogError(f"{path} has {rows:,} rows, too few to go on from row {start_row:,}: is it still the same log?")
