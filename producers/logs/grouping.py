"""The lines and records of a log as whole orders: adjacent lines of one order joined, however they were read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.chunks import Chunk, Content
from producers.orders import (
    CONTINUED,
    LARGEST_ORDER_LINES,
    ORDER,
    Orders,
    Rejection,
    compacted,
    concatenated,
    joined,
    kept,
    order_key,
    too_many_lines,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from producers.arrays import Mask

FARTHEST_LINES = 65_536  # rows between two lines of one order, all rejected; they wait in memory for its end
LONGEST_ORDER_LINES = 1_000_000


class LogBatch(NamedTuple):
    """The rows `begin` up to, not including, `end` of a log: every one is in an order, rejected, or an empty line."""

    orders: Orders
    rejected: list[Rejection]
    """In log order."""
    begin: int
    end: int
    content: tuple[Content, ...] = ()
    """The rows as they stand in the file, and perhaps some before or behind these."""
    last: OpenOrder | None = None
    """The last order, at the end of a file, if lines that are added to the file may go on with it."""


class OpenOrder(NamedTuple):
    """An order of lines at the end of a file, with which lines that are added to the file may go on."""

    customer: int
    """Hash of the id, which a state may have to forget."""
    time_ms: int
    kind: int
    key: int
    after: int
    """Position behind its last line."""

    def goes_on(self, orders: Orders, order: int = 0) -> bool:
        """Whether one of some orders, read behind it, is the same order."""
        return (
            order_key(orders.customers[orders.customer[order]]) == self.customer
            and int(orders.kind[order]) == self.kind
            and int(orders.key[order]) == self.key
            and int(orders.position[orders.start[order]]) - self.after < FARTHEST_LINES
        )


def whole_orders(
    chunks: Iterable[Chunk],
    path: Path | str,
    place: Callable[[int], str],
    start: int,
    before: OpenOrder | None = None,
    log_format: LogFormat = LogFormat(),  # noqa: B008 - frozen
) -> Iterator[LogBatch]:
    """Lines and records as orders, none of which is cut by the end of a batch.

    Args:
        chunks: the lines from position `start` on.
        path: the log's name, for messages.
        place: how people find a position.
        start: a position.
        before: the last order before it, if it may go on there.
        log_format: how they were read.

    Raises:
        LogError: an order has more than a million lines, or reading fails.
    """
    begin = end = start
    held: Chunk | None = None
    for chunk in chunks:
        if before is not None and held is None and len(chunk.orders) and not chunk.flat[0]:
            before = None
        batch, held = _split(chunk if held is None else _behind(held, chunk), begin)
        if batch.end > begin:
            yield _capped(continued(batch, before), log_format)
            before = None if len(batch.orders) else before
        begin, end = batch.end, chunk.end
        if held is not None and len(held.orders) > LONGEST_ORDER_LINES:
            raise LogError(
                f"{path} has an order of more than {LONGEST_ORDER_LINES:,} lines, at {place(begin)}: "
                "is the right column order_id?"
            )
    if held is not None:
        whole = _joined(held.orders, _opens(held), end)
        batch = continued(LogBatch(whole, held.rejected, begin, end, held.content), before)
        yield _capped(batch, log_format)._replace(last=_open_order(held, batch))


def _behind(held: Chunk, chunk: Chunk) -> Chunk:
    return Chunk(
        concatenated(held.orders, chunk.orders),
        np.concatenate((held.flat, chunk.flat)),
        held.rejected + chunk.rejected,
        chunk.end,
        held.content + chunk.content,
    )


def _opens(chunk: Chunk) -> Mask:
    """(m,) which orders do not go on with the order before them."""
    orders, flat = chunk.orders, chunk.flat
    opens = np.ones(len(orders), bool)
    opens[1:] = (
        (orders.key[1:] == 0)
        | (orders.key[1:] != orders.key[:-1])
        | (orders.customer[1:] != orders.customer[:-1])
        | (orders.kind[1:] != orders.kind[:-1])
        | ~(flat[1:] & flat[:-1])
        | (np.diff(orders.after) > FARTHEST_LINES)
    )
    return opens


def _split(chunk: Chunk, begin: int) -> tuple[LogBatch, Chunk | None]:
    """The orders known to be whole, and the lines of the last one, which the next chunk may go on with."""
    orders = chunk.orders
    opens = _opens(chunk)
    if not len(orders) or chunk.end - orders.after[-1] >= FARTHEST_LINES:
        return LogBatch(_joined(orders, opens, chunk.end), chunk.rejected, begin, chunk.end, chunk.content), None
    last = int(np.flatnonzero(opens)[-1])
    end = int(orders.after[last]) - 1
    whole = _joined(orders.cut(0, last), opens[:last], end)
    held = Chunk(
        compacted(orders.cut(last, len(orders))),
        chunk.flat[last:],
        [line for line in chunk.rejected if line.position >= end],  # a line of its first record may be rejected
        chunk.end,
        tuple(content for content in chunk.content if content.end > end),
    )
    return LogBatch(whole, [line for line in chunk.rejected if line.position < end], begin, end, chunk.content), held


def _open_order(held: Chunk, batch: LogBatch) -> OpenOrder | None:
    """The last order of a file, of the lines that were held, if lines to come may go on with it."""
    orders = held.orders
    if not held.flat[-1] or not orders.key[-1]:
        return None
    customer, kind, key = orders.customers[orders.customer[-1]], int(orders.kind[-1]), int(orders.key[-1])
    return OpenOrder(order_key(customer), int(batch.orders.time[-1]), kind, key, int(orders.after[-1]))


def continued(batch: LogBatch, before: OpenOrder | None, order: int = 0) -> LogBatch:
    """The batch, of which an order may be the rest of one that was read before: it has the time of that one then."""
    orders = batch.orders
    if before is None or not len(orders.item) or not before.goes_on(orders, order):
        return batch
    time, kind = orders.time.copy(), orders.kind.copy()
    time[order], kind[order] = before.time_ms, before.kind | CONTINUED
    return batch._replace(orders=replace(orders, time=time, kind=kind))


def _joined(orders: Orders, opens: Mask, end: int) -> Orders:
    """The orders with each that does not open one joined to those before it; `end` is the position behind them all."""
    begin = (orders.after - 1)[opens]
    after = np.append(begin[1:], [end] if len(begin) else []).astype(np.int64)
    return replace(joined(orders, opens), after=after)


def reject_line(
    orders: Orders,
    row: int,
    reason: str,
    log_format: LogFormat = LogFormat(),  # noqa: B008 - frozen
) -> Rejection:
    """The rejection of a line of an order; without its order id, of which only a hash is kept."""
    order = int(np.searchsorted(orders.start, row, "right")) - 1
    line = {
        "customer_id": orders.customers[orders.customer[order]],
        "item_id": orders.items[orders.item[row]],
        "timestamp": int(orders.time[order]),
        "quantity": int(orders.quantity[row]),
        "type": log_format.type_of(int(orders.kind[order])),
    }
    return Rejection(int(orders.position[row]), reason, msgspec.json.encode(line).decode(), form=ORDER)


def _capped(batch: LogBatch, log_format: LogFormat) -> LogBatch:
    """The batch with the lines of each order that has too many of them rejected."""
    orders = batch.orders
    lines = np.diff(orders.start)
    if lines.max(initial=0) <= LARGEST_ORDER_LINES:
        return batch
    keep = lines <= LARGEST_ORDER_LINES
    rejected = list(batch.rejected)
    for order in np.flatnonzero(~keep).tolist():
        reason = too_many_lines(int(lines[order]))
        rows = range(int(orders.start[order]), int(orders.start[order + 1]))
        rejected += [reject_line(orders, row, reason, log_format) for row in rows]
    begin = np.append(batch.begin, orders.after)[:-1][keep]
    after = np.append(begin[1:], [batch.end] if len(begin) else []).astype(np.int64)
    return batch._replace(orders=replace(kept(orders, keep), after=after), rejected=sorted(rejected))
