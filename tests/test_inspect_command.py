"""The command that `inspect` prints reads the file, and `replay` goes on by itself where nothing is open."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import called, output_of, refused
from tests.log_kinds import LINES, kinds, text
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


def test_a_written_profile_reads_files_that_are_alike(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text(text(";", header=["user", "sku", "bought_at", "qty", "order"]))
    profile = tmp_path / "orders.toml"

    assert f"profile written to {profile}" in output_of("inspect", log, "--write", profile)

    assert held_after(["replay", str(log), "--profile", str(profile)], tmp_path / "state") == expected(LINES)


def test_columns_that_are_given_beside_a_profile_are_part_of_the_command(tmp_path: Path) -> None:
    """Without them the command would read another column, and count other items."""
    log = tmp_path / EXPORTS["shopify"].name
    log.write_text(EXPORTS["shopify"].content)

    command = inspected(log, "--profile", "shopify", "--columns", "item_id=Lineitem name")["command"]

    assert command == ["replay", str(log), "--profile", "shopify", "--columns", "item_id=Lineitem name"]
