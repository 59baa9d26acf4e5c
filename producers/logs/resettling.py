"""A log that has grown: how all of it is read now, and whether what is counted still means the same.

What was settled for a log holds while it grows. But its first lines may have left open what later ones tell: text
without umlauts is in every encoding, and a decimal comma stands in no whole number. What all of the log tells is taken
up if the rows that are counted mean the same so; then the counts are those of the whole log read at once.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from producers.errors import LogError
from producers.logs.reading import open_format, open_log
from producers.logs.settling import look_at_all, settle_format
from producers.orders import ERASE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.logs.chunks import Limit
    from producers.logs.inspection.profiles import Profile
    from producers.logs.survey import Survey


class Resettled(NamedTuple):
    """How a log that has grown is read."""

    log_format: LogFormat
    found: Survey
    """Of the log, read so."""
    assumed: list[str]
    """What differs from how it was read, a sentence each."""


def resettled(
    path: Path,
    settled: LogFormat,
    settings: Mapping[str, Any],
    profile: Profile | None,
    found: Survey,
    limits: Sequence[Limit],
    *,
    strange: bool,
) -> Resettled | None:
    """How a log that has grown is read, if that is otherwise than was settled; None if it is not.

    Args:
        path: the file.
        settled: how its first rows were read.
        settings: attributes of its format that the user has named.
        profile: likewise.
        found: of the log, read as was settled.
        limits: how late an order can be; the last one has the rows that are counted.
        strange: whether there is text that is not in the encoding that was settled.

    Raises:
        LogError: read so, rows that are counted would mean something else, or the log is not in order.
        Undecided: only the user can tell its encoding.
    """
    assumed: list[str] = []
    try:
        log_format, said, _ = settle_format(path, settings, profile)
    except LogError:
        return None  # a question is open now: it is read as it was
    footers = (*settled.footers, *(pattern for pattern in log_format.footers if pattern not in settled.footers))
    # lines that were no rows are none, even if only later ones would not tell
    log_format = replace(log_format, footers=footers, comment=log_format.comment or settled.comment)
    if not strange and replace(log_format, number_columns=found.number_columns) == settled:
        return None
    found, log_format = look_at_all(path, log_format, settings, limits[-1].latest_ms, set(found.digests), assumed)
    if log_format == settled:
        return None
    check_past(path, settled, log_format, limits)
    return Resettled(log_format, found, said + assumed)


def check_past(path: Path, settled: LogFormat, log_format: LogFormat, limits: Sequence[Limit]) -> None:
    """Check that the rows that are counted mean the same in another format.

    Raises:
        LogError: they do not.
    """
    rows = limits[-1].rows
    pairs = zip_longest(_meanings(path, settled, limits), _meanings(path, log_format, limits))
    position = next((min(pair[0] for pair in (a, b) if pair) for a, b in pairs if a != b), None)
    if position is None:
        return
    now, before = log_format.differences(), settled.differences()
    names = [name for name in {**now, **before} if now.get(name) != before.get(name)]
    shown = ", ".join(f"{name.replace('_', ' ')} {getattr(log_format, name)!r}" for name in names)
    place = open_format(path, settled).place(position)
    raise LogError(
        f"{path} holds lines now by which all of it is read otherwise ({shown}). {place}, one of the {rows:,} that are "
        "counted, would mean something else: replay it into a new --state-dir"
    )


def _meanings(path: Path, log_format: LogFormat, limits: Sequence[Limit]) -> Iterator[tuple[Any, ...]]:
    """What each of the rows that are counted means, by rising positions."""
    rows, latest_ms = limits[-1].rows, limits[-1].latest_ms
    for batch in open_log(path, log_format, latest_ms=latest_ms, limits=limits):
        orders = batch.orders
        order = np.repeat(np.arange(len(orders)), np.diff(orders.start))
        customers, items = np.array([*orders.customers, ""]), np.array([*orders.items, ""])
        columns = (
            orders.position,
            customers[orders.customer[order]],
            items[orders.item],
            *(column[order] for column in (orders.time, orders.kind, orders.key)),
            orders.quantity,
        )
        lines: list[tuple[Any, ...]] = list(zip(*(column.tolist() for column in columns), strict=True))
        erased = orders.kind == ERASE
        lines += zip((orders.after[erased] - 1).tolist(), customers[orders.customer[erased]].tolist(), strict=True)
        lines += [(line.position,) for line in batch.rejected]
        yield from (line for line in sorted(lines, key=itemgetter(0)) if line[0] < rows)
        if batch.end >= rows:
            return
