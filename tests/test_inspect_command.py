"""The command that `inspect` prints reads the file, and `replay` goes on by itself where nothing is open."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import called, output_of, refused
from tests.log_kinds import LINES, ROWS, kinds, text
from tests.test_profiles import EXPORTS

if TYPE_CHECKING:
    from pathlib import Path

KINDS = kinds()


def inspected(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(called("inspect", *arguments, "--json").stdout)
    return found


def held(state: Path, customers: list[str]) -> dict[str, dict[str, str]]:
    """Items held and when each was bought first, to the second, of each customer that is known."""
    histories = {}
    for customer in customers:
        result = called("customer", customer, "--state-dir", state, "--json")
        if result.exit_code == 0:
            history = json.loads(result.stdout)["history"]
            histories[customer] = {item["item_id"]: item["first"][:19] for item in history}
    return histories


def expected(lines: list[tuple[str, str, str, int, str]]) -> dict[str, dict[str, str]]:
    """The same of lines in order of time."""
    quantities: Counter[tuple[str, str]] = Counter()
    histories: dict[str, dict[str, str]] = {}
    for customer, item, time, quantity, kind in sorted(lines, key=lambda line: line[2]):
        quantities[customer, item] += quantity if kind == "purchase" else -quantity
        histories.setdefault(customer, {}).setdefault(item, time[:19])
        if quantities[customer, item] <= 0:
            del histories[customer][item]
    return histories


@pytest.mark.parametrize("name", KINDS)
def test_replay_reads_every_kind_of_file_by_itself(name: str, tmp_path: Path) -> None:
    log = tmp_path / name
    log.write_bytes(KINDS[name])

    command = inspected(log)["command"]

    assert held_after(command, tmp_path / "printed") == expected(LINES)
    assert held_after(["replay", str(log)], tmp_path / "alone") == expected(LINES)


def held_after(command: list[str], state: Path) -> dict[str, dict[str, str]]:
    result = called(*command, "--state-dir", state)
    assert result.exit_code == 0, result.output
    return held(state, ["ann", "bob", "cem"])


@pytest.mark.parametrize("name", [name for name, export in EXPORTS.items() if export.known])
def test_an_export_is_counted_by_the_command_printed_and_not_before(name: str, tmp_path: Path) -> None:
    export = EXPORTS[name]
    log = tmp_path / export.name
    log.write_text(export.content)

    command = inspected(log)["command"]
    message = refused("replay", log, "--state-dir", tmp_path / "unasked")
    result = called(*command, "--state-dir", tmp_path / "state")

    assert f"--profile {name}" in message
    assert result.exit_code == 0, result.output
    customers = list(dict.fromkeys(line[0] for line in export.lines))
    assert held(tmp_path / "state", customers) == expected(export.lines)


@pytest.mark.parametrize(
    ("content", "option"),
    [
        (text(header=["user", "sku", "bought_at", "qty", "order"]), "--columns"),
        (text(rows=ROWS[::-1]), "--sort"),
        (text(rows=[[*row[:3], f"{row[3]} pcs", row[4]] for row in ROWS]), "--quantity-units"),
        (
            text(header=["customer_id", "item_id", "timestamp", "event"], rows=[[*row[:3], "purchase"] for row in ROWS])
            + "ann,jam,2023-02-14 10:00:00,view\n",
            "--purchases",
        ),
    ],
)
def test_what_must_be_confirmed_stops_replay_with_the_option(content: str, option: str, tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text(content)

    command = inspected(log)["command"]
    message = refused("replay", log, "--state-dir", tmp_path / "unasked")

    assert option in command
    assert option in message
    assert not inspected(*command[1:])["question"]
    assert called(*command, "--state-dir", tmp_path / "state").exit_code == 0


@pytest.mark.parametrize(
    ("rows", "option", "reason"),
    [
        ([*ROWS, ["ann", "tea", "2023-02-14 10:00:00", "-1", "C4"]], "--negative-is-return", "quantity is below 0"),
        (
            [row if n in (0, 2, 4) else ["", row[1], "", *row[3:]] for n, row in enumerate(ROWS)],
            "--fill-down",
            "customer_id is missing",
        ),
    ],
)
def test_lines_that_an_option_would_take_are_rejected_with_its_name(
    rows: list[list[str]], option: str, reason: str, tmp_path: Path
) -> None:
    log = tmp_path / "orders.csv"
    log.write_text(text(rows=rows))

    alone = called("replay", log, "--state-dir", tmp_path / "alone").output
    command = inspected(log)["command"]

    assert reason in alone
    assert option in alone
    assert option in command
    assert "rejected" not in called(*command, "--state-dir", tmp_path / "state").output


def test_an_open_question_has_no_command_and_exit_code_1(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("customer_id,item_id,timestamp\nann,tea,3/4/2023\n")

    result = called("inspect", log, "--json")

    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["command"] is None
    assert "--timestamp-format day-first" in found["question"]
    assert "--timestamp-format month-first" in refused("replay", log, "--state-dir", tmp_path / "state")
    assert "--timestamp-format" in inspected(log, "--timestamp-format", "day-first")["command"]


def test_a_written_profile_reads_files_that_are_alike(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text(text(";", header=["user", "sku", "bought_at", "qty", "order"]))
    profile = tmp_path / "orders.toml"

    assert f"profile written to {profile}" in output_of("inspect", log, "--write", profile)

    assert held_after(["replay", str(log), "--profile", str(profile)], tmp_path / "state") == expected(LINES)
