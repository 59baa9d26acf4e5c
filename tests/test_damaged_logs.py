"""Files that are no log, or not a whole one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from producers.errors import LogError
from producers.logs.reading import Log, open_log
from tests.written_logs import ENDINGS, FIELDS, LINES, line, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        (
            "orders.txt",
            b"",
            "orders.txt is of no known format: the name of a log ends in one of .csv",
        ),
        ("orders.csv", b"", "orders.csv is empty: a CSV log starts with a line that names its columns"),
        (
            "orders.csv",
            b"customer_id\ritem_id\r",
            "orders.csv has no whole line yet: its first line",
        ),
        ("orders.csv.gz", b"customer_id", "orders.csv.gz is damaged or cut short at its beginning (Not a gzipped file"),
        ("orders.parquet", b"PAR1 and so on", "orders.parquet is damaged or cut short at its beginning (Parquet magic"),
        ("missing.csv", None, "missing.csv cannot be read: No such file or directory"),
        ("missing.parquet", None, "missing.parquet cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_log_is_an_error(tmp_path: Path, name: str, data: bytes | None, why: str) -> None:
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)

    with pytest.raises(LogError, match=re.escape(why)):
        open_log(path)


def test_a_directory_is_no_log(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    path.mkdir()

    with pytest.raises(LogError, match=re.escape("orders.parquet cannot be read: Is a directory")):
        open_log(path)


def deliver(log: Log, rows: list[int]) -> None:
    for batch in log:
        rows += batch.orders.position.tolist()


@pytest.mark.parametrize("ending", [".csv.gz", ".jsonl.gz"])
@pytest.mark.parametrize("share", [0.4, 0.7, 0.99])
def test_a_gzip_file_cut_short_gives_the_orders_before_the_cut(tmp_path: Path, ending: str, share: float) -> None:
    """But not the last one, which may have gone on behind it."""
    path = write(
        tmp_path / f"orders{ending}", [line("ann", f"item {row * 7919 % 10007}", str(row)) for row in range(5000)]
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])

    rows: list[int] = []

    with pytest.raises(LogError, match=r"is damaged or cut short at line [0-9,]+ \(Compressed file ended before"):
        deliver(open_log(path, batch_rows=50), rows)

    assert 0 < len(rows) < 5000
    assert rows == list(range(len(rows)))


def test_a_damaged_parquet_file_gives_the_orders_before_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    lines = [line("ann", f"item {row * 7919 % 10007}", str(row)) for row in range(500)]
    table = pa.table({field: [each[field] for each in lines] for field in FIELDS})
    pq.write_table(table, path, row_group_size=100, use_dictionary=False, compression="zstd", write_page_checksum=True)
    begin = pq.read_metadata(path).row_group(3).column(1).data_page_offset
    data = bytearray(path.read_bytes())
    data[begin + 60 : begin + 90] = bytes(30)
    path.write_bytes(data)

    rows: list[int] = []

    with pytest.raises(
        LogError, match=r"is damaged or cut short at row 300 \(.*\): fetch it again and go on; what was read"
    ):
        deliver(open_log(path, batch_rows=50), rows)

    assert rows == list(range(299))


def test_row_groups_that_are_counted_are_not_decoded_again(tmp_path: Path) -> None:
    """Whoever goes on has looked at all of the file before; here the first row group cannot be read any more."""
    path = tmp_path / "orders.parquet"
    lines = [line("ann", f"item {row}", str(row)) for row in range(500)]
    table = pa.table({field: [each[field] for each in lines] for field in FIELDS})
    pq.write_table(table, path, row_group_size=100, use_dictionary=False, write_page_checksum=True)
    begin = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[begin + 60 : begin + 90] = bytes(30)
    path.write_bytes(data)

    for start in (100, 130, 450, 499, 500):
        rows: list[int] = []
        deliver(open_log(path, start_row=start), rows)
        assert rows == list(range(start, 500))
    with pytest.raises(LogError, match="is damaged or cut short at row 0"):
        list(open_log(path, start_row=99))
    with pytest.raises(LogError, match="has 500 rows, too few to go on from row 501"):
        list(open_log(path, start_row=501))


def test_a_line_without_end_is_an_error_and_not_the_end_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A JSON file that is one array, or no text at all."""
    monkeypatch.setattr("producers.logs.blocks.BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr("producers.logs.blocks.LONGEST_LINE_BYTES", 1 << 12)
    path = tmp_path / "orders.jsonl"
    path.write_text("[" + "1," * 10_000)

    with pytest.raises(LogError, match=r"has a line of more than 16 MiB: is it a log\?"):
        open_log(path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_log_shorter_than_what_was_counted_of_it_is_an_error(tmp_path: Path, ending: str) -> None:
    """Going on silently would call another log's replay finished."""
    path = write(tmp_path / f"orders{ending}", LINES)

    with pytest.raises(LogError, match="has 15 rows, too few to go on from row 16: is it still"):
        list(open_log(path, start_row=16))
    assert list(open_log(path, start_row=15)) == []


def test_an_order_of_a_million_lines_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held in memory whole, and means that the wrong column was taken for the order id."""
    monkeypatch.setattr("producers.logs.grouping.LONGEST_ORDER_LINES", 50)
    path = write(tmp_path / "orders.csv", [line("ann", "milk", "store 7")] * 60)

    with pytest.raises(
        LogError, match=r"has an order of more than 50 lines, at line 2: is the right column order_id\?"
    ):
        list(open_log(path, batch_rows=20))
