"""One log written in every format, dialect, encoding, notation and packing gives the same counts, and the same bytes.

And so does every order of its lines, sorted.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.growing_logs import growing
from tests.replayed import Replayed, replayed
from tests.written_formats import FIELDS, NOTATIONS, WRITERS, Row, Written, cells

BEGIN = datetime(2023, 1, 13, 8, 0, tzinfo=UTC)
plain_ids = st.sampled_from(["ann", "bob", "17001", "0007", "a b", "7-x", "x" * 60])
odd_ids = st.sampled_from(
    ["jürgen", "日本", 'say "hi"', "it's", "a,b", "a;b", "a|b", " tea ", "12E4", "1.0a", "-", "a^b", "C:\\x", "é\u0301"]
)  # fmt: skip
numbers = st.integers(1, 10**12).map(str)
gaps = st.integers(0, 3 * 86_400)


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """A log in order of time: orders of several lines, returns, lines without customer, item or quantity."""
    ids = draw(st.sampled_from([plain_ids, plain_ids | odd_ids, numbers]))
    customers, items = draw(st.lists(ids, min_size=1, max_size=4)), draw(st.lists(ids, min_size=1, max_size=6))
    time = BEGIN
    # most lines are good, or the whole log would be refused
    rows = [Row(customers[0], item, time, 1, f"a{number}", None) for number, item in enumerate((items * 8)[:8])]
    for number in range(draw(st.integers(2, 8))):
        time += timedelta(seconds=1) + timedelta(seconds=draw(gaps))
        customer = draw(st.sampled_from([*customers, *customers, None]))
        order = draw(st.sampled_from([f"o{number}", f"00{number}", None]))
        kind = draw(st.sampled_from([None, "purchase", "return", "Refund"]))
        for _ in range(draw(st.integers(1, 3))):
            item = draw(st.sampled_from([*items, *items, None]))
            rows.append(Row(customer, item, time, draw(st.sampled_from([1, 2, 30, None])), order, kind))
    return rows


def counted(written: Written) -> Replayed:
    options = {"order": "as-it-stands", **written.options}
    found = replayed(written.name, [written.content], options, export=True)
    assert found.errors == [""], (written.name, written.content[:300])
    return found


def plain(rows: list[Row]) -> Written:
    """The log as CSV without anything special: UTF-8, commas, ISO 8601."""
    import csv  # noqa: PLC0415
    import io  # noqa: PLC0415

    sink = io.StringIO(newline="")
    csv.writer(sink, lineterminator="\n").writerows([FIELDS, *cells(rows, NOTATIONS["iso"][0])])
    return Written("orders.csv", sink.getvalue().encode())


@pytest.mark.parametrize("family", WRITERS)
@settings(max_examples=8)
@given(rows=logs(), seed=st.integers(0, 10**6))
def test_a_log_gives_the_same_bytes_in_every_format(family: str, rows: list[Row], seed: int) -> None:
    expected = counted(plain(rows))
    chance = random.Random(seed)  # noqa: S311 - hypothesis chooses the seed

    found = counted(WRITERS[family](rows, chance))

    assert found.facts == expected.facts
    # lines of one nested record stand at one place, in no order
    assert sorted(reason for _, reason, _ in found.rejected) == sorted(reason for _, reason, _ in expected.rejected)
    assert found.export == expected.export


@settings(max_examples=8)
@given(rows=logs(), seed=st.integers(0, 10**6))
def test_sorted_a_log_gives_the_same_bytes_in_every_order_of_its_lines(rows: list[Row], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - hypothesis chooses the seed
    shuffled = list(rows)
    chance.shuffle(shuffled)
    written = [plain(rows), plain(shuffled), WRITERS[chance.choice(list(WRITERS))](shuffled, chance)]

    found = [counted(Written(one.name, one.content, {**one.options, "order": "sort"})) for one in written]

    assert found[1].facts == found[0].facts
    assert found[2].facts == found[0].facts
    assert found[0].export == found[1].export == found[2].export


@pytest.mark.parametrize("name", ["short lines.csv", "stray quote.csv", "stray quote semicolons.csv", "latin-1.csv"])
def test_sorted_no_line_is_lost(name: str) -> None:
    """Lines that are no rows were left out of the sorted copy without a word."""
    content, options = growing()[name]

    as_it_stands = replayed(name, [content], {**options, "order": "as-it-stands"})
    by_time = replayed(name, [content], {**options, "order": "sort"})

    assert by_time.errors == [""]
    for fact in ("lines", "rejected", "holders", "purchases"):
        assert by_time.facts[fact] == as_it_stands.facts[fact]
    assert len(by_time.rejected) == len(as_it_stands.rejected)
