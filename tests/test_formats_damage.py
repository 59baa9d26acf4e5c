"""Files cut short or odd: an error that says so, or the rows; never a traceback, and no row lost in silence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from producers.errors import LogError
from producers.log_format import LogFormat
from producers.logs.inspection.inspection import inspect
from producers.logs.reading import open_log
from tests.growing_logs import growing
from tests.log_kinds import kinds, orc
from tests.replayed import replayed
from tests.written_logs import read_log

if TYPE_CHECKING:
    from pathlib import Path

KINDS = kinds()
RECORD = '{"customer_id": "ann", "item_id": "tea", "timestamp": "2023-01-05"}'


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_file_cut_short_is_looked_at_without_a_traceback(tmp_path: Path, name: str, share: float) -> None:
    """Parquet and ORC without their ends, Avro within a record, a line `sep=;` alone."""
    path = tmp_path / name
    path.write_bytes(KINDS[name][: int(len(KINDS[name]) * share)])

    try:
        found = inspect(path)
    except LogError as error:
        assert str(path) in str(error)  # noqa: PT017 - either is right
    else:
        assert found.question or found.options is not None


@pytest.mark.parametrize("name", ["events.csv", "no header.csv"])
def test_options_for_a_file_of_which_no_line_is_whole_are_no_traceback(name: str) -> None:
    content, options = growing()[name]

    for size in (0, 10, 40, 64):
        assert replayed(name, [content[:size]], options).facts["lines"] <= 1


PRETTY = json.dumps({**json.loads(RECORD), "discount": float("nan")}, indent=1)
CUT = [PRETTY[:place] for place in range(1, len(PRETTY), 9)] + ["[", f"[{PRETTY},"]


@pytest.mark.parametrize("before", ["", f"{PRETTY}\n", f"[{PRETTY}, ", f"[{RECORD}]\n"])
@pytest.mark.parametrize("text", CUT)
def test_documents_and_arrays_without_their_end_are_cut_short(tmp_path: Path, before: str, text: str) -> None:
    """Such a file may be written to its end yet, which one that is not JSON never is."""
    path = tmp_path / "orders.json"
    path.write_text(before + text)

    with pytest.raises(LogError, match=r"orders\.json ends within a JSON document or array: it is cut short"):
        list(open_log(path, LogFormat("json")))


def test_what_stands_behind_an_array_is_read_too(tmp_path: Path) -> None:
    """It was once left out without a word."""
    path = tmp_path / "orders.json"
    path.write_text(f"[{RECORD}]\n[{RECORD}, {RECORD}]\n{RECORD}\n")

    orders, _ = read_log(open_log(path, LogFormat("json")))

    assert len(orders) == 4


def test_texts_of_sixteen_letters_are_texts_and_no_uuids(tmp_path: Path) -> None:
    """Times to the minute have as many; in Arrow and ORC they were shown as UUIDs, and no column held dates."""
    path = tmp_path / "orders.orc"
    rows = {"customer_id": ["customer-0000001"] * 2, "item_id": ["tea"] * 2}
    path.write_bytes(orc(pa.table({**rows, "timestamp": ["2023-01-15 10:11", "2023-01-16 10:11"]})))

    found = inspect(path)

    assert [column[3] for column in found.columns] == ["customer-0000001", "tea", "2023-01-15 10:11"]
    assert found.question is None


@pytest.mark.parametrize("path_of_customer", ["customer_id", "who.id"])
def test_half_a_record_at_the_end_is_left_for_the_next_time(tmp_path: Path, path_of_customer: str) -> None:
    """Whether its fields are plain or nested."""
    path = tmp_path / "orders.jsonl"
    record = {"customer_id": "ann", "who": {"id": "ann"}, "item_id": "tea", "timestamp": "2023-01-05"}
    path.write_text(json.dumps(record) + "\n" + json.dumps(record)[:-3])
    log = open_log(path, LogFormat("jsonl", columns={"customer_id": (path_of_customer,)}))

    orders, refusals = read_log(log)

    assert (len(orders), refusals, log.unfinished) == (1, [], True)
    path.write_text(json.dumps(record) + "\n" + json.dumps(record))
    assert len(read_log(log)[0]) == 2
    assert not log.unfinished


def test_nan_and_infinities_are_missing_in_json_lines(tmp_path: Path) -> None:
    """Python writes them for gaps, though JSON knows none."""
    path = tmp_path / "orders.jsonl"
    order = {"customer_id": "ann", "timestamp": 1672913472, "lines": [{"item_id": "tea", "quantity": float("nan")}]}
    spoilt = {**order, "lines": [{"item_id": "mug"}, {"item_id": float("nan")}]}
    flat = {"customer_id": float("-inf"), "item_id": "tea", "timestamp": 1672913472}
    path.write_text("".join(json.dumps(one) + "\n" for one in (order, spoilt, flat, {**flat, "customer_id": "NaN"})))

    orders, refusals = read_log(open_log(path))

    assert [order[4] for order in orders] == [[("tea", 1, 0)], [("mug", 1, 1)]]
    assert refusals == [(1, "item_id is missing"), (2, "customer_id is missing"), (3, "customer_id is missing")]


def test_a_grown_log_whose_past_would_mean_something_else_is_refused_with_the_line() -> None:
    """A comma was the decimal mark until a point came."""
    first = b"customer_id;item_id;timestamp;quantity\nann;tea;2023-01-05;3\nbob;tea;2023-01-06;1,5\n"

    found = replayed("orders.csv", [first, first + b"cem;mug;2023-01-07;2.5\n", first + b"cem;mug;2023-01-07;2,5\n"])

    assert [bool(error) for error in found.errors] == [False, True, False]
    assert "lines now by which all of it is read otherwise (decimal mark '.')" in found.errors[1]
    assert "line 3, one of the 2 that are counted, would mean something else" in found.errors[1]
    assert found.facts["lines"] == 3


def test_an_arrow_file_whose_texts_point_beyond_it_is_damaged(tmp_path: Path) -> None:
    """It has no checksums; what it gave was once taken for rows, until something stumbled over them."""
    path = tmp_path / "orders.arrow"
    data = bytearray(KINDS["table.arrow"])
    at = data.index(b"teamugteajammug") - 8  # the last of the offsets of item_id, before them padding
    data[at : at + 2] = b"\xff\x0a"
    path.write_bytes(data)

    with pytest.raises(LogError, match="is damaged or cut short at row 0"):
        list(open_log(path, LogFormat("arrow")))
