"""The purchases of a whole log as columns, before and after a cutoff."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import xxhash

from evaluation.errors import EvaluationError
from producers.logs.reading import open_log
from producers.orders import ERASE, PURCHASE
from state.names import Names
from streams.offline.windows import commits, whole_windows

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from producers.log_format import LogFormat
    from producers.orders import Orders
    from streams.engine.embedded import Embedded
    from streams.engine.stages import OrderScorer

_COMMIT_LINES = 8192  # without a pair window a commit allocates room for every pair that it could add


@dataclass(frozen=True, slots=True)
class Purchases:
    """Purchased order lines in order of time, without returns and erasures. 16 bytes a line.

    Attributes:
        customers, items: distinct ids.
        customer, item: (n,) uint32 indices into them.
        time: (n,) int64 milliseconds since 1970 UTC.
    """

    customers: Sequence[str]
    items: Sequence[str]
    customer: npt.NDArray[np.uint32]
    item: npt.NDArray[np.uint32]
    time: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def digest(self) -> str:
        """What tells these purchases from those of any other log."""
        hasher = xxhash.xxh3_128()
        for ids, column in ((self.customers, self.customer), (self.items, self.item)):
            hasher.update(msgspec.json.encode(ids))
            hasher.update(column.tobytes())
        hasher.update(self.time.tobytes())
        return hasher.hexdigest()

    def between(self, begin_ms: int, end_ms: int) -> Purchases:
        """The purchases from `begin_ms` up to, not including, `end_ms`, as views."""
        here = slice(*np.searchsorted(self.time, [begin_ms, end_ms]).tolist())
        return Purchases(self.customers, self.items, self.customer[here], self.item[here], self.time[here])


def read_purchases(
    paths: Iterable[Path], formats: Mapping[Path, LogFormat], on_progress: Callable[[float], None] = lambda _: None
) -> Purchases:
    """The purchases of log files.

    Args:
        paths: the files.
        formats: how files are read that are not plain logs.
        on_progress: called with the fraction of a file that is read, 0 to 1.

    Raises:
        LogError: a file can't be read.
        EvaluationError: the log has no purchases, or no variety.
    """
    customers, items = Names(), Names()
    parts: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], npt.NDArray[np.int64]]] = []
    for path in paths:
        log = open_log(path, formats.get(path))
        for batch in log:
            orders = batch.orders
            lines = np.diff(orders.start)
            bought = np.repeat(orders.kind == PURCHASE, lines)
            parts.append(
                (
                    customers.number(orders.customers)[np.repeat(orders.customer, lines)[bought]],
                    items.number(orders.items)[orders.item[bought]],
                    np.repeat(orders.time, lines)[bought],
                )
            )
            on_progress(log.fraction)
    if not sum(len(time) for _, _, time in parts):
        raise EvaluationError("the log has no purchase: is --columns right?")
    customer, item, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(time, kind="stable")
    purchases = Purchases(list(customers.every), list(items.every), customer[order], item[order], time[order])
    _check_variety(purchases)
    return purchases


def _check_variety(purchases: Purchases) -> None:
    what = "recommendations can only be scored on a log with"
    if len(purchases.customers) == 1:
        raise EvaluationError(
            f"all {len(purchases):,} purchases are of one customer, {purchases.customers[0]!r}: {what} several; "
            "is the right column customer_id (--columns)?"
        )
    if len(purchases.items) == 1:
        raise EvaluationError(
            f"all {len(purchases):,} purchases are of one item, {purchases.items[0]!r}: {what} several; "
            "is the right column item_id (--columns)?"
        )
    if purchases.time[0] == purchases.time[-1]:
        raise EvaluationError(
            f"all {len(purchases):,} purchases have the same timestamp: {what} a before and an after; "
            "is the right column timestamp (--columns)?"
        )


def count_prefix(
    embedded: Embedded,
    paths: Iterable[Path],
    formats: Mapping[Path, LogFormat],
    before_ms: int,
    items: Container[str],
    scorer: OrderScorer | None = None,
) -> None:
    """Count every order strictly before a time, in log order, with only the lines of some items.

    Args:
        embedded: an empty state.
        paths: the log files.
        formats: how files are read that are not plain logs.
        before_ms: milliseconds since 1970 UTC.
        items: ids of the items to count.
        scorer: called with the orders of the windows of `streams.offline.windows` before they are counted.
    """
    for path in paths:
        log = open_log(path, formats.get(path), batch_rows=_COMMIT_LINES)
        for batch in log if scorer is None else whole_windows(log):
            for commit, scored in commits(batch, _COMMIT_LINES, windows=scorer is not None):
                orders = _prefix(commit.orders, before_ms, items)
                end = embedded.purchases_offset + commit.end - commit.begin
                if scorer is not None and scored:
                    embedded.count(orders, end, len(commit.rejected), scorer=scorer)
                else:
                    embedded.count(orders, end, len(commit.rejected))


def _prefix(orders: Orders, before_ms: int, items: Container[str]) -> Orders:
    """The orders before a time that are erasures or have lines of `items`, with only those lines."""
    counted = np.array([item in items for item in orders.items] + [False])[orders.item]
    sizes = np.diff(orders.start)
    order_of = np.repeat(np.arange(len(orders)), sizes)
    sizes = np.bincount(order_of[counted], minlength=len(orders))
    here = (orders.time < before_ms) & ((sizes > 0) | (orders.kind == ERASE))
    lines = counted & here[order_of]
    return replace(
        orders,
        customer=orders.customer[here],
        time=orders.time[here],
        kind=orders.kind[here],
        key=orders.key[here],
        start=np.concatenate([[0], np.cumsum(sizes[here])]),
        after=orders.after[here],
        item=orders.item[lines],
        quantity=orders.quantity[lines],
        position=orders.position[lines],
    )
