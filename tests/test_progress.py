"""The progress of a long task as a person sees it, on a terminal and in a log."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streams.progress import ProgressDisplay

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ROOT = Path(__file__).parent.parent
GENERATE = [sys.executable, "-m", "streams.commands.generate", "--orders", "60", "--rate", "60", "--out"]


def test_a_log_gets_an_occasional_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log with a line for every order would be larger than the orders."""
    seconds = [0.0]
    with ProgressDisplay("generate", "orders", clock=lambda: seconds[0]) as display:
        for number in range(1, 11):
            seconds[0] += 1
            display.update(number / 20, number)

    assert capsys.readouterr().err.splitlines() == [
        "generate: 25%, 5 orders, 1/s, 15 s left",
        "generate: 50%, 10 orders, 1/s, 10 s left",
    ]


def test_a_terminal_gets_a_bar_that_is_removed_at_the_end(tmp_path: Path) -> None:
    """Generating orders at a rate takes time, and whoever waits wants to see how much is left."""
    ours, theirs = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen([*GENERATE, tmp_path / "orders.jsonl"], cwd=ROOT, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = "".join(reading(ours))
    os.close(ours)

    assert process.returncode == 0
    assert "generate " in shown
    assert "━" in shown
    assert " orders, " in shown
    assert shown.endswith(f"60 orders generated, to {tmp_path / 'orders.jsonl'}\r\n")
    assert len((tmp_path / "orders.jsonl").read_text().splitlines()) == 60


def reading(terminal: int) -> Iterator[str]:
    """Yield what is written to a terminal until its last writer closes it."""
    with contextlib.suppress(OSError):
        while read := os.read(terminal, 4096):
            yield read.decode(errors="replace")


def test_without_a_terminal_there_is_no_bar(tmp_path: Path) -> None:
    done = subprocess.run(
        [*GENERATE, tmp_path / "orders.jsonl"], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True
    )

    assert done.stderr == f"60 orders generated, to {tmp_path / 'orders.jsonl'}\n"
