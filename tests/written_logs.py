"""Logs written for tests, and what they should be read as."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from producers.orders import PURCHASE, RETURN, order_key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producers.logs.reading import Log

Fields = dict[str, str]
Order = tuple[str, int, int, int, list[tuple[str, int, int]], int]
Refusal = tuple[int, str]

FIELDS = ("customer_id", "item_id", "timestamp", "quantity", "order_id", "type")
ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".ndjson", ".parquet")
NEW_YEAR_MS = 1_483_228_800_000  # 2017-01-01 00:00 UTC


def line(customer: str, item: str, order: str = "", **fields: str) -> Fields:
    return {
        "customer_id": customer,
        "item_id": item,
        "timestamp": "2017-01-01",
        "quantity": "1",
        "order_id": order,
        "type": "",
    } | fields


# orders of one line and of several, cut by bad lines, by other customers, by a return; bad lines at both ends
LINES = [
    line("ann", ""),
    line("ann", "milk", "1", timestamp="2017-01-01 10:00:00"),
    line("ann", "eggs", "1", timestamp="2017-01-01 10:00:05", quantity="2"),
    line("ann", "air", "1", quantity="0"),
    line("ann", "bread", "1"),
    line("bob", "milk", "1"),
    line("bob", "milk", "1", type="return"),
    line("bob", "eggs"),
    line("bob", "eggs"),
    line("", "eggs"),
    line("", "milk"),
    line("cy", "milk", "2", timestamp="2017-13-01"),
    line("cy", "eggs", "2", timestamp="1483264800"),
    line("cy", "milk", "2"),
    line("cy", "milk", "2", type="a gift"),
]
REASONS = {
    0: "item_id is missing",
    3: "quantity '0' is below 1",
    9: "customer_id is missing",
    10: "customer_id is missing",
    11: "timestamp '2017-13-01' is not a date",
    14: "type 'a gift' is neither purchase, return, erase nor another word of a to z",
}


def write(path: Path, lines: Sequence[Fields], fields: Sequence[str] = FIELDS) -> Path:
    """The lines as a log; its name says of which format."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({field: [each[field] for each in lines] for field in fields}), path, row_group_size=4)
        return path
    text = io.StringIO(newline="")
    if ".csv" in path.suffixes:
        rows = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
        rows.writeheader()
        rows.writerows(lines)
    else:
        text.writelines(json.dumps({field: each[field] for field in fields}) + "\n" for each in lines)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def csv_log(path: Path, *rows: bytes) -> Path:
    path.write_bytes(b"customer_id,item_id,timestamp,title\n" + b"".join(row + b"\n" for row in rows))
    return path


def read_log(log: Log) -> tuple[list[Order], list[Refusal]]:
    """All orders and rejections of the log; checks that its batches cover its rows without gap."""
    orders: list[Order] = []
    refusals: list[Refusal] = []
    reached = log.start_row
    for batch in log:
        assert reached == batch.begin < batch.end
        assert all(batch.begin <= rejection.position < batch.end for rejection in batch.rejected)
        assert batch.orders.after[-1:].tolist() in ([], [batch.end])
        reached = batch.end
        refusals += [(rejection.position, rejection.reason) for rejection in batch.rejected]
        new = batch.orders
        for place in range(len(new)):
            rows = range(new.start[place], new.start[place + 1])
            bought = [(new.items[new.item[row]], int(new.quantity[row]), int(new.position[row])) for row in rows]
            customer = new.customers[new.customer[place]]
            time, kind, key, after = (int(column[place]) for column in (new.time, new.kind, new.key, new.after))
            orders.append((customer, time, kind, key, bought, after))
    return orders, refusals


def expected(lines: Sequence[Fields], refused: Sequence[int]) -> list[Order]:
    """The orders by the plainest reading: good lines, grouped while customer, order id and type stay the same."""
    good = [(row, each) for row, each in enumerate(lines) if row not in refused]
    alone = itertools.count()
    groups = [
        list(group)
        for _, group in itertools.groupby(
            good, lambda one: (one[1]["customer_id"], one[1]["order_id"] or next(alone), one[1]["type"] or "purchase")
        )
    ]
    times = {
        "2017-01-01": 0,
        "2017-01-01 10:00:00": 36_000_000,
        "2017-01-01 10:00:05": 36_005_000,
        "1483264800": 36_000_000,
    }
    begins = [group[0][0] for group in groups]
    return [
        (
            group[0][1]["customer_id"],
            NEW_YEAR_MS + times[group[0][1]["timestamp"]],
            RETURN if group[0][1]["type"] == "return" else PURCHASE,
            order_key(group[0][1]["order_id"]) if group[0][1]["order_id"] else 0,
            [(each["item_id"], int(each["quantity"]), row) for row, each in group],
            after,
        )
        for group, after in zip(groups, [*begins, len(lines)][1:], strict=True)
    ]
