"""CSV logs: whatever a line holds, it spoils no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from producers.logs import open_log
from tests.written_logs import NEW_YEAR_MS, csv_log, line, told, write

if TYPE_CHECKING:
    from pathlib import Path

LONG = b"x" * 513


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".jsonl"])
def test_it_does_not_matter_where_blocks_of_bytes_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A block may end inside a line, a quoted line break, or a pair of quotes."""
    lines = [
        line("ann", 'the "best"\nmilk', "1"),
        line("a,b", "eggs\n\n\n", "2"),
        line("cy", "", "3"),
        line("cy", "x" * 99),
    ]
    path = write(tmp_path / f"orders{ending}", lines * 3)
    whole = told(open_log(path))
    for block_bytes in range(1, 300, 7):
        monkeypatch.setattr("producers.blocks.BLOCK_BYTES", block_bytes)

        assert told(open_log(path)) == whole


@pytest.mark.parametrize(
    ("row", "reason", "record"),
    [
        (b"ann,milk", "the line has 2 fields, the header 4", "ann,milk"),
        (b"ann,milk,2017-01-01,a,b", "the line has 5 fields, the header 4", "ann,milk,2017-01-01,a,b"),
        (b"ann,caf\xe9", "the line has 2 fields, the header 4", r"ann,caf\xe9"),
        (b"   ", "the line has 1 fields, the header 4", "   "),
        (b",,,", "customer_id is missing", "{}"),
        (b",milk,2017,", "customer_id is missing", '{"item_id":"milk","timestamp":"2017"}'),
        (
            b"a,caf\xe9,0,",
            r"item_id 'caf\xe9' is not UTF-8",
            r'{"customer_id":"a","item_id":"caf\\xe9","timestamp":"0"}',
        ),
        (
            b"a,%s,0," % LONG,
            "item_id has 513 bytes, more than 512",
            f'{{"customer_id":"a","item_id":"{LONG.decode()}","timestamp":"0"}}',
        ),
        (b"ann,milk,,", "timestamp is missing", '{"customer_id":"ann","item_id":"milk"}'),
        (b"a,b,soon,", "timestamp 'soon' is not a date", '{"customer_id":"a","item_id":"b","timestamp":"soon"}'),
        (
            b"a,b,2018-01-02,",
            "timestamp '2018-01-02' is after 2018-01-01 00:00:00Z, later than an order can be",
            '{"customer_id":"a","item_id":"b","timestamp":"2018-01-02"}',
        ),
    ],
)
@pytest.mark.parametrize("title", [b"Milk", b"caf\xe9"])
def test_a_bad_csv_line_is_rejected_alone_with_its_number(
    tmp_path: Path, row: bytes, reason: str, record: str, title: bytes
) -> None:
    """Whatever stands in it or, as in a column nobody asked for, around it."""
    good = b"ann,milk,2017-01-01," + title
    path = csv_log(tmp_path / "orders.csv", good, row, b"", b'bob,eggs,2017-01-01,"two\nlines"', good, b"")
    log = open_log(path, latest_ms=NEW_YEAR_MS + 365 * 86_400_000)

    batches = list(log)

    assert [batch.orders.position.tolist() for batch in batches] == [[0, 3], [4]]
    assert [(rejection.position, rejection.reason) for batch in batches for rejection in batch.rejected] == [
        (1, reason)
    ]
    assert batches[0].rejected[0].record == record
    assert log.place(1) == "line 3"


@pytest.mark.parametrize(
    ("stray", "reason"),
    [
        (b'ann,milk,2017-01-01,5"', None),
        (b'ann,milk,2017-01-01,"5', "a quote is opened and never closed"),
        (b'ann,"milk,2017-01-01,5', "a quote is opened and never closed"),
        (b'ann,milk,2017-01-01,"5,', "a quote is opened and never closed"),
    ],
)
@pytest.mark.parametrize("quotes_after", [0, 1])
def test_a_stray_quote_spoils_one_line_and_not_all_that_follow(
    tmp_path: Path, stray: bytes, reason: str | None, quotes_after: int
) -> None:
    """It opens a value that ends at the next quote, perhaps a million lines further on."""
    good = b"ann,milk,2017-01-01,a"
    quoted = b'ann,milk,2017-01-01,"a, b"'
    path = csv_log(tmp_path / "orders.csv", good, stray, *[good] * 5, *[quoted] * quotes_after, *[good] * 9)

    orders, refusals = told(open_log(path))

    assert [position for position, _ in refusals] == ([1] if reason else [])
    assert len(orders) + len(refusals) == 16 + quotes_after


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_log(tmp_path: Path) -> None:
    """Excel writes both."""
    path = tmp_path / "orders.csv"
    path.write_bytes("\ufeffcustomer_id,item_id,timestamp\r\nann,milk,2017-01-01\r\n\r\nbob,eggs,2017-01-01".encode())

    orders, refusals = told(open_log(path))

    assert refusals == []
    assert [(order[0], order[4]) for order in orders] == [("ann", [("milk", 1, 0)]), ("bob", [("eggs", 1, 2)])]
