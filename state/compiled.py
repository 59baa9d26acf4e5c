"""Compiled loops: a typed name for numba's decorator, and a cache that notices changes in other files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from numba.core import event
from numba.core.caching import FunctionCache, IndexDataCacheFile

from state.compiling import compiling

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")

ZERO = cast("int", np.int64(0))
"""For arguments of loops that other loops call: for each integer that is written out there, numba compiles another."""


def compiled(loop: F) -> F:
    """Compile `loop` to machine code on its first call, and cache the result on disk.

    Without fast-math: equal state must give equal bytes, so floats are added in the order written.
    """
    return _with_safe_cache(numba.njit(cache=True)(loop), loop)


def compiled_nogil(loop: F) -> F:
    """Compile a loop that takes milliseconds, and release the GIL while it runs.

    Not for short loops: a thread that releases the GIL may wait five milliseconds to get it back.
    """
    return _with_safe_cache(numba.njit(cache=True, nogil=True)(loop), loop)


def _with_safe_cache(dispatcher: Any, loop: F) -> F:  # noqa: ANN401 - numba has no types
    """Make a compiled loop's cache depend on every file whose loops it may contain.

    Numba only checks the file that defines a loop, but the machine code contains the loops it calls as well. Without
    this, a changed score would still be computed with the old formula.
    """
    cache = getattr(dispatcher, "_cache", None)  # absent where NUMBA_DISABLE_JIT is set
    if isinstance(cache, FunctionCache):
        index = cache._cache_file  # noqa: SLF001 - numba has no setting for it
        index.__class__ = _Index
        index._source_stamp = (index._source_stamp, _sources(Path(loop.__code__.co_filename).parent))  # noqa: SLF001
    return cast("F", dispatcher)


def is_cached(loop: object) -> bool:
    """Whether a compiled loop is on disk, so that no process on this machine compiles it again."""
    cache = getattr(loop, "_cache", None)
    index: Any = cache._cache_file if isinstance(cache, FunctionCache) else None  # noqa: SLF001 - likewise
    return index is None or bool(index._load_index())  # noqa: SLF001


class _Listener(event.Listener):
    """Hears of each loop that is compiled rather than loaded."""

    def on_start(self, _: event.Event) -> None:
        compiling.begin()

    def on_end(self, _: event.Event) -> None:
        compiling.end()


event.register("numba:compile", _Listener())  # type: ignore[no-untyped-call]


class _Index(IndexDataCacheFile):
    """Numba's index of a loop's cache; one that cannot be read counts as empty."""

    def _load_index(self) -> Any:  # noqa: ANN401
        try:
            return super()._load_index()  # type: ignore[no-untyped-call]
        except (AttributeError, ImportError):  # it was written by another version of alsobought, with other classes
            return {}


_STAMPS: dict[Path, tuple[tuple[str, int, int], ...]] = {}


def _sources(package: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, size and modification time of every file of `package` and of state, whose loops a loop of it may call."""
    if package not in _STAMPS:
        files = sorted({*package.glob("*.py"), *Path(__file__).parent.glob("*.py")})
        _STAMPS[package] = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _STAMPS[package]
