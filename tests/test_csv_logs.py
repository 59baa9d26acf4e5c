"""CSV logs: whatever a line holds, it spoils no other."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.reading import open_log
from producers.orders import DAY_MS
from tests.written_logs import NEW_YEAR_MS, csv_log, line, read_log, write

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
    whole = read_log(open_log(path))
    for block_bytes in range(1, 300, 7):
        monkeypatch.setattr("producers.logs.blocks.BLOCK_BYTES", block_bytes)

        assert read_log(open_log(path)) == whole


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
    log = open_log(path, latest_ms=NEW_YEAR_MS + 365 * DAY_MS)

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

    orders, refusals = read_log(open_log(path))

    assert [position for position, _ in refusals] == ([1] if reason else [])
    assert len(orders) + len(refusals) == 16 + quotes_after


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_log(tmp_path: Path) -> None:
    """Excel writes both."""
    path = tmp_path / "orders.csv"
    path.write_bytes(
        "\ufeffcustomer_id,item_id,timestamp\r\nann,milk,2017-01-01\r\n\r\nbob,eggs,2017-01-01\r\n".encode()
    )

    orders, refusals = read_log(open_log(path))

    assert refusals == []
    assert [(order[0], order[4]) for order in orders] == [("ann", [("milk", 1, 0)]), ("bob", [("eggs", 1, 2)])]


GOOD = [b"ann,milk,2017-01-01,a", b"bob,eggs,2017-01-02,b", b"cy,tea,2017-01-03,c"]


@pytest.mark.parametrize(
    ("stray", "swallowed"),
    [
        (b'dan,x,2017-01-01,"FRAME', True),
        (b'dan,x,2017-01-01,"5" nail', True),
        (b'dan,"x,2017-01-01,FRAME', True),
        (b'dan,"x"y,2017-01-01,FRAME', True),
        (b'dan,x 5" long,2017-01-01,FRAME', False),
        (b'dan,x,2017-01-01,5"', False),
    ],
)
@pytest.mark.parametrize("closing", [None, b'eve,x,2017-01-04,BOX"', b'eve,x,2017-01-04,"BOX"'])
def test_a_stray_quote_swallows_no_line_wherever_the_next_quote_stands(
    tmp_path: Path, stray: bytes, closing: bytes | None, *, swallowed: bool
) -> None:
    """Whole records within quotes are records; inches in a text without quotes are text."""
    rows = [GOOD[0], stray, *GOOD[1:], *([closing] if closing else []), *GOOD]
    path = csv_log(tmp_path / "orders.csv", *rows)

    orders, refusals = read_log(open_log(path))

    assert [row for row, _ in refusals] == ([1] if swallowed else [])
    assert all("quote" in reason for _, reason in refusals)
    assert [order[4][0][2] for order in orders] == [row for row in range(len(rows)) if not (swallowed and row == 1)]


def test_line_breaks_within_quotes_are_text(tmp_path: Path) -> None:
    """Addresses and descriptions have them, and may even look like rows of another table."""
    rows = [
        b'ann,"milk,\nfresh",2017-01-01,"a\nb,c,d,e\n\nf ""g"""',
        b'bob,eggs,2017-01-01,"x\r\nann,milk,soon,5"',
        b"cy,tea,2017-01-01,c",
    ]
    path = csv_log(tmp_path / "orders.csv", *rows)

    orders, refusals = read_log(open_log(path))

    assert refusals == []
    assert [(order[0], order[4]) for order in orders] == [
        ("ann", [("milk,\nfresh", 1, 0)]),
        ("bob", [("eggs", 1, 1)]),
        ("cy", [("tea", 1, 2)]),
    ]


@pytest.mark.parametrize(
    "text", ['ann,milk,2017-01-01,"a\nb"\nbob,"eg""gs",2017-01-01,c\r\n', "ann,milk,2017-01-01,ü\n"]
)
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_log_cut_at_any_byte_gives_some_of_its_first_rows_and_nothing_else(
    tmp_path: Path, text: str, ending: str
) -> None:
    """Whoever writes it may be in the middle of a line; half a line is not counted, and not rejected either."""
    whole = b"customer_id,item_id,timestamp,title\n" + text.encode()
    path = tmp_path / f"orders{ending}"
    path.write_bytes(gzip.compress(whole) if ending == ".csv.gz" else whole)
    orders, _ = read_log(open_log(path))
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found: list[str] = []
        try:
            for batch in open_log(path):
                assert batch.rejected == []
                found += [batch.orders.customers[customer] for customer in batch.orders.customer]
        except LogError:
            pass

        assert found == [order[0] for order in orders][: len(found)]


def test_a_last_line_without_line_end_is_left_for_the_next_time_unless_asked_for(tmp_path: Path) -> None:
    """`it` may become `item7`."""
    path = csv_log(tmp_path / "orders.csv", GOOD[0])
    path.write_bytes(path.read_bytes() + b"bob,it,2017-01-01,b")
    log = open_log(path)

    orders, refusals = read_log(log)

    assert ([order[0] for order in orders], refusals, log.unfinished) == (["ann"], [], True)
    log = open_log(path, LogFormat(count_last_line=True))
    assert ([order[0] for order in read_log(log)[0]], log.unfinished) == (["ann", "bob"], False)


@pytest.mark.parametrize(
    ("last", "counted"), [('{"customer_id":"b","item_id":"x","timestamp":"2017-01-01"', 0), ("}", 1)]
)
def test_a_json_object_without_line_end_is_whole_once_it_parses(tmp_path: Path, last: str, counted: int) -> None:
    path = tmp_path / "orders.jsonl"
    start = '{"customer_id":"b","item_id":"x","timestamp":"2017-01-01"'
    path.write_text(last if counted == 0 else start + last)
    log = open_log(path)

    orders, refusals = read_log(log)

    assert (len(orders), refusals, log.unfinished) == (counted, [], not counted)
