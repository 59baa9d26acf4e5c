"""A file that holds a log, wherever it is from, and what its path tells."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from producers.errors import LogError, ProducerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

CHUNK_BYTES = 1 << 20
"""Of what is copied at a time."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file that holds a log.

    Attributes:
        path: where its bytes are, or will be once it is fetched.
        name: by which a state knows where it was: an absolute path, or an address without credentials; "" for a pipe.
        shown: what people call it.
        size: bytes of the original.
        modified_ns: when the original was last written, or anything else that changes with it; -1 if nothing tells.
        group: the directory, pattern or address by which it was found; "" if it was named itself.
        keys: column -> its value in every row, from directories such as year=2023; None is missing.
        fetch: writes its bytes to `path`; None if they are there already. It takes two functions: one that it calls
            with the fraction done and the bytes, and one that it asks whether to stop.
    """

    path: Path
    name: str
    shown: str
    size: int
    modified_ns: int
    group: str = ""
    keys: Mapping[str, str | None] = field(default_factory=dict)
    fetch: Callable[[Callable[[float, int], None], Callable[[], bool]], None] | None = field(
        default=None, compare=False
    )


class Stopped(LogError):
    """Somebody asked to stop while a log was fetched; nothing of it was counted."""


def is_log_name(directories: Sequence[str], name: str) -> bool:
    """Whether a file may hold a log, and is no mark or checksum that a job left behind.

    >>> is_log_name(["year=2023"], "part-0.csv"), is_log_name([], "_SUCCESS"), is_log_name([".tmp"], "part-0.csv")
    (True, False, False)
    """
    return not name.endswith(".crc") and not any(
        part.startswith(".") or (part.startswith("_") and "=" not in part) for part in (*directories, name)
    )


def in_order(parts: Sequence[str]) -> list[tuple[list[str | int], str]]:
    """What sorts paths as people do: part-9 before part-10.

    >>> sorted(["b/1", "a/10", "a/9"], key=lambda path: in_order(path.split("/")))
    ['a/9', 'a/10', 'b/1']
    """
    return [
        ([int(piece) if piece.isdecimal() else piece for piece in re.split(r"([0-9]+)", part)], part) for part in parts
    ]


def keys_of(directories: Sequence[str]) -> dict[str, str | None]:
    """The columns that directories name, as Hive has them.

    >>> keys_of(["orders", "year=2023", "shop=K%C3%B6ln"])
    {'year': '2023', 'shop': 'Köln'}
    """
    pairs = [part.partition("=") for part in directories if "=" in part]
    return {unquote(key): None if value == NO_VALUE else unquote(value) for key, _, value in pairs if key}


@contextmanager
def spoken_of(files: Sequence[LogFile]) -> Iterator[None]:
    """Have errors name files as people do, not by where their bytes were brought."""
    try:
        yield
    except ProducerError as error:
        error.args = (as_spoken(str(error), files),)
        raise


def as_spoken(text: str, files: Sequence[LogFile]) -> str:
    """A text with the names that people gave files in place of where their bytes were brought."""
    for file in files:
        if file.shown != str(file.path):
            text = text.replace(str(file.path), file.shown)
    return text
