"""`alsobought replay`, killed again and again at random moments, ends where one that nobody disturbed ends."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from streams.embedded import open_to_read
from tests.commands import COMMAND, told
from tests.streamed import streamed_facts

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 20


def killed(command: list[str], after_s: float) -> bool:
    """Whether it still ran when it was killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()
    assert process.returncode in {0, -signal.SIGKILL}
    return process.returncode != 0


def exported(state_dir: Path, out: Path) -> bytes:
    told("export", "--state-dir", state_dir, "--out", out)
    return out.read_bytes()


def test_a_replay_killed_twenty_times_ends_as_if_it_never_was(
    grocery_log: Path, grocery_state: Path, tmp_path: Path
) -> None:
    """State, lists, rejected lines and audit; a kill strikes while it opens, counts, commits or writes lists."""
    chance = random.Random(2_026_11)
    kills = rounds = 0
    command = [COMMAND, "replay", str(grocery_log), "--commit-lines", "400", "--state-dir"]
    undisturbed = open_to_read(grocery_state)
    expected = streamed_facts(undisturbed)
    undisturbed.close()
    while kills < KILLS:
        rounds += 1
        state_dir = tmp_path / str(rounds)
        began = time.monotonic()
        while killed([*command, str(state_dir)], chance.uniform(0.3, 1.4)):
            kills += 1
            assert time.monotonic() - began < 60, "it gets nowhere"

        embedded = open_to_read(state_dir)
        assert streamed_facts(embedded) == expected
        embedded.close()
        assert exported(state_dir, tmp_path / f"{rounds}.jsonl") == exported(grocery_state, tmp_path / "right.jsonl")
        lines = (state_dir / "rejected.jsonl").read_text().splitlines()
        assert lines == (grocery_state / "rejected.jsonl").read_text().splitlines()
        assert len(lines) == len({json.loads(line)["row"] for line in lines}) > 500

    assert json.loads(told("audit", "--state-dir", state_dir, "--json"))["differences"] == 0


def test_an_audit_right_after_a_kill_finds_no_difference(grocery_log: Path, tmp_path: Path) -> None:
    """Between the two stages' commits they stand apart; whoever looks then must not see damage."""
    command = [COMMAND, "replay", str(grocery_log), "--commit-lines", "400", "--item-partitions", "3", "--state-dir"]
    chance = random.Random(7)
    for _ in range(4):
        assert killed([*command, str(tmp_path / "state")], chance.uniform(0.5, 0.9))

        assert json.loads(told("audit", "--state-dir", tmp_path / "state", "--json"))["differences"] == 0
