"""Real purchases for tests: the first lines of the grocery log, with added events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from streams.demo.groceries import grocery_file

if TYPE_CHECKING:
    from pathlib import Path

LINES = 60_000


def write_prefix(path: Path, lines: int = LINES) -> Path:
    """Write a CSV log of the first grocery lines. Every 97th is a return, of a held item or not; some are invalid.

    The last thousand lines repeat those 4,000 lines before.
    """
    columns = ["household_id", "product_id", "transaction_timestamp", "quantity", "basket_id"]
    with pq.ParquetFile(grocery_file("transactions.parquet")) as file:
        table = pa.Table.from_batches([next(file.iter_batches(lines, columns=columns))])
    table = table.rename_columns(["customer_id", "item_id", "timestamp", "quantity", "order_id"])
    kinds = np.full(lines, "purchase", object)
    kinds[::97] = "return"
    table = table.append_column("type", pa.array(kinds, pa.string()))
    table = pa.concat_tables([table.slice(0, lines - 1000), table.slice(lines - 5000, 1000)])
    pa_csv.write_csv(table, path)
    return path
