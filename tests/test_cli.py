"""The command line: output and exit codes of commands, and messages about mistakes."""

from __future__ import annotations

import gzip
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from streams.cli import main
from tests.commands import COMMAND, called, output_of, ran, refused

if TYPE_CHECKING:
    from pathlib import Path

CSV = """customer_id,item_id,timestamp,quantity,order_id,type
ann,tea,2024-03-01T10:00:00Z,1,1,
ann,milk,2024-03-01T10:00:00Z,2,1,
bob,tea,2024-03-02T10:00:00Z,1,2,
bob,milk,2024-03-02T10:00:00Z,1,2,
cat,soap,2024-03-03T10:00:00Z,1,4,
dan,soap,2024-03-04T10:00:00Z,1,5,
bob,tea,2024-03-05T10:00:00Z,1,3,
dan,soap,2024-03-06T10:00:00Z,1,6,return
"""
COMMANDS = sorted(main.list_commands(main.make_context("alsobought", [], resilient_parsing=True)))


@pytest.fixture(name="log")
def _log(tmp_path: Path) -> Path:
    log = tmp_path / "orders.csv"
    log.write_text(CSV)
    return log


@pytest.fixture(name="state_dir")
def _state_dir(log: Path) -> Path:
    output_of("replay", log, "--state-dir", log.parent / "state")
    return log.parent / "state"


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=lambda names: " ".join(names) or "none")
def test_every_command_teaches_itself(command: list[str]) -> None:
    text = output_of(*command, "--help")

    assert text.startswith("Usage: ")
    assert len(text.splitlines()) > 5
    assert output_of(*command, "-h") == text


def test_the_commands_of_the_engine_are_there() -> None:
    assert {"replay", "related", "customer", "erase", "export", "audit", "demo"} <= set(COMMANDS)


def test_related_as_json_has_the_shape_that_scripts_rely_on(state_dir: Path) -> None:
    document = json.loads(
        output_of("related", "tea", "--state-dir", state_dir, "--score", "raw", "--no-trend", "--json")
    )

    assert document == {
        "item_id": "tea",
        "buyers": 2,
        "purchases": 3,
        "pairs": "customer",
        "as_of": {"timestamp": "2024-03-05T10:00:00Z", "lines": 8},
        "score": "raw",
        "exact": True,
        "related": [
            {"item_id": "milk", "score": 2.0, "bought_together": 2, "expected": pytest.approx(0.8), "trend": 1.0}
        ],
        "worker": str(state_dir),
    }
    names = ["item_id", "buyers", "purchases", "pairs", "score", "exact", "related", "as_of", "worker"]
    assert list(document) == names


def test_numbers_in_json_are_not_rounded(state_dir: Path) -> None:
    """So that a score can be checked by hand."""
    options = ("--state-dir", state_dir, "--score", "difference", "--json")

    (entry,) = json.loads(output_of("related", "tea", *options))["related"]

    assert entry["score"] == (entry["bought_together"] - entry["expected"]) * entry["trend"]


def test_related_as_a_table_names_what_it_lists(state_dir: Path) -> None:
    lines = output_of("related", "tea", "--state-dir", state_dir).splitlines()

    assert lines[0] == "tea: 2 customers; as of 2024-03-05T10:00:00Z, 8 lines"
    assert lines[1].split() == ["also", "bought", "together", "expected", "trend", "blend"]
    assert lines[2].split()[:3] == ["milk", "2", "0.8"]


def test_an_item_bought_alone_has_no_list(state_dir: Path) -> None:
    assert json.loads(output_of("related", "soap", "--state-dir", state_dir, "--json"))["related"] == []
    assert "no item is bought with it more often" in output_of("related", "soap", "--state-dir", state_dir)


def test_limit_shortens_the_list(grocery_state: Path) -> None:
    lengths = [
        len(json.loads(output_of("related", "1082185", "--state-dir", grocery_state, *limit, "--json"))["related"])
        for limit in ([], ["--limit", "3"], ["--limit", "50"])
    ]

    assert lengths == [10, 3, 50]


def test_customer_as_json_has_the_shape_that_scripts_rely_on(state_dir: Path) -> None:
    document = json.loads(output_of("customer", "bob", "--state-dir", state_dir, "--json"))

    assert document == {
        "customer_id": "bob",
        "items_held": 2,
        "purchases": 3,
        "history": [
            {"item_id": "tea", "purchases": 2, "first": "2024-03-02T10:00:00Z", "last": "2024-03-05T10:00:00Z"},
            {"item_id": "milk", "purchases": 1, "first": "2024-03-02T10:00:00Z", "last": "2024-03-02T10:00:00Z"},
        ],
        "as_of": {"timestamp": "2024-03-05T10:00:00Z", "lines": 8},
        "worker": str(state_dir),
    }
    assert list(document) == ["customer_id", "items_held", "purchases", "history", "as_of", "worker"]
    assert "bob: 2 items held, 3 purchases" in output_of("customer", "bob", "--state-dir", state_dir)


def test_audit_tells_what_it_compared(state_dir: Path) -> None:
    document = json.loads(output_of("audit", "--state-dir", state_dir, "--json"))

    assert document == {
        "compared": {"pair counts": 2, "histogram buckets": 3, "holder counts": 3, "related lists": 3},
        "differences": 0,
        "first": [],
    }
    assert output_of("audit", "--state-dir", state_dir).endswith("no difference\n")


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["related", "coffee"], "item 'coffee' was never bought in "),
        (["related", "x" * 512], "was never bought in "),
        (["customer", "eve"], "customer 'eve' is not known in "),
        (["erase", "eve"], "customer 'eve' is not known in "),
    ],
)
def test_an_answer_of_no_is_exit_code_1(state_dir: Path, command: list[str], why: str) -> None:
    result = called(*command, "--state-dir", state_dir)

    assert result.exit_code == 1
    assert why in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["related", "tea", "--half-life", "0"], "'0' is neither a number of days above 0 nor 'none'"),
        (["related", "tea", "--half-life", "nan"], "'nan' is neither a number of days above 0 nor 'none'"),
        (["related", "tea", "--half-life", "inf"], "'inf' is neither a number of days above 0 nor 'none'"),
        (["related", "tea", "--half-life", "soon"], "'soon' is neither a number of days above 0 nor 'none'"),
        (["related", "tea", "--half-life", "9", "--score", "raw"], "a half-life goes with blend, difference"),
        (["related", "tea", "--score", "best"], "'best' is not one of"),
        (["related", "tea", "--limit", "51"], "51 is not in the range 1<=x<=50"),
        (["related"], "Missing argument 'ITEM'"),
        (["replay", "orders.csv", "--columns", "customer_id"], "'customer_id' is not FIELD=COLUMN"),
        (["replay", "orders.csv", "--columns", "who=user"], "'who' is no field; fields are customer_id"),
        (["replay", "orders.csv", "--pair-window", "-1"], "-1 is not in the range"),
        (["replay", "orders.csv", "--commit-lines", "0"], "0 is not in the range"),
        (["replay", "nowhere.csv"], "nowhere.csv cannot be read: No such file or directory"),
        (["export", "--out", "lists.xml"], "the name of an export ends in one of .jsonl"),
        (["forget", "ann"], "No such command 'forget'"),
    ],
)
def test_a_question_that_is_wrong_is_exit_code_2(state_dir: Path, arguments: list[str], why: str) -> None:
    options: list[str | Path] = [] if arguments[0] == "forget" else ["--state-dir", state_dir]

    assert why in refused(*arguments, *options)


def test_a_log_without_the_columns_needed_says_what_would_help(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("household,product_id,transaction_timestamp\n1,2,2024-01-01\n")

    message = refused("replay", log, "--state-dir", tmp_path / "state")

    assert f"{log}: its columns have other names. If that is right, add --columns" in message
    assert "--columns customer_id=household,item_id=product_id,timestamp=transaction_timestamp" in message


BAD_LINES = {
    ",milk,2024-01-01,1,": "customer_id is missing",
    "ann,,2024-01-01,1,": "item_id is missing",
    "ann,milk,yesterday,1,": "timestamp 'yesterday' is not a date",
    "ann,milk,2024-01-01,two,": "quantity 'two' is not a number",
    "ann,milk,2024-01-01,0,": "quantity '0' is below 1",
    "ann,milk,2024-01-01,1,a gift": "type 'a gift' is neither purchase, return, erase nor another word of a to z",
    "ann,4.00638E+12,2024-01-01,1,": "item_id '4.00638E+12' is in scientific notation: export it as text",
    f"ann,{'x' * 513},2024-01-01,1,": "item_id is longer than 512 bytes",
    "ann,soap,2024-01-01,1,return": "return of an item not held",
}


def test_bad_lines_are_written_down_with_number_and_reason_and_the_replay_goes_on(tmp_path: Path) -> None:
    log, rejects = tmp_path / "orders.csv", tmp_path / "rejects.jsonl"
    good = [f"customer {number},tea,2024-01-01,1," for number in range(20)]
    lines = [*good, *BAD_LINES]
    log.write_text("\n".join(["customer_id,item_id,timestamp,quantity,type", *lines]) + "\n")
    with log.open("ab") as file:
        file.write(b"ann,\xff\xfe,2024-01-01,1,\n")

    out = output_of("replay", log, "--state-dir", tmp_path / "state", "--rejects", rejects, "--encoding", "utf-8")

    written = [json.loads(line) for line in rejects.read_text().splitlines()]
    expected = [*BAD_LINES.values(), "item_id is not UTF-8"]
    assert f"{len(expected)} of {len(lines) + 1} lines rejected, written to {rejects}" in out
    assert [line["place"] for line in written] == [f"line {22 + number}" for number in range(len(expected))]
    for line, why in zip(written, expected, strict=True):
        assert why.split(" is ")[0] in line["reason"]
    assert json.loads(output_of("related", "tea", "--state-dir", tmp_path / "state", "--json"))["buyers"] == 20


def test_a_log_of_bad_lines_is_given_up_early(tmp_path: Path) -> None:
    """Ten million lines with the wrong column would fill the disk with rejects."""
    log = tmp_path / "orders.csv"
    log.write_text("customer_id,item_id,timestamp\n" + "ann,tea,2024-01-01\nann,tea,never\nann,,never\n" * 3000)

    message = refused("replay", log, "--state-dir", tmp_path / "state", "--timestamp-format", "iso")

    assert "of the first 1000 lines are bad" in message
    assert "nothing was counted; `alsobought inspect` shows how the file is read" in message
    assert not (tmp_path / "state" / "rejected.jsonl").exists()


def test_a_rejects_file_that_is_something_else_is_left_alone(log: Path) -> None:
    """A typo must not destroy the log."""
    message = refused("replay", log, "--state-dir", log.parent / "state", "--rejects", log)

    assert "is not a file of rejected lines: name another one, --rejects FILE" in message
    assert log.read_text() == CSV


def test_a_truncated_log_is_an_error_and_what_came_before_is_counted(grocery_log: Path, tmp_path: Path) -> None:
    log = tmp_path / "orders.csv.gz"
    log.write_bytes(gzip.compress(grocery_log.read_bytes(), 1)[:400_000])

    message = refused("replay", log, "--state-dir", tmp_path / "state")

    assert f"{log} is damaged or cut short" in message
    assert (
        json.loads(output_of("related", "1082185", "--state-dir", tmp_path / "state", "--json"))["as_of"]["lines"]
        > 10_000
    )


def test_a_finished_log_replayed_again_changes_nothing_and_says_so(state_dir: Path, log: Path) -> None:
    before = output_of("customer", "bob", "--state-dir", state_dir, "--json")

    out = output_of("replay", log, "--state-dir", state_dir)

    assert out == f"nothing new: {state_dir} already stands at the end, 8 lines\n"
    assert output_of("customer", "bob", "--state-dir", state_dir, "--json") == before


def test_a_log_that_has_grown_is_taken_up_where_it_ended(state_dir: Path, log: Path) -> None:
    with log.open("a") as file:
        file.write("eve,tea,2024-03-07,1,9,\neve,milk,2024-03-07,1,9,\n")

    out = output_of("replay", log, "--state-dir", state_dir)

    assert "2 lines read, 2 counted or duplicate" in out
    assert json.loads(output_of("related", "tea", "--state-dir", state_dir, "--json"))["buyers"] == 3


def test_a_reader_that_has_seen_enough_is_no_error(grocery_state: Path) -> None:
    """`| head -1` is a common way to look at long output."""
    customer = json.loads((grocery_state / "rejected.jsonl").read_text().splitlines()[0])["record"]
    name = json.loads(customer)["customer_id"]

    result = subprocess.run(
        ["sh", "-c", f"{COMMAND} customer {name} --state-dir {grocery_state} | head -1"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "items held" in result.stdout
    assert result.stderr == ""


UNUSUAL = [
    '"quoted"',
    "it's",
    "two  spaces",
    "[bold]x[/]",
    "[/nothing]",
    ":apple:",
    "🍎🍏",
    "é" * 256,
    "-dash",
    "a=b,c",
]


def test_unusual_ids_come_out_as_they_went_in(tmp_path: Path) -> None:
    """Markup, emoji codes and quotes have a meaning in the libraries used."""
    log = tmp_path / "orders.jsonl"
    lines = [
        {"customer_id": f"customer {item[:100]} {number}", "item_id": bought, "timestamp": "2024-03-01"}
        for number in range(3)
        for item in UNUSUAL
        for bought in (item, f"{item[:100]} too")
    ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    output_of("replay", log, "--state-dir", tmp_path / "state")

    for item in UNUSUAL:
        document = json.loads(output_of("related", "--state-dir", tmp_path / "state", "--json", "--", item))
        table = output_of("related", "--state-dir", tmp_path / "state", "--", item)
        customer = json.loads(
            output_of("customer", f"customer {item[:100]} 0", "--state-dir", tmp_path / "state", "--json")
        )

        assert document["item_id"] == item
        assert document["related"][0]["item_id"] == f"{item[:100]} too"
        assert "".join(item.split()) in "".join(table.split())
        assert {entry["item_id"] for entry in customer["history"]} == {item, f"{item[:100]} too"}


def test_an_id_that_is_not_utf8_was_never_bought(state_dir: Path) -> None:
    """The shell passes on any bytes."""
    for command in ("related", "customer"):
        result = subprocess.run(
            [COMMAND.encode(), command.encode(), b"t\xff", b"--state-dir", str(state_dir).encode()],
            capture_output=True,
            check=False,
        )

        assert result.returncode in {1, 2}
        assert b"Traceback" not in result.stderr


def test_erase_leaves_nothing_of_the_customer(tmp_path: Path) -> None:
    """Neither in answers nor in counts nor in files."""
    log = tmp_path / "orders.csv"
    zuleika = "customer-called-Zuleika-Dobson"
    log.write_text(
        CSV + f"{zuleika},tea,2024-03-07,1,9,\n{zuleika},soap,2024-03-07,1,9,\n{zuleika},gin,2024-03-07,1,9,return\n"
    )
    state_dir = tmp_path / "state"
    output_of("replay", log, "--state-dir", state_dir, "--commit-lines", "2")
    assert json.loads(output_of("related", "tea", "--state-dir", state_dir, "--json"))["buyers"] == 3

    out = output_of("erase", zuleika, "--state-dir", state_dir)

    assert out == f"erased customer '{zuleika}'\n"
    assert called("customer", zuleika, "--state-dir", state_dir).exit_code == 1
    document = json.loads(output_of("related", "tea", "--state-dir", state_dir, "--json"))
    assert document["buyers"] == 2
    assert [entry["item_id"] for entry in document["related"]] == ["milk"]
    assert json.loads(output_of("audit", "--state-dir", state_dir, "--json"))["differences"] == 0
    output_of("export", "--state-dir", state_dir, "--out", tmp_path / "lists.jsonl")
    lists = [json.loads(line) for line in (tmp_path / "lists.jsonl").read_text().splitlines()]
    assert {line["item_id"]: [entry["item_id"] for entry in line["related"]] for line in lists}["soap"] == []
    holding = [path for path in state_dir.rglob("*") if path.is_file() and zuleika.encode() in path.read_bytes()]
    assert holding == []
    assert "nothing new" in output_of("replay", log, "--state-dir", state_dir)


def test_help_and_errors_of_the_real_command(tmp_path: Path) -> None:
    """The entry point behaves differently from the runner of the other tests."""
    version = ran("--version")
    failed = ran("related", "tea", "--state-dir", tmp_path / "nothing")

    assert version.stdout.startswith("alsobought, version ")
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert " ".join(failed.stderr.split()).startswith("Error: ")
