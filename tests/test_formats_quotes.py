"""Quotes mean the same in every dialect: what a comma separates, and what anything else does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.log_format import LogFormat
from producers.logs.csv_records import CsvRecords
from producers.logs.reading import open_log
from tests.written_logs import read_log

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "customer_id,item_id,timestamp,title"
GOOD = ["ann,milk,2017-01-01,a", "bob,eggs,2017-01-02,b", "cy,tea,2017-01-03,c"]
DIALECTS = {
    "comma": LogFormat(),
    "semicolon": LogFormat(separator=";"),
    "tab": LogFormat(separator="\t"),
    "colons": LogFormat(separator="::"),
    "single quotes": LogFormat(quote="'"),
    "comments": LogFormat(comment="#"),
    "trailing": LogFormat(trailing_separator=True),
    "utf-16": LogFormat(encoding="utf-16-le"),
}
STRAY = [
    ('dan,x,2017-01-01,"FRAME', True),
    ('dan,x,2017-01-01,"5" nail', True),
    ('dan,"x,2017-01-01,FRAME', True),
    ('dan,"x"y,2017-01-01,FRAME', True),
    ('dan,x 5" long,2017-01-01,6" wide', False),
    ('dan,x,2017-01-01,5"', False),
]


def written(path: Path, dialect: LogFormat, rows: list[str]) -> Path:
    end = dialect.separator + "\n" if dialect.trailing_separator else "\n"
    text = "".join(row.replace(",", dialect.separator).replace('"', dialect.quote) + end for row in [HEADER, *rows])
    path.write_text(text, encoding=dialect.encoding)
    return path


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(("stray", "swallowing"), STRAY)
@pytest.mark.parametrize("closing", [None, 'eve,x,2017-01-04,BOX"', 'eve,x,2017-01-04,"BOX"'])
def test_a_stray_quote_swallows_no_line_in_any_dialect(
    tmp_path: Path, name: str, stray: str, closing: str | None, *, swallowing: bool
) -> None:
    """Two of them once took the lines between for a title, if anything but a comma separated the fields."""
    rows = [GOOD[0], stray, *GOOD[1:], *([closing] if closing else []), *GOOD]
    path = written(tmp_path / "orders.csv", DIALECTS[name], rows)

    orders, refusals = read_log(open_log(path, DIALECTS[name]))

    if name == "trailing" and stray.endswith('5"'):
        swallowing = False  # the quote stands before the last separator
    assert [row for row, _ in refusals] == ([1] if swallowing else [])
    assert all("quote" in reason for _, reason in refusals)
    assert [order[4][0][2] for order in orders] == [row for row in range(len(rows)) if not (swallowing and row == 1)]


@pytest.mark.parametrize("name", DIALECTS)
def test_line_breaks_and_quotes_within_quotes_are_text_in_any_dialect(tmp_path: Path, name: str) -> None:
    rows = [
        'ann,"milk,\nfresh",2017-01-01,"a\nb,c,d,e\n\nf ""g"""',
        'bob,eggs,2017-01-01,"x\nann,milk,soon,5"',
        "cy,tea,2017-01-01,c",
    ]
    dialect = DIALECTS[name]
    path = written(tmp_path / "orders.csv", dialect, rows)

    orders, refusals = read_log(open_log(path, dialect))

    assert refusals == []
    assert [(order[0], order[4]) for order in orders] == [
        ("ann", [(f"milk{dialect.separator}\nfresh", 1, 0)]),
        ("bob", [("eggs", 1, 1)]),
        ("cy", [("tea", 1, 2)]),
    ]


def test_a_comment_within_quotes_is_text(tmp_path: Path) -> None:
    """It was once taken out with the quote that closes the title."""
    path = tmp_path / "orders.csv"
    path.write_text(f'{HEADER}\n# a comment, "and more\nann,milk,2017-01-01,"two\n# lines"\n{GOOD[1]}\n')

    orders, refusals = read_log(open_log(path, LogFormat(comment="#")))

    assert (refusals, [order[4][0][0] for order in orders]) == ([], ["milk", "eggs"])


@pytest.mark.parametrize("escaped", [True, False])
def test_a_backslash_keeps_a_quote_or_separator_as_text(tmp_path: Path, *, escaped: bool) -> None:
    path = tmp_path / "orders.csv"
    title = r'"5\" pot, \\blue"' if escaped else '"5"" pot"'
    path.write_text(f"{HEADER}\nann,a\\,b,2017-01-01,{title}\n{GOOD[1]}\n")

    orders, refusals = read_log(open_log(path, LogFormat(escape="\\" if escaped else "")))

    assert [order[4][0][0] for order in orders] == (["a,b", "eggs"] if escaped else ["eggs"])
    assert len(refusals) == (not escaped)


@pytest.mark.parametrize("escape", ["", "\\"])
@given(pieces=st.lists(st.sampled_from(['"', "\\", ",", "\n", "a", '\\"', '"a"', ',"', '",']), max_size=14))
def test_lines_that_are_records_are_so_when_they_are_divided_one_by_one(pieces: list[str], escape: str) -> None:
    """The quick look at the quotes of many lines says nothing else than the slow one at each."""
    data = ("".join(pieces) + "\n").encode()
    records = CsvRecords(["customer_id", "item_id"], LogFormat(escape=escape))

    if records.are_lines(data):
        divided = records.divide(data, last=True)
        assert divided.end == data.count(b"\n")
        assert [fault for _, fault, _ in divided.faulty if "quote" in fault] == []


PIECES = [
    '"',
    '""',
    "\\",
    ",",
    "\n",
    "\r",
    "\r\n",
    "a",
    '\\"',
    '"a"',
    ',"',
    '",',
    '"\n',
    "a,2017-01-01",
    '"a\nb",2017-01-01\n',
    "#",
]


@pytest.mark.parametrize("escape", ["", "\\"])
@pytest.mark.parametrize("comment", [None, re.compile(b"#.*")])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14), whole=st.booleans(), last=st.booleans())
def test_records_divided_at_once_are_those_of_lines_one_by_one(
    comment: re.Pattern[bytes] | None, pieces: list[str], escape: str, *, whole: bool, last: bool
) -> None:
    data = ("".join(pieces) + "\n" * whole).encode()
    records = CsvRecords(["customer_id", "timestamp"], LogFormat(escape=escape), no_rows=comment)

    at_once = records._divide_at_once(data, last=last)

    assert at_once in (None, records._divide_one_by_one(data, last=last))


def test_line_ends_and_quotes_in_any_cell_are_divided_at_once() -> None:
    records = CsvRecords(["customer_id", "timestamp"], LogFormat())
    lines = [b'"a\r\n,""b"" ",2017-01-01\r\n', b"\r\n", b'"a",\r\n', b'a,"\n2017-01-01\n"\n', b'"more",2,3\n', b'b,"20']

    divided = records._divide_at_once(b"".join(lines), last=False)

    assert divided is not None
    assert (divided.good, divided.rows) == ([lines[0], lines[2], lines[3]], [0, 2, 3])
    assert divided.faulty == [(4, "the line has 3 fields, the header 2", '"more",2,3')]
    assert (divided.end, divided.rest) == (5, lines[5])


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_byte_order_mark_on_a_later_line_is_text_wherever_blocks_begin(tmp_path: Path, separator: str) -> None:
    """Files put together have them; the first row lost it, and others did not."""
    path = tmp_path / "orders.csv"
    path.write_text(
        "".join(f"{row}\n".replace(",", separator) for row in [HEADER, "\ufeff" + GOOD[0], "\ufeff" + GOOD[0]])
    )

    orders, _ = read_log(open_log(path, LogFormat(separator=separator)))

    assert [order[0] for order in orders] == ["\ufeffann", "\ufeffann"]
