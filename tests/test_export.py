"""An export is a function of the counts: the same bytes, however the log was cut and the items divided."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from streams.engine.scores import SCORES, decaying_scores
from tests.commands import COMMAND, INTERRUPTED, output_of, refused

if TYPE_CHECKING:
    from pathlib import Path

LINES = 10_000


@pytest.fixture(scope="module", name="logs")
def _logs(grocery_log: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The beginning of the log in one file, and the same divided among three."""
    directory = tmp_path_factory.mktemp("logs")
    header, *lines = grocery_log.read_text().splitlines(keepends=True)[: LINES + 1]
    customer_changes = [at for at in range(1, LINES) if lines[at].split(",")[0] != lines[at - 1].split(",")[0]]
    cuts = [0, customer_changes[len(customer_changes) // 4], customer_changes[len(customer_changes) // 2], LINES]
    paths = []
    for name, begin, end in [
        ("whole", 0, LINES),
        *((f"part{n}", cuts[n], cuts[n + 1]) for n in range(3)),
    ]:
        paths.append(directory / f"{name}.csv")
        paths[-1].write_text(header + "".join(lines[begin:end]))
    return paths


@pytest.fixture(scope="module", name="states")
def _states(logs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same counts, come by in different ways."""
    directory = tmp_path_factory.mktemp("states")
    whole, *parts = logs
    ways: dict[str, list[list[str | Path]]] = {
        "in one go": [[whole]],
        "several files": [[*parts]],
        "twice": [[whole], [whole]],
        "a run a file": [[part] for part in parts],
        "small commits": [[whole, "--commit-lines", "137"]],
        "one commit": [[whole, "--commit-lines", "1000000"]],
        "three partitions": [[whole, "--item-partitions", "3"]],
        "seven partitions, odd commits": [[*parts, "--item-partitions", "7", "--commit-lines", "1009"]],
    }
    for way, runs in ways.items():
        for arguments in runs:
            output_of("replay", *arguments, "--state-dir", directory / way)
    return {way: directory / way for way in ways}


def exported(state_dir: Path, out: Path, *options: str) -> bytes:
    output_of("export", "--state-dir", state_dir, "--out", out, *options)
    return out.read_bytes()


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_equal_counts_give_equal_bytes(states: dict[str, Path], tmp_path: Path, ending: str) -> None:
    expected = exported(states["in one go"], tmp_path / f"expected{ending}")

    for way, state_dir in states.items():
        assert exported(state_dir, tmp_path / f"{way}{ending}") == expected, way


@pytest.mark.parametrize("options", [*[("--score", score) for score in SCORES], ("--no-trend",)], ids=" ".join)
def test_equal_counts_give_equal_bytes_by_every_score(
    states: dict[str, Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    """Half-lives and partitions both change the order in which floats could be added."""
    if options[-1] in decaying_scores():
        options = (*options, "--half-life", "20")

    one = exported(states["in one go"], tmp_path / "one.jsonl", *options)
    other = exported(states["seven partitions, odd commits"], tmp_path / "other.jsonl", *options)

    assert one == other
    assert one.count(b"\n") > 1000


def test_a_replay_stopped_by_ctrl_c_and_gone_on_with_exports_the_same_bytes(
    grocery_log: Path, grocery_state: Path, tmp_path: Path
) -> None:
    """It commits, says where it stopped, and the same command goes on from there."""
    command = ["replay", str(grocery_log), "--state-dir", str(tmp_path / "state"), "--commit-lines", "300"]
    rejects = tmp_path / "state" / "rejected.jsonl"
    for _ in range(3):
        begun = rejects.stat().st_size if rejects.exists() else 0
        process = subprocess.Popen([COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (rejects.exists() and rejects.stat().st_size > begun):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)

        assert process.returncode == INTERRUPTED, err
        assert "Traceback" not in err
        assert re.search("stopped at line [0-9,]+, committed; the same command goes on from there", out)

    output_of(*command)
    expected = exported(grocery_state, tmp_path / "expected.jsonl")
    assert exported(tmp_path / "state", tmp_path / "found.jsonl") == expected


def test_a_published_list_and_one_made_for_the_export_are_the_same(states: dict[str, Path], tmp_path: Path) -> None:
    """Exports read what was published if it is current, and rank otherwise; nobody may tell which."""
    published = exported(states["in one go"], tmp_path / "published.jsonl")

    made = exported(states["in one go"], tmp_path / "made.jsonl", "--half-life", "60")

    assert made == published


def test_json_lines_are_what_related_prints(states: dict[str, Path], tmp_path: Path) -> None:
    lines = exported(states["three partitions"], tmp_path / "lists.jsonl").splitlines()

    for line in lines[:: len(lines) // 5]:
        item = json.loads(line)["item_id"]
        printed = output_of("related", item, "--state-dir", states["three partitions"], "--limit", "50", "--json")
        document, exported_list = json.loads(printed), json.loads(line)
        assert document | exported_list == document
        assert document.keys() - exported_list.keys() == {"exact", "pairs", "worker"}
    ids = [json.loads(line)["item_id"] for line in lines]
    assert ids == sorted(set(ids))


def test_parquet_holds_what_json_lines_hold(states: dict[str, Path], tmp_path: Path) -> None:
    lines = [json.loads(line) for line in exported(states["in one go"], tmp_path / "lists.jsonl").splitlines()]
    exported(states["in one go"], tmp_path / "lists.parquet")

    table = pq.read_table(tmp_path / "lists.parquet")

    as_of = lines[0]["as_of"]
    assert table.schema.metadata[b"as_of_lines"].decode() == str(as_of["lines"])
    assert table.schema.metadata[b"as_of_timestamp"].decode() == as_of["timestamp"]
    assert table.to_pylist() == [{name: value for name, value in line.items() if name != "as_of"} for line in lines]


def test_an_export_of_a_state_without_purchases_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "orders.csv"
    log.write_text("customer_id,item_id,timestamp,type\nann,tea,2024-01-01,return\n")
    output_of("replay", log, "--state-dir", tmp_path / "state")

    lines = exported(tmp_path / "state", tmp_path / "lists.jsonl")
    exported(tmp_path / "state", tmp_path / "lists.parquet")

    assert lines == b""
    assert pq.read_table(tmp_path / "lists.parquet").num_rows == 0


def test_an_export_appears_whole_or_not_at_all(states: dict[str, Path], tmp_path: Path) -> None:
    message = refused("export", "--state-dir", states["in one go"], "--out", tmp_path / "lists.xlsx")

    assert "the name of an export ends in one of .jsonl, .ndjson, .parquet" in message
    assert list(tmp_path.iterdir()) == []
    assert "nowhere" in refused(
        "export", "--state-dir", states["in one go"], "--out", tmp_path / "nowhere" / "lists.jsonl"
    )
