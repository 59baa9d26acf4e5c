"""Rejected lines: kept with what it takes to repair them, counted after a repair, each once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from producers.log_format import LogFormat
from producers.orders import Rejection
from streams.offline.reject_reasons import advice_of, kind_of_reason, reasons_text
from streams.offline.rejects import RejectsFile, rejects_of
from tests.commands import called, output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "customer_id,item_id,timestamp,quantity,order_id,type\n"
GOOD = "ann,tea,2024-01-01,1,1,\nbob,tea,2024-01-02,1,2,\nann,rye,2024-01-03,1,3,\n"


def rejects_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def repair(path: Path, row: int, **fields: object) -> None:
    """Edit the record of a rejected line, as a person would."""
    edited = []
    for reject in rejects_in(path):
        if reject["row"] == row:
            record = reject["record"]
            reject["record"] = (json.loads(record) if isinstance(record, str) else record) | fields
        edited.append(json.dumps(reject))
    path.write_text("".join(f"{line}\n" for line in edited))


def held(state: Path, customer: str) -> dict[str, int]:
    """What a customer holds, with the purchases of each item."""
    result = called("customer", customer, "--state-dir", state, "--json")
    return (
        {} if result.exit_code else {one["item_id"]: one["purchases"] for one in json.loads(result.stdout)["history"]}
    )


def exported(state: Path) -> bytes:
    output_of("export", "--state-dir", state, "--out", state.parent / "lists.jsonl")
    return (state.parent / "lists.jsonl").read_bytes()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    log = tmp_path / "orders.csv"
    log.write_text(HEAD + GOOD + "cy,tea,2024-13-03,1,4,\n,tea,2024-01-04,1,5,\nann,oat,2024-01-05,0,6,\n")
    output_of("replay", log, "--state-dir", tmp_path / "state")
    return tmp_path / "state"


def test_a_rejects_file_appears_with_the_first_rejection(tmp_path: Path) -> None:
    """An empty one in the current directory would look as if something had gone wrong."""
    path = tmp_path / "rejected.jsonl"
    RejectsFile(path).append(rejects_of("orders.csv", "log", LogFormat(), []))
    assert not path.exists()

    RejectsFile(path).append(rejects_of("orders.csv", "log", LogFormat(), [("line 9", Rejection(7, "no item", "{}"))]))
    [reject] = rejects_in(path)
    assert (reject["file"], reject["place"], reject["row"], reject["record"]) == ("orders.csv", "line 9", 7, "{}")


def test_repaired_lines_count_once_and_the_others_are_kept_with_the_reason(state: Path) -> None:
    rejects, left = state / "rejected.jsonl", state / "rejected.left.jsonl"
    repair(rejects, 3, timestamp="2024-03-13")
    repair(rejects, 4, customer_id="dan", quantity=-1)

    result = called("replay", "--retry-rejects", rejects, "--state-dir", state)

    assert "1 repaired lines counted or duplicate, 0 skipped" in result.stdout
    assert f"2 are still wrong, written to {left} with the reason" in result.stdout
    assert held(state, "cy") == {"tea": 1}
    assert held(state, "dan") == {}
    assert [(one["row"], one["reason"]) for one in rejects_in(left)] == [
        (4, "quantity '-1' is below 1"),
        (5, "quantity '0' is below 1"),
    ]
    output_of("audit", "--state-dir", state)


def test_a_line_retried_twice_is_counted_once_however_it_was_edited_since(state: Path) -> None:
    """Without an order id nothing else would notice."""
    rejects = state / "rejected.jsonl"
    repair(rejects, 3, timestamp="2024-03-13", order_id="")
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    before = exported(state)

    repair_again = rejects.read_text().replace("2024-03-13", "2024-03-14")
    rejects.write_text(repair_again + repair_again.splitlines(keepends=True)[0])
    result = called("replay", "--retry-rejects", rejects, "--state-dir", state)

    assert f"{rejects} line 1: was counted before: skipped" in result.stderr
    assert f"{rejects} line 4: stands in the file twice: skipped" in result.stderr
    assert held(state, "cy") == {"tea": 1}
    assert exported(state) == before


def test_what_was_left_is_repaired_in_its_own_file(state: Path) -> None:
    rejects, left = state / "rejected.jsonl", state / "rejected.left.jsonl"
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    assert [one["row"] for one in rejects_in(left)] == [3, 4, 5], "each once"

    repair(left, 5, quantity=2)
    output_of("replay", "--retry-rejects", left, "--state-dir", state)

    assert held(state, "ann") == {"tea": 1, "rye": 1, "oat": 1}
    assert "name another one, --rejects FILE" in refused(
        "replay", "--retry-rejects", left, "--state-dir", state, "--rejects", left
    )


def test_lines_of_an_order_that_were_repaired_are_one_order(tmp_path: Path) -> None:
    """As they would have been in the log: an item twice is one purchase, not a duplicate of the first."""
    log, state = tmp_path / "orders.csv", tmp_path / "state"
    log.write_text(HEAD + GOOD + "cy,tea,2024-01-05,0,7,\ncy,tea,2024-01-05,0,7,\ncy,rye,2024-01-05,0,7,\n")
    output_of("replay", log, "--state-dir", state)
    for row, quantity in ((3, 2), (4, 3), (5, 1)):
        repair(state / "rejected.jsonl", row, quantity=quantity)

    output_of("replay", "--retry-rejects", state / "rejected.jsonl", "--state-dir", state)

    assert held(state, "cy") == {"tea": 1, "rye": 1}
    returned = tmp_path / "returns.csv"
    returned.write_text(HEAD + "cy,tea,2024-01-06,4,8,return\n")
    output_of("replay", returned, "--state-dir", state)
    assert held(state, "cy") == {"tea": 1, "rye": 1}, "five pieces, four of them returned"


def test_a_line_is_read_as_its_log_is(tmp_path: Path) -> None:
    """Columns, dates, numbers: a repaired line means what it would mean in its place."""
    log, state = tmp_path / "orders.jsonl", tmp_path / "state"
    rows = [
        {"who": number, "sku": f"i{number}", "day": f"{13 + number % 9}.01.2024", "n": "1,0 pcs"} for number in range(9)
    ]
    rows += [
        {"who": "7.0", "sku": "tea", "day": "32.01.2024", "n": "2 pcs"},
        {"who": 7, "sku": "", "day": "30.01.2024"},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--columns", "customer_id=who,item_id=sku,timestamp=day,quantity=n", "--quantity-units", "pcs"]
    output_of("replay", log, "--state-dir", state, "--timestamp-format", "%d.%m.%Y", *options)
    rejects = state / "rejected.jsonl"

    repair(rejects, 9, day="31.01.2024")
    repair(rejects, 10, sku="rye")
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)

    assert held(state, "7") == {"i7": 1, "tea": 1, "rye": 1}


def test_a_return_is_retried_after_its_purchase(tmp_path: Path) -> None:
    log, state = tmp_path / "orders.csv", tmp_path / "state"
    log.write_text(HEAD + GOOD + "cy,tea,2024-01-05,x,7,\ncy,tea,2024-01-06,1,8,return\n")
    output_of("replay", log, "--state-dir", state, "--timestamp-format", "%Y-%m-%d")
    repair(state / "rejected.jsonl", 3, quantity=1)

    out = output_of("replay", "--retry-rejects", state / "rejected.jsonl", "--state-dir", state)

    assert "2 repaired lines counted or duplicate, 0 skipped" in out
    assert held(state, "cy") == {}
    assert not (state / "rejected.left.jsonl").exists()


def test_of_a_record_only_what_is_still_wrong_is_left(tmp_path: Path) -> None:
    log, state = tmp_path / "orders.jsonl", tmp_path / "state"
    log.write_text(
        3
        * '{"customer_id":"ann","timestamp":1700000000,"lines":[{"item_id":"tea"}]}\n'
        + '{"customer_id":"","timestamp":1700000100,"lines":[{"item_id":"tea"},{"item_id":""},{"item_id":""}]}\n'
        '{"customer_id":"bob","timestamp":1700000200,"lines":[{"item_id":"tea"},{"item_id":""}]}\n'
    )
    output_of("replay", log, "--state-dir", state)
    rejects, left = state / "rejected.jsonl", state / "rejected.left.jsonl"
    assert len(rejects_in(rejects)) == 2
    repair(rejects, 3, customer_id="cy")

    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)

    assert held(state, "cy") == {"tea": 1}
    assert [one["row"] for one in rejects_in(left)] == [3, 3, 4]
    for number in range(2):
        reject = rejects_in(left)[number]
        text = left.read_text().splitlines(keepends=True)
        reject["record"] = reject["record"].replace('"item_id":""', f'"item_id":"rye{number}"')
        text[number] = json.dumps(reject) + "\n"
        left.write_text("".join(text))
    output_of("replay", "--retry-rejects", left, "--state-dir", state)
    assert held(state, "cy") == {"tea": 1, "rye0": 1, "rye1": 1}


def test_options_take_lines_as_they_are(state: Path) -> None:
    """The option that the summary names, for these lines alone."""
    out = output_of("replay", "--retry-rejects", state / "rejected.jsonl", "--state-dir", state, "--guest", "order")

    assert "1 repaired lines" in out
    assert held(state, "guest:5") == {"tea": 1}
    message = refused(
        "replay", "--retry-rejects", state / "rejected.jsonl", "--state-dir", state, "--encoding", "latin1"
    )
    assert "not read from their file again, so that encoding cannot be chosen" in message


def test_bytes_that_are_not_utf8_are_not_counted_as_they_are_shown(tmp_path: Path) -> None:
    """An id with the code of a byte in it is nobody's."""
    log, state = tmp_path / "orders.csv", tmp_path / "state"
    log.write_bytes((HEAD + GOOD).encode() + b"cy,caf\xe9,2024-01-05,1,7,\n")
    output_of("replay", log, "--state-dir", state, "--encoding", "utf-8")
    rejects = state / "rejected.jsonl"

    out = output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    assert "0 repaired lines counted" in out
    assert "not UTF-8, shown as" in rejects_in(state / "rejected.left.jsonl")[0]["reason"]

    repair(rejects, 3, item_id="café")
    output_of("replay", "--retry-rejects", rejects, "--state-dir", state)
    assert held(state, "cy") == {"café": 1}


def test_lines_of_another_state_and_of_rows_to_come_are_skipped(state: Path, tmp_path: Path) -> None:
    """Counted here they would be counted again with their row, or among customers of another shop."""
    repair(state / "rejected.jsonl", 3, timestamp="2024-03-13")
    other = tmp_path / "other.csv"
    other.write_text(HEAD + "eve,oat,2024-02-01,1,1,\n")
    output_of("replay", other, "--state-dir", tmp_path / "other")

    result = called("replay", "--retry-rejects", state / "rejected.jsonl", "--state-dir", tmp_path / "other")
    assert result.stderr.count("which this state has not counted: skipped") == 3
    later = rejects_in(state / "rejected.jsonl")
    later[0]["row"] = 99
    (tmp_path / "later.jsonl").write_text(json.dumps(later[0]) + "\n{}\n")
    result = called("replay", "--retry-rejects", tmp_path / "later.jsonl", "--state-dir", state)
    assert "line 1: is of a row of" in result.stderr
    assert "line 2: is not a rejected line" in result.stderr
    (tmp_path / "none.jsonl").write_text("{}\n")
    assert "is not a rejected line" in refused(
        "replay", "--retry-rejects", tmp_path / "none.jsonl", "--state-dir", state
    )
    assert called("customer", "cy", "--state-dir", tmp_path / "other").exit_code == 1


def test_logs_and_lines_to_retry_are_two_commands(state: Path) -> None:
    assert "one of the two" in refused("replay", "--state-dir", state)
    assert "one of the two" in refused("replay", "a.csv", "--retry-rejects", "b.jsonl", "--state-dir", state)


def test_erasing_a_customer_takes_the_rejected_lines_too_whatever_their_columns_are_called(tmp_path: Path) -> None:
    log, state = tmp_path / "orders.jsonl", tmp_path / "state"
    rows = [{"who": who, "sku": "tea", "timestamp": "2024-01-02"} for who in ("ann", "bob", "cy")]
    rows += [
        {"who": " ann ", "sku": "", "timestamp": "2024-01-03"},
        {"who": "bob", "sku": "", "timestamp": "2024-01-03"},
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    output_of("replay", log, "--state-dir", state, "--columns", "customer_id=who,item_id=sku")

    output_of("erase", "ann", "--state-dir", state)

    assert [json.loads(one["record"])["who"] for one in rejects_in(state / "rejected.jsonl")] == ["bob"]


REMEDIES = [
    ("ann,tea,2024-01-05,-1,,", "quantity is below 0", ["--negative-is-return"]),
    (",tea,2024-01-05,1,9,", "customer_id is missing", ["--guest", "order"]),
    (",tea,,1,3,", "customer_id is missing", ["--fill-down"]),
    ("ann,,2024-01-05,1,,", "item_id is missing", None),
    ("ann,tea,2024-01-05,2 pcs,,", "quantity is not a number", ["--quantity-units", "pcs"]),
    ("ann,tea,2024-01-05,1,,2 verkauft", "type is neither purchase", ["--purchases", "2 verkauft"]),
    ("ann,tea,2024-01-05,1,,2 for 1", "type is neither purchase", ["--columns", "type="]),
    ("ann,tea,2024-01-05,0,,", "quantity is 0", None),
]


@pytest.mark.parametrize(("line", "kind", "remedy"), REMEDIES, ids=[f"{one[1]}-{one[2]}" for one in REMEDIES])
def test_the_option_named_for_a_reason_takes_the_line(
    tmp_path: Path, line: str, kind: str, remedy: list[str] | None
) -> None:
    log = tmp_path / "orders.csv"
    log.write_text(HEAD + GOOD + line + "\n")

    out = output_of("replay", log, "--state-dir", tmp_path / "state", "--columns", "quantity=quantity")

    [told] = [text for text in out.splitlines() if text.lstrip().startswith("1  ")]
    assert told.strip().startswith(f"1  {kind}")
    assert ("(" in told) == (remedy is not None)
    if remedy is not None:
        assert remedy[0] in told
        out = output_of("replay", log, "--state-dir", tmp_path / "again", *remedy)
        assert "rejected" not in out


def test_reasons_are_counted_without_their_values_worst_first() -> None:
    reasons = [
        "timestamp 'x' is no time of the form 'day-first'",
        "item_id '4E+9' is in scientific notation: export it",
    ]
    assert [kind_of_reason(reason) for reason in reasons] == [
        "timestamp is no time of the form day-first",
        "item_id is in scientific notation: export it",
    ]
    assert advice_of(kind_of_reason(reasons[0])) == "--timestamp-format"
    told = reasons_text({f"reason {number}": number for number in range(20)})
    assert told[0].strip() == "19  reason 19"
    assert told[-1].strip() == "28  for 7 other reasons"
