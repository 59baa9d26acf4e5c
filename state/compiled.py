"""Compiled loops: a typed name for numba's decorator, so that the type checker sees through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., object]")


def compiled(loop: F) -> F:
    """Compile `loop` to machine code on first call and keep the result on disk.

    No fast-math: equal state must give equal bytes, so floats are added in the order written.
    """
    return cast("F", numba.njit(cache=True)(loop))


def compiled_aside(loop: F) -> F:
    """The same for a loop of milliseconds: other threads run meanwhile.

    Not for short ones: whoever lets another thread in waits for up to five milliseconds to be let in again.
    """
    return cast("F", numba.njit(cache=True, nogil=True)(loop))
