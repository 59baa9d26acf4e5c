"""Logs whose times overlap: lines that are in two of them are counted twice.

An export of the last 90 days, made each night, holds most of the lines of the night before. It begins with another line
each time, so that it is another log by its content. Its times tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from producers.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Span = tuple[int, int]
"""The first and the last time of a log, milliseconds since 1970 UTC."""
_REMEMBERED = "while it is among the last 64 orders of its customer"


class LogRepeated(LogError):
    """A log at a path begins otherwise than what was counted there, but holds the same days."""


def check_not_repeated(path: Path, span: Span | None, counted: Iterable[Span]) -> None:
    """Check that a log which begins otherwise than the logs counted at its path holds none of their times.

    Args:
        path: the log.
        span: its times.
        counted: those of the logs that were counted at this path.

    Raises:
        LogRepeated: it does.
    """
    shared = _shared(span, counted)
    if span is None or shared is None:
        return
    raise LogRepeated(
        f"{path} begins with another line than what was counted of it, and has times from {shown(shared[0])} to "
        f"{shown(shared[1])} in common with it: an export of the last days, made again, repeats lines that are "
        f"counted. Take out what lies before {shown(shared[1])} and save the rest under another name, or replay the "
        "whole file into a new --state-dir; if it is another log, add --another-log"
    )


def overlap_warning(path: Path, span: Span | None, counted: Iterable[Span], *, order_ids: bool) -> str:
    """What a person should know about a new log whose times are not behind what is counted; "" if they are.

    Args:
        path: the log.
        span: its times.
        counted: those of other logs.
        order_ids: whether the log has any.
    """
    counted = list(counted)
    newest = max((last for _, last in counted), default=None)
    if span is None or newest is None or span[0] > newest:
        return ""
    shared = _shared(span, counted)
    if shared is None:
        return (
            f"{path} ends at {shown(span[1])}, before the end of what is counted ({shown(newest)}): lists differ from "
            "those of the logs in order of time"
        )
    begins = f"{path} has times from {shown(shared[0])} to {shown(shared[1])} in common with what is counted: "
    if order_ids:
        return f"{begins}an order that is in both is recognised by its order id {_REMEMBERED}, and counts twice beyond"
    return (
        f"{begins}it has no order ids, so that every line that is in both is counted twice. Name the column of order "
        f"ids (--columns order_id=...; each is recognised {_REMEMBERED}), or export what lies behind "
        f"{shown(shared[1])}"
    )


def _shared(span: Span | None, counted: Iterable[Span]) -> Span | None:
    """The times from the first to the last that a log shares with others."""
    if span is None:
        return None
    shared = [(max(span[0], first), min(span[1], last)) for first, last in counted]
    shared = [(first, last) for first, last in shared if first <= last]
    return (min(first for first, _ in shared), max(last for _, last in shared)) if shared else None


def shown(time_ms: int) -> str:
    """A time as people read it.

    >>> shown(1_483_264_800_000), shown(1_483_228_800_000)
    ('2017-01-01 10:00:00', '2017-01-01')
    """
    text = str(np.datetime64(time_ms, "ms").astype("datetime64[s]")).replace("T", " ")
    return text.removesuffix(" 00:00:00")
