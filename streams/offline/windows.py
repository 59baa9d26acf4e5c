"""Windows of a log: the stretches whose orders may be scored before they are counted.

A window opens at every 16,384th row of a file's first 131,072, and at every 262,144th row from there on. It takes in
the orders whose first line is among the next 2,048 rows. A replay that scores commits right before a window, so that
everything before it is known, and the window whole: what is known when an order of it is scored depends on the file
alone, not on where the replay was interrupted or how large its commits are. To recompute popularity for each of many
small stretches would cost more than counting them.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

import numpy as np

from producers.errors import LogError
from producers.orders import compacted, concatenated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from producers.logs.grouping import LogBatch
    from producers.orders import Orders

WINDOW_ROWS = 2048
_OFTEN, _SELDOM = 16_384, 262_144
_OFTEN_UNTIL = 131_072


def windows_of(orders: Orders) -> npt.NDArray[np.int64]:
    """(m,) row at which the window that each order is in opens; -1: none."""
    row = orders.position[orders.start[:-1]]
    begin = row - row % np.where(row < _OFTEN_UNTIL, _OFTEN, _SELDOM)
    return np.where(row - begin < WINDOW_ROWS, begin, -1)


def whole_windows(batches: Iterable[LogBatch]) -> Iterator[LogBatch]:
    """The same orders in batches that end in no window, unless the log does.

    Raises:
        LogError: reading fails; what came before has been yielded.
    """
    held: LogBatch | None = None
    try:
        for more in batches:
            batch = more if held is None else _joined(held, more)
            held = None
            windows = windows_of(batch.orders)
            first = len(windows)
            if first and windows[-1] >= 0 and batch.end < windows[-1] + WINDOW_ROWS:
                first = int(np.argmax(windows == windows[-1]))
                held = cut(batch, first, len(windows), _begin(batch, first))
                held = held._replace(orders=compacted(held.orders))
            if first or held is None:
                yield cut(batch, 0, first, batch.begin)
    except LogError:
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def commits(batch: LogBatch, commit_lines: int, *, windows: bool) -> Iterator[tuple[LogBatch, bool]]:
    """Cut a batch into commits of at least `commit_lines` lines, at the ends of orders, each with whether it is scored.

    Args:
        batch: to be cut.
        commit_lines: lines per commit.
        windows: whether each window is to be a commit of its own, to be scored.
    """
    orders = batch.orders
    window = windows_of(orders) if windows else np.full(len(orders), -1, np.int64)
    bounds = [*(np.flatnonzero(np.diff(window)) + 1).tolist(), len(orders)]
    first = 0
    for bound in bounds:
        while first < bound:
            last = bound
            if window[first] < 0:
                last = int(np.searchsorted(orders.start, orders.start[first] + commit_lines))
                last = min(max(last, first + 1), bound)
            yield cut(batch, first, last, _begin(batch, first)), bool(window[first] >= 0)
            first = last
    if not len(orders) and batch.begin < batch.end:  # none was whole: rejected and empty lines
        yield batch, False


def _begin(batch: LogBatch, order: int) -> int:
    """Row from which an order of a batch and the rejected lines before it are read."""
    return batch.begin if order == 0 else int(batch.orders.after[order - 1])


def cut(batch: LogBatch, first: int, last: int, begin: int) -> LogBatch:
    """Orders `first` up to, not including, `last` of a batch, with the rows from `begin` to the next order."""
    end = batch.end if last == len(batch.orders) else int(batch.orders.after[last - 1])
    low, high = (bisect_left(batch.rejected, row, key=lambda line: line.position) for row in (begin, end))
    return batch._replace(
        orders=batch.orders.cut(first, last),
        rejected=batch.rejected[low:high],
        begin=begin,
        end=end,
        last=batch.last if last == len(batch.orders) else None,
    )


def _joined(held: LogBatch, more: LogBatch) -> LogBatch:
    return held._replace(
        orders=concatenated(held.orders, more.orders),
        rejected=held.rejected + more.rejected,
        end=more.end,
        last=more.last,
    )
