"""What `inspect` and `replay` must make of a log: one row of a table of kinds of logs, and how it is checked.

`tests/silent_rows.py` has the kinds that are easily counted wrong, `tests/odd_rows.py` and `tests/value_rows.py` those
that a person reads at a glance.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from streams.engine.embedded import Embedded
from tests.batch_definition import Line, Order, batch
from tests.commands import called, refused
from tests.streamed import facts, streamed_facts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FIVE = """
    ann 2023-01-15T10:11:12 tea*2 mug
    bob 2023-01-20T08:00:00 tea jam*3
    cem 2023-02-13T09:30:00 mug
"""
"""What `tests.log_kinds.ROWS` hold."""
FIVE_DAYS = """
    ann 2023-01-15 tea*2 mug
    bob 2023-01-20 tea jam*3
    cem 2023-02-13 mug
"""


class Row(NamedTuple):
    """Some files, and their counts."""

    files: Mapping[str, bytes | str]
    """By name, which may be a path."""
    orders: str = FIVE
    """Those counted, one a line: customer, perhaps "returns", time, each item with its quantity; or customer, "erase"
    and time."""
    rejected: tuple[str, ...] = ()
    """Of each line that is rejected: its place, and how the reason begins."""
    given: tuple[str, ...] = ()
    """Options that the user names unasked."""
    answers: tuple[str, ...] = ()
    """Options that only the user can give: `inspect` asks for the first, and prints a command with all."""
    confirmed: tuple[str, ...] = ()
    """Options that `replay` must not add by itself: without them it counts nothing, and names them."""
    log: str = ""
    """What to read, if there are several files: a directory, a pattern; "-" is standard input."""
    says: tuple[str, ...] = ()
    """Parts of what `replay` prints beside the counts."""
    asks: str = ""
    """A part of the question, if there are answers."""


def orders_of(text: str) -> list[Order]:
    """The orders that a row expects.

    >>> orders_of("ann 2023-01-15 tea*2 mug")[0].lines
    (Line(item_id='tea', quantity=2), Line(item_id='mug', quantity=1))
    """
    found = []
    for row in filter(None, map(str.strip, text.split("\n"))):
        customer, *words = row.split(" ")
        kind = "return" if words[0] == "returns" else "erase" if words[0] == "erase" else "purchase"
        time, *items = words if kind == "purchase" else words[1:]
        lines = [item.partition("*") for item in items]
        bought = tuple(Line(name.replace("~", " "), int(count or 1)) for name, _, count in lines)
        found.append(Order(customer.replace("~", " "), milliseconds(time), bought, type=kind))
    return found


def milliseconds(time: str) -> int:
    """Of a time in UTC, since 1970."""
    from datetime import UTC, datetime  # noqa: PLC0415

    moment = datetime.fromisoformat(time)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def write(directory: Path, files: Mapping[str, bytes | str]) -> None:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def check(row: Row, directory: Path) -> None:
    """Check a row: what `inspect` prints is asked or confirmed as it says, and counts what it says."""
    write(directory, row.files)
    row = row._replace(
        given=tuple(option.format(directory=directory) for option in row.given),
        answers=tuple(option.format(directory=directory) for option in row.answers),
    )
    log, piped = _log(row, directory)
    state = directory / "state"

    found = _inspected(log, piped, *row.given)
    if row.answers:
        assert found["command"] is None, found
        assert row.answers[0] in found["question"], found["question"]
        assert row.asks in found["question"], found["question"]
        assert row.answers[0] in refused("replay", log, *row.given, "--state-dir", state, stdin=piped)
        found = _inspected(log, piped, *row.given, *row.answers)
    command = found["command"]
    assert found["question"] is None, found["question"]
    assert command[:2] == ["replay", log]
    assert set(row.confirmed) <= set(command), command
    result = called(*command, "--state-dir", state, stdin=piped)

    assert result.exit_code == 0, result.output
    _compare(row, state, command)
    printed = f"{' '.join(result.stdout.split())} {' '.join(result.stderr.split())}"
    for text in row.says:
        assert text in printed, printed
    _check_alone(row, directory, log, piped, command)


def _check_alone(row: Row, directory: Path, log: str, piped: bytes | None, command: Sequence[str]) -> None:
    """Check that `replay` without options of its own goes on if nothing must be confirmed.

    Else it counts the same, or counts nothing or rejects the lines that an option would take, and names the options.
    """
    given = ["replay", log, *row.given, *row.answers]
    if list(command) == given:
        return
    state = directory / "alone"
    if not row.confirmed:
        assert called(*given, "--state-dir", state, stdin=piped).exit_code == 0
        _compare(row, state, given)
        return
    result = called(*given, "--state-dir", state, stdin=piped)
    message = " ".join(result.output.split())
    if result.exit_code == 0 and "lines rejected" not in message:  # what it skips are events in a field of ours
        _compare(row, state, given)
        return
    for option in row.confirmed:
        assert shlex.quote(option) in message, message
    if result.exit_code:
        assert counted(state)["histories"] == {}


def _compare(row: Row, state: Path, command: Sequence[str]) -> None:
    orders = orders_of(row.orders)
    expected = facts(batch(orders, 100), orders)
    found = counted(state)
    for name in expected.keys() - {"lines", "rejected"}:
        assert found[name] == expected[name], (name, command)
    rejects = state / "rejected.jsonl"
    lines = [json.loads(line) for line in rejects.read_text().splitlines()] if rejects.exists() else []
    rejected = [f"{line['place']}: {line['reason']}" for line in lines]
    assert len(rejected) == len(row.rejected), rejected
    for line, begin in zip(rejected, row.rejected, strict=True):
        assert line.startswith(begin), line


def counted(state: Path) -> dict[str, Any]:
    """All counts of a state; none if it was never made."""
    if not state.exists():
        return {"histories": {}}
    embedded = Embedded(state, read_only=True)
    try:
        return streamed_facts(embedded)
    finally:
        embedded.close()


def _log(row: Row, directory: Path) -> tuple[str, bytes | None]:
    """The argument that names a row's log, and what is piped."""
    first = next(iter(row.files))
    if row.log in ("-", "/dev/stdin"):
        return row.log, (directory / first).read_bytes()
    return str(directory / (row.log or first)), None


def _inspected(log: str, piped: bytes | None, *options: str) -> dict[str, Any]:
    result = called("inspect", log, *options, "--json", stdin=piped)
    assert re.match(r"\{", result.stdout), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == (0 if found["question"] is None else 1)
    return found
