"""`alsobought replay`, killed again and again at random moments, ends where one that nobody disturbed ends."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from state.journal import SLICES
from streams.engine.embedded import open_to_read
from tests.commands import COMMAND, output_of, ran
from tests.streamed import histories, popularity

if TYPE_CHECKING:
    from pathlib import Path

    from streams.engine.embedded import Embedded

KILLS = 20


def killed(command: list[str], after_s: float, begun: Path | None = None) -> bool:
    """Whether it still ran when it was killed, so long after it began or after the file `begun` was there."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while begun and process.poll() is None and not begun.exists():
        time.sleep(0.01)
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.wait()
    assert process.returncode in {0, -signal.SIGKILL}
    return process.returncode != 0


def assert_equal_states(one: Embedded, other: Embedded) -> None:
    """Every history, count, histogram and day; as arrays, for there are millions."""
    assert one.settled
    assert histories(one.histories) == histories(other.histories)
    for counts, right in zip(one.counts, other.counts, strict=True):
        assert list(counts.names.every) == list(right.names.every)
        assert popularity(counts) == popularity(right)
        for number in range(SLICES):
            rows, right_rows = counts.slice_rows(number), right.slice_rows(number)
            assert rows.keys() == right_rows.keys()
            for epoch, (keys, totals) in rows.items():
                assert keys.tobytes() == right_rows[epoch][0].tobytes()
                assert totals.tobytes() == right_rows[epoch][1].tobytes()


def exported(state_dir: Path, out: Path) -> bytes:
    output_of("export", "--state-dir", state_dir, "--out", out)
    return out.read_bytes()


def test_a_replay_killed_twenty_times_ends_as_if_it_never_was(
    grocery_log: Path, grocery_state: Path, tmp_path: Path
) -> None:
    """State, lists, rejected lines and audit; a kill strikes while it opens, counts, commits or writes lists."""
    chance = random.Random(2_026_11)  # noqa: S311 - moments, not secrets
    command = ["replay", str(grocery_log), "--commit-lines", "150", "--state-dir"]
    kills = rounds = 0
    while kills < KILLS:
        if killed([COMMAND, *command, str(tmp_path / str(rounds))], chance.uniform(0.3, 1.6)):
            kills += 1
        else:
            rounds += 1  # it had come to its end before

    result = ran(*command, tmp_path / str(rounds))

    assert result.returncode == 0, result.stderr
    found, right = open_to_read(tmp_path / str(rounds)), open_to_read(grocery_state)
    assert_equal_states(found, right)
    found.close()
    right.close()
    lists = exported(grocery_state, tmp_path / "right.jsonl")
    rejected = (grocery_state / "rejected.jsonl").read_text().splitlines()
    assert len(rejected) == len({json.loads(line)["row"] for line in rejected}) > 500
    for number in range(rounds + 1):
        assert exported(tmp_path / str(number), tmp_path / "found.jsonl") == lists
        assert (tmp_path / str(number) / "rejected.jsonl").read_text().splitlines() == rejected
    assert json.loads(output_of("audit", "--state-dir", tmp_path / str(rounds), "--json"))["differences"] == 0


def test_an_audit_right_after_a_kill_finds_no_difference(grocery_log: Path, tmp_path: Path) -> None:
    """Between the two stages' commits they stand apart; whoever looks then must not see damage."""
    command = [COMMAND, "replay", str(grocery_log), "--commit-lines", "50", "--item-partitions", "3", "--state-dir"]
    chance = random.Random(7)  # noqa: S311 - moments, not secrets
    for number in range(4):
        state_dir = tmp_path / str(number)
        assert killed([*command, str(state_dir)], chance.uniform(0.05, 0.4), state_dir / "rejected.jsonl")

        assert json.loads(output_of("audit", "--state-dir", state_dir, "--json"))["differences"] == 0
