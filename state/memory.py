"""The memory that the open stores of a process may take together, and its division among what needs it.

It bounds what grows with the log: histories, names, counts that wait, and RocksDB's blocks and buffers. The
interpreter, the compiled loops and the arrays over items come on top: docs/scaling.md has their measured sizes.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakValueDictionary

from rocksdict import Cache, WriteBufferManager

from state.errors import BudgetTooSmall

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
LEAST_BYTES = 64 * MIB
"""Below it a commit of 5,000 lines, some 10 MB of waiting counts, does not fit into its part."""
_M_MMAP_THRESHOLD, _M_ARENA_MAX, _GLIBC_MOST = -3, -8, 32 * MIB  # of malloc.h
_RETURN_EVERY_S = 2.0
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": MIB, "GiB": 1 << 30}
_UNITS["TiB"] = 1 << 40
_BY_LOWER_CASE = {unit.lower(): size for unit, size in _UNITS.items()}


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """How many bytes each part of the memory may take, in all open stores of a process together.

    Attributes:
        histories: histories and remembered orders of the customers at hand.
        names: ids of customers, and their numbers.
        waiting_counts: changes of counts that wait until their slice is written.
        block_cache: blocks of RocksDB's files as they were read, with indices and filters.
        write_buffers: what RocksDB has not written to files yet.
    """

    histories: int
    names: int
    waiting_counts: int
    block_cache: int
    write_buffers: int

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(getattr(self, part.name) for part in fields(self))


def divide(total_bytes: int) -> MemoryBudget:
    """The parts of a budget.

    Histories get most: the grocery log in 512 MiB takes 5 % more CPU time with a tenth of it less for them.

    Raises:
        BudgetTooSmall: a commit does not fit into it.

    >>> divide(1000 * MIB).waiting_counts // MIB, divide(1000 * MIB).total == 1000 * MIB
    (250, True)
    """
    if total_bytes < LEAST_BYTES:
        raise BudgetTooSmall(
            f"a memory of {shown(total_bytes)} is too small for the stores of one process: a commit of 5,000 lines "
            f"needs {shown(LEAST_BYTES)}, beside 300 MB for the program. Give --memory {shown(LEAST_BYTES)} or more"
        )
    names, block_cache, write_buffers = (total_bytes * percent // 100 for percent in (10, 15, 10))
    waiting_counts = total_bytes * 25 // 100
    histories = total_bytes - names - block_cache - write_buffers - waiting_counts
    return MemoryBudget(histories, names, waiting_counts, block_cache, write_buffers)


def parse_bytes(text: str) -> int:
    """Bytes of a number with its unit.

    Raises:
        ValueError: it is none.

    >>> parse_bytes("1GiB"), parse_bytes("1.5 GB"), parse_bytes("512 mib")
    (1073741824, 1500000000, 536870912)
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)", text.strip())
    unit = _BY_LOWER_CASE.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"'{text}' is no size with its unit, such as 512MiB, 1GiB or 1.5GB")
    return int(float(match[1]) * unit)


def shown(size: int) -> str:
    """A number of bytes with its unit.

    >>> shown(1 << 30), shown(LEAST_BYTES), shown(1000)
    ('1GiB', '64MiB', '1000B')
    """
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        if size >= _UNITS[unit]:
            return f"{size / _UNITS[unit]:.4g}{unit}"
    return f"{size}B"


def available_bytes(root: Path = Path("/")) -> int:
    """What the machine has, or its cgroup gives to this process if that is less.

    Args:
        root: where /proc and /sys are.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_cgroup_limits(root)])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """The limits of this process's cgroups and those around them, of either version; "max" is none."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # no Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = top / path.lstrip("/")  # in a container it may not be there: then the limit is that of the top
        for directory in (own, *own.parents):
            if directory == top.parent:
                break
            try:
                yield int((directory / name).read_text())
            except (OSError, ValueError):
                continue


class _User(Protocol):
    """What takes memory of a part."""

    @property
    def nbytes(self) -> int:
        """Bytes it takes now."""


class Part:
    """A part of the memory, which open stores share evenly.

    Args:
        budget_bytes: what all of them may take together.

    >>> import numpy as np
    >>> part, one, other = Part(100), np.zeros(8, np.uint8), np.zeros(4, np.uint8)
    >>> part.join(one)
    >>> part.join(other)
    >>> part.share_bytes, part.used_bytes
    (50, 12)
    >>> part.leave(other)
    >>> part.share_bytes, part.used_bytes
    (100, 8)
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._users: WeakValueDictionary[int, _User] = WeakValueDictionary()  # a store may fail to open
        self._lock = threading.Lock()  # stores are opened in threads

    def join(self, user: _User) -> None:
        """Share the part with another user."""
        with self._lock:
            self._users[id(user)] = user

    def leave(self, user: _User) -> None:
        """Leave it to the others."""
        with self._lock:
            self._users.pop(id(user), None)

    @property
    def share_bytes(self) -> int:
        """What each user may take."""
        return self.budget_bytes // max(len(self._users), 1)

    @property
    def used_bytes(self) -> int:
        """What all users take."""
        with self._lock:
            return sum(user.nbytes for user in self._users.values())


class PartUse(NamedTuple):
    """What a part of the memory takes, and may take, in bytes."""

    used: int
    budget: int


class Memory:
    """The memory of the stores that a process has open: its budget, and the objects by which they share it.

    Args:
        budget: how it is divided; None: half of what there is.

    Attributes:
        histories, names, waiting_counts: parts that the stores keep themselves.
        block_cache: of all stores together.
        write_buffers: counts what all stores have not written to files yet. A store that writes while that is more than
            its budget starts a new file.
    """

    def __init__(self, budget: MemoryBudget | None = None) -> None:
        budget = budget or divide(max(available_bytes() // 2, LEAST_BYTES))
        self._returning = _Returning(budget.total // 64)
        self.budget = budget
        self.histories = Part(budget.histories)
        self.names = Part(budget.names)
        self.waiting_counts = Part(budget.waiting_counts)
        self.block_cache = Cache(budget.block_cache)
        self.write_buffers = WriteBufferManager(budget.write_buffers, allow_stall=False)

    def return_freed(self) -> None:
        """Return to the system what was freed, now and then. Stores call it after each commit."""
        self._returning.gaps()

    def parts(self) -> dict[str, PartUse]:
        """Each part by name."""
        used = {
            "histories": self.histories.used_bytes,
            "names": self.names.used_bytes,
            "waiting_counts": self.waiting_counts.used_bytes,
            "block_cache": self.block_cache.get_usage(),
            "write_buffers": self.write_buffers.get_usage(),
        }
        return {part: PartUse(size, getattr(self.budget, part)) for part, size in used.items()}


class _Returning:
    """Returns freed memory to the system.

    Left to itself, glibc keeps what is smaller than 32 MiB as soon as blocks as large are freed, for each thread apart:
    the gaps between what is in use grow to a fifth of it.

    Args:
        size: blocks of this many bytes are returned as soon as they are freed; if it is large, nothing is done.
    """

    def __init__(self, size: int) -> None:
        self._next = time.monotonic() + _RETURN_EVERY_S
        self._trim: Callable[[int], int] | None = None
        if size < _GLIBC_MOST:
            with suppress(AttributeError):  # another C library
                libc = ctypes.CDLL(None)
                libc.mallopt(_M_MMAP_THRESHOLD, size)
                libc.mallopt(_M_ARENA_MAX, 2)
                self._trim = libc.malloc_trim

    def gaps(self) -> None:
        """Return the gaps too, now and then: it takes some 10 ms, and a fault for each page that is needed again."""
        if self._trim is not None and time.monotonic() >= self._next:
            self._trim(0)
            self._next = time.monotonic() + _RETURN_EVERY_S


@cache
def default_memory() -> Memory:
    """The memory of stores that are opened without another: one in a process."""
    return Memory()
