"""The first lines of a log, as they would be counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from producers.fields import FieldReader
from producers.logs.chunks import read_chunks
from producers.logs.table_log import TableLog
from producers.orders import RETURN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from producers.log_format import LogFormat
    from producers.orders import Orders

_AT_ONCE = 100


def preview(path: Path, log_format: LogFormat) -> Iterator[dict[str, Any]]:
    """Lines in log order: those that would be counted, and those that would be rejected.

    Raises:
        LogError: the file is damaged.
    """
    log = TableLog(path, log_format)
    for chunk in read_chunks(log, path, 0, _AT_ONCE, FieldReader(log_format)):
        lines = [(int(position), line) for position, line in _lines(chunk.orders)]
        lines += [
            (rejection.position, {"place": log.place(rejection.position), "rejected": rejection.reason})
            for rejection in chunk.rejected
        ]
        yield from (line for _, line in sorted(lines, key=lambda pair: pair[0]))


def _lines(orders: Orders) -> Iterator[tuple[int, dict[str, Any]]]:
    order = np.repeat(np.arange(len(orders)), np.diff(orders.start))
    for line in range(len(orders.item)):
        head = int(order[line])
        time = str(orders.time[head].astype("datetime64[ms]")).removesuffix(".000")
        yield (
            int(orders.position[line]),
            {
                "customer_id": orders.customers[orders.customer[head]],
                "item_id": orders.items[orders.item[line]],
                "timestamp": f"{time}Z",
                "quantity": int(orders.quantity[line]),
                "type": "return" if orders.kind[head] == RETURN else "purchase",
            },
        )
