"""Logs that were counted before: grown, changed, renamed, or others that begin alike."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.commands import called, output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "customer_id,item_id,timestamp\n"
HEARTBEAT = "shop,heartbeat,2024-01-01\n"


def lines(*names: str, day: int = 2) -> str:
    return "".join(f"{name},tea,2024-01-{day:02}\n" for name in names)


def write(path: Path, text: str) -> Path:
    """A log of that ending, which says of which format."""
    if path.suffix == ".csv":
        path.write_text(HEAD + text)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress((HEAD + text).encode()))
    elif path.suffix == ".jsonl":
        rows = [dict(zip(HEAD.strip().split(","), row.split(","), strict=True)) for row in text.splitlines()]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa_csv.read_csv(pa.py_buffer((HEAD + text).encode())), path, row_group_size=2)
    return path


def counted(state: Path) -> int:
    """Order lines that the state stands for."""
    return int(json.loads(output_of("related", "tea", "--state-dir", state, "--json"))["as_of"]["lines"])


ENDINGS = [".csv", ".csv.gz", ".jsonl", ".parquet"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_another_file_with_the_same_first_lines_is_another_log(tmp_path: Path, ending: str) -> None:
    """A heartbeat as first line each day once cost the lines of every day but the first."""
    first = write(tmp_path / f"monday{ending}", HEARTBEAT + lines("ann", "bob"))
    second = write(tmp_path / f"tuesday{ending}", HEARTBEAT + lines("cy", "dan", "eve", day=3))
    output_of("replay", first, "--state-dir", tmp_path / "state")

    assert "4 lines read" in output_of("replay", second, "--state-dir", tmp_path / "state")
    assert counted(tmp_path / "state") == 7
    assert "nothing new" in output_of("replay", first, second, "--state-dir", tmp_path / "state")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_log_that_has_grown_goes_on_also_under_another_name(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"orders{ending}", lines("ann", "bob"))
    output_of("replay", path, "--state-dir", tmp_path / "state")

    write(path, lines("ann", "bob") + lines("cy", day=3))
    assert "1 lines read" in output_of("replay", path, "--state-dir", tmp_path / "state")

    write(path, lines("ann", "bob") + lines("cy", day=3) + lines("dan", "eve", day=4))
    renamed = path.rename(tmp_path / f"all{ending}")
    assert "2 lines read" in output_of("replay", renamed, "--state-dir", tmp_path / "state")
    assert counted(tmp_path / "state") == 5


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    "changed", [lines("ann", "cy", "dan", "eve"), lines("ann", "bob", "cy", "Dan", "eve"), lines("ann", "bob")]
)
def test_a_past_that_has_changed_is_an_error_that_says_where(tmp_path: Path, ending: str, changed: str) -> None:
    """A line taken out of the middle would shift all others: one skipped, or one counted twice."""
    path = write(tmp_path / f"orders{ending}", lines("ann", "bob", "cy", "dan"))
    output_of("replay", path, "--state-dir", tmp_path / "state", "--commit-lines", "1")

    write(path, changed)
    message = refused("replay", path, "--state-dir", tmp_path / "state")

    if changed == lines("ann", "bob"):
        assert "has 2 rows; 4 of it are counted: it has become shorter" in message
    else:
        row = 3 if "Dan" in changed else 1
        row += {".csv": 2, ".gz": 2, ".jsonl": 1, ".parquet": 0}[path.suffix]
        word = "row" if ending == ".parquet" else "line"
        assert f"has changed since it was counted, between {word} {row} and {word} {row}:" in message
    assert counted(tmp_path / "state") == 4
    assert called("replay", path, "--state-dir", tmp_path / "state", "--another-log").exit_code == 0
    assert counted(tmp_path / "state") == 4 + changed.count("\n")


def test_columns_that_are_not_read_may_change(tmp_path: Path) -> None:
    """A title corrected in a re-export changes no count."""
    path = tmp_path / "orders.csv"
    path.write_text("customer_id,item_id,timestamp,title\nann,tea,2024-01-01,Te\nbob,tea,2024-01-02,Te\n")
    output_of("replay", path, "--state-dir", tmp_path / "state")

    path.write_text("customer_id,item_id,timestamp,title\nann,tea,2024-01-01,Tea\nbob,tea,2024-01-02,Tea\n")

    assert "nothing new" in output_of("replay", path, "--state-dir", tmp_path / "state")


def test_the_same_files_twice_in_one_call_count_once(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", lines("ann", "bob"))
    copy = write(tmp_path / "b.csv", lines("ann", "bob"))

    output_of("replay", first, copy, first, "--state-dir", tmp_path / "state")

    assert counted(tmp_path / "state") == 2


def test_a_log_counted_with_other_columns_is_not_counted_on(tmp_path: Path) -> None:
    """Half of its orders would have ids and half not."""
    path = tmp_path / "orders.csv"
    path.write_text("customer_id,item_id,timestamp,basket\nann,tea,2024-01-01,1\n")
    output_of("replay", path, "--state-dir", tmp_path / "state")

    message = refused("replay", path, "--state-dir", tmp_path / "state", "--columns", "order_id=basket")

    assert "with another format than is asked for now" in message


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_disorder_is_noticed_before_anything_is_counted(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"orders{ending}", lines("ann", day=9) + lines("bob", day=3) + lines("cy", day=5))
    state = tmp_path / "state"

    message = refused("replay", path, "--state-dir", state)

    assert "is not in order of time" in message
    assert "6 days older than a line before it" in message
    assert "Add --sort to count it in order, or --as-it-stands" in message
    assert "3 lines read" in output_of("replay", path, "--state-dir", state, "--sort")
    assert "3 lines read" in output_of("replay", path, "--state-dir", tmp_path / "other", "--as-it-stands")
    assert "nothing new" in output_of("replay", path, "--state-dir", state, "--sort")


def test_sorted_every_order_of_a_log_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [f"c{number % 7},i{number % 5},2024-01-{1 + number * 5 % 28:02},{number % 3}" for number in range(80)]
    exports = set()
    for number, order in enumerate((rows, rows[::-1], sorted(rows), rows[40:] + rows[:40])):
        path = tmp_path / f"{number}.csv"
        path.write_text("customer_id,item_id,timestamp,order_id\n" + "".join(f"{row}\n" for row in order))
        output_of("replay", path, "--state-dir", tmp_path / str(number), "--sort")
        out = tmp_path / f"{number}.jsonl"
        output_of("export", "--state-dir", tmp_path / str(number), "--out", out)
        exports.add(out.read_bytes())

    assert len(exports) == 1


def test_an_encoding_is_found_for_the_whole_file(tmp_path: Path) -> None:
    """Lines with umlauts were rejected and the others counted: a biased half."""
    path = tmp_path / "orders.csv"
    names = "".join(f"c{number},tee,2024-01-02\n" for number in range(2000))
    path.write_bytes((HEAD + names + "jürgen,tee,2024-01-02\njürgen,müsli,2024-01-02\n").encode("latin-1"))

    output_of("replay", path, "--state-dir", tmp_path / "state")

    assert json.loads(output_of("customer", "jürgen", "--state-dir", tmp_path / "state", "--json"))["items_held"] == 2


def test_a_customer_with_many_of_the_lines_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{0 if number % 3 else number},i{number % 50},2024-01-02\n" for number in range(1, 2000))
    path = write(tmp_path / "orders.csv", rows)

    result = called("replay", path, "--state-dir", tmp_path / "state")
    assert "customer '0' has 67% of the lines" in result.stderr
    assert "--missing 0" in result.stderr

    output_of("replay", path, "--state-dir", tmp_path / "other", "--missing", "0,-1")
    assert called("customer", "0", "--state-dir", tmp_path / "other").exit_code == 1


def test_a_customer_with_many_of_the_lines_now_and_then_is_named(tmp_path: Path) -> None:
    """More than a twentieth of all lines, but hardly any of some batches, so that it was once not noticed."""
    rows = "".join(
        f"{'guest' if number % 100 < (14 if number // 65_536 % 3 == 0 else 2) else number},i{number % 50},2024-01-02\n"
        for number in range(200_000)
    )
    path = write(tmp_path / "orders.csv", rows)

    result = called("replay", path, "--state-dir", tmp_path / "state", "--commit-lines", "200000")

    assert "customer 'guest' has 6% of the lines" in result.stderr


def test_items_with_long_names_nearly_all_different_are_warned_of(tmp_path: Path) -> None:
    rows = "".join(
        f"c{number},A very long title of the edition number {number} of a book,2024-01-02\n" for number in range(200)
    )
    path = write(tmp_path / "orders.csv", rows)

    result = called("replay", path, "--state-dir", tmp_path / "state")

    assert "200 lines read, 200 counted" in result.stdout
    assert "item_id holds long texts, nearly all different: are they ids of items?" in result.stderr


def test_of_a_record_with_several_returns_the_one_not_held_is_kept(tmp_path: Path) -> None:
    """All lines of a record share its position; the first of them was once kept in place of the refused one."""
    log, state = tmp_path / "orders.jsonl", tmp_path / "state"
    log.write_text(
        '{"customer_id":"ann","timestamp":1700000000,"lines":[{"item_id":"tea"}]}\n'
        '{"customer_id":"ann","timestamp":1700000100,"type":"return","lines":[{"item_id":"tea"},{"item_id":"rye"}]}\n'
    )

    output_of("replay", log, "--state-dir", state)

    (rejected,) = map(json.loads, (state / "rejected.jsonl").read_text().splitlines())
    assert json.loads(rejected["record"])["item_id"] == "rye"


def exported(path: Path, first: int, last: int, orders: bool) -> Path:
    """An export of the days from the first to the last: a line of another customer each day."""
    rows = [f"c{day},tea,2024-03-{day:02}" + (f",{day}" if orders else "") for day in range(first, last + 1)]
    path.write_text(HEAD.strip() + (",order_id" if orders else "") + "\n" + "".join(f"{row}\n" for row in rows))
    return path


def test_an_export_of_the_last_days_made_again_is_not_counted_as_another_log(tmp_path: Path) -> None:
    """Its first line is gone each night; all others were counted twice, with a note at most."""
    path = exported(tmp_path / "last_nine_days.csv", 1, 9, orders=False)
    output_of("replay", path, "--state-dir", tmp_path / "state")

    exported(path, 2, 10, orders=False)
    message = refused("replay", path, "--state-dir", tmp_path / "state")

    assert (
        "begins with another line than what was counted of it, and has times from 2024-03-02 to 2024-03-09" in message
    )
    assert "add --another-log" in message
    assert counted(tmp_path / "state") == 9
    exported(path, 10, 10, orders=False)
    assert "1 lines read" in output_of("replay", path, "--state-dir", tmp_path / "state"), "only what is new"


def test_a_file_that_is_written_anew_each_day_is_another_log_each_day(tmp_path: Path) -> None:
    path = exported(tmp_path / "today.csv", 1, 1, orders=False)
    for day in range(1, 4):
        exported(path, day, day, orders=False)
        assert called("replay", path, "--state-dir", tmp_path / "state").stderr.count("note:") == 0

    assert counted(tmp_path / "state") == 3


@pytest.mark.parametrize("at_once", [False, True])
def test_exports_that_overlap_are_warned_of_by_what_becomes_of_their_lines(tmp_path: Path, at_once: bool) -> None:
    """With order ids most repetitions are noticed, without them none."""
    for orders, what in (
        (True, "is recognised by its order id while it is among the last 64"),
        (False, "counted twice"),
    ):
        nights = [exported(tmp_path / f"{orders}{first}.csv", first, first + 8, orders) for first in (1, 3)]
        state = tmp_path / f"state{orders}"
        if at_once:
            result = called("replay", *nights, "--state-dir", state, "--as-it-stands")
        else:
            assert "note:" not in called("replay", nights[0], "--state-dir", state).stderr
            result = called("replay", nights[1], "--state-dir", state)

        notes = [line for line in result.stderr.splitlines() if line.startswith("note:")]
        assert len(notes) == 1
        assert "has times from 2024-03-03 to 2024-03-09 in common with what is counted" in notes[0]
        assert what in notes[0]
        document = json.loads(output_of("related", "tea", "--state-dir", state, "--json"))
        assert document["as_of"]["lines"] == 18
        history = json.loads(output_of("customer", "c4", "--state-dir", state, "--json"))["history"]
        assert history[0]["purchases"] == (1 if orders else 2)


def test_a_log_that_is_older_than_what_is_counted_is_told(tmp_path: Path) -> None:
    newer, older = exported(tmp_path / "b.csv", 5, 9, orders=False), exported(tmp_path / "a.csv", 1, 3, orders=False)
    output_of("replay", newer, "--state-dir", tmp_path / "state")

    note = called("replay", older, "--state-dir", tmp_path / "state").stderr

    assert "ends at 2024-03-03, before the end of what is counted (2024-03-09)" in note
